//! What is remembered of names; pure, with `now` as an argument.
//!
//! ```text
//! learned ── fresh ──→ TTL over ── stale: ask again, use it if that fails ──→ forgotten
//! ```

use std::{collections::HashMap, net::IpAddr, time::Duration};

use model::Moment;

use super::NameErrorKind;

/// Addresses are held at least for so long, whatever their TTL: a TTL of 0 must not cost a look-up for each request.
pub(super) const TTL_FLOOR: Duration = Duration::from_secs(5);
/// And at most for so long: a mistake in a zone is not to last for a week.
pub(super) const TTL_CEILING: Duration = Duration::from_secs(300);
/// Expired addresses may be used for so long while the name servers fail (RFC 8767 suggests hours to days).
pub(super) const STALE_MAX: Duration = Duration::from_secs(3600);
/// For so long after a failure nothing is asked for the name, so that requests do not queue behind dead name servers.
pub(super) const FAILURE_PAUSE: Duration = Duration::from_secs(5);
/// Names held at most; they come from the snapshot.
const NAMES_MAX: usize = 4096;

/// What a look-up found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// At least one.
    pub(super) addresses: Vec<IpAddr>,
    /// For how long the name servers say they hold.
    pub(super) ttl: Duration,
}

/// What is known of a name.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Recalled {
    /// Where it is.
    Fresh(Vec<IpAddr>),
    /// Where it was, and whether it is time to ask again.
    Stale { addresses: Vec<IpAddr>, ask_again: bool },
    /// Asked a moment ago, in vain.
    Failed(NameErrorKind),
    /// Nothing.
    Nothing,
}

/// Names and their addresses, at most [`NAMES_MAX`].
#[derive(Default)]
pub(super) struct Memory {
    names: HashMap<Box<str>, Entry>,
}

struct Entry {
    /// None after a failure without an earlier success.
    addresses: Vec<IpAddr>,
    expires: Moment,
    /// The last look-up failed so, and until when that is taken for an answer.
    failure: Option<(NameErrorKind, Moment)>,
    /// How often the addresses were recalled; the first to be used moves on with it.
    turn: usize,
}

impl Memory {
    /// How many names are held.
    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    /// What is known of a name now.
    pub(super) fn recall(&mut self, host: &str, now: Moment) -> Recalled {
        let Some(entry) = self.names.get_mut(host) else {
            return Recalled::Nothing;
        };
        let failure = entry
            .failure
            .as_ref()
            .filter(|(_, until)| now < *until)
            .map(|(kind, _)| kind.clone());
        let is_usable = !entry.addresses.is_empty() && now < entry.expires + STALE_MAX;
        match failure {
            _ if is_usable && now < entry.expires => Recalled::Fresh(entry.turned()),
            failure if is_usable => Recalled::Stale {
                ask_again: failure.is_none(),
                addresses: entry.turned(),
            },
            Some(kind) => Recalled::Failed(kind),
            None => Recalled::Nothing,
        }
    }

    /// Remembers what was found by a look-up that was `asked` for then and ended at `now`. (The TTL counts from the
    /// asking, to be on the safe side.) That a name does not exist is an answer, and ends the use of old addresses;
    /// any other failure does not (RFC 8767 §4).
    pub(super) fn learn(
        &mut self,
        host: &str,
        answer: Result<Found, NameErrorKind>,
        asked: Moment,
        now: Moment,
    ) {
        self.make_room(host, now);
        let nothing = || Entry {
            addresses: Vec::new(),
            expires: asked,
            failure: None,
            turn: 0,
        };
        let entry = self.names.entry(host.into()).or_insert_with(nothing);
        match answer {
            Ok(Found { addresses, ttl }) => {
                entry.addresses = addresses;
                entry.expires = asked + ttl.clamp(TTL_FLOOR, TTL_CEILING);
                entry.failure = None;
            }
            Err(kind) => {
                if kind == NameErrorKind::NotFound {
                    entry.addresses.clear();
                }
                entry.failure = Some((kind, now + FAILURE_PAUSE));
            }
        }
    }

    /// Forgets what is of no more use, or else what expires first, if another name would be too many.
    fn make_room(&mut self, host: &str, now: Moment) {
        if self.names.len() < NAMES_MAX || self.names.contains_key(host) {
            return;
        }
        self.names
            .retain(|_, entry| !entry.addresses.is_empty() && now < entry.expires + STALE_MAX);
        if self.names.len() >= NAMES_MAX {
            let first = self
                .names
                .iter()
                .min_by_key(|(_, entry)| entry.expires)
                .map(|(name, _)| name.clone());
            first.map(|name| self.names.remove(&name));
        }
    }
}

impl Entry {
    /// The addresses, each family turned one further than the last time.
    fn turned(&mut self) -> Vec<IpAddr> {
        let turn = self.turn;
        self.turn = turn.wrapping_add(1);
        let mut addresses = self.addresses.clone();
        // IPv4 comes first; a stable partition keeps the order of the answer.
        addresses.sort_by_key(IpAddr::is_ipv6);
        let v4_count = addresses.partition_point(IpAddr::is_ipv4);
        let (v4, v6) = addresses.split_at_mut(v4_count);
        for family in [v4, v6] {
            if !family.is_empty() {
                family.rotate_left(turn % family.len());
            }
        }
        addresses
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::from_seconds(seconds)
    }

    fn ips(addresses: &[&str]) -> Vec<IpAddr> {
        addresses
            .iter()
            .map(|address| address.parse().expect("an address"))
            .collect()
    }

    fn found(addresses: &[&str], ttl_seconds: u64) -> Result<Found, NameErrorKind> {
        Ok(Found {
            addresses: ips(addresses),
            ttl: Duration::from_secs(ttl_seconds),
        })
    }

    fn stale(addresses: &[&str], ask_again: bool) -> Recalled {
        Recalled::Stale {
            addresses: ips(addresses),
            ask_again,
        }
    }

    #[test]
    fn addresses_hold_for_their_ttl_within_the_floor_and_the_ceiling() {
        for (ttl, held) in [(0, 5), (5, 5), (60, 60), (300, 300), (604_800, 300)] {
            let mut memory = Memory::default();
            memory.learn("a", found(&["192.0.2.1"], ttl), at(1000), at(1002));
            assert_eq!(
                memory.recall("a", at(1000 + held - 1)),
                Recalled::Fresh(ips(&["192.0.2.1"])),
                "{ttl}"
            );
            assert_eq!(
                memory.recall("a", at(1000 + held)),
                stale(&["192.0.2.1"], true),
                "{ttl}"
            );
            assert_eq!(
                memory.recall("a", at(1000 + held + 3599)),
                stale(&["192.0.2.1"], true),
                "{ttl}"
            );
            assert_eq!(
                memory.recall("a", at(1000 + held + 3600)),
                Recalled::Nothing,
                "{ttl}"
            );
        }
        assert_eq!(Memory::default().recall("a", at(0)), Recalled::Nothing);
    }

    #[test]
    fn a_failure_is_remembered_for_a_moment_and_old_addresses_stand_in() {
        let mut memory = Memory::default();
        memory.learn("a", Err(NameErrorKind::TimedOut), at(10), at(12));
        assert_eq!(
            memory.recall("a", at(16)),
            Recalled::Failed(NameErrorKind::TimedOut)
        );
        assert_eq!(memory.recall("a", at(17)), Recalled::Nothing);

        memory.learn("a", found(&["192.0.2.1"], 60), at(20), at(20));
        memory.learn("a", Err(NameErrorKind::TimedOut), at(80), at(85));
        assert_eq!(memory.recall("a", at(89)), stale(&["192.0.2.1"], false));
        assert_eq!(memory.recall("a", at(90)), stale(&["192.0.2.1"], true));
        assert_eq!(memory.recall("a", at(80 + 3600)), Recalled::Nothing);
    }

    #[test]
    fn a_name_that_no_longer_exists_is_not_answered_from_memory() {
        let mut memory = Memory::default();
        memory.learn("a", found(&["192.0.2.1"], 60), at(20), at(20));
        memory.learn("a", Err(NameErrorKind::NotFound), at(80), at(80));
        assert_eq!(
            memory.recall("a", at(81)),
            Recalled::Failed(NameErrorKind::NotFound)
        );
        assert_eq!(memory.recall("a", at(85)), Recalled::Nothing);
    }

    #[test]
    fn each_family_is_turned_and_ipv4_comes_first() {
        let mut memory = Memory::default();
        memory.learn(
            "a",
            found(
                &[
                    "2001:db8::1",
                    "192.0.2.1",
                    "2001:db8::2",
                    "192.0.2.2",
                    "192.0.2.3",
                ],
                60,
            ),
            at(0),
            at(0),
        );
        for expected in [
            [
                "192.0.2.1",
                "192.0.2.2",
                "192.0.2.3",
                "2001:db8::1",
                "2001:db8::2",
            ],
            [
                "192.0.2.2",
                "192.0.2.3",
                "192.0.2.1",
                "2001:db8::2",
                "2001:db8::1",
            ],
            [
                "192.0.2.3",
                "192.0.2.1",
                "192.0.2.2",
                "2001:db8::1",
                "2001:db8::2",
            ],
        ] {
            assert_eq!(memory.recall("a", at(1)), Recalled::Fresh(ips(&expected)));
        }
    }

    #[test]
    fn a_full_memory_forgets_what_is_useless_then_what_expires_first() {
        let mut memory = Memory::default();
        memory.learn("failed", Err(NameErrorKind::TimedOut), at(0), at(0));
        for number in 1..NAMES_MAX {
            memory.learn(
                &format!("name-{number}"),
                found(&["192.0.2.1"], 60),
                at(number as u64),
                at(number as u64),
            );
        }
        let now = at(NAMES_MAX as u64);
        for (new, gone) in [
            ("one more", "failed"),
            ("and another", "name-1 is stale"),
            ("and a third", "name-2"),
        ] {
            memory.learn(new, found(&["192.0.2.1"], 60), now, now);
            assert!(memory.len() <= NAMES_MAX);
            assert_eq!(memory.recall(gone, now), Recalled::Nothing, "{gone}");
            assert!(matches!(memory.recall(new, now), Recalled::Fresh(_)));
        }
    }
}
