//! Which networks should go elsewhere than distance says, by what edges measured. Pure.
//!
//! A site takes a network over when it was measured to be both 15 % and 5 ms quicker than the site that is nearest: less
//! is noise, and moving a network empties no cache for nothing. A network that moved is measured at its new site only,
//! so what was known of the old one holds for a day; then the network goes back, and is measured anew.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use ipnet::IpNet;
use model::Moment;
use model::round_trip::RoundTrips;

/// Connections below which a median says little.
const SAMPLES_LEAST: u32 = 50;

/// How much quicker a site has to be, as a share and in microseconds.
const QUICKER_SHARE: f64 = 0.85;
const QUICKER_MICROS: u32 = 5_000;

/// How long a measurement holds.
const HOLDS: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a word with more samples outweighs a newer one: edges are asked every minute. One that started anew counts
/// from nothing, and what it said before is not to stand against it.
const OUTWEIGHS: Duration = Duration::from_secs(10 * 60);

/// Networks that are known at once, some 60 MB with two sites each.
const NETWORKS_MAX: usize = 262_144;

/// What is known of all networks.
#[derive(Debug, Default)]
pub(crate) struct Judge {
    networks: BTreeMap<IpNet, BTreeMap<String, Measured>>,
    moved: BTreeMap<IpNet, Move>,
}

#[derive(Clone, Copy, Debug)]
struct Measured {
    microseconds: u32,
    samples: u32,
    at: Moment,
}

/// A network that goes elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Move {
    from: String,
    to: String,
}

/// Where a network goes without what is measured here; `None` where better evidence has decided.
pub(crate) type Nearest<'a> = &'a dyn Fn(IpNet) -> Option<String>;

impl Judge {
    /// Takes in what an edge of `site` has measured. Of several edges of a site the one that knows a network best counts.
    pub(crate) fn hear(&mut self, site: &str, heard: &RoundTrips, now: Moment) {
        for one in &heard.round_trips {
            let Ok(network) = one.network.parse::<IpNet>() else {
                continue;
            };
            let network = network.trunc();
            let room = self.networks.len() < NETWORKS_MAX || self.networks.contains_key(&network);
            if one.samples < SAMPLES_LEAST || !room {
                continue;
            }
            let at = Moment(now.0.saturating_sub(u64::from(one.age_seconds) * 1000));
            let new = Measured {
                microseconds: one.microseconds,
                samples: one.samples,
                at,
            };
            let sites = self.networks.entry(network).or_default();
            match sites.get_mut(site) {
                Some(known) if known.samples > new.samples && now.since(known.at) < OUTWEIGHS => {}
                Some(known) => *known = new,
                None => drop(sites.insert(site.to_owned(), new)),
            }
        }
    }

    /// Judges all networks anew. Says whether anything else follows than before.
    pub(crate) fn judge(&mut self, nearest: Nearest<'_>, now: Moment) -> bool {
        for sites in self.networks.values_mut() {
            sites.retain(|_, measured| now.since(measured.at) < HOLDS);
        }
        self.networks.retain(|_, sites| !sites.is_empty());
        let mut moved = BTreeMap::new();
        for (network, sites) in &self.networks {
            let before = self.moved.get(network);
            // Where it would go: as long as it is moved, the table itself says where it was moved to.
            let from = before
                .map(|before| before.from.clone())
                .or_else(|| nearest(*network));
            let Some(from) = from else { continue };
            let Some(incumbent) = sites.get(&from) else {
                continue;
            };
            let best = sites.iter().min_by_key(|(_, measured)| measured.microseconds);
            let Some((to, best)) = best.filter(|(to, _)| **to != from) else {
                continue;
            };
            let stays = before.is_some_and(|before| before.to == *to);
            if stays || is_clearly_quicker(best.microseconds, incumbent.microseconds) {
                moved.insert(*network, Move { from, to: to.clone() });
            }
        }
        let changed = moved != self.moved;
        self.moved = moved;
        changed
    }

    /// What follows, as a file of latency has it.
    pub(crate) fn lines(&self) -> String {
        let mut text = String::new();
        for (network, Move { from, to }) in &self.moved {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{network},{to} {from},edges,1");
        }
        text
    }

    /// How many networks go elsewhere.
    pub(crate) fn moved(&self) -> usize {
        self.moved.len()
    }
}

fn is_clearly_quicker(one: u32, other: u32) -> bool {
    one.saturating_add(QUICKER_MICROS) <= other && f64::from(one) <= QUICKER_SHARE * f64::from(other)
}

#[cfg(test)]
mod tests {
    use model::round_trip::RoundTrip;

    use super::*;

    fn heard(network: &str, milliseconds: u32, samples: u32) -> RoundTrips {
        let one = RoundTrip {
            network: network.to_owned(),
            microseconds: milliseconds * 1000,
            samples,
            age_seconds: 0,
        };
        RoundTrips {
            round_trips: vec![one],
        }
    }

    fn after(hours: u64) -> Moment {
        Moment::from_seconds(1_000_000 + hours * 3600)
    }

    const NETWORK: &str = "192.0.2.0/24";

    #[test]
    fn a_network_goes_where_it_is_clearly_quicker_and_nowhere_else() {
        let to_ams: Nearest<'_> = &|_| Some("ams".to_owned());
        for (ams, fra, samples, lines) in [
            (30, 20, 50, "192.0.2.0/24,fra ams,edges,1\n"),
            (30, 26, 50, ""),
            (100, 90, 50, ""),
            (12, 8, 50, ""),
            (30, 20, 49, ""),
            (20, 30, 50, ""),
        ] {
            let mut judge = Judge::default();
            judge.hear("ams", &heard(NETWORK, ams, 100), after(0));
            judge.hear("fra", &heard(NETWORK, fra, samples), after(0));
            assert_eq!(judge.judge(to_ams, after(0)), !lines.is_empty(), "{ams} {fra}");
            assert_eq!(judge.lines(), lines, "{ams} {fra}");
        }
    }

    #[test]
    fn better_evidence_and_a_nearest_site_that_was_not_measured_move_nothing() {
        let mut judge = Judge::default();
        judge.hear("fra", &heard(NETWORK, 5, 100), after(0));
        assert!(!judge.judge(&|_| Some("ams".to_owned()), after(0)));
        judge.hear("ams", &heard(NETWORK, 50, 100), after(0));
        assert!(!judge.judge(&|_| None, after(0)));
        assert!(judge.judge(&|_| Some("ams".to_owned()), after(0)));
    }

    #[test]
    fn a_move_holds_through_small_changes_and_for_a_day_after_the_last_word_of_the_old_site() {
        let mut judge = Judge::default();
        let nearest: Nearest<'_> = &|_| Some("ams".to_owned());
        judge.hear("ams", &heard(NETWORK, 30, 100), after(0));
        judge.hear("fra", &heard(NETWORK, 20, 100), after(0));
        assert!(judge.judge(nearest, after(0)));
        // The table says so now, and what it says is not asked.
        let moved: Nearest<'_> = &|_| Some("fra".to_owned());
        judge.hear("fra", &heard(NETWORK, 27, 200), after(1));
        assert!(!judge.judge(moved, after(1)));
        assert_eq!(judge.moved(), 1);
        judge.hear("fra", &heard(NETWORK, 33, 300), after(2));
        assert!(judge.judge(moved, after(2)), "the old site is quicker now");
        assert_eq!(judge.lines(), "");
        judge.hear("fra", &heard(NETWORK, 20, 400), after(3));
        assert!(judge.judge(nearest, after(3)));
        assert!(
            judge.judge(moved, after(25)),
            "what was known of the old site is a day old"
        );
        assert_eq!(judge.moved(), 0);
    }

    #[test]
    fn an_edge_that_started_anew_is_believed_though_it_knew_more_before() {
        let mut judge = Judge::default();
        let nearest: Nearest<'_> = &|_| Some("ams".to_owned());
        judge.hear("ams", &heard(NETWORK, 50, 100), after(0));
        judge.hear("fra", &heard(NETWORK, 10, 100_000), after(0));
        judge.hear("fra", &heard(NETWORK, 120, 5_000), after(0));
        assert!(
            judge.judge(nearest, after(0)),
            "of two edges, the one that knows more"
        );
        judge.hear("fra", &heard(NETWORK, 120, 5_000), after(1));
        assert!(judge.judge(nearest, after(1)));
        assert_eq!(judge.moved(), 0);
    }

    #[test]
    fn what_cannot_be_read_is_passed_over() {
        let mut judge = Judge::default();
        judge.hear("ams", &heard("nonsense", 1, 100), after(0));
        assert!(!judge.judge(&|_| Some("ams".to_owned()), after(0)));
    }
}
