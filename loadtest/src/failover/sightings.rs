//! Which addresses a router's answers have named, and when for the first and the last time. Pure.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::time::Instant;

/// An address that was not named for so long, while answers came, is not named any more.
pub(super) const QUIET: Duration = Duration::from_secs(2);

/// A way to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Way {
    Dns,
    Redirect,
}

impl Way {
    pub(super) const ALL: [Way; 2] = [Way::Dns, Way::Redirect];

    /// As tables and measures name it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Way::Dns => "DNS",
            Way::Redirect => "302",
        }
    }
}

/// What was seen since the beginning.
#[derive(Debug, Default)]
pub(super) struct Sightings {
    named: BTreeMap<(Way, Ipv4Addr), Seen>,
    /// When the last answer came.
    answered: BTreeMap<Way, Instant>,
    /// Questions that got no answer that names an address.
    pub(super) unanswered: u64,
    /// The last reason for that.
    pub(super) problem: Option<String>,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    first: Instant,
    last: Instant,
}

impl Sightings {
    /// An answer came at `now`.
    pub(super) fn note(&mut self, way: Way, answer: Result<Vec<Ipv4Addr>, String>, now: Instant) {
        let addresses = match answer {
            Ok(addresses) => addresses,
            Err(problem) => {
                self.unanswered += 1;
                self.problem = Some(problem);
                return;
            }
        };
        self.answered.insert(way, now);
        for address in addresses {
            let seen = self.named.entry((way, address));
            seen.and_modify(|seen| seen.last = now).or_insert(Seen {
                first: now,
                last: now,
            });
        }
    }

    /// From now on, its first appearance is the next.
    pub(super) fn forget(&mut self, address: Ipv4Addr) {
        self.named.retain(|(_, named), _| *named != address);
    }

    /// When an answer named it first.
    pub(super) fn first(&self, way: Way, address: Ipv4Addr) -> Option<Instant> {
        self.named.get(&(way, address)).map(|seen| seen.first)
    }

    /// When an answer named it last.
    pub(super) fn last(&self, way: Way, address: Ipv4Addr) -> Option<Instant> {
        self.named.get(&(way, address)).map(|seen| seen.last)
    }

    /// Whether answers have come for long enough without it.
    pub(super) fn is_gone(&self, way: Way, address: Ipv4Addr) -> bool {
        match (self.answered.get(&way), self.last(way, address)) {
            (Some(answered), Some(named)) => answered.duration_since(named) >= QUIET,
            (answered, None) => answered.is_some(),
            (None, _) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EDGE: Ipv4Addr = Ipv4Addr::new(127, 0, 1, 1);
    const OTHER: Ipv4Addr = Ipv4Addr::new(127, 0, 1, 2);

    #[test]
    fn an_address_is_gone_when_answers_came_without_it_and_silence_proves_nothing() {
        let began = Instant::now();
        let at = |milliseconds| began + Duration::from_millis(milliseconds);
        let mut sightings = Sightings::default();
        sightings.note(Way::Dns, Ok(vec![EDGE, OTHER]), at(0));
        sightings.note(Way::Dns, Ok(vec![OTHER, EDGE]), at(700));
        sightings.note(Way::Dns, Ok(vec![OTHER]), at(2699));
        assert!(!sightings.is_gone(Way::Dns, EDGE));
        sightings.note(Way::Dns, Err("no answer".to_owned()), at(9000));
        assert!(!sightings.is_gone(Way::Dns, EDGE), "nobody answered");
        sightings.note(Way::Dns, Ok(vec![OTHER]), at(2700));
        assert!(sightings.is_gone(Way::Dns, EDGE));
        assert!(!sightings.is_gone(Way::Redirect, EDGE), "nobody has asked so");
        assert_eq!(sightings.last(Way::Dns, EDGE), Some(at(700)));
        assert_eq!(sightings.unanswered, 1);
    }

    #[test]
    fn what_was_forgotten_appears_anew() {
        let began = Instant::now();
        let later = began + Duration::from_secs(1);
        let mut sightings = Sightings::default();
        sightings.note(Way::Redirect, Ok(vec![EDGE]), began);
        sightings.forget(EDGE);
        assert_eq!(sightings.first(Way::Redirect, EDGE), None);
        sightings.note(Way::Redirect, Ok(vec![EDGE]), later);
        assert_eq!(sightings.first(Way::Redirect, EDGE), Some(later));
    }
}
