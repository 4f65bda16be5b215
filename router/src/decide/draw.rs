//! Chance that is none: numbers between 0 and 1 that depend on nothing but what they are drawn for.
//!
//! All routers draw the same without a word, a client draws the same each time, and when a share grows from 0.8 to 0.9
//! those below 0.8 stay where they were. The hashes must never change: that would move every client at once.

use std::net::IpAddr;

use model::rendezvous::uniform;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Bits of an IPv4 address that tell clients apart: the longest prefix that resolvers send (RFC 7871 §11.1).
pub(crate) const PREFIX_BITS_V4: u8 = 24;
/// Bits of an IPv6 address that tell clients apart: what one customer or office has; RFC 7871 sends 56 at most.
pub(crate) const PREFIX_BITS_V6: u8 = 48;

/// The network of a client: all that draws know of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClientPrefix(u64);

impl ClientPrefix {
    /// The prefix that `client` is in. An IPv4 address in IPv6 form is the IPv4 address.
    pub(crate) fn of(client: IpAddr) -> ClientPrefix {
        match client.to_canonical() {
            IpAddr::V4(address) => {
                ClientPrefix(4 << 60 | u64::from(address.to_bits() >> (32 - PREFIX_BITS_V4)))
            }
            IpAddr::V6(address) => {
                let bits = address.to_bits() >> (128 - u32::from(PREFIX_BITS_V6));
                // 48 bits are left of it.
                ClientPrefix(6 << 60 | u64::try_from(bits).unwrap_or_default())
            }
        }
    }
}

/// What is drawn for: draws for different ends have nothing to do with each other. The numbers are seeds.
#[derive(Clone, Copy, Debug)]
enum End {
    /// Whether a client stays at the site that is its own.
    Stay = 1,
    /// Whether a site takes in a client that its own site has no room for.
    TakeIn = 2,
    /// Whether a key skips an edge.
    Skip = 3,
    /// The order in which a client sees the nodes of a key that is spread.
    Spread = 4,
}

/// Whether a client stays at its own site: below the site's accepted share it does.
pub(crate) fn stay(client: ClientPrefix, service: u64, site: u64) -> f64 {
    uniform(hash(End::Stay, [client.0, service, site]))
}

/// Whether a site takes in a client of another.
pub(crate) fn take_in(client: ClientPrefix, service: u64, site: u64) -> f64 {
    uniform(hash(End::TakeIn, [client.0, service, site]))
}

/// Whether a key skips an edge. `client` is 0 where the key alone decides.
pub(crate) fn skip(key: u64, edge: u64, client: Option<ClientPrefix>) -> f64 {
    uniform(hash(End::Skip, [key, edge, client.map_or(0, |client| client.0)]))
}

/// The key by which one client ranks the nodes that a key is spread over.
pub(crate) fn own_order(client: ClientPrefix, key: u64) -> u64 {
    hash(End::Spread, [client.0, key, 0])
}

fn hash(end: End, words: [u64; 3]) -> u64 {
    let mut bytes = [0; 24];
    for (place, word) in bytes.chunks_exact_mut(8).zip(words) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    xxh3_64_with_seed(&bytes, end as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(address: &str) -> ClientPrefix {
        ClientPrefix::of(address.parse().unwrap())
    }

    #[test]
    fn clients_of_one_network_are_one_and_an_old_address_in_new_form_is_the_old_one() {
        assert_eq!(prefix("192.0.2.1"), prefix("192.0.2.254"));
        assert_ne!(prefix("192.0.2.1"), prefix("192.0.3.1"));
        assert_eq!(prefix("192.0.2.1"), prefix("::ffff:192.0.2.9"));
        assert_eq!(prefix("2001:db8:1::1"), prefix("2001:db8:1:ffff::9"));
        assert_ne!(prefix("2001:db8:1::1"), prefix("2001:db8:2::1"));
        assert_ne!(prefix("0.0.1.0"), prefix("0:0:1::"));
    }

    #[test]
    fn draws_are_the_same_for_ever_and_those_for_different_ends_apart() {
        let client = prefix("192.0.2.1");
        let drawn = [
            stay(client, 1, 2),
            take_in(client, 1, 2),
            skip(1, 2, Some(client)),
        ];
        let thousandths = drawn.map(|drawn| format!("{drawn:.6}"));
        assert_eq!(thousandths, ["0.381984", "0.931122", "0.470768"]);
    }

    #[test]
    fn draws_are_spread_evenly() {
        let below = |bound: f64| {
            let clients = (0..40_000_u64).map(|nth| ClientPrefix(4 << 60 | nth));
            clients.filter(|client| stay(*client, 7, 9) < bound).count()
        };
        for (bound, expected) in [(0.1, 4_000), (0.5, 20_000), (0.9, 36_000)] {
            assert!(below(bound).abs_diff(expected) < 500, "{}", below(bound));
        }
    }
}
