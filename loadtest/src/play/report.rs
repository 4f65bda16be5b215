//! What `play` found, as measures with their goals. Pure.

use std::path::PathBuf;

use super::OriginTotals;
use super::tally::Tally;
use crate::measure::{Goal, Measure};
use crate::scrape::Totals;
use crate::up::plan::NodePlan;

/// Requests that the edge must serve from what it stored, after warm-up.
const LEAST_HIT_RATIO: f64 = 0.9;

/// Memory may be above the configured bound by this factor.
const MOST_MEMORY: f64 = 1.1;

/// What a daemon may use besides the caches it is configured for: the disk's write queue and the access log's (64 and
/// 16 MiB at most), then code, buffers of connections and reads, and the index of a small disk.
const BESIDE_CACHES_BYTES: u64 = (64 + 16 + 64) << 20;

const MIB: f64 = (1_u64 << 20) as f64;

/// The memory of one daemon.
#[derive(Clone, Debug)]
pub(super) struct Memory {
    pub(super) name: String,
    pub(super) config: PathBuf,
    /// Its process, once found.
    pub(super) id: Option<i32>,
    /// The most that was resident at any look.
    pub(super) most_bytes: u64,
    bound_bytes: u64,
}

impl Memory {
    pub(super) fn of(node: &NodePlan) -> Memory {
        Memory {
            name: node.name.clone(),
            config: node.config.clone(),
            id: None,
            most_bytes: 0,
            bound_bytes: node.ram_bytes + node.fill_bytes + BESIDE_CACHES_BYTES,
        }
    }
}

/// Everything that was found.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) seconds: f64,
    /// Errors count from the first request on.
    pub(super) warm_up: Tally,
    pub(super) tally: Tally,
    pub(super) edge: Totals,
    pub(super) origin: OriginTotals,
    pub(super) memory: Vec<Memory>,
}

impl Outcome {
    /// In the order in which they are shown.
    pub(super) fn measures(&self) -> Vec<Measure> {
        let tally = &self.tally;
        let errors = (tally.errors + self.warm_up.errors) as f64;
        let header_ratio = tally.edge_hits as f64 / tally.good.max(1) as f64;
        let offload = |origin: u64, all: u64| 1.0 - origin as f64 / all.max(1) as f64;
        let milliseconds = |microseconds: u64| microseconds as f64 / 1000.0;
        let mut measures = vec![
            Measure::own("requests", "1/s", tally.good as f64 / self.seconds, None),
            Measure::own("sessions", "", tally.sessions as f64, None),
            Measure::own("broken off on purpose", "requests", tally.aborted as f64, None),
            Measure::own("errors", "requests", errors, Some(Goal::AtMost(0.0))),
            Measure::own("hit ratio by Cache-Status", "share", header_ratio, None),
            Measure::own(
                "hit ratio by metrics",
                "share",
                self.edge.hit_ratio().unwrap_or(0.0),
                Some(Goal::AtLeast(LEAST_HIT_RATIO)),
            ),
            Measure::own(
                "origin offload, requests",
                "share",
                offload(self.origin.requests, tally.good),
                None,
            ),
            Measure::own(
                "origin offload, bytes",
                "share",
                offload(self.origin.body_bytes, tally.body_bytes),
                None,
            ),
            Measure::own(
                "head p50",
                "ms",
                milliseconds(tally.head.value_at_quantile(0.5)),
                None,
            ),
            Measure::own(
                "head p99",
                "ms",
                milliseconds(tally.head.value_at_quantile(0.99)),
                None,
            ),
            Measure::own(
                "whole p50",
                "ms",
                milliseconds(tally.whole.value_at_quantile(0.5)),
                None,
            ),
            Measure::own(
                "whole p99",
                "ms",
                milliseconds(tally.whole.value_at_quantile(0.99)),
                None,
            ),
        ];
        measures.extend(
            self.memory
                .iter()
                .filter(|memory| memory.id.is_some())
                .map(|memory| {
                    let name = format!("memory of {}", memory.name);
                    let (most, bound) = (memory.most_bytes as f64 / MIB, memory.bound_bytes as f64 / MIB);
                    Measure::against(
                        &name,
                        "MiB",
                        most,
                        "configured",
                        bound,
                        Some(Goal::AtMost(MOST_MEMORY)),
                    )
                }),
        );
        measures
    }

    /// The first errors word for word.
    pub(super) fn complaints(&self) -> String {
        let complaints = self.warm_up.complaints.iter().chain(&self.tally.complaints);
        complaints
            .map(|complaint| format!("error: {complaint}\n"))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome() -> Outcome {
        Outcome {
            seconds: 10.0,
            warm_up: Tally::default(),
            tally: Tally {
                good: 1000,
                edge_hits: 950,
                body_bytes: 10_000,
                ..Tally::default()
            },
            edge: Totals {
                asked: 1000,
                stored: 960,
                ..Totals::default()
            },
            origin: OriginTotals {
                requests: 20,
                body_bytes: 1000,
                ..OriginTotals::default()
            },
            memory: vec![Memory {
                name: "edge-x".into(),
                config: PathBuf::new(),
                id: Some(1),
                most_bytes: 200 << 20,
                bound_bytes: 100 << 20,
            }],
        }
    }

    #[test]
    fn goals_are_judged_and_offload_is_what_the_origin_was_spared() {
        let measures = outcome().measures();
        let of = |name: &str| measures.iter().find(|measure| measure.name == name).unwrap();
        assert_eq!(
            (of("errors").holds, of("hit ratio by metrics").holds),
            (Some(true), Some(true))
        );
        assert_eq!(of("memory of edge-x").holds, Some(false));
        assert_eq!(
            (
                of("origin offload, requests").ours,
                of("origin offload, bytes").ours
            ),
            (0.98, 0.9)
        );
        assert_eq!(of("requests").ours, 100.0);
    }

    #[test]
    fn an_error_during_warm_up_counts_and_is_told() {
        let mut outcome = outcome();
        outcome.warm_up.complain("/a: wrong bytes".to_owned());
        let errors = outcome
            .measures()
            .into_iter()
            .find(|measure| measure.name == "errors")
            .unwrap();
        assert_eq!(errors.holds, Some(false));
        assert_eq!(outcome.complaints(), "error: /a: wrong bytes\n");
    }
}
