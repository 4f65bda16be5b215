//! The end of the log that requests see: a buffer for each core.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;

use super::{
    Metrics, Record,
    queue::{Batch, Queue, Refused},
};

/// A buffer this full is handed over: large enough that handing over costs a request nothing that shows, small enough
/// for a core's second cache level.
pub const HAND_OVER_BYTES: usize = 64 * 1024;
/// How often each core hands over what it has, full or not; bounds what a crash loses and how late a line is.
pub const TICK: Duration = Duration::from_millis(250);
/// Room beyond [`HAND_OVER_BYTES`], so that the line that fills a buffer does not make it grow.
const LINE_BYTES_USUAL: usize = 4 * 1024;

/// Writes the lines of one core. Shared by all of the core's tasks; its lock is contended only when the log is closed.
#[derive(Clone)]
pub struct CoreWriter(Arc<Buffer>);

/// Lines that were not handed over yet.
pub(super) struct Buffer {
    batch: Mutex<Batch>,
    queue: Arc<Queue>,
    metrics: Metrics,
}

impl CoreWriter {
    pub(super) fn new(buffer: Arc<Buffer>) -> CoreWriter {
        CoreWriter(buffer)
    }

    /// Logs one request. Never waits for the disk.
    pub fn write(&self, record: &Record<'_>) {
        self.0.write(record);
    }

    /// Hands over what was written since the last time; called every [`TICK`].
    pub fn tick(&self) {
        self.0.hand_over();
    }
}

impl Buffer {
    pub(super) fn new(queue: Arc<Queue>, metrics: Metrics) -> Buffer {
        Buffer {
            batch: Mutex::new(Batch::with_capacity(HAND_OVER_BYTES + LINE_BYTES_USUAL)),
            queue,
            metrics,
        }
    }

    fn write(&self, record: &Record<'_>) {
        let mut batch = self.batch.lock();
        record.write(&mut batch.bytes);
        batch.lines += 1;
        if batch.bytes.len() >= HAND_OVER_BYTES {
            self.hand_over_batch(&mut batch);
        }
    }

    pub(super) fn hand_over(&self) {
        let mut batch = self.batch.lock();
        if batch.lines > 0 {
            self.hand_over_batch(&mut batch);
        }
    }

    /// Leaves an empty batch behind, taken or not.
    fn hand_over_batch(&self, batch: &mut Batch) {
        if let Err(refused) = self.queue.push(batch) {
            let dropped = match refused {
                Refused::Full => &self.metrics.dropped_queue_full,
                Refused::Closed => &self.metrics.dropped_closed,
            };
            dropped.inc_by(batch.lines);
            batch.clear();
        }
    }
}
