//! What a steered player's story comes to: measures, goals and a verdict. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use super::scene::Scene;
use super::told::{Heard, Places, Told};
use crate::measure::{Goal, Measure};

/// Seconds until a player hears of a drain: the 5 s that a steering manifest is good for, and what monitors and the
/// router take to notice.
const HEARD_SECONDS: f64 = 8.0;

/// Seconds until it asks elsewhere: it does so for its next fragment, and one lasts 4 s.
const MOVED_SECONDS: f64 = 14.0;

/// Seconds that the picture may stand still.
const STALL_SECONDS: f64 = 3.0;

/// A look at the position that finds less than this share of the time played counts as standing still.
const STANDING: f64 = 0.5;

/// Everything that was heard of one player.
#[derive(Clone, Copy, Debug)]
pub(super) struct Story<'a> {
    pub(super) scene: Scene,
    pub(super) heard: &'a [Heard],
    /// The place that the player was to leave.
    pub(super) left: &'a str,
    /// Since when.
    pub(super) changed_at: Duration,
    pub(super) places: &'a Places,
}

impl Story<'_> {
    /// The table.
    pub(super) fn measures(&self) -> Vec<Measure> {
        let row = |name: &str, unit: &str, figure: f64, goal: Option<Goal>| {
            Measure::own(&format!("{}: {name}", self.scene.name()), unit, figure, goal)
        };
        let within = |name: &str, seconds: Option<f64>, most: f64| {
            seconds.map(|seconds| row(name, "s", seconds, Some(Goal::AtMost(most))))
        };
        let mut measures = Vec::new();
        measures.extend(within(
            "until a steering manifest says so",
            self.steered(),
            HEARD_SECONDS,
        ));
        measures.extend(within(
            "until the first fragment from elsewhere",
            self.moved(),
            MOVED_SECONDS,
        ));
        measures.extend(within(
            "longest stall",
            Some(longest_stall(self.heard)),
            STALL_SECONDS,
        ));
        let none = Some(Goal::AtMost(0.0));
        measures.push(row("fatal errors", "", self.errors_of(true).count() as f64, none));
        // What has drained refuses connections before players have heard of it: they try elsewhere by themselves.
        let goal = none.filter(|_| !self.scene.refuses());
        let since = |heard: &&Heard| heard.at >= self.changed_at;
        let others = self.errors_of(false).filter(since).count() as f64;
        measures.push(row("other errors after", "", others, goal));
        for (place, [before, after]) in self.fragments() {
            measures.push(row(&format!("fragments of {place} before"), "", before, None));
            measures.push(row(&format!("fragments of {place} after"), "", after, None));
        }
        measures
    }

    /// What went wrong, for people: a line each.
    pub(super) fn errors(&self) -> Vec<String> {
        let line = |heard: &Heard| match &heard.told {
            Told::Error {
                details,
                fatal,
                url,
                reason,
            } => {
                let kind = if *fatal { "fatal error" } else { "error" };
                let at = heard.at.as_secs_f64() - self.changed_at.as_secs_f64();
                Some(format!(
                    "{}: {kind} at {at:+.1} s: {details} {url} {reason}",
                    self.scene.name()
                ))
            }
            _ => None,
        };
        self.heard.iter().filter_map(line).collect()
    }

    /// Whether the player did what it is to do.
    ///
    /// # Errors
    ///
    /// What it did instead.
    pub(super) fn verdict(&self) -> Result<(), String> {
        let scene = self.scene.name();
        if self.errors_of(true).next().is_some() {
            return Err(format!("{scene}: the player gave up; see its errors"));
        }
        if self.steered().is_none() {
            return Err(format!(
                "{scene}: no steering manifest led away from {}",
                self.left
            ));
        }
        match self.moved() {
            Some(_) => Ok(()),
            None => Err(format!("{scene}: the player stayed at {}", self.left)),
        }
    }

    fn errors_of(&self, wanted: bool) -> impl Iterator<Item = &Heard> {
        let of_kind =
            move |heard: &&Heard| matches!(heard.told, Told::Error { fatal, .. } if fatal == wanted);
        self.heard.iter().filter(of_kind)
    }

    /// Seconds from the change to what is `wanted` first.
    fn after(&self, wanted: impl Fn(&Told) -> bool) -> Option<f64> {
        let mut since = self.heard.iter().filter(|heard| heard.at >= self.changed_at);
        let first = since.find(|heard| wanted(&heard.told))?;
        Some((first.at - self.changed_at).as_secs_f64())
    }

    fn steered(&self) -> Option<f64> {
        self.after(|told| told.leads_to(self.places).is_some_and(|place| place != self.left))
    }

    fn moved(&self) -> Option<f64> {
        self.after(|told| {
            told.fragment_of(self.places)
                .is_some_and(|place| place != self.left)
        })
    }

    /// Fragments of each place, before the change and after it.
    fn fragments(&self) -> BTreeMap<&str, [f64; 2]> {
        let mut counts: BTreeMap<&str, [f64; 2]> = self
            .places
            .values()
            .map(|place| (place.as_str(), [0.0; 2]))
            .collect();
        for heard in self.heard {
            if let Some(place) = heard.told.fragment_of(self.places) {
                let counts = counts.entry(place).or_default();
                counts[usize::from(heard.at >= self.changed_at)] += 1.0;
            }
        }
        counts
    }
}

/// Seconds that the picture stood still at most, once it had begun to move: what the clock went on while the film did
/// not. A look that comes late is no stall.
fn longest_stall(heard: &[Heard]) -> f64 {
    let positions: Vec<(f64, f64)> = heard
        .iter()
        .filter_map(|heard| match heard.told {
            Told::Position { at, time } => Some((at, time)),
            _ => None,
        })
        .skip_while(|(_, time)| *time == 0.0)
        .collect();
    let (mut longest, mut standing) = (0.0_f64, 0.0);
    for pair in positions.windows(2) {
        let (clock, film) = (pair[1].0 - pair[0].0, pair[1].1 - pair[0].1);
        standing = if film < clock * STANDING {
            standing + clock - film
        } else {
            0.0
        };
        longest = longest.max(standing);
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places() -> Places {
        let pairs = [("127.0.1.1", "ams"), ("127.0.2.1", "iad")];
        pairs
            .into_iter()
            .map(|(host, place)| (host.to_owned(), place.to_owned()))
            .collect()
    }

    fn at(seconds: f64, told: Told) -> Heard {
        Heard {
            at: Duration::from_secs_f64(seconds),
            told,
        }
    }

    fn fragment(seconds: f64, host: &str) -> Heard {
        let told = Told::Fragment {
            url: format!("http://{host}:8080/demo/360p/0.m4s"),
            track: "main".to_owned(),
        };
        at(seconds, told)
    }

    fn steering(seconds: f64, host: &str) -> Heard {
        let told = Told::Steering {
            priority: Vec::new(),
            host: host.to_owned(),
        };
        at(seconds, told)
    }

    fn error(seconds: f64, fatal: bool) -> Heard {
        let told = Told::Error {
            details: "fragLoadError".to_owned(),
            fatal,
            url: "http://a/".to_owned(),
            reason: "refused".to_owned(),
        };
        at(seconds, told)
    }

    fn story<'a>(heard: &'a [Heard], places: &'a Places) -> Story<'a> {
        Story {
            scene: Scene::SiteTakenOut,
            heard,
            left: "ams",
            changed_at: Duration::from_secs(10),
            places,
        }
    }

    #[test]
    fn a_player_that_moves_is_timed_and_counted() {
        let heard = [
            steering(1.0, "127.0.1.1"),
            fragment(2.0, "127.0.1.1"),
            fragment(9.0, "127.0.1.1"),
            fragment(11.0, "127.0.1.1"),
            steering(14.0, "127.0.2.1"),
            fragment(15.5, "127.0.2.1"),
        ];
        let places = places();
        let story = story(&heard, &places);
        let measures: BTreeMap<String, f64> = story
            .measures()
            .into_iter()
            .map(|measure| (measure.name, measure.ours))
            .collect();
        for (name, figure) in [
            ("until a steering manifest says so", 4.0),
            ("until the first fragment from elsewhere", 5.5),
            ("longest stall", 0.0),
            ("fatal errors", 0.0),
            ("fragments of ams before", 2.0),
            ("fragments of ams after", 1.0),
            ("fragments of iad before", 0.0),
            ("fragments of iad after", 1.0),
        ] {
            let name = format!("site taken out: {name}");
            assert_eq!(measures.get(&name), Some(&figure), "{name}");
        }
        assert_eq!(story.verdict(), Ok(()));
    }

    #[test]
    fn a_player_that_stays_or_gives_up_or_flees_by_itself_fails() {
        let places = places();
        let stayed = [steering(11.0, "127.0.2.1"), fragment(12.0, "127.0.1.1")];
        let fled = [steering(9.0, "127.0.1.1"), fragment(12.0, "127.0.2.1")];
        let gave_up = [
            steering(11.0, "127.0.2.1"),
            fragment(12.0, "127.0.2.1"),
            error(13.0, true),
        ];
        for (heard, words) in [
            (&stayed[..], "stayed at ams"),
            (&fled, "no steering manifest"),
            (&gave_up, "gave up"),
        ] {
            let complaint = story(heard, &places).verdict().unwrap_err();
            assert!(complaint.contains(words), "{complaint}");
        }
    }

    #[test]
    fn an_error_is_a_line_and_a_missed_goal_unless_connections_are_refused() {
        let places = places();
        let heard = [error(9.5, false), error(10.5, false)];
        let mut story = story(&heard, &places);
        assert_eq!(
            story.errors(),
            [
                "site taken out: error at -0.5 s: fragLoadError http://a/ refused",
                "site taken out: error at +0.5 s: fragLoadError http://a/ refused"
            ]
        );
        let verdict = |story: Story<'_>| {
            let measures = story.measures();
            let errors = measures
                .into_iter()
                .find(|measure| measure.name.ends_with("other errors after"));
            errors.map(|measure| (measure.ours, measure.holds))
        };
        assert_eq!(verdict(story), Some((1.0, Some(false))));
        story.scene = Scene::SiteDrained;
        assert_eq!(verdict(story), Some((1.0, None)));
    }

    #[test]
    fn a_stall_is_time_in_which_the_film_does_not_go_on() {
        let positions = |looks: &[(f64, f64)]| -> Vec<Heard> {
            let told = looks.iter().map(|&(at, time)| Told::Position { at, time });
            told.map(|told| at(0.0, told)).collect()
        };
        let stall = |looks: &[(f64, f64)]| longest_stall(&positions(looks));
        assert_eq!(
            stall(&[(0.0, 0.0), (5.0, 0.0), (5.5, 0.5)]),
            0.0,
            "it has not begun"
        );
        assert_eq!(stall(&[(1.0, 0.5), (3.0, 2.5), (4.0, 3.5)]), 0.0, "a late look");
        assert_eq!(
            stall(&[(1.0, 1.0), (1.5, 1.0), (2.0, 1.0), (2.5, 1.5), (3.0, 1.5)]),
            1.0,
            "the longer of two"
        );
    }
}
