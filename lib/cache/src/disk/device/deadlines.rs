//! Ends what takes too long: a thread that sleeps until the oldest unanswered read is overdue.
//!
//! Not the runtime's timers: a read may be awaited on any runtime, or none, and nearly all end long before.

use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Something that ends by itself, or is ended.
pub(super) trait Overdue: Send + Sync {
    fn has_ended(&self) -> bool;
    fn end(&self);
}

/// One patience for all that is added, so the oldest is always first.
pub(in crate::disk) struct Deadlines {
    shared: Arc<Shared>,
    patience: Duration,
}

struct Shared {
    waiting: Mutex<Waiting>,
    arrival: Condvar,
}

#[derive(Default)]
struct Waiting {
    /// Oldest first. Those that have ended are taken off when they come to the front: by whoever adds, so that a busy
    /// device does not need the thread.
    queue: VecDeque<(Instant, Arc<dyn Overdue>)>,
    /// The thread sleeps without a deadline.
    is_idle: bool,
    closed: bool,
}

impl Deadlines {
    /// Starts the thread. It ends when this is dropped.
    pub(in crate::disk) fn start(patience: Duration) -> io::Result<Deadlines> {
        let shared = Arc::new(Shared {
            waiting: Mutex::default(),
            arrival: Condvar::new(),
        });
        std::thread::Builder::new()
            .name("cache-disk-late".to_owned())
            .spawn({
                let shared = shared.clone();
                move || shared.serve()
            })?;
        Ok(Deadlines { shared, patience })
    }

    /// Will be ended when it has not by itself in time.
    pub(super) fn add(&self, overdue: Arc<dyn Overdue>) {
        let mut waiting = self.shared.waiting.lock();
        waiting.queue.push_back((Instant::now() + self.patience, overdue));
        while waiting
            .queue
            .front()
            .is_some_and(|(_, oldest)| oldest.has_ended())
        {
            waiting.queue.pop_front();
        }
        if std::mem::take(&mut waiting.is_idle) {
            drop(waiting);
            self.shared.arrival.notify_one();
        }
    }
}

impl Drop for Deadlines {
    fn drop(&mut self) {
        self.shared.waiting.lock().closed = true;
        self.shared.arrival.notify_one();
    }
}

impl Shared {
    fn serve(&self) {
        let mut waiting = self.waiting.lock();
        while !waiting.closed {
            match waiting.queue.front() {
                None => {
                    waiting.is_idle = true;
                    self.arrival.wait(&mut waiting);
                    waiting.is_idle = false;
                }
                Some((deadline, oldest)) if oldest.has_ended() || *deadline <= Instant::now() => {
                    let oldest = waiting.queue.pop_front();
                    parking_lot::MutexGuard::unlocked(&mut waiting, || {
                        if let Some((_, oldest)) = oldest {
                            oldest.end();
                        }
                    });
                }
                Some((deadline, _)) => {
                    let deadline = *deadline;
                    self.arrival.wait_until(&mut waiting, deadline);
                }
            }
        }
    }
}
