//! Several nodes as one, minute by minute: what the sparkline of a site is drawn from.

use std::collections::BTreeMap;

use model::Moment;
use serde::Serialize;
use utoipa::ToSchema;

use super::counters::Counters;
use super::rollup::{Gathered, Rollup, as_seconds};

/// What several nodes did in one minute.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct Summary {
    /// When the minute begins.
    #[serde(rename = "minute_seconds", serialize_with = "as_seconds")]
    #[schema(value_type = u64)]
    pub(crate) minute: Moment,
    /// Nodes that are in it: fewer than there are, when some could not be asked.
    pub(crate) nodes: u32,
    /// The sums, and the time they cover, of all nodes together.
    #[serde(flatten)]
    pub(crate) gathered: Gathered,
    pub(crate) ungathered: Counters,
    /// The sum of the nodes' rates, each over the time that is known of it; so are those below.
    pub(crate) requests_per_second: Option<f64>,
    pub(crate) receive_bytes_per_second: Option<f64>,
    pub(crate) transmit_bytes_per_second: Option<f64>,
    pub(crate) cpu_cores_used: Option<f64>,
    /// The sum of the nodes' means.
    pub(crate) open_connections: Option<f64>,
    pub(crate) hit_ratio: Option<f64>,
    pub(crate) byte_hit_ratio: Option<f64>,
    pub(crate) server_error_ratio: Option<f64>,
}

/// Adds up roll-ups of several nodes, given in any order, by minute.
pub(super) fn summarise(rollups: impl IntoIterator<Item = Rollup>) -> Vec<Summary> {
    let mut minutes = BTreeMap::new();
    for rollup in rollups {
        let summary = minutes
            .entry(rollup.minute)
            .or_insert_with(|| Summary::empty(rollup.minute));
        summary.add(&rollup);
    }
    minutes.into_values().collect()
}

impl Summary {
    fn empty(minute: Moment) -> Summary {
        Summary {
            minute,
            nodes: 0,
            gathered: Gathered::default(),
            ungathered: Counters::default(),
            requests_per_second: None,
            receive_bytes_per_second: None,
            transmit_bytes_per_second: None,
            cpu_cores_used: None,
            open_connections: None,
            hit_ratio: None,
            byte_hit_ratio: None,
            server_error_ratio: None,
        }
    }

    fn add(&mut self, rollup: &Rollup) {
        let node = &rollup.gathered;
        self.nodes += 1;
        self.gathered = self.gathered.plus(*node);
        self.ungathered = self.ungathered.plus(rollup.ungathered);
        add(&mut self.requests_per_second, node.requests_per_second());
        add(
            &mut self.receive_bytes_per_second,
            node.receive_bytes_per_second(),
        );
        add(
            &mut self.transmit_bytes_per_second,
            node.transmit_bytes_per_second(),
        );
        add(&mut self.cpu_cores_used, node.cpu_cores_used());
        let connections = rollup.gauges.open_connections.map(|spread| spread.mean);
        add(&mut self.open_connections, connections);
        self.hit_ratio = self.gathered.hit_ratio();
        self.byte_hit_ratio = self.gathered.byte_hit_ratio();
        self.server_error_ratio = self.gathered.server_error_ratio();
    }
}

/// What is not known adds nothing.
fn add(sum: &mut Option<f64>, more: Option<f64>) {
    if let Some(more) = more {
        *sum.get_or_insert(0.0) += more;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::gauges::{Gauges, Spread};

    fn rollup(minute: u64, covered_ms: u64, requests: u64, hits: u64) -> Rollup {
        let counters = Counters {
            requests,
            cache_asked: requests,
            cache_hits: hits,
            ..Counters::default()
        };
        Rollup {
            minute: Moment::from_seconds(minute * 60),
            gathered: Gathered { covered_ms, counters },
            ungathered: Counters::default(),
            gauges: Gauges {
                open_connections: Some(Spread::of(3.0)),
                ..Gauges::default()
            },
        }
    }

    #[test]
    fn counts_are_added_and_ratios_are_those_of_the_sums() {
        let one = [rollup(1, 60_000, 600, 600), rollup(2, 60_000, 60, 0)];
        let other = [rollup(2, 30_000, 300, 120)];
        let summaries = summarise(one.into_iter().chain(other));
        assert_eq!(summaries.len(), 2);
        assert_eq!(summaries[0].nodes, 1);
        assert_eq!(summaries[0].hit_ratio, Some(1.0));
        let second = &summaries[1];
        assert_eq!(second.minute, Moment::from_seconds(120));
        assert_eq!((second.nodes, second.gathered.covered_ms), (2, 90_000));
        assert_eq!(second.gathered.counters.requests, 360);
        assert_eq!(second.requests_per_second, Some(11.0));
        assert_eq!(second.hit_ratio, Some(120.0 / 360.0));
        assert_eq!(second.open_connections, Some(6.0));
        assert_eq!(
            (second.byte_hit_ratio, second.transmit_bytes_per_second),
            (None, None)
        );
    }

    #[test]
    fn a_node_of_which_no_time_is_known_takes_no_rate_away() {
        let summaries = summarise([rollup(1, 0, 0, 0), rollup(1, 60_000, 60, 6)]);
        assert_eq!(summaries[0].requests_per_second, Some(1.0));
        assert_eq!(summaries[0].cpu_cores_used, Some(0.0));
    }

    #[test]
    fn as_json_it_is_one_flat_object_with_units_in_its_names() {
        let json = serde_json::to_value(summarise([rollup(1, 60_000, 60, 6)])).unwrap();
        assert_eq!(json[0]["minute_seconds"], 60);
        assert_eq!(json[0]["covered_milliseconds"], 60_000);
        assert_eq!(json[0]["counters"]["requests"], 60);
        assert_eq!(json[0]["requests_per_second"], 1.0);
    }
}
