//! What the statistics count of themselves. The help texts tell an operator whether to worry.

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

use super::series::Outcome;

/// Counters, registered under `millrace_monitor_…`.
#[derive(Debug, Clone)]
pub(super) struct Metrics {
    accepted: IntCounter,
    late: IntCounter,
    duplicate: IntCounter,
    crowded: IntCounter,
    pub(super) unreadable: IntCounter,
    pub(super) malformed_lines: IntCounter,
    pub(super) written: IntCounter,
    pub(super) lost: IntCounter,
    pub(super) undecodable: IntCounter,
}

impl Metrics {
    /// Registers every metric. Fails when the registry has one of these names already.
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Metrics> {
        let samples = IntCounterVec::new(
            Opts::new(
                "millrace_monitor_samples_total",
                "Looks at a node's /metrics by what became of them. accepted is normal; late: older than what was \
                 there by more than 10 s, or of a minute that is closed, the monitor is overloaded or its clock was put \
                 back; duplicate: two of one moment, harmless; crowded: more nodes or looks than there is room for, raise \
                 the bound; unreadable: no metrics of a node or not all of them, look at the log, the node's roll-ups have \
                 a gap as long as this grows.",
            ),
            &["outcome"],
        )?;
        registry.register(Box::new(samples.clone()))?;
        let counter = |name: &str, help: &str| -> prometheus::Result<IntCounter> {
            let counter = IntCounter::new(format!("millrace_monitor_{name}"), help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        Ok(Metrics {
            accepted: samples.with_label_values(&["accepted"]),
            late: samples.with_label_values(&["late"]),
            duplicate: samples.with_label_values(&["duplicate"]),
            crowded: samples.with_label_values(&["crowded"]),
            unreadable: samples.with_label_values(&["unreadable"]),
            malformed_lines: counter(
                "malformed_lines_total",
                "Lines of nodes' /metrics that break the format and were skipped. Should be 0: compare the versions of \
                 monitor and nodes.",
            )?,
            written: counter(
                "rollups_written_total",
                "Minutes of a node that were written to disk: one a minute and node that answers. Standing still means \
                 that no history is kept: look at the log.",
            )?,
            lost: counter(
                "rollups_lost_total",
                "Minutes of a node that were given up because they could not be written for long. Worry: the disk of \
                 the state directory is full or failing.",
            )?,
            undecodable: counter(
                "rollups_undecodable_total",
                "Minutes found on disk that this version cannot read; they are missing in histories. Normal for a day \
                 after going back to an older version, else the disk is failing.",
            )?,
        })
    }

    pub(super) fn count(&self, outcome: Outcome) {
        let counter = match outcome {
            Outcome::Accepted => &self.accepted,
            Outcome::Late => &self.late,
            Outcome::Duplicate => &self.duplicate,
            Outcome::Crowded => &self.crowded,
        };
        counter.inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_carries_our_prefix_and_a_help_text_and_registers_once() {
        let registry = Registry::new();
        Metrics::register(&registry).unwrap();
        let families = registry.gather();
        assert_eq!(families.len(), 5);
        for family in families {
            assert!(
                family.name().starts_with("millrace_monitor_"),
                "{}",
                family.name()
            );
            assert!(family.help().len() > 60, "{}", family.name());
        }
        assert!(Metrics::register(&registry).is_err());
    }
}
