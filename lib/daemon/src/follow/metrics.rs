//! What an operator can see of a document that is followed.

use prometheus::{IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use crate::clock;

/// How one look at the source ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Accepted,
    Unchanged,
    Refused,
    Failed,
}

impl Outcome {
    const ALL: [Outcome; 4] = [
        Outcome::Accepted,
        Outcome::Unchanged,
        Outcome::Refused,
        Outcome::Failed,
    ];

    fn label(self) -> &'static str {
        match self {
            Outcome::Accepted => "accepted",
            Outcome::Unchanged => "unchanged",
            Outcome::Refused => "refused",
            Outcome::Failed => "failed",
        }
    }
}

pub(super) struct FollowMetrics {
    name: &'static str,
    reads: IntCounterVec,
    refused: IntGauge,
    confirmed: IntGauge,
}

impl FollowMetrics {
    pub(super) fn register(
        registry: &Registry,
        name: &'static str,
    ) -> Result<FollowMetrics, prometheus::Error> {
        let reads = IntCounterVec::new(
            Opts::new(
                "millrace_document_reads_total",
                "Looks at a followed document, by outcome. Worry about refused, and about failed that keeps growing.",
            ),
            &["document", "outcome"],
        )?;
        let refused = IntGaugeVec::new(
            Opts::new(
                "millrace_document_refused",
                "1 while the newest version of a document is refused and an older one is in use: see the log, mend it.",
            ),
            &["document"],
        )?;
        let confirmed = IntGaugeVec::new(
            Opts::new(
                "millrace_document_confirmed_timestamp_seconds",
                "When the source last confirmed the version in use, in seconds since the Unix epoch; 0 when it never \
                 did. Worry when it is minutes old.",
            ),
            &["document"],
        )?;
        registry.register(Box::new(reads.clone()))?;
        registry.register(Box::new(refused.clone()))?;
        registry.register(Box::new(confirmed.clone()))?;
        for outcome in Outcome::ALL {
            reads.with_label_values(&[name, outcome.label()]);
        }
        let refused = refused.with_label_values(&[name]);
        let confirmed = confirmed.with_label_values(&[name]);
        Ok(FollowMetrics {
            name,
            reads,
            refused,
            confirmed,
        })
    }

    /// `refused`: the newest version is not the one in use.
    pub(super) fn count(&self, outcome: Outcome, refused: bool) {
        self.reads.with_label_values(&[self.name, outcome.label()]).inc();
        self.refused.set(i64::from(refused));
        if !refused && outcome != Outcome::Failed {
            self.confirmed
                .set(i64::try_from(clock::now_millis() / 1000).unwrap_or(i64::MAX));
        }
    }
}
