//! The thread that keeps the journal: takes all purges that wait, commits them together, tells who waits.

use super::Journal;
use crate::disk::metrics::DiskMetrics;
use crate::purge::{Entry, Floor, Purges, Record};
use parking_lot::{Condvar, Mutex};
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::oneshot;

/// Purges that may wait for stable storage at once: some 6 MiB. Beyond it a purge is not acknowledged, and asked for again.
const WAITING_MAX: usize = 1 << 16;

/// The callers' end. When the last clone is dropped, call [`Keeper::close`].
pub(in crate::disk) struct Keeper {
    shared: Arc<Shared>,
}

struct Shared {
    desk: Mutex<Desk>,
    changed: Condvar,
    metrics: DiskMetrics,
}

/// What callers leave for the thread.
#[derive(Default)]
struct Desk {
    waiting: Vec<Waiting>,
    /// What the journal knew at start, until somebody shares it.
    found: Option<Record>,
    journal_entries_max: usize,
    purges: Option<Arc<Purges>>,
    floor: Option<Floor>,
    /// Up to where the journal was complete when it was shared.
    known: u64,
    /// All that is known is to be written anew.
    renew: bool,
    closed: bool,
    ended: bool,
}

struct Waiting {
    entry: Entry,
    answer: oneshot::Sender<io::Result<()>>,
}

/// What the thread found on the desk.
struct Work {
    waiting: Vec<Waiting>,
    purges: Option<Arc<Purges>>,
    renew: bool,
    closed: bool,
}

impl Keeper {
    /// Starts the thread. `oldest` says when the oldest record on the device may have been judged last, as a sequence;
    /// 0 when that is not known.
    pub(in crate::disk) fn start(
        journal: Journal,
        found: Record,
        metrics: DiskMetrics,
        oldest: impl Fn() -> u64 + Send + 'static,
    ) -> io::Result<Keeper> {
        let desk = Desk {
            found: Some(found),
            journal_entries_max: journal.entries_max(),
            renew: journal.is_unclean(),
            ..Desk::default()
        };
        let shared = Arc::new(Shared {
            desk: Mutex::new(desk),
            changed: Condvar::new(),
            metrics,
        });
        let thread = Thread {
            shared: Arc::clone(&shared),
            journal,
            oldest,
        };
        std::thread::Builder::new()
            .name("cache-disk-purge".to_owned())
            .spawn(move || thread.run())?;
        Ok(Keeper { shared })
    }

    /// Shares what the journal knows, and commits what is purged from now on. Once.
    pub(in crate::disk) fn join(&self, purges: &Arc<Purges>) {
        let mut desk = self.shared.desk.lock();
        let Some(found) = desk.found.take() else { return };
        desk.floor = Some(purges.adopt(&found, desk.journal_entries_max));
        desk.purges = Some(Arc::clone(purges));
        desk.known = found.latest;
        // What other devices know, or was recorded before, is not in this journal yet.
        desk.renew |= purges.latest() > found.latest;
        self.shared.changed.notify_all();
    }

    /// Writes all that is known into the journal if it may lack any of it: another device has joined, and knew more.
    pub(in crate::disk) fn catch_up(&self) {
        let mut desk = self.shared.desk.lock();
        if desk
            .purges
            .as_ref()
            .is_some_and(|purges| purges.latest() > desk.known)
        {
            desk.renew = true;
            self.shared.changed.notify_all();
        }
    }

    /// Commits an entry that [`Purges`] has recorded. Resolves when it is on stable storage.
    pub(in crate::disk) fn record(
        &self,
        entry: Entry,
    ) -> impl Future<Output = io::Result<()>> + Send + use<> {
        let (answer, told) = oneshot::channel();
        {
            let mut desk = self.shared.desk.lock();
            if desk.closed {
                let gone = io::Error::new(io::ErrorKind::BrokenPipe, "the disk was closed");
                answer.send(Err(gone)).ok();
            } else if desk.waiting.len() >= WAITING_MAX {
                let full = io::Error::new(io::ErrorKind::WouldBlock, "too many purges wait for the disk");
                answer.send(Err(full)).ok();
            } else {
                desk.waiting.push(Waiting { entry, answer });
                self.shared.changed.notify_all();
            }
        }
        async move {
            let lost = |_| {
                io::Error::new(
                    io::ErrorKind::BrokenPipe,
                    "the thread that keeps the journal has ended",
                )
            };
            told.await.map_err(lost)?
        }
    }

    /// Nothing more is taken; what waits is committed. Does not wait.
    pub(in crate::disk) fn close(&self) {
        self.shared.desk.lock().closed = true;
        self.shared.changed.notify_all();
    }

    /// Closes, and returns when the journal is not written any more.
    pub(in crate::disk) fn close_and_wait(&self) {
        self.close();
        let mut desk = self.shared.desk.lock();
        self.shared.changed.wait_while(&mut desk, |desk| !desk.ended);
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.close();
    }
}

struct Thread<O> {
    shared: Arc<Shared>,
    journal: Journal,
    oldest: O,
}

impl<O: Fn() -> u64> Thread<O> {
    fn run(mut self) {
        let _ended = EndedAtEnd(Arc::clone(&self.shared));
        loop {
            let work = self.shared.next();
            if work.closed && work.waiting.is_empty() && !work.renew {
                return;
            }
            let entries: Vec<Entry> = work.waiting.iter().map(|waiting| waiting.entry).collect();
            let committed = match &work.purges {
                Some(purges) => self.commit(&entries, purges, work.renew),
                None => Err(io::Error::other("nobody has taken what the journal knows")),
            };
            for waiting in work.waiting {
                let answer = match &committed {
                    Ok(()) => Ok(()),
                    Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
                };
                // Who no longer waits does not mind.
                waiting.answer.send(answer).ok();
            }
        }
    }

    fn commit(&mut self, entries: &[Entry], purges: &Purges, renew: bool) -> io::Result<()> {
        let start = Instant::now();
        let written = if renew || self.journal.is_full_for(entries.len()) {
            self.forget(purges);
            // All that is known is more than what waits: that was recorded before it was handed over.
            let known = purges.to_record();
            let begun = self.journal.begin(&known);
            match self.journal.is_unclean() && begun.is_ok() {
                // The half that was in use is harmed as well.
                true => self.journal.begin(&known),
                false => begun,
            }
        } else {
            self.journal.append(entries, purges.forgotten())
        };
        let metrics = &self.shared.metrics.journal;
        let written = written.inspect_err(|error| {
            metrics.errors.inc();
            tracing::error!(
                %error,
                "cache disk: the purge journal cannot be written; purges are in force but not acknowledged: check the \
                 drive"
            );
        })?;
        purges.set_durable(self.journal.latest());
        metrics.commits.inc();
        metrics.written_bytes.inc_by(written.bytes);
        metrics.beginnings.inc_by(u64::from(written.began));
        metrics
            .bytes
            .set(i64::try_from(self.journal.used_bytes()).unwrap_or(i64::MAX));
        metrics.seconds.observe(start.elapsed().as_secs_f64());
        Ok(())
    }

    /// Purges older than anything on any device are not needed any more.
    fn forget(&self, purges: &Purges) {
        let oldest = (self.oldest)();
        if let Some(floor) = self.shared.desk.lock().floor.as_ref() {
            purges.raise_floor(floor, oldest);
        }
    }
}

/// However the thread ends, nobody waits for it afterwards.
struct EndedAtEnd(Arc<Shared>);

impl Drop for EndedAtEnd {
    fn drop(&mut self) {
        let mut desk = self.0.desk.lock();
        desk.closed = true;
        desk.ended = true;
        // Who waited for an answer learns that there is none.
        desk.waiting.clear();
        // A device that is no longer written holds no purge back.
        desk.floor = None;
        self.0.changed.notify_all();
    }
}

impl Shared {
    /// Waits for something to do.
    fn next(&self) -> Work {
        let mut desk = self.desk.lock();
        self.changed.wait_while(&mut desk, |desk| {
            let can_renew = desk.renew && desk.purges.is_some();
            desk.waiting.is_empty() && !can_renew && !desk.closed
        });
        Work {
            waiting: std::mem::take(&mut desk.waiting),
            renew: desk.purges.is_some() && std::mem::take(&mut desk.renew),
            purges: desk.purges.clone(),
            closed: desk.closed,
        }
    }
}
