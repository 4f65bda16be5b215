//! What one thread counts: plain numbers in places known beforehand, so that a query costs no look-up and no other
//! thread's cache line.

use std::sync::atomic::{AtomicU64, Ordering};

use super::authority::{
    Kind, Rcode, SubnetFamily,
    outcome::{Outcome, Silence, Transport},
};

/// Why something that came in was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Dropped {
    /// It had no whole header.
    Short,
    /// It was a reply.
    Response,
    /// It came from port 0.
    Port,
    /// It was longer than any query.
    Oversize,
    /// The kernel would not send the reply.
    Unsent,
    /// A connection, as there were as many as there may be.
    Connections,
    /// A connection, as the client's network had as many as it may have.
    Network,
    /// A connection whose client did not take its replies.
    Slow,
}

impl Dropped {
    /// All of them, in the order of their discriminants, with their labels in metrics.
    pub(crate) const ALL: [(Dropped, &'static str); 8] = [
        (Dropped::Short, "short"),
        (Dropped::Response, "response"),
        (Dropped::Port, "port"),
        (Dropped::Oversize, "oversize"),
        (Dropped::Unsent, "unsent"),
        (Dropped::Connections, "connections"),
        (Dropped::Network, "network"),
        (Dropped::Slow, "slow"),
    ];
}

/// The families of networks in queries, in the order of their discriminants, with their labels in metrics.
pub(super) const SUBNET_FAMILIES: [(SubnetFamily, &str); 3] = [
    (SubnetFamily::V4, "ipv4"),
    (SubnetFamily::V6, "ipv6"),
    (SubnetFamily::Withheld, "withheld"),
];

/// The counters of one thread. Counters only rise, and each is read by itself, so that no order between them matters.
pub(crate) struct Tally {
    pub(super) transport: Transport,
    pub(super) queries: [[AtomicU64; Rcode::ALL.len()]; Kind::ALL.len()],
    pub(super) subnets: [AtomicU64; SUBNET_FAMILIES.len()],
    pub(super) dropped: [AtomicU64; Dropped::ALL.len()],
    pub(super) truncated: AtomicU64,
}

impl Tally {
    /// All at 0.
    pub(super) fn new(transport: Transport) -> Tally {
        Tally {
            transport,
            queries: Default::default(),
            subnets: Default::default(),
            dropped: Default::default(),
            truncated: AtomicU64::new(0),
        }
    }

    /// Counts what became of a query.
    pub(crate) fn count(&self, outcome: &Outcome) {
        match outcome {
            Outcome::Reply(replied) => {
                more(&self.queries[replied.kind as usize][replied.rcode as usize]);
                if let Some(family) = replied.subnet {
                    more(&self.subnets[family as usize]);
                }
                if replied.truncated {
                    more(&self.truncated);
                }
            }
            Outcome::Silence(silence) => self.dropped(match silence {
                Silence::Short => Dropped::Short,
                Silence::Response => Dropped::Response,
                Silence::Port => Dropped::Port,
            }),
        }
    }

    /// Counts something that was given up.
    pub(crate) fn dropped(&self, why: Dropped) {
        more(&self.dropped[why as usize]);
    }
}

fn more(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_by_place_stands_in_its_place() {
        for (place, (dropped, label)) in Dropped::ALL.into_iter().enumerate() {
            assert_eq!(dropped as usize, place, "{label}");
        }
        for (place, (family, label)) in SUBNET_FAMILIES.into_iter().enumerate() {
            assert_eq!(family as usize, place, "{label}");
        }
    }
}
