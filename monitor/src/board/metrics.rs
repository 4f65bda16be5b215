//! What the board counts.

use model::health::{Merged, Standing, State};
use prometheus::{IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use crate::journal::{Happening, Scope};

/// The families; clones share them.
#[derive(Clone)]
pub(crate) struct BoardMetrics {
    nodes: IntGaugeVec,
    counting: IntGauge,
    suspect: IntGauge,
    transitions: IntCounterVec,
    /// Streams of heartbeats that are open.
    pub(crate) streams: IntGauge,
    /// Who follows this monitor's stream.
    pub(crate) followers: IntGauge,
}

impl BoardMetrics {
    /// # Errors
    ///
    /// When one of the names is taken in `registry`.
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<BoardMetrics> {
        let metrics = BoardMetrics {
            nodes: IntGaugeVec::new(
                Opts::new(
                    "millrace_monitor_nodes",
                    "Watched nodes by state, as the monitors together see them. Worry about `down`; /v1/state says why.",
                ),
                &["state"],
            )?,
            counting: IntGauge::new(
                "millrace_monitor_monitors_counting",
                "Monitors, this one among them, whose view counts here. Worry below a majority of all: no node can be taken out then.",
            )?,
            suspect: IntGauge::new(
                "millrace_monitor_suspect",
                "1 while this monitor does not trust what it sees; the log says why. Worry when it lasts: its network, or its peers.",
            )?,
            transitions: IntCounterVec::new(
                Opts::new(
                    "millrace_monitor_transitions_total",
                    "Changes of state of nodes, as this monitor (own) and all together (merged) see them. A steady rise: a node flaps.",
                ),
                &["scope", "from", "to"],
            )?,
            streams: IntGauge::new(
                "millrace_monitor_heartbeat_streams",
                "Nodes whose stream of heartbeats is open. Fewer than nodes: the others are noticed later when they fail.",
            )?,
            followers: IntGauge::new(
                "millrace_monitor_stream_followers",
                "Routers and monitors that follow this monitor's stream.",
            )?,
        };
        registry.register(Box::new(metrics.nodes.clone()))?;
        registry.register(Box::new(metrics.counting.clone()))?;
        registry.register(Box::new(metrics.suspect.clone()))?;
        registry.register(Box::new(metrics.transitions.clone()))?;
        registry.register(Box::new(metrics.streams.clone()))?;
        registry.register(Box::new(metrics.followers.clone()))?;
        Ok(metrics)
    }

    pub(super) fn show(&self, merged: &Merged, suspect: bool) {
        for state in [
            State::Unknown,
            State::Up,
            State::Degraded,
            State::Draining,
            State::Down,
        ] {
            let count = merged.nodes.values().filter(|node| node.state == state).count();
            self.nodes
                .with_label_values(&[state.as_str()])
                .set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        let counting = merged
            .monitors
            .values()
            .filter(|standing| **standing == Standing::Counts);
        self.counting
            .set(i64::try_from(counting.count()).unwrap_or(i64::MAX));
        self.suspect.set(i64::from(suspect));
    }

    pub(super) fn count(&self, happening: &Happening) {
        let scope = match happening.scope {
            Scope::Own => "own",
            Scope::Merged => "merged",
            Scope::Monitor => return,
        };
        if happening.node.is_some() {
            self.transitions
                .with_label_values(&[scope, &happening.from, &happening.to])
                .inc();
        }
    }
}
