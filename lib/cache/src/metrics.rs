//! What the engine counts. Values are handed a registry once; the help texts tell an operator whether to worry.

use crate::purge::PurgeMetrics;
use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

/// The engine's counters and gauges. Cheap to clone: every clone counts into the same values.
#[derive(Clone)]
pub struct Metrics {
    pub(crate) ram_bytes: IntGauge,
    pub(crate) ram_bound_bytes: IntGauge,
    pub(crate) fill_bytes: IntGauge,
    pub(crate) fill_bound_bytes: IntGauge,
    pub(crate) read_ahead_bytes: IntGauge,
    pub(crate) read_ahead_bound_bytes: IntGauge,
    pub(crate) fills_open: IntGauge,
    pub(crate) hits_ram: IntCounter,
    pub(crate) hits_disk: IntCounter,
    pub(crate) hits_fill: IntCounter,
    pub(crate) partial: IntCounter,
    pub(crate) absent: IntCounter,
    pub(crate) fills_started: IntCounter,
    pub(crate) fills_finished: IntCounter,
    pub(crate) fills_aborted: IntCounter,
    pub(crate) fills_failed: IntCounter,
    pub(crate) filled_bytes: IntCounter,
    pub(crate) joins: IntCounter,
    pub(crate) refused_joiners: IntCounter,
    pub(crate) refused_fills: IntCounter,
    pub(crate) uncacheable: IntCounter,
    pub(crate) uncacheable_answers: IntCounter,
    pub(crate) refreshed: IntCounter,
    pub(crate) evicted: IntCounter,
    pub(crate) lagged: IntCounter,
    pub(crate) gone: IntCounter,
    pub(crate) aborted_readers: IntCounter,
    pub(crate) chunks_from_disk: IntCounter,
    pub(crate) unreadable_heads: IntCounter,
    pub(crate) disk_copies_kept: IntCounter,
    pub(crate) disk_copies_dropped: IntCounter,
    pub(crate) spilled_bytes: IntCounter,
    pub(crate) purges: PurgeMetrics,
    pub(crate) fills_streamed: IntCounter,
    pub(crate) fill_waits: IntCounter,
    pub(crate) variants_displaced: IntCounter,
    pub(crate) variants_refused: IntCounter,
}

impl Metrics {
    /// Registers every metric of the engine on `registry`.
    ///
    /// # Errors
    /// When one of the names is registered already: one engine a registry.
    pub fn new(registry: &Registry) -> prometheus::Result<Metrics> {
        let counter = |name: &str, help: &str| -> prometheus::Result<IntCounter> {
            let counter = IntCounter::new(format!("millrace_cache_{name}"), help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let gauge = |name: &str, help: &str| -> prometheus::Result<IntGauge> {
            let gauge = IntGauge::new(format!("millrace_cache_{name}"), help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        let family = |name: &str, help: &str, label: &str| -> prometheus::Result<IntCounterVec> {
            let family = IntCounterVec::new(Opts::new(format!("millrace_cache_{name}"), help), &[label])?;
            registry.register(Box::new(family.clone()))?;
            Ok(family)
        };
        let look_ups = family(
            "look_ups_total",
            "Look-ups by where the object was found. ram, disk and fill (being fetched for somebody already) cost no \
             upstream request; partial and absent do. Watch the share of absent: a rise is a cold or too small cache.",
            "found",
        )?;
        let fills = family(
            "fills_total",
            "Fetches into the cache by what became of them. aborted: the upstream broke off or sent another length \
             than it announced; failed: there was no answer at all. A rise of either is an upstream's fault.",
            "stage",
        )?;
        let copies = family(
            "copies_total",
            "Filled objects by what became of their disk copy. dropped: the disk's queue was full or the disk failed, \
             no client noticed; a steady rise is a disk too slow for the fill rate.",
            "outcome",
        )?;
        Ok(Metrics {
            ram_bytes: gauge(
                "ram_bytes",
                "Bytes in the RAM tier, heads included. At its limit in normal service.",
            )?,
            ram_bound_bytes: gauge("ram_bound_bytes", "What ram_bytes may reach. Constant.")?,
            fill_bytes: gauge(
                "fill_bytes",
                "Bytes held for objects that are being filled or written to disk. Near its bound for long: slow \
                 disks or too small a bound; new objects are then served but not kept, and fills may wait for the \
                 disk.",
            )?,
            fill_bound_bytes: gauge("fill_bound_bytes", "What fill_bytes may reach. Constant.")?,
            read_ahead_bytes: gauge(
                "read_ahead_bytes",
                "Bytes read from disk before readers asked for them. At its bound for long: many connections read \
                 from disk, each at the device's latency; more RAM helps.",
            )?,
            read_ahead_bound_bytes: gauge(
                "read_ahead_bound_bytes",
                "What read_ahead_bytes may reach: an eighth of the RAM tier. Constant.",
            )?,
            fills_open: gauge(
                "fills_open",
                "Fetches under way, those waiting for an answer included.",
            )?,
            hits_ram: look_ups.with_label_values(&["ram"]),
            hits_disk: look_ups.with_label_values(&["disk"]),
            hits_fill: look_ups.with_label_values(&["fill"]),
            partial: look_ups.with_label_values(&["partial"]),
            absent: look_ups.with_label_values(&["absent"]),
            uncacheable: look_ups.with_label_values(&["uncacheable"]),
            fills_started: fills.with_label_values(&["started"]),
            fills_finished: fills.with_label_values(&["finished"]),
            fills_aborted: fills.with_label_values(&["aborted"]),
            fills_failed: fills.with_label_values(&["failed"]),
            filled_bytes: counter("filled_bytes_total", "Body bytes fetched into the cache.")?,
            joins: counter(
                "joins_total",
                "Requests that joined a fetch made for another: upstream requests saved.",
            )?,
            refused_joiners: counter(
                "refused_joiners_total",
                "Requests answered 503 because too many waited for one object. Any is worth a look: the upstream is \
                 far too slow for the demand.",
            )?,
            refused_fills: counter(
                "refused_fills_total",
                "Requests answered 503 because too many fetches were under way. Any is worth a look: raise \
                 fill_bytes or find the slow upstream.",
            )?,
            uncacheable_answers: counter(
                "uncacheable_answers_total",
                "Fetches whose answer may not be stored; remembered for a while so that requests for it do not \
                 queue.",
            )?,
            refreshed: counter("refreshed_total", "Stored objects made fresh again by a 304.")?,
            evicted: counter("evicted_total", "Objects removed on request.")?,
            lagged: counter(
                "lagged_readers_total",
                "Readers of a fill that fell behind what RAM and disk keep and had to fetch the rest themselves. \
                 Rare in good service: raise fill_bytes or look at the disk.",
            )?,
            gone: counter(
                "gone_readers_total",
                "Readers whose object lost bytes (evicted, or failed its checksum) before they were read. Each may \
                 be a broken response: should stay near zero.",
            )?,
            aborted_readers: counter(
                "aborted_readers_total",
                "Readers that were told of an aborted fill: their responses end as errors, never as short successes.",
            )?,
            chunks_from_disk: counter(
                "chunks_from_disk_total",
                "Pieces of up to 256 KiB read from disk for readers.",
            )?,
            unreadable_heads: counter(
                "unreadable_heads_total",
                "Heads on disk that this program cannot read; their objects count as absent. Some after an upgrade \
                 are normal.",
            )?,
            disk_copies_kept: copies.with_label_values(&["kept"]),
            disk_copies_dropped: copies.with_label_values(&["dropped"]),
            spilled_bytes: counter(
                "spilled_bytes_total",
                "Bytes of fills let go under memory pressure; readers that still need them take them from RAM tier or \
                 disk, or lag.",
            )?,
            fills_streamed: counter(
                "fills_streamed_total",
                "Fills served without being kept on disk because the memory of fills was exhausted. No client noticed; \
                 a steady rise means more upstream requests than needed: raise fill_bytes or look at the disk.",
            )?,
            fill_waits: counter(
                "fill_waits_total",
                "Times that a fill let its upstream wait, memory being exhausted: for its reader, or for the disk. A \
                 steady rise: raise fill_bytes or look at the disk.",
            )?,
            variants_displaced: counter(
                "variants_displaced_total",
                "Variants (Vary) let go because their URL had too many, or because its answers vary by other fields now. \
                 A steady rise: an origin varies by a field that nearly every player sends differently, such as \
                 User-Agent, and its answers are hardly ever reused.",
            )?,
            variants_refused: counter(
                "variants_refused_total",
                "Requests answered from upstream without keeping the answer, because what they say in the fields that \
                 the URL varies by is longer than 2 KiB. Players send nothing like that.",
            )?,
            purges: PurgeMetrics::new(registry)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_carries_our_prefix_and_a_help_text_and_registers_once() {
        let registry = Registry::new();
        let metrics = Metrics::new(&registry).unwrap();
        metrics.joins.inc();
        for family in registry.gather() {
            assert!(family.name().starts_with("millrace_cache_"), "{}", family.name());
            assert!(family.help().len() > 20, "{}", family.name());
        }
        assert!(Metrics::new(&registry).is_err());
    }
}
