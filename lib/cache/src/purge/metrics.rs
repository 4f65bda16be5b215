//! What the matcher counts.

use super::Kind;
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

/// Counters and gauges of [`super::Purges`], registered under `millrace_cache_purge…`.
#[derive(Clone, Debug)]
pub struct PurgeMetrics {
    pub(super) live: [IntGauge; Kind::ALL.len()],
    pub(super) purges: [IntCounter; Kind::ALL.len()],
    pub(super) folded: IntCounter,
    pub(super) forgotten: IntCounter,
    pub(super) hard: IntCounter,
    pub(super) soft: IntCounter,
    pub(super) unknown: IntCounter,
}

impl PurgeMetrics {
    /// Registers every metric.
    ///
    /// # Errors
    /// When one of the names is registered already.
    pub fn new(registry: &Registry) -> prometheus::Result<PurgeMetrics> {
        let family = |name: &str, help: &str, label: &str| -> prometheus::Result<IntCounterVec> {
            let family = IntCounterVec::new(Opts::new(format!("millrace_cache_{name}"), help), &[label])?;
            registry.register(Box::new(family.clone()))?;
            Ok(family)
        };
        let counter = |name: &str, help: &str| -> prometheus::Result<IntCounter> {
            let counter = IntCounter::new(format!("millrace_cache_{name}"), help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let live = IntGaugeVec::new(
            Opts::new(
                "millrace_cache_purge_entries",
                "Purges that may still cover something stored, by what they name. They cost 40 to 80 bytes of memory \
                 each and nothing per hit. Near a million: purge by tag or prefix instead of URL by URL.",
            ),
            &["kind"],
        )?;
        registry.register(Box::new(live.clone()))?;
        let purges = family("purges_total", "Purges taken, by what they name. Normal.", "kind")?;
        let purged = family(
            "purged_total",
            "Objects found to be purged when they were asked for or filled. hard: fetched anew; soft: served stale \
             while they are revalidated; unknown: last judged before a purge that is forgotten, so fetched anew to be \
             sure. Many of unknown: more purges than this node can remember.",
            "mode",
        )?;
        Ok(PurgeMetrics {
            live: Kind::ALL.map(|kind| live.with_label_values(&[kind.label()])),
            purges: Kind::ALL.map(|kind| purges.with_label_values(&[kind.label()])),
            folded: counter(
                "purge_entries_folded_total",
                "Purges that were given up for one of their whole service, because there were too many. Each may cost \
                 hits that it should not: worry when it grows, and purge by tag or prefix.",
            )?,
            forgotten: counter(
                "purge_entries_forgotten_total",
                "Purges forgotten because nothing older is stored. Normal.",
            )?,
            hard: purged.with_label_values(&["hard"]),
            soft: purged.with_label_values(&["soft"]),
            unknown: purged.with_label_values(&["unknown"]),
        })
    }
}
