//! What probing counts.

use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};

/// Bounds of the histograms, seconds: a probe on the same continent to one that is given up.
const SECONDS: [f64; 10] = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 0.5, 1.0, 2.0, 5.0];

/// The families; clones share them.
#[derive(Clone)]
pub(crate) struct ProbeMetrics {
    /// By outcome: `ok`, `draining`, `no-object`, or the kind of failure.
    pub(crate) probes: IntCounterVec,
    /// How long each phase took.
    pub(crate) phases: HistogramVec,
    /// How much later than planned probes began.
    pub(crate) lateness: Histogram,
}

impl ProbeMetrics {
    /// # Errors
    ///
    /// When one of the names is taken in `registry`.
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<ProbeMetrics> {
        let metrics = ProbeMetrics {
            probes: IntCounterVec::new(
                Opts::new(
                    "millrace_monitor_probes_total",
                    "Probes by outcome: ok, draining, no-object (an error for an object in place of its bytes, which no node is blamed for: look at its origin), or how they failed. Failures of many nodes at once: look at this monitor's own network first.",
                ),
                &["outcome"],
            )?,
            phases: HistogramVec::new(
                HistogramOpts::new(
                    "millrace_monitor_probe_seconds",
                    "Seconds of each phase of probes that succeeded: connect, tls, answer. A rise towards probe.timeout comes before failures.",
                )
                .buckets(SECONDS.to_vec()),
                &["phase"],
            )?,
            lateness: Histogram::with_opts(
                HistogramOpts::new(
                    "millrace_monitor_probe_lateness_seconds",
                    "Seconds by which probes began later than planned. More than a tenth: this machine is too busy to watch others.",
                )
                .buckets(SECONDS.to_vec()),
            )?,
        };
        registry.register(Box::new(metrics.probes.clone()))?;
        registry.register(Box::new(metrics.phases.clone()))?;
        registry.register(Box::new(metrics.lateness.clone()))?;
        Ok(metrics)
    }
}
