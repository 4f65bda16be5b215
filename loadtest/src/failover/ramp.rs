//! An edge that came back gets its share of clients little by little: which share it has, from the first moment on.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use rand::rngs::StdRng;
use tokio::time::Instant;

use super::asker::{Asker, first_addresses};
use super::cdn;
use super::round::{self, await_until};
use super::series::Series;
use super::sightings::Way;
use super::stage::Stage;

/// How long the monitors give a node to come to its share.
pub(super) const SLOW_START: Duration = Duration::from_secs(20);

/// How long it is looked at: until it must have all of it, and a little.
const LOOKED_AT: Duration = Duration::from_secs(24);

/// Between two looks.
const PERIOD: Duration = Duration::from_secs(2);

/// Clients that are asked for at each look.
const CLIENTS: u16 = 1000;

/// The share that each edge of the site has in the end.
pub(super) const EVEN: f64 = 1.0 / cdn::NEAR_EDGES as f64;

/// What was seen at one look.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Look {
    /// Since it was first named again.
    pub(super) after: Duration,
    /// The share of clients whose first address is its.
    pub(super) share: f64,
}

/// Kills an edge, starts it again, and looks on.
///
/// # Errors
///
/// What does not happen in time.
pub(super) async fn play(chance: &mut StdRng) -> Result<Vec<Look>, String> {
    let mut stage = Stage::start(Series::Heartbeats, SLOW_START).await?;
    let asker = Asker::start(stage.doors).await?;
    let victim = round::choose(&stage, &asker, chance).await?;
    let named = || asker.sightings().first(Way::Dns, victim.address);
    await_until("nobody is sent to it", &asker, || {
        let sightings = asker.sightings();
        Way::ALL
            .iter()
            .all(|way| sightings.first(*way, victim.address).is_some())
    })
    .await?;
    round::take_away(&mut stage, &asker, &victim).await?;
    asker.sightings().forget(victim.address);
    stage.bring_back(&victim.edge).await?;
    // With a small share it may be nobody's first address, but it is somebody's second.
    await_until("it is not named again", &asker, || named().is_some()).await?;
    let began = named().unwrap_or_else(Instant::now);
    let mut looks = Vec::new();
    while began.elapsed() < LOOKED_AT {
        let after = began.elapsed();
        let firsts = first_addresses(stage.doors, Way::Dns, CLIENTS).await?;
        let share = share(&firsts, victim.address);
        eprintln!(
            "slow start: after {:.1} s {:.1} %",
            after.as_secs_f64(),
            share * 100.0
        );
        looks.push(Look { after, share });
        tokio::time::sleep(PERIOD).await;
    }
    drop(asker);
    stage.stop().await;
    Ok(looks)
}

fn share(firsts: &[(Ipv4Addr, Ipv4Addr)], address: Ipv4Addr) -> f64 {
    let mut counts: BTreeMap<Ipv4Addr, u32> = BTreeMap::new();
    for (_, first) in firsts {
        *counts.entry(*first).or_default() += 1;
    }
    let all: u32 = counts.values().sum();
    f64::from(counts.get(&address).copied().unwrap_or_default()) / f64::from(all.max(1))
}

/// How often a share was smaller than at the look before.
pub(super) fn falls(looks: &[Look]) -> usize {
    looks
        .windows(2)
        .filter(|pair| pair[1].share < pair[0].share)
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_that_of_clients_whose_first_address_it_is() {
        let (one, other) = (cdn::address(1), cdn::address(2));
        let firsts: Vec<_> = [one, other, other, other]
            .map(|first| (cdn::client(1), first))
            .into();
        assert_eq!(share(&firsts, one), 0.25);
        assert_eq!(share(&[], one), 0.0);
    }

    #[test]
    fn falls_are_counted() {
        let looks = [0.1, 0.2, 0.2, 0.15, 0.3].map(|share| Look {
            after: Duration::ZERO,
            share,
        });
        assert_eq!(falls(&looks), 1);
    }
}
