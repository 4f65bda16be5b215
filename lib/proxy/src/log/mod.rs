//! The access log: one line of JSON a request, written off the hot path.
//!
//! ```text
//! core 0: Record → buffer ─┐  64 KiB or a tick
//! core 1: Record → buffer ─┼──→ queue (bounded in bytes) → one writer thread → file
//! core n: Record → buffer ─┘       full: the batch is dropped and counted
//! ```
//!
//! A request never waits for the disk: where the disk cannot keep up, whole lines are dropped and counted. A line is
//! never torn. `reopen` (for logrotate) and `close` lose nothing.

mod core_writer;
mod line;
mod metrics;
mod queue;
mod record;
mod text;
mod writer;

use std::{fmt, io, path::PathBuf, sync::Arc, time::Duration};

use parking_lot::Mutex;

pub use core_writer::{CoreWriter, HAND_OVER_BYTES, TICK};
pub use metrics::Metrics;
pub use record::{Protocol, Record};

use core_writer::Buffer;
use queue::Queue;
use writer::Writer;

/// The smallest queue: four full buffers, so that a single slow write does not drop lines at once.
pub const QUEUE_BYTES_MIN: usize = 4 * HAND_OVER_BYTES;

/// Where the log goes and how much of it may wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessLogConfig {
    /// The file, created where it is missing; may be a named pipe.
    pub path: PathBuf,
    /// Bytes that may wait for the disk before lines are dropped; at least [`QUEUE_BYTES_MIN`].
    pub queue_bytes: usize,
}

/// The access log of a daemon.
pub struct AccessLog {
    queue: Arc<Queue>,
    cores: Mutex<Vec<Arc<Buffer>>>,
    metrics: Metrics,
}

/// Why the log could not be opened.
#[derive(Debug)]
pub struct OpenError {
    path: PathBuf,
    cause: io::Error,
}

impl AccessLog {
    /// Opens the file and starts the writer thread.
    ///
    /// # Errors
    ///
    /// When the file cannot be opened, the queue is too small, or the thread cannot be started.
    pub fn open(config: AccessLogConfig, metrics: Metrics) -> Result<AccessLog, OpenError> {
        let AccessLogConfig { path, queue_bytes } = config;
        let failed = |cause| OpenError {
            path: path.clone(),
            cause,
        };
        if queue_bytes < QUEUE_BYTES_MIN {
            let what =
                format!("a queue of {queue_bytes} bytes is too small, give it {QUEUE_BYTES_MIN} or more");
            return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, what)));
        }
        let queue = Arc::new(Queue::new(queue_bytes, metrics.clone()));
        let writer = Writer::open(path.clone(), Arc::clone(&queue), metrics.clone()).map_err(failed)?;
        std::thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || writer.run())
            .map_err(failed)?;
        Ok(AccessLog {
            queue,
            cores: Mutex::default(),
            metrics,
        })
    }

    /// A writer for one core. Cloning it gives the same buffer; each core asks for its own.
    pub fn core_writer(&self) -> CoreWriter {
        let buffer = Arc::new(Buffer::new(Arc::clone(&self.queue), self.metrics.clone()));
        self.cores.lock().push(Arc::clone(&buffer));
        CoreWriter::new(buffer)
    }

    /// Has the writer open the file anew once it has written what is queued: for logrotate, after the file was moved
    /// away. Where that fails it goes on with the old file and says so in the daemon's log.
    pub fn reopen(&self) {
        self.queue.ask_to_reopen();
    }

    /// Hands over what every core has buffered, takes nothing more, and waits for the writer; at most for `patience`,
    /// since a disk may hang. Returns whether everything was dealt with.
    pub fn close(&self, patience: Duration) -> bool {
        self.hand_over_all();
        self.queue.close();
        self.queue.wait_until_closed(patience)
    }

    fn hand_over_all(&self) {
        for core in self.cores.lock().iter() {
            core.hand_over();
        }
    }
}

impl Drop for AccessLog {
    /// Lets the writer thread end once it has written what there is.
    fn drop(&mut self) {
        self.hand_over_all();
        self.queue.close();
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the access log {} cannot be opened: {}",
            self.path.display(),
            self.cause
        )
    }
}

impl std::error::Error for OpenError {}

#[cfg(test)]
mod tests;
