//! Who takes in what is shed: near sites with room, and no more than they have.

use super::{BAND, SiteId, TARGET};

/// Sites after its own that a client may be sent to for want of room. The router looks no further either: beyond, the
/// way is worse than the crowd.
pub(crate) const GUESTS_OF: usize = 3;

/// Below so small a part of its demand nothing is shed: it would move clients for nothing.
const NOTICEABLE: f64 = 0.005;

/// All, but for what arithmetic loses.
const ALL: f64 = 1.0 - 1e-9;

/// A part of its capacity by which a site's room must have grown before it takes in more.
const WORTH_IT: f64 = 0.02;

/// One site before the plan. Amounts are in units of capacity.
#[derive(Clone, Copy, Debug)]
pub(super) struct Demand<'a> {
    /// What its own clients would make it do; `None` where nothing is known.
    pub(super) own: Option<f64>,
    /// What it can do; 0 where nothing is up.
    pub(super) capacity: f64,
    /// Which share of its own it wishes to keep.
    pub(super) accept: f64,
    /// What it was to take in by the last plan.
    pub(super) guests: f64,
    /// The other sites, nearest first.
    pub(super) neighbours: &'a [SiteId],
}

/// One site after it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Planned {
    pub(super) accept: f64,
    /// Which share of the guests that come by it takes in.
    pub(super) take_in: f64,
    /// How much that should be.
    pub(super) guests: f64,
}

impl Demand<'_> {
    /// How much of others' clients it has room for. What it has already stays as long as the site is in its band, and
    /// room that is hardly more than that counts as no more: guests at the margin would come and go with the noise.
    fn room(&self) -> f64 {
        let Some(own) = self.own.filter(|_| self.accept >= 1.0) else {
            return 0.0;
        };
        let fresh = (TARGET * self.capacity - own).max(0.0);
        let in_band = own + self.guests <= BAND.end() * self.capacity;
        if in_band && fresh < self.guests + WORTH_IT * self.capacity {
            self.guests
        } else {
            fresh
        }
    }

    fn shed(&self) -> f64 {
        let shed = self.own.unwrap_or_default() * (1.0 - self.accept);
        if shed > NOTICEABLE * self.own.unwrap_or_default() {
            shed
        } else {
            0.0
        }
    }

    fn is_up(&self) -> bool {
        self.capacity > 0.0
    }
}

/// What one site sends to the sites that its clients come by, in their order.
#[derive(Clone, Copy, Debug, Default)]
struct Sent {
    to: [Option<usize>; GUESTS_OF],
    amounts: [f64; GUESTS_OF],
}

impl Sent {
    fn total(&self) -> f64 {
        self.amounts.iter().sum()
    }

    /// Where clients come by, how many do, and how many should stay there.
    fn visits(&self) -> impl Iterator<Item = (usize, f64, f64)> {
        let mut left = self.total();
        self.to
            .into_iter()
            .zip(self.amounts)
            .filter_map(move |(to, amount)| {
                let come = left;
                left -= amount;
                Some((to?, come, amount))
            })
    }
}

/// Decides who takes in what.
pub(super) fn plan(demands: &[Demand<'_>]) -> Vec<Planned> {
    let rooms: Vec<f64> = demands.iter().map(Demand::room).collect();
    let sent = send(demands, &rooms);
    let mut came = vec![0.0; demands.len()];
    let mut stayed = vec![0.0; demands.len()];
    for (to, come, stay) in sent.iter().flat_map(Sent::visits) {
        came[to] += come;
        stayed[to] += stay;
    }
    let planned = demands.iter().enumerate().map(|(site, demand)| {
        let accept = match demand.own {
            // What found no room is kept.
            Some(own) if own > 0.0 && sent[site].total() < demand.shed() * ALL => {
                1.0 - sent[site].total() / own
            }
            Some(_) if demand.shed() == 0.0 => 1.0,
            _ => demand.accept,
        };
        let take_in = if came[site] > 0.0 {
            (stayed[site] / came[site]).min(1.0)
        } else if rooms[site] > 0.0 {
            1.0
        } else {
            0.0
        };
        Planned {
            accept,
            take_in,
            guests: stayed[site],
        }
    });
    planned.collect()
}

/// Lets what is shed go by the neighbours, all at once: first everybody's nearest site that is up takes in what it has
/// room for, then the next nearest of what is left.
fn send(demands: &[Demand<'_>], rooms: &[f64]) -> Vec<Sent> {
    let mut left: Vec<f64> = demands.iter().map(Demand::shed).collect();
    let mut free = rooms.to_vec();
    let mut sent: Vec<Sent> = demands.iter().map(|demand| towards(demand, demands)).collect();
    for round in 0..GUESTS_OF {
        let mut arrivals = vec![0.0; demands.len()];
        for (sent, left) in sent.iter().zip(&left) {
            if let Some(to) = sent.to[round] {
                arrivals[to] += left;
            }
        }
        // Of all that arrive in one round each gets the same part of what room there is.
        let parts: Vec<f64> = arrivals
            .iter()
            .zip(&free)
            .map(|(arrive, free)| if arrive > free { free / arrive } else { 1.0 })
            .collect();
        for (sent, left) in sent.iter_mut().zip(&mut left) {
            if let Some(to) = sent.to[round] {
                sent.amounts[round] = *left * parts[to];
                *left -= sent.amounts[round];
                free[to] = (free[to] - sent.amounts[round]).max(0.0);
            }
        }
    }
    sent
}

/// The nearest sites that are up.
fn towards(demand: &Demand<'_>, demands: &[Demand<'_>]) -> Sent {
    let mut sent = Sent::default();
    if demand.shed() > 0.0 {
        let near = demand.neighbours.iter().map(|site| usize::from(site.0));
        let up = near.filter(|site| demands.get(*site).is_some_and(Demand::is_up));
        for (place, site) in sent.to.iter_mut().zip(up) {
            *place = Some(site);
        }
    }
    sent
}

#[cfg(test)]
mod tests {
    use super::*;

    const SITES: [SiteId; 4] = [SiteId(0), SiteId(1), SiteId(2), SiteId(3)];

    fn site(own: f64, capacity: f64, neighbours: &[SiteId]) -> Demand<'_> {
        let busy = own / capacity;
        Demand {
            own: (capacity > 0.0).then_some(own),
            capacity,
            accept: if busy > TARGET { TARGET / busy } else { 1.0 },
            guests: 0.0,
            neighbours,
        }
    }

    fn close(left: f64, right: f64) -> bool {
        (left - right).abs() < 1e-9
    }

    #[test]
    fn what_is_shed_goes_to_the_nearest_until_it_is_full_and_then_to_the_next() {
        let planned = plan(&[
            site(120.0, 100.0, &SITES[1..]),
            site(70.0, 100.0, &[]),
            site(0.0, 0.0, &[]),
            site(10.0, 100.0, &[]),
        ]);
        assert!(close(planned[0].accept, 80.0 / 120.0));
        // Ten of forty fit there, and the site that is down is passed by.
        assert!(close(planned[1].guests, 10.0) && close(planned[1].take_in, 0.25));
        assert!(close(planned[3].guests, 30.0) && close(planned[3].take_in, 1.0));
        assert_eq!(planned[2].take_in, 0.0);
    }

    #[test]
    fn what_finds_no_room_is_kept() {
        let full = [site(120.0, 100.0, &SITES[1..2]), site(75.0, 100.0, &SITES[..1])];
        let planned = plan(&full);
        assert!(close(planned[0].accept, 115.0 / 120.0), "{planned:?}");
        let both = [site(120.0, 100.0, &SITES[1..2]), site(90.0, 100.0, &SITES[..1])];
        assert!(
            plan(&both)
                .iter()
                .all(|site| close(site.accept, 1.0) && site.take_in == 0.0)
        );
    }

    #[test]
    fn two_that_shed_to_one_share_its_room_by_what_they_shed() {
        let planned = plan(&[
            site(100.0, 100.0, &SITES[2..3]),
            site(120.0, 100.0, &SITES[2..3]),
            site(50.0, 100.0, &[]),
        ]);
        // What it has no room for is not sent there, so it takes in all that come.
        assert!(close(planned[2].guests, 30.0) && close(planned[2].take_in, 1.0));
        assert!(close(planned[0].accept, 0.9) && close(planned[1].accept, 100.0 / 120.0));
    }

    #[test]
    fn guests_may_stay_until_the_band_ends() {
        for (guests, room) in [
            (0.0, 2.0),
            (1.0, 1.0),
            (5.0, 5.0),
            (7.0, 7.0),
            (7.1, 2.0),
            (20.0, 2.0),
        ] {
            let host = Demand {
                guests,
                ..site(78.0, 100.0, &[])
            };
            assert!(close(host.room(), room), "{guests}: {}", host.room());
        }
    }
}
