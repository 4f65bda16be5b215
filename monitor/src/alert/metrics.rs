//! What an operator can see of alerting itself.

use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry};

use super::fold::Alert;
use super::outbox::Outcome;
use super::wrong::Severity;

#[derive(Clone)]
pub(super) struct AlertMetrics {
    sent: IntCounterVec,
    queue_length: IntGaugeVec,
    firing: IntGaugeVec,
}

impl AlertMetrics {
    pub(super) fn register(
        registry: &Registry,
        sinks: &[&'static str],
    ) -> Result<AlertMetrics, prometheus::Error> {
        let sent = IntCounterVec::new(
            Opts::new(
                "millrace_monitor_alerts_sent_total",
                "Alerts on their way to a receiver, by what came of it: delivered, collapsed (it ended before it was \
                 told) and now and then retried are well. Worry about retried that keeps growing, and look at the \
                 log at once for refused, gave_up and dropped: somebody was not told.",
            ),
            &["sink", "outcome"],
        )?;
        let queue_length = IntGaugeVec::new(
            Opts::new(
                "millrace_monitor_alert_queue_length",
                "Alerts that a receiver has not taken yet. Worry when it is above 0 for minutes: nobody is called.",
            ),
            &["sink"],
        )?;
        let firing = IntGaugeVec::new(
            Opts::new(
                "millrace_monitor_alerts_firing",
                "Alerts that fire now, by severity, whichever monitor tells them. Worry about critical and error.",
            ),
            &["severity"],
        )?;
        registry.register(Box::new(sent.clone()))?;
        registry.register(Box::new(queue_length.clone()))?;
        registry.register(Box::new(firing.clone()))?;
        for sink in sinks {
            queue_length.with_label_values(&[sink]);
            for outcome in Outcome::ALL {
                sent.with_label_values(&[sink, outcome.name()]);
            }
        }
        Ok(AlertMetrics {
            sent,
            queue_length,
            firing,
        })
    }

    pub(super) fn count(&self, sink: &str, outcome: Outcome) {
        self.sent.with_label_values(&[sink, outcome.name()]).inc();
    }

    pub(super) fn set_queue_length(&self, sink: &str, length: usize) {
        let length = i64::try_from(length).unwrap_or(i64::MAX);
        self.queue_length.with_label_values(&[sink]).set(length);
    }

    pub(super) fn set_firing(&self, alerts: &[Alert]) {
        for severity in Severity::ALL {
            let count = alerts.iter().filter(|alert| alert.severity == severity).count();
            self.firing
                .with_label_values(&[severity.name()])
                .set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    #[cfg(test)]
    pub(super) fn sent(&self, sink: &str, outcome: Outcome) -> u64 {
        self.sent.with_label_values(&[sink, outcome.name()]).get()
    }

    #[cfg(test)]
    pub(super) fn queue_length(&self, sink: &str) -> i64 {
        self.queue_length.with_label_values(&[sink]).get()
    }
}
