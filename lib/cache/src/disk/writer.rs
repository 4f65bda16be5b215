//! The writer: takes what the queue has, decides when it is written and flushed, and stops writing when the device fails.

use super::commit::Fate;
use super::log::Log;
use super::queue::{Event, Queue, Write};
use super::store::Store;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The longest that written records wait for stable storage: bounds what loss of power costs. A process that is
/// killed loses nothing that is written.
const FLUSH_INTERVAL: Duration = Duration::from_secs(1);

/// The one who feeds the log.
pub(super) struct Writer {
    log: Log,
    store: Arc<Store>,
    commit_delay: Duration,
    commit_due: Option<Instant>,
    flush_due: Option<Instant>,
    start: Instant,
}

impl Writer {
    pub(super) fn new(log: Log, store: Arc<Store>, commit_delay: Duration) -> Writer {
        Writer {
            log,
            store,
            commit_delay,
            commit_due: None,
            flush_due: None,
            start: Instant::now(),
        }
    }

    /// Serves the queue until it is closed.
    pub(super) fn run(mut self, queue: &Queue) {
        let _closed = CloseAtEnd(queue);
        loop {
            match queue.next(self.deadline()) {
                Event::Write(write) => self.write(write, Instant::now()),
                Event::Due => self.due(Instant::now()),
                Event::Close(resolver) => {
                    resolver.resolve(self.close());
                    return;
                }
            }
        }
    }

    /// When [`Writer::due`] wants to be called.
    fn deadline(&self) -> Option<Instant> {
        match (self.commit_due, self.flush_due) {
            (Some(commit), Some(flush)) => Some(commit.min(flush)),
            (commit, flush) => commit.or(flush),
        }
    }

    fn write(&mut self, write: Write, now: Instant) {
        if self.store.is_read_only() {
            self.log.give_up(write);
            return;
        }
        self.log.set_elapsed(now.saturating_duration_since(self.start));
        let result = self.log.append(write);
        self.judge(result, now);
    }

    fn due(&mut self, now: Instant) {
        if self.commit_due.is_some_and(|due| due <= now) {
            let result = self.log.commit();
            self.judge(result, now);
        }
        if self.flush_due.is_some_and(|due| due <= now) {
            let result = self.log.flush();
            self.judge(result, now);
        }
    }

    /// Seals, flushes, lets go of the device.
    fn close(&mut self) -> Fate {
        let sealed = if self.store.is_read_only() {
            Ok(())
        } else {
            self.log.seal()
        };
        self.judge(sealed, Instant::now());
        let failed = self.store.is_read_only();
        self.store.set_read_only();
        if let Some(keeper) = self.store.keeper.get() {
            keeper.close_and_wait();
        }
        if let Err(error) = self.store.device.unlock() {
            tracing::error!(%error, "cache disk: the lock cannot be released; the next process will wait for our exit");
        }
        if failed { Fate::Dropped } else { Fate::Committed }
    }

    /// Sets the next deadlines after the log has acted; ends all writing when it could not.
    fn judge(&mut self, result: io::Result<()>, now: Instant) {
        if let Err(error) = result {
            tracing::error!(
                %error,
                "cache disk: a write failed; what is there is still served, nothing more is written until the device is \
                 opened anew: check the drive"
            );
            self.store.metrics.write_errors.inc();
            self.store.set_read_only();
            self.log.abandon();
            (self.commit_due, self.flush_due) = (None, None);
            return;
        }
        self.commit_due = match (self.log.has_staged(), self.commit_due) {
            (true, None) => Some(now + self.commit_delay),
            (true, due) => due,
            (false, _) => None,
        };
        self.flush_due = match (self.log.has_unflushed(), self.flush_due) {
            (true, None) => Some(now + FLUSH_INTERVAL),
            (true, due) => due,
            (false, _) => None,
        };
    }
}

/// Whatever ends the writer, nobody waits for it afterwards.
struct CloseAtEnd<'a>(&'a Queue);

impl Drop for CloseAtEnd<'_> {
    fn drop(&mut self) {
        self.0.abandon();
    }
}
