//! How far away clients are: the shortest round trip of each connection, by the network that it came from.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use model::round_trip::{RoundTrip, RoundTrips};
use parking_lot::Mutex;

/// Networks that are known at once, some 2 MiB. The clients of a large site come from fewer.
const NETWORKS_MAX: usize = 16_384;

/// Connections of a network whose median counts.
const RECENT: usize = 15;

/// A network of which nothing was heard for so long makes room for others.
const FORGET_AFTER_MILLIS: u64 = 60 * 60 * 1000;

/// How often room is looked for at most.
const SWEEP_MILLIS: u64 = 60 * 1000;

/// What a network is told apart by: routes on the internet are seldom longer.
const IPV4_BITS: u32 = 24;
const IPV6_BITS: u32 = 48;

/// The networks of clients, and how far away they are.
#[derive(Debug, Default)]
pub(crate) struct Networks {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    networks: HashMap<IpAddr, Network>,
    swept: u64,
}

#[derive(Debug, Default)]
struct Network {
    /// A ring of the last round trips, in microseconds.
    recent: [u32; RECENT],
    samples: u32,
    /// When the last was measured, milliseconds since the Unix epoch.
    last: u64,
}

impl Networks {
    /// Takes in the shortest round trip of a connection from `client` that ended at `now` (milliseconds).
    pub(crate) fn measure(&self, client: IpAddr, microseconds: u32, now: u64) {
        let key = network_of(client);
        let mut inner = self.inner.lock();
        if inner.networks.len() >= NETWORKS_MAX && !inner.networks.contains_key(&key) && !inner.make_room(now)
        {
            return;
        }
        let network = inner.networks.entry(key).or_default();
        network.recent[network.samples as usize % RECENT] = microseconds;
        network.samples = network.samples.saturating_add(1);
        network.last = now;
    }

    /// All networks of which anything was heard in the last hour.
    pub(crate) fn lately(&self, now: u64) -> RoundTrips {
        let inner = self.inner.lock();
        let lately = inner
            .networks
            .iter()
            .filter(|(_, network)| network.age(now) < FORGET_AFTER_MILLIS);
        let mut round_trips: Vec<RoundTrip> = lately.map(|(key, network)| network.told(*key, now)).collect();
        drop(inner);
        round_trips.sort_by(|one, other| one.network.cmp(&other.network));
        RoundTrips { round_trips }
    }
}

impl Inner {
    /// Forgets what is old, and says whether there is room now.
    fn make_room(&mut self, now: u64) -> bool {
        if now.saturating_sub(self.swept) < SWEEP_MILLIS {
            return false;
        }
        self.swept = now;
        self.networks
            .retain(|_, network| network.age(now) < FORGET_AFTER_MILLIS);
        self.networks.len() < NETWORKS_MAX
    }
}

impl Network {
    fn age(&self, now: u64) -> u64 {
        now.saturating_sub(self.last)
    }

    fn told(&self, key: IpAddr, now: u64) -> RoundTrip {
        let count = RECENT.min(self.samples as usize);
        let mut recent = self.recent;
        recent[..count].sort_unstable();
        let bits = if key.is_ipv4() { IPV4_BITS } else { IPV6_BITS };
        RoundTrip {
            network: format!("{key}/{bits}"),
            microseconds: recent[count / 2],
            samples: self.samples,
            age_seconds: u32::try_from(self.age(now) / 1000).unwrap_or(u32::MAX),
        }
    }
}

/// The first address of the network of `client`.
fn network_of(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V4(ip) => IpAddr::V4(Ipv4Addr::from_bits(ip.to_bits() & (u32::MAX << (32 - IPV4_BITS)))),
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(
            ip.to_bits() & (u128::MAX << (128 - IPV6_BITS)),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(networks: &Networks, now: u64) -> Vec<(String, u32, u32, u32)> {
        let told = networks.lately(now).round_trips.into_iter();
        told.map(|one| (one.network, one.microseconds, one.samples, one.age_seconds))
            .collect()
    }

    #[test]
    fn a_network_has_the_median_of_its_last_connections() {
        let networks = Networks::default();
        let client = |text: &str| text.parse().unwrap();
        for (nth, microseconds) in (1..=20).enumerate() {
            networks.measure(client(&format!("192.0.2.{nth}")), microseconds * 1000, 5_000);
        }
        networks.measure(client("::ffff:198.51.100.9"), 700, 6_000);
        networks.measure(client("2001:db8:1:2::3"), 900, 7_000);
        let told = of(&networks, 9_500);
        let wanted = [
            ("192.0.2.0/24", 13_000, 20, 4),
            ("198.51.100.0/24", 700, 1, 3),
            ("2001:db8:1::/48", 900, 1, 2),
        ];
        assert_eq!(
            told,
            wanted.map(|(network, us, samples, age)| (network.to_owned(), us, samples, age))
        );
        assert!(
            of(&networks, 5_000 + FORGET_AFTER_MILLIS).len() < 3,
            "what is old is not told"
        );
    }

    #[test]
    fn there_is_a_bound_and_what_is_old_makes_room() {
        let networks = Networks::default();
        for nth in 0..NETWORKS_MAX as u32 + 10 {
            networks.measure(IpAddr::V4(Ipv4Addr::from_bits(nth << 8)), 1, 0);
        }
        assert_eq!(networks.lately(0).round_trips.len(), NETWORKS_MAX);
        let late = FORGET_AFTER_MILLIS + SWEEP_MILLIS;
        networks.measure("203.0.113.1".parse().unwrap(), 1, late);
        assert_eq!(of(&networks, late), [("203.0.113.0/24".to_owned(), 1, 1, 0)]);
    }
}
