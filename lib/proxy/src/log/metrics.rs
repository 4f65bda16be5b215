//! What an operator sees of the access log.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

/// Counters of the access log; cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Lines the file has taken.
    pub lines: IntCounter,
    /// Lines dropped because the queue was full: the disk is too slow.
    pub dropped_queue_full: IntCounter,
    /// Lines dropped because the file did not take them: the disk is full or failing.
    pub dropped_write_error: IntCounter,
    /// Lines that came after the log was closed.
    pub dropped_closed: IntCounter,
    /// Writes that failed.
    pub write_errors: IntCounter,
    /// Bytes that wait for the writer.
    pub queue_bytes: IntGauge,
}

impl Metrics {
    /// Registers the metrics.
    ///
    /// # Errors
    ///
    /// When a metric of one of these names is registered already.
    pub fn register(registry: &Registry) -> prometheus::Result<Metrics> {
        let lines = IntCounter::new(
            "millrace_access_log_lines_total",
            "Access log lines written to the file.",
        )?;
        let dropped = IntCounterVec::new(
            Opts::new(
                "millrace_access_log_dropped_lines_total",
                "Access log lines lost: queue_full means that the disk is too slow, write_error that it is full or \
                 failing, closed that a request ended after the shutdown's patience. Should stay 0.",
            ),
            &["reason"],
        )?;
        let write_errors = IntCounter::new(
            "millrace_access_log_write_errors_total",
            "Writes to the access log that failed; the daemon's log says why, at most once a minute.",
        )?;
        let queue_bytes = IntGauge::new(
            "millrace_access_log_queue_bytes",
            "Bytes of access log waiting for the disk; lines are dropped when it reaches the configured queue.",
        )?;
        registry.register(Box::new(lines.clone()))?;
        registry.register(Box::new(dropped.clone()))?;
        registry.register(Box::new(write_errors.clone()))?;
        registry.register(Box::new(queue_bytes.clone()))?;
        Ok(Metrics {
            lines,
            dropped_queue_full: dropped.with_label_values(&["queue_full"]),
            dropped_write_error: dropped.with_label_values(&["write_error"]),
            dropped_closed: dropped.with_label_values(&["closed"]),
            write_errors,
            queue_bytes,
        })
    }
}
