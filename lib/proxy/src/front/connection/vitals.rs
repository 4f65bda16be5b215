//! The signs of life of one connection: what it waits for and until when.
//!
//! A timer set and reset for every request would cost more than the request's own bookkeeping. So the stream only
//! notes its deadlines here, one store each, and the task that attends the connection ([`super::attend`]) keeps a
//! single timer that looks at them when it fires.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Waker;
use std::time::Duration;

use tokio::time::Instant;

use crate::front::Shared;

const NONE: u64 = u64::MAX;
const READ: u8 = 1;
const WRITE: u8 = 2;

/// One connection's deadlines and flags. Times are milliseconds since the front door was made.
pub(crate) struct Vitals {
    /// What all connections share.
    pub(crate) shared: Arc<Shared>,
    read_deadline: AtomicU64,
    write_deadline: AtomicU64,
    /// Deadlines that passed and that the stream has not noticed yet.
    expired: AtomicU8,
    sent_bytes: AtomicU64,
    /// What the client had acknowledged when `write_deadline` was set.
    acknowledged: AtomicU64,
    close_when_idle: AtomicBool,
    task: OnceLock<Waker>,
}

impl Vitals {
    /// A connection that waits for nothing yet.
    pub(crate) fn new(shared: Arc<Shared>) -> Arc<Vitals> {
        Arc::new(Vitals {
            shared,
            read_deadline: AtomicU64::new(NONE),
            write_deadline: AtomicU64::new(NONE),
            expired: AtomicU8::new(0),
            sent_bytes: AtomicU64::new(0),
            acknowledged: AtomicU64::new(0),
            close_when_idle: AtomicBool::new(false),
            task: OnceLock::new(),
        })
    }

    /// The client has `time` from now to send what is waited for.
    pub(crate) fn await_client(&self, time: Duration) {
        self.read_deadline
            .store(self.shared.clock.after(time), Ordering::Relaxed);
    }

    /// As [`Vitals::await_client`], unless something is awaited already.
    pub(crate) fn keep_awaiting_client(&self, time: Duration) {
        if self.read_deadline.load(Ordering::Relaxed) == NONE {
            self.await_client(time);
        }
    }

    /// As [`Vitals::await_client`], unless something earlier is awaited already.
    pub(crate) fn hurry_client(&self, time: Duration) {
        self.read_deadline
            .fetch_min(self.shared.clock.after(time), Ordering::Relaxed);
    }

    /// What was waited for has come.
    pub(crate) fn client_came(&self) {
        self.read_deadline.store(NONE, Ordering::Relaxed);
    }

    /// The client took so many bytes.
    pub(crate) fn client_took(&self, bytes: usize) {
        self.sent_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        if self.write_deadline.load(Ordering::Relaxed) != NONE {
            self.write_deadline.store(NONE, Ordering::Relaxed);
        }
    }

    /// No more fits into the kernel's buffer; from the first such moment on, when the client had acknowledged so
    /// many bytes, it has `send_timeout`.
    pub(crate) fn client_takes_nothing(&self, acknowledged: impl FnOnce() -> u64) {
        if self.write_deadline.load(Ordering::Relaxed) == NONE {
            self.acknowledged.store(acknowledged(), Ordering::Relaxed);
            let deadline = self.shared.clock.after(self.shared.limits.send_timeout);
            self.write_deadline.store(deadline, Ordering::Relaxed);
        }
    }

    /// Whether the client has acknowledged more than when it stopped taking what we write.
    pub(crate) fn has_acknowledged_more(&self, acknowledged: u64) -> bool {
        acknowledged > self.acknowledged.load(Ordering::Relaxed)
    }

    /// Bytes the client took since the connection began, TLS included.
    pub(crate) fn sent_bytes(&self) -> u64 {
        self.sent_bytes.load(Ordering::Relaxed)
    }

    /// Whether the connection is to end when it waits for a request for a while.
    pub(crate) fn closes_when_idle(&self) -> bool {
        self.close_when_idle.load(Ordering::Relaxed)
    }

    /// Has the connection end when it waits for a request for a while. Called from any thread.
    pub(crate) fn close_when_idle(&self) {
        self.close_when_idle.store(true, Ordering::Release);
        if let Some(task) = self.task.get() {
            task.wake_by_ref();
        }
    }

    /// Remembers the task that attends the connection.
    pub(crate) fn attended_by(&self, task: &Waker) {
        self.task.get_or_init(|| task.clone());
    }

    /// The earliest deadline, if anything is waited for.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        let next = self
            .read_deadline
            .load(Ordering::Relaxed)
            .min(self.write_deadline.load(Ordering::Relaxed));
        (next != NONE).then_some(next)
    }

    /// Turns deadlines that have passed into expiries, and says whether there was one.
    pub(crate) fn expire(&self, now: u64) -> bool {
        let mut any = false;
        for (deadline, flag) in [(&self.read_deadline, READ), (&self.write_deadline, WRITE)] {
            if deadline.load(Ordering::Relaxed) <= now {
                deadline.store(NONE, Ordering::Relaxed);
                self.expired.fetch_or(flag, Ordering::Relaxed);
                any = true;
            }
        }
        any
    }

    /// Whether an expiry still waits to be noticed.
    pub(crate) fn has_expired(&self) -> bool {
        self.expired.load(Ordering::Relaxed) != 0
    }

    /// Notices that the client did not send in time; true once.
    pub(crate) fn take_read_expiry(&self) -> bool {
        self.take(READ)
    }

    /// Notices that the client took nothing for too long; true once.
    pub(crate) fn take_write_expiry(&self) -> bool {
        self.take(WRITE)
    }

    fn take(&self, flag: u8) -> bool {
        self.has_expired() && self.expired.fetch_and(!flag, Ordering::Relaxed) & flag != 0
    }
}

/// Milliseconds since the front door was made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    /// A clock that starts now.
    pub(crate) fn new() -> Clock {
        Clock(Instant::now())
    }

    /// The time.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_millis()).unwrap_or(NONE - 1)
    }

    /// The time it will be after `time`, rounded up.
    pub(crate) fn after(&self, time: Duration) -> u64 {
        let time = u64::try_from(time.as_millis()).unwrap_or(NONE);
        self.now().saturating_add(time).saturating_add(1).min(NONE - 1)
    }

    /// The instant at which it is `time`.
    pub(crate) fn instant(&self, time: u64) -> Instant {
        /// Further away than any timer needs to look; it looks again then.
        const FURTHEST: Duration = Duration::from_secs(365 * 24 * 3600);
        self.0 + Duration::from_millis(time).min(self.0.elapsed() + FURTHEST)
    }
}
