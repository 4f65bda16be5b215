//! The disk tier's numbers. Each help text tells an operator whether to worry.

use crate::placement::{Class, Reason};
use prometheus::{
    Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    Result, core::Collector,
};

/// As labels, in the order of [`Class::ALL`].
const CLASSES: [&str; 2] = ["S", "M"];

/// Counters and gauges of one [`super::Disk`], registered under `millrace_cache_disk_…`.
#[derive(Debug, Clone)]
pub struct DiskMetrics {
    pub capacity_bytes: IntGauge,
    pub direct_io: IntGauge,
    pub io_engine: IntGaugeVec,
    pub read_buffer_bytes: IntGauge,
    pub read_buffer_bound_bytes: IntGauge,
    pub read_only: IntGauge,
    pub slots: IntGauge,
    pub recovering: IntGauge,
    pub regions_to_recover: IntGauge,
    pub recovery_seconds: Gauge,
    pub queue_bytes: IntGauge,
    pub queue_bound_bytes: IntGauge,
    pub bytes_written: IntCounter,
    pub bytes_read: IntCounter,
    pub write_seconds: Histogram,
    pub flush_seconds: Histogram,
    pub read_seconds: Histogram,
    pub write_errors: IntCounter,
    pub regions_sealed: IntCounter,
    pub regions_reclaimed: IntCounter,
    pub removals: IntCounter,
    pub removals_lost: IntCounter,
    pub committed: Committed,
    pub dropped: Dropped,
    pub placed: Placed,
    pub damaged: Damaged,
    pub reads: Reads,
    pub journal: JournalMetrics,
}

/// The journal of purges.
#[derive(Debug, Clone)]
pub struct JournalMetrics {
    pub bytes: IntGauge,
    pub commits: IntCounter,
    pub beginnings: IntCounter,
    pub written_bytes: IntCounter,
    pub errors: IntCounter,
    pub seconds: Histogram,
}

/// Records that reached the disk, by kind.
#[derive(Debug, Clone)]
pub struct Committed {
    pub heads: IntCounter,
    pub parts: IntCounter,
    pub tombstones: IntCounter,
}

/// Records that did not, by reason.
#[derive(Debug, Clone)]
pub struct Dropped {
    pub queue_full: IntCounter,
    pub too_large: IntCounter,
    pub fleeting: IntCounter,
    pub over_budget: IntCounter,
    pub read_only: IntCounter,
    pub failed: IntCounter,
    pub handing_over: IntCounter,
}

/// What the policy did, by class: S is for what was asked for once, M for what was asked for again.
#[derive(Debug, Clone)]
pub struct Placed {
    /// Bytes of records newly written to S and M.
    pub written: [IntCounter; 2],
    /// Bytes of records copied from S and M.
    pub copied: [IntCounter; 2],
    /// Bytes of records given up, from S and M, by [`Reason`].
    given_up: [[IntCounter; 3]; 2],
    pub ghost_hits: IntCounter,
    pub budget_left: IntGauge,
}

impl Placed {
    /// Bytes of records that were given up with a region of `class` for a reason.
    #[must_use]
    pub fn given_up(&self, class: Class, reason: Reason) -> &IntCounter {
        &self.given_up[class.index()][reason as usize]
    }
}

/// What was found damaged of what the device says of itself, and repaired or done without.
#[derive(Debug, Clone)]
pub struct Damaged {
    pub superblock: IntCounter,
    pub journal: IntCounter,
    pub region_header: IntCounter,
    pub footer: IntCounter,
}

/// Reads by result. Everything but `hit` is a miss for who asked.
#[derive(Debug, Clone)]
pub struct Reads {
    pub hit: IntCounter,
    pub absent: IntCounter,
    pub other_key: IntCounter,
    pub out_of_range: IntCounter,
    pub reclaimed: IntCounter,
    pub corrupt: IntCounter,
    pub failed: IntCounter,
    pub busy: IntCounter,
    pub late: IntCounter,
}

impl DiskMetrics {
    /// Registers every metric, each with the label `device`. Fails when the registry has that device already.
    pub fn register(registry: &Registry, device: &str) -> Result<DiskMetrics> {
        let within = Within { registry, device };
        let committed = within.counters(
            "records_written_total",
            "Records written, by kind. Grows with every fill; flat while clients miss means that nothing is kept.",
            "kind",
        )?;
        let dropped = within.counters(
            "records_dropped_total",
            "Records not written, by reason. queue_full: the disk cannot keep up with fills, hits will suffer if it \
             grows for minutes; too_large: an object's parts do not fit a region; fleeting: fresh for less than two minutes, normal; \
             over_budget: more is asked for than drive_writes_per_day allows, so give the site more drives, or better \
             ones, if it grows every day; failed: a write failed, look \
             at the log; read_only: put after that, or after the cache was closed; handing_over: the \
             process that had the device before still reads it, normal for a minute after a restart.",
            "reason",
        )?;
        let reads = within.counters(
            "reads_total",
            "Reads by result. hit and absent are normal; other_key and reclaimed are rare and harmless; busy: the read \
             queue or the read buffers were full, the disk is too slow for its load; late: the drive did not answer \
             within the read deadline, it is failing or far overloaded; corrupt: the drive returned bytes that fail their \
             checksum (never served), replace it if this keeps growing; failed: the drive refused to read, look at the \
             kernel log; out_of_range: a mistake of ours, please report.",
            "result",
        )?;
        let damaged = within.counters(
            "damaged_total",
            "Copies of the superblock, of blocks of the purge journal and of region headers, and lists of regions, that \
             were found damaged at a start or when a region made room. Each is repaired, or done without, and no object \
             is lost by one alone; after a loss of power some are normal. Replace the drive if this grows at every start.",
            "piece",
        )?;
        let journal = JournalMetrics {
            bytes: within.gauge(
                "journal_bytes",
                "Bytes of the purge journal in use. Grows with every commit and falls when the journal is begun anew. \
                 Normal.",
            )?,
            commits: within.counter(
                "journal_commits_total",
                "Commits of the purge journal: each acknowledges all purges that waited. Normal.",
            )?,
            beginnings: within.counter(
                "journal_beginnings_total",
                "How often the purge journal was begun anew, because its half was full or harmed by a crash. Many a \
                 minute: purge by tag or prefix instead of URL by URL.",
            )?,
            written_bytes: within.counter(
                "journal_written_bytes_total",
                "Bytes written to the purge journal, both copies counted. Far below the bytes of fills, or purges \
                 wear the drive.",
            )?,
            errors: within.counter(
                "journal_errors_total",
                "Commits of the purge journal that failed: their purges are in force, but were not acknowledged and \
                 would not survive a restart. Worry: look at the log and the drive.",
            )?,
            seconds: within.seconds(
                "journal_commit_seconds",
                "Time of one commit of the purge journal: how long a purge takes to be acknowledged. Above 0.05 s the \
                 drive is slow or saturated.",
            )?,
        };
        let placed = within.placed()?;
        Ok(DiskMetrics {
            capacity_bytes: within.gauge(
                "capacity_bytes",
                "Bytes of the device that regions occupy. Constant.",
            )?,
            direct_io: within.gauge(
                "direct_io",
                "1 when the device is read and written past the page cache. 0 costs memory and speed, nothing else.",
            )?,
            io_engine: within.register(IntGaugeVec::new(
                within.options(
                    "io_engine",
                    "1 for the engine that reads and writes: uring is what it should be; threads means that the kernel \
                     refuses io_uring, or the configuration does: correct, but it costs more CPU.",
                ),
                &["engine"],
            )?)?,
            read_buffer_bytes: within.gauge(
                "read_buffer_bytes",
                "Memory lent to reads under way. Near its bound for long: the disk is too slow for its load, or hangs.",
            )?,
            read_only: within.gauge(
                "read_only",
                "1 when nothing is written any more: after a write failed (worry: look at the log and the drive) or \
                 while draining (normal).",
            )?,
            slots: within.gauge(
                "index_slots",
                "Records that can be found. Levels out when the device has been filled once; 18 to 23 bytes of \
                 memory each.",
            )?,
            recovering: within.gauge(
                "recovering",
                "1 while the index is being rebuilt after a start: what is not found yet is a miss. Some seconds per TB.",
            )?,
            regions_to_recover: within.gauge(
                "regions_to_recover",
                "Regions whose content is not in the index yet. Falls to 0 after every start; should it stand still, the \
                 drive does not answer.",
            )?,
            recovery_seconds: within.register(Gauge::with_opts(within.options(
                "recovery_seconds",
                "How long it took to rebuild the index after the last start, while it was in use. More than a few seconds per TB deserves a look at \
                 the drive.",
            ))?)?,
            queue_bytes: within.gauge(
                "write_queue_bytes",
                "Bytes waiting for the writer. Near its bound for long: the disk cannot keep up.",
            )?,
            queue_bound_bytes: within.gauge(
                "write_queue_bound_bytes",
                "What write_queue_bytes may reach; beyond it disk copies are dropped. Constant.",
            )?,
            read_buffer_bound_bytes: within.gauge(
                "read_buffer_bound_bytes",
                "What read_buffer_bytes may reach; beyond it reads are misses. Constant.",
            )?,
            bytes_written: within.counter(
                "bytes_written_total",
                "Bytes written to the device, headers and padding included. Its rate is the wear of the drive.",
            )?,
            bytes_read: within.counter(
                "bytes_read_total",
                "Bytes read from the device, alignment included.",
            )?,
            write_seconds: within.seconds(
                "write_seconds",
                "Time of one write of up to 5 MiB. Above 0.5 s a drive is saturated or failing.",
            )?,
            flush_seconds: within.seconds(
                "flush_seconds",
                "Time of one flush to stable storage, at most one a second. Above 0.5 s a drive is saturated.",
            )?,
            read_seconds: within.seconds(
                "read_seconds",
                "Time of one read, waiting for its turn and checksums included. Above 0.05 s clients notice.",
            )?,
            write_errors: within.counter(
                "write_errors_total",
                "Writes or flushes that the device refused. The first one makes the device read-only until a \
                 probe finds that it can be written: look at the log.",
            )?,
            regions_sealed: within.counter(
                "regions_sealed_total",
                "Regions filled and closed. Normal.",
            )?,
            regions_reclaimed: within.counter(
                "regions_reclaimed_total",
                "Regions whose content made room for newer. Normal once the device is full; its rate says how long an \
                 object stays.",
            )?,
            removals: within.counter("removals_total", "Keys removed on request. Normal.")?,
            removals_lost: within.counter(
                "removals_lost_total",
                "Removals that could not be written: gone now, but the object may return at the next start. Worry.",
            )?,
            committed: Committed {
                heads: committed.with_label_values(&["head"]),
                parts: committed.with_label_values(&["part"]),
                tombstones: committed.with_label_values(&["tombstone"]),
            },
            dropped: Dropped {
                queue_full: dropped.with_label_values(&["queue_full"]),
                too_large: dropped.with_label_values(&["too_large"]),
                fleeting: dropped.with_label_values(&["fleeting"]),
                over_budget: dropped.with_label_values(&["over_budget"]),
                read_only: dropped.with_label_values(&["read_only"]),
                failed: dropped.with_label_values(&["failed"]),
                handing_over: dropped.with_label_values(&["handing_over"]),
            },
            journal,
            placed,
            damaged: Damaged {
                superblock: damaged.with_label_values(&["superblock"]),
                journal: damaged.with_label_values(&["journal"]),
                region_header: damaged.with_label_values(&["region_header"]),
                footer: damaged.with_label_values(&["footer"]),
            },
            reads: Reads {
                hit: reads.with_label_values(&["hit"]),
                absent: reads.with_label_values(&["absent"]),
                other_key: reads.with_label_values(&["other_key"]),
                out_of_range: reads.with_label_values(&["out_of_range"]),
                reclaimed: reads.with_label_values(&["reclaimed"]),
                corrupt: reads.with_label_values(&["corrupt"]),
                failed: reads.with_label_values(&["failed"]),
                busy: reads.with_label_values(&["busy"]),
                late: reads.with_label_values(&["late"]),
            },
        })
    }
}

/// A registry, seen from one disk: everything gets its prefix and the device's label.
struct Within<'a> {
    registry: &'a Registry,
    device: &'a str,
}

impl Within<'_> {
    fn options(&self, name: &str, help: &str) -> Opts {
        Opts::new(format!("millrace_cache_disk_{name}"), help).const_label("device", self.device)
    }

    fn register<C: Collector + Clone + 'static>(&self, collector: C) -> Result<C> {
        self.registry.register(Box::new(collector.clone()))?;
        Ok(collector)
    }

    fn counter(&self, name: &str, help: &str) -> Result<IntCounter> {
        self.register(IntCounter::with_opts(self.options(name, help))?)
    }

    fn counters(&self, name: &str, help: &str, label: &str) -> Result<IntCounterVec> {
        self.register(IntCounterVec::new(self.options(name, help), &[label])?)
    }

    fn placed(&self) -> Result<Placed> {
        let tables = [
            (
                "placed_bytes_total",
                "Bytes of records newly written, by class: S takes what was asked for once, M what was asked for again. \
                 Nearly all in S: few objects are asked for twice, the cache is small for its audience or the audience \
                 is new.",
            ),
            (
                "copied_bytes_total",
                "Bytes of records written again when their region made room, by the class they came from. At most an \
                 eighth of placed_bytes_total in the long run.",
            ),
        ];
        let [written, copied] = tables.map(|(name, help)| self.counters(name, help, "class"));
        let (written, copied) = (written?, copied?);
        let given_up = IntCounterVec::new(
            self.options(
                "given_up_bytes_total",
                "Bytes of records given up when their region made room, by class and reason. cold: nobody read them, \
                 normal; expired: stale and without a validator, normal; bound: they were read, but copies are bounded: \
                 when that nears cold in class M, the device is too small for what is asked of it.",
            ),
            &["class", "reason"],
        )?;
        let given_up = self.register(given_up)?;
        let of_class = |class: &str, table: &IntCounterVec| table.with_label_values(&[class]);
        let reasons =
            |class| ["cold", "bound", "expired"].map(|reason| given_up.with_label_values(&[class, reason]));
        Ok(Placed {
            written: CLASSES.map(|class| of_class(class, &written)),
            copied: CLASSES.map(|class| of_class(class, &copied)),
            given_up: CLASSES.map(reasons),
            ghost_hits: self.counter(
                "ghost_hits_total",
                "Objects that came back after they were given up unread, and go to M now. Growing as fast as fills: the \
                 device is small for what is asked of it.",
            )?,
            budget_left: self.gauge(
                "write_budget_bytes",
                "What may be written before objects are refused, in bytes: an hour of drive_writes_per_day at most. \
                 Below 0 for hours: fills exceed what the drive is rated for. Constant and huge when there is no bound.",
            )?,
        })
    }

    fn gauge(&self, name: &str, help: &str) -> Result<IntGauge> {
        self.register(IntGauge::with_opts(self.options(name, help))?)
    }

    fn seconds(&self, name: &str, help: &str) -> Result<Histogram> {
        let buckets = vec![
            0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0,
        ];
        self.register(Histogram::with_opts(
            HistogramOpts::from(self.options(name, help)).buckets(buckets),
        )?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_has_the_prefix_a_help_text_and_its_device_and_a_device_is_registered_once() {
        let registry = Registry::new();
        DiskMetrics::register(&registry, "/dev/a").expect("first registration");
        let families = registry.gather();
        assert_eq!(families.len(), 36);
        for family in families {
            assert!(
                family.name().starts_with("millrace_cache_disk_"),
                "{}",
                family.name()
            );
            assert!(family.help().len() > 15, "{} needs a help text", family.name());
        }
        assert!(DiskMetrics::register(&registry, "/dev/a").is_err());
        DiskMetrics::register(&registry, "/dev/b").expect("another device");
        for family in registry.gather() {
            for metric in family.get_metric() {
                assert!(metric.get_label().iter().any(|label| label.name() == "device"));
            }
        }
    }
}
