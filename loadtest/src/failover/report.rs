//! What was measured, as tables for people and as a list of measures. Pure.

use std::time::Duration;

use super::ramp::{EVEN, Look, falls};
use super::round::Times;
use super::series::Series;
use super::sightings::Way;
use crate::measure::{Goal, Measure};
use crate::table;

/// At first, what came back has at most this part of its share.
const LITTLE: f64 = 0.5;

/// In the end it has at least this part of it: chance leaves it a little more or less.
const ALL: f64 = 0.85;

/// All rounds of one series.
#[derive(Debug)]
pub(super) struct Played {
    pub(super) series: Series,
    pub(super) times: Vec<Times>,
    /// Questions that no answer came to.
    pub(super) unanswered: u64,
}

/// Times from the shortest to the longest.
#[derive(Debug)]
struct Sorted(Vec<Duration>);

impl Sorted {
    fn of(times: impl Iterator<Item = Duration>) -> Sorted {
        let mut times: Vec<Duration> = times.collect();
        times.sort_unstable();
        Sorted(times)
    }

    /// Seconds that this part of the times does not exceed, by the nearest rank; 0 where there are none.
    fn quantile(&self, quantile: f64) -> f64 {
        let rank = (quantile * self.0.len() as f64).ceil() as usize;
        self.0
            .get(rank.saturating_sub(1))
            .map_or(0.0, Duration::as_secs_f64)
    }
}

impl Played {
    fn gone(&self, way: Way) -> Sorted {
        Sorted::of(self.times.iter().map(|times| times.gone[way as usize]))
    }

    fn back(&self, way: Way) -> Sorted {
        Sorted::of(self.times.iter().map(|times| times.back[way as usize]))
    }

    fn early(&self) -> usize {
        self.times.iter().filter(|times| times.early.is_some()).count()
    }

    fn measures(&self) -> Vec<Measure> {
        let name = self.series.name();
        let mut measures = Vec::new();
        for way in Way::ALL {
            let gone = self.gone(way);
            let goal = Some(Goal::AtMost(self.series.goal_seconds()));
            for (what, quantile, goal) in [("p50", 0.5, None), ("p90", 0.9, None), ("longest", 1.0, goal)] {
                let what = format!("{name}, named by {}, {what}", way.name());
                measures.push(Measure::own(&what, "s", gone.quantile(quantile), goal));
            }
        }
        let none = Some(Goal::AtMost(0.0));
        let early = format!("{name}, returns that were named too early");
        measures.push(Measure::own(&early, "", self.early() as f64, none));
        let unanswered = format!("{name}, questions without an answer");
        measures.push(Measure::own(&unanswered, "", self.unanswered as f64, none));
        measures
    }

    fn rows(&self) -> impl Iterator<Item = Vec<String>> + '_ {
        Way::ALL.into_iter().map(|way| {
            let (gone, back) = (self.gone(way), self.back(way));
            let (longest, goal) = (gone.quantile(1.0), self.series.goal_seconds());
            vec![
                self.series.name().to_owned(),
                way.name().to_owned(),
                self.times.len().to_string(),
                format!("{:.2}", gone.quantile(0.5)),
                format!("{:.2}", gone.quantile(0.9)),
                format!("{longest:.2}"),
                format!("≤ {goal}"),
                if longest <= goal { "yes" } else { "NO" }.to_owned(),
                format!("{:.2}", back.quantile(0.5)),
                self.early().to_string(),
                self.unanswered.to_string(),
            ]
        })
    }
}

/// Everything as a list.
pub(super) fn measures(played: &[Played], looks: &[Look]) -> Vec<Measure> {
    let mut measures: Vec<Measure> = played.iter().flat_map(Played::measures).collect();
    let share = |look: Option<&Look>| look.map_or(0.0, |look| look.share);
    let (first, last) = (share(looks.first()), share(looks.last()));
    for (what, unit, figure, goal) in [
        ("at first", "share", first, Goal::AtMost(LITTLE * EVEN)),
        ("in the end", "share", last, Goal::AtLeast(ALL * EVEN)),
        ("falls between", "", falls(looks) as f64, Goal::AtMost(0.0)),
    ] {
        measures.push(Measure::own(
            &format!("slow start, {what}"),
            unit,
            figure,
            Some(goal),
        ));
    }
    measures
}

/// The tables for people.
pub(super) fn render(played: &[Played], looks: &[Look]) -> String {
    let rows: Vec<Vec<String>> = played.iter().flat_map(Played::rows).collect();
    let answers = table::render(
        &[
            "an edge goes",
            "asked by",
            "times",
            "named for: p50, s",
            "p90, s",
            "longest, s",
            "goal",
            "holds",
            "back after: p50, s",
            "too early",
            "unanswered",
        ],
        &rows,
    );
    let rows: Vec<Vec<String>> = looks
        .iter()
        .map(|look| {
            vec![
                format!("{:.1}", look.after.as_secs_f64()),
                format!("{:.1}", look.share * 100.0),
            ]
        })
        .collect();
    let ramp = table::render(&["back for, s", "share of clients, %"], &rows);
    format!("{answers}\n{ramp}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    fn played() -> Played {
        let times = |dns: f64, early: Option<f64>| Times {
            gone: [seconds(dns), seconds(dns + 1.0)],
            back: [seconds(4.0); 2],
            early: early.map(seconds),
        };
        Played {
            series: Series::Heartbeats,
            times: vec![times(2.5, None), times(0.5, Some(0.1)), times(1.5, None)],
            unanswered: 0,
        }
    }

    #[test]
    fn quantiles_are_of_the_nearest_rank() {
        let sorted = Sorted::of((1..=10).rev().map(Duration::from_secs));
        assert_eq!(
            [0.5, 0.9, 0.91, 1.0].map(|quantile| sorted.quantile(quantile)),
            [5.0, 9.0, 10.0, 10.0]
        );
        assert_eq!(Sorted::of([].into_iter()).quantile(0.5), 0.0);
    }

    #[test]
    fn each_way_to_ask_has_its_own_verdict() {
        let looks = [0.04, 0.33].map(|share| Look {
            after: Duration::ZERO,
            share,
        });
        let measures = measures(&[played()], &looks);
        let holds = |name: &str| {
            let measure = measures.iter().find(|measure| measure.name == name);
            measure.and_then(|measure| measure.holds)
        };
        assert_eq!(holds("kill -9, heartbeats, named by DNS, longest"), Some(true));
        assert_eq!(holds("kill -9, heartbeats, named by 302, longest"), Some(false));
        assert_eq!(holds("kill -9, heartbeats, named by 302, p50"), None);
        assert_eq!(
            holds("kill -9, heartbeats, returns that were named too early"),
            Some(false)
        );
        assert_eq!(holds("slow start, at first"), Some(true));
        assert_eq!(holds("slow start, in the end"), Some(true));
    }

    #[test]
    fn the_tables_have_every_series_and_look() {
        let look = Look {
            after: seconds(6.0),
            share: 0.123,
        };
        let text = render(&[played()], &[look]);
        for part in ["1.50", "2.50", "3.50", "≤ 3", "yes", "NO", "12.3"] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
    }
}
