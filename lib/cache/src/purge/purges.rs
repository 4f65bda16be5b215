//! The purges of one node, shared by all who serve: recorded once, judged by everyone.

use super::live::{Cover, Fields, GivenUp, Live};
use super::{Entry, Kind, Name, Purge, PurgeError, PurgeMetrics, Record, sequence};
use crate::{head::Head, key::Key};
use model::Moment;
use parking_lot::{Mutex, RwLock};
use std::sync::{
    Arc, Weak,
    atomic::{AtomicU64, Ordering},
};

/// Purges of URLs, prefixes and tags that are remembered one by one: up to 80 MiB of memory. Beyond it the service that
/// has most of them is folded into one purge of all that was stored before the latest of them; a node without a disk
/// forgets the older half instead, and with it what it has not served since. A journal too small for so many lowers it.
pub(crate) const LIVE_MAX: usize = 1 << 20;

/// All purges that may still cover something.
pub struct Purges {
    latest: AtomicU64,
    durable: AtomicU64,
    live: RwLock<Live>,
    floors: Mutex<Vec<Weak<AtomicU64>>>,
    metrics: PurgeMetrics,
}

/// What purges say of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// None covers it.
    Keep,
    /// It is stale since then.
    Soft(Moment),
    /// It is gone.
    Hard,
}

/// What is left of an object when it was judged.
#[derive(Debug)]
pub(crate) enum Admission {
    /// It stays as it is.
    Kept,
    /// It has this head from now on: the same, and stale.
    Stale(Arc<Head>),
    Gone,
}

/// The age of what one device holds. Dropped with its device.
#[derive(Debug)]
pub(crate) struct Floor(Arc<AtomicU64>);

impl Purges {
    /// No purges yet.
    #[must_use]
    pub fn new(metrics: PurgeMetrics) -> Purges {
        Purges::with_bound(LIVE_MAX, metrics)
    }

    pub(crate) fn with_bound(bound: usize, metrics: PurgeMetrics) -> Purges {
        Purges {
            latest: AtomicU64::new(0),
            durable: AtomicU64::new(0),
            live: RwLock::new(Live::new(bound)),
            floors: Mutex::default(),
            metrics,
        }
    }

    /// The sequence of the latest purge: what is claimed now comes after it.
    #[must_use]
    pub fn latest(&self) -> u64 {
        self.latest.load(Ordering::Acquire)
    }

    /// Takes a purge: it is in force when this returns, and durable when the entry has been journalled.
    ///
    /// # Errors
    /// [`PurgeError::Invalid`] when no object can match it, or its sequence is from a clock days ahead of `now`.
    pub fn record(&self, purge: &Purge, now: Moment) -> Result<Entry, PurgeError> {
        purge.what.check()?;
        if !sequence::is_plausible(purge.not_before, now) {
            let why = "its sequence is more than a day ahead of our clock: set the clocks right";
            return Err(PurgeError::Invalid(why));
        }
        let name = Name::of(&purge.what);
        let may_forget = self.has_no_device();
        let mut live = self.live.write();
        // Under the lock, so that who sees the sequence finds its entry.
        let sequence = sequence::next(self.latest.load(Ordering::Relaxed), now, purge.not_before);
        let ahead = sequence::moment_of(sequence).since(now);
        let entry = Entry {
            name,
            mode: purge.mode,
            sequence,
            ahead_ms: u32::try_from(ahead.as_millis()).unwrap_or(u32::MAX),
        };
        let given_up = live.insert(entry, may_forget);
        self.latest.store(sequence, Ordering::Release);
        self.metrics.purges[name.kind() as usize].inc();
        self.count(&live, given_up);
        Ok(entry)
    }

    /// Knows of a sequence that another node has: claims and purges from now on come after it.
    ///
    /// # Errors
    /// [`PurgeError::Invalid`] when it is from a clock days ahead of `now`.
    pub fn observe(&self, sequence: u64, now: Moment) -> Result<(), PurgeError> {
        if !sequence::is_plausible(sequence, now) {
            return Err(PurgeError::Invalid(
                "a sequence more than a day ahead of our clock",
            ));
        }
        // Under the lock of who draws the next.
        let _live = self.live.write();
        self.latest.fetch_max(sequence, Ordering::AcqRel);
        Ok(())
    }

    /// What becomes of the object of `head`. When nothing was purged since it was last judged, that is one load and a
    /// compare; otherwise a look into the table, and the head remembers that it was judged.
    #[must_use]
    pub fn judge(&self, head: &Head) -> Fate {
        if head.checked() >= self.latest() {
            return Fate::Keep;
        }
        self.judge_anew(head).0
    }

    /// The fate, and up to which sequence it was judged.
    #[cold]
    fn judge_anew(&self, head: &Head) -> (Fate, u64) {
        let live = self.live.read();
        // Under the lock, so that nothing up to here is missing from the table.
        let latest = self.latest.load(Ordering::Relaxed);
        let cover = live.cover(head.key.text(), Fields::Known(&head.fields), head.checked());
        drop(live);
        let fate = match cover {
            Cover::None => {
                head.raise_checked(latest);
                Fate::Keep
            }
            Cover::Soft(since) => {
                self.metrics.soft.inc();
                Fate::Soft(since)
            }
            Cover::Hard => {
                self.metrics.hard.inc();
                Fate::Hard
            }
            Cover::Unknown => {
                self.metrics.unknown.inc();
                Fate::Hard
            }
        };
        (fate, latest)
    }

    /// Judges, and makes of a head that is purged softly one that is stale.
    pub(crate) fn admit(&self, head: &Head) -> Admission {
        if head.checked() >= self.latest() {
            return Admission::Kept;
        }
        match self.judge_anew(head) {
            (Fate::Keep, _) => Admission::Kept,
            (Fate::Soft(since), judged) => Admission::Stale(Arc::new(head.stale_since(since, judged))),
            (Fate::Hard, _) => Admission::Gone,
        }
    }

    /// Whether a fetch that was claimed at `claimed`, and of whose answer nothing is known, may bring what is purged:
    /// who asks now starts another. Any tag of the service may be among those of the answer.
    pub(crate) fn overtake(&self, key: &Key, claimed: u64) -> bool {
        if claimed >= self.latest() {
            return false;
        }
        self.live.read().cover(key.text(), Fields::Unknown, claimed) != Cover::None
    }

    /// The record of a head that goes to disk now, or `None` when it is purged (or too long). It says no later sequence
    /// than what is durable: after a crash the log must not know of purges that the journal does not.
    pub(crate) fn encode(&self, head: &Head) -> Option<Vec<u8>> {
        let durable = self.durable.load(Ordering::Acquire);
        match self.admit(head) {
            Admission::Kept => head.encode_checked(durable),
            Admission::Stale(head) => head.encode_checked(durable),
            Admission::Gone => None,
        }
    }

    /// What reclaim may copy of a head that lies on disk as `record`: the same, judged up to now. `None` when it is
    /// purged, or not a head.
    #[must_use]
    pub fn carry_over(&self, record: &[u8]) -> Option<Vec<u8>> {
        self.encode(&Head::decode(record).ok()?)
    }

    /// Everything up to `sequence` is journalled.
    pub(crate) fn set_durable(&self, sequence: u64) {
        self.durable.fetch_max(sequence, Ordering::AcqRel);
    }

    /// Whether all that was purged after `since` is known here: a device whose journal is complete up to `since` may
    /// come back. If not, what is old on it is not believed, so it may as well be wiped.
    #[must_use]
    pub fn covers(&self, since: u64) -> bool {
        self.forgotten() <= since
    }

    /// The latest purge that was forgotten.
    pub(crate) fn forgotten(&self) -> u64 {
        self.live.read().forgotten()
    }

    /// A device joins, with what its journal knows and room for so many entries.
    pub(crate) fn adopt(&self, record: &Record, journal_entries_max: usize) -> Floor {
        let floor = Arc::new(AtomicU64::new(0));
        self.floors.lock().push(Arc::downgrade(&floor));
        let mut live = self.live.write();
        live.limit(journal_entries_max);
        let given_up = live.adopt(record);
        self.latest.fetch_max(record.latest, Ordering::AcqRel);
        self.set_durable(record.latest);
        self.count(&live, given_up);
        Floor(floor)
    }

    /// Everything known: what a journal begins a new half with.
    pub(crate) fn to_record(&self) -> Record {
        let live = self.live.read();
        Record {
            entries: live.entries(),
            latest: self.latest.load(Ordering::Relaxed),
            forgotten: live.forgotten(),
        }
    }

    /// A device holds nothing that was judged before `sequence`. Purges that no device needs are forgotten.
    pub(crate) fn raise_floor(&self, floor: &Floor, sequence: u64) {
        floor.0.fetch_max(sequence, Ordering::AcqRel);
        let lowest = {
            let mut floors = self.floors.lock();
            floors.retain(|floor| floor.strong_count() > 0);
            let values = floors.iter().filter_map(Weak::upgrade);
            values.map(|floor| floor.load(Ordering::Acquire)).min()
        };
        let Some(lowest) = lowest.filter(|lowest| *lowest > 0) else {
            return;
        };
        let mut live = self.live.write();
        let forgotten = live.forget(lowest);
        let given_up = GivenUp { folded: 0, forgotten };
        self.count(&live, given_up);
    }

    fn has_no_device(&self) -> bool {
        let floors = self.floors.lock();
        floors.iter().all(|floor| floor.strong_count() == 0)
    }

    #[cfg(test)]
    pub(super) fn metrics_folded(&self) -> u64 {
        self.metrics.folded.get()
    }

    fn count(&self, live: &Live, given_up: GivenUp) {
        for kind in Kind::ALL {
            self.metrics.live[kind as usize].set(i64::try_from(live.count(kind)).unwrap_or(i64::MAX));
        }
        self.metrics.folded.inc_by(given_up.folded as u64);
        self.metrics.forgotten.inc_by(given_up.forgotten as u64);
    }
}
