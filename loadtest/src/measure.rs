//! What benchmarks report: one measure against a peer or a goal, as a row for people and as JSON.

use serde::Serialize;

use crate::table;

/// One measured figure.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Measure {
    /// What was measured.
    pub(crate) name: String,
    /// Its unit.
    pub(crate) unit: String,
    /// Our figure; the median of the rounds where there were several.
    pub(crate) ours: f64,
    /// Whom we are compared with; `-` when with a goal alone.
    pub(crate) peer: String,
    /// Its figure.
    pub(crate) peer_value: Option<f64>,
    /// Ours divided by the peer's.
    pub(crate) ratio: Option<f64>,
    /// The bound on the ratio, or on our own figure when there is no peer.
    pub(crate) goal: Option<f64>,
    /// Whether the goal was reached.
    pub(crate) holds: Option<bool>,
    /// The largest distance of a round from the median, as a share of it; for people only.
    #[serde(skip)]
    pub(crate) spread: Option<f64>,
    /// The same of the peer's rounds.
    #[serde(skip)]
    pub(crate) peer_spread: Option<f64>,
}

/// Which side of a bound is good.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Goal {
    AtLeast(f64),
    AtMost(f64),
}

impl Goal {
    fn bound(self) -> f64 {
        match self {
            Goal::AtLeast(bound) | Goal::AtMost(bound) => bound,
        }
    }

    fn holds(self, figure: f64) -> bool {
        match self {
            Goal::AtLeast(bound) => figure >= bound,
            Goal::AtMost(bound) => figure <= bound,
        }
    }
}

impl Measure {
    /// A figure that stands by itself.
    pub(crate) fn own(name: &str, unit: &str, ours: f64, goal: Option<Goal>) -> Measure {
        Measure {
            name: name.to_owned(),
            unit: unit.to_owned(),
            ours,
            peer: "-".to_owned(),
            peer_value: None,
            ratio: None,
            goal: goal.map(Goal::bound),
            holds: goal.map(|goal| goal.holds(ours)),
            spread: None,
            peer_spread: None,
        }
    }

    /// A figure beside a peer's.
    pub(crate) fn against(
        name: &str,
        unit: &str,
        ours: f64,
        peer: &str,
        peer_value: f64,
        goal: Option<Goal>,
    ) -> Measure {
        let ratio = (peer_value > 0.0).then(|| ours / peer_value);
        Measure {
            peer: peer.to_owned(),
            peer_value: Some(peer_value),
            ratio,
            goal: goal.map(Goal::bound),
            holds: goal.zip(ratio).map(|(goal, ratio)| goal.holds(ratio)),
            ..Measure::own(name, unit, ours, None)
        }
    }

    fn row(&self) -> Vec<String> {
        let spread_out = |value, spread: Option<f64>| match spread {
            Some(spread) => format!("{} ±{:.0}%", figure(value), spread * 100.0),
            None => figure(value),
        };
        vec![
            self.name.clone(),
            self.unit.clone(),
            spread_out(self.ours, self.spread),
            self.peer.clone(),
            self.peer_value
                .map_or(String::new(), |value| spread_out(value, self.peer_spread)),
            self.ratio.map_or(String::new(), |ratio| format!("{ratio:.2}×")),
            self.goal.map_or(String::new(), |goal| format!("{goal}")),
            self.holds
                .map_or("", |holds| if holds { "yes" } else { "NO" })
                .to_owned(),
        ]
    }
}

/// The table for people.
pub(crate) fn render(measures: &[Measure]) -> String {
    let rows: Vec<Vec<String>> = measures.iter().map(Measure::row).collect();
    table::render(
        &["what", "unit", "ours", "peer", "peer's", "ratio", "goal", "holds"],
        &rows,
    )
}

/// Prints the list for programs, or the table for people.
pub(crate) fn report(measures: &[Measure], as_json: bool) {
    if as_json {
        println!("{}", json(measures));
    } else {
        print!("\n{}", render(measures));
    }
}

/// The list for programs.
pub(crate) fn json(measures: &[Measure]) -> String {
    serde_json::to_string_pretty(measures).expect("numbers and texts always have a JSON form")
}

/// Three digits of a figure, whatever its size.
fn figure(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 || size == 0.0 => format!("{value:.0}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measure_in_json_has_the_fields_that_are_promised() {
        let measure = Measure::against(
            "1 KiB plain",
            "req/cpu s",
            90_000.0,
            "nginx",
            60_000.0,
            Some(Goal::AtLeast(1.2)),
        );
        let expected = serde_json::json!([{
            "name": "1 KiB plain", "unit": "req/cpu s", "ours": 90_000.0, "peer": "nginx", "peer_value": 60_000.0,
            "ratio": 1.5, "goal": 1.2, "holds": true
        }]);
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&json(&[measure])).unwrap(),
            expected
        );
    }

    #[test]
    fn goals_hold_or_do_not() {
        let latency = |ours| Measure::against("p99", "ms", ours, "nginx", 2.0, Some(Goal::AtMost(1.0))).holds;
        assert_eq!((latency(1.9), latency(2.1)), (Some(true), Some(false)));
        assert_eq!(
            Measure::own("errors", "", 1.0, Some(Goal::AtMost(0.0))).holds,
            Some(false)
        );
        assert_eq!(
            Measure::against("x", "", 1.0, "nginx", 0.0, Some(Goal::AtLeast(1.0))).holds,
            None,
            "no peer's figure, no verdict"
        );
    }

    #[test]
    fn the_table_shows_ratio_goal_and_verdict() {
        let text = render(&[Measure::against(
            "1 KiB",
            "req/cpu s",
            50_000.0,
            "nginx",
            60_000.0,
            Some(Goal::AtLeast(1.2)),
        )]);
        let row = text.lines().last().unwrap();
        for part in ["50000", "nginx", "60000", "0.83×", "1.2", "NO"] {
            assert!(row.contains(part), "{row}");
        }
    }
}
