//! The engine's front: look up, claim, refresh, purge, evict.
//!
//! **Versions.** Every fill gets a version that is unique and greater than all before it, also over restarts: the
//! greater of "one more than the greatest known" and the milliseconds of the answer's `generated_at` × 65,536 plus a
//! salt of this process. Versions read from disk count as known, and a fill follows a look-up, so the next version of
//! a key is greater than the one on disk even when the clock has been set back. The salt keeps a fill apart from parts
//! that a killed process left without a head. Bytes are found by version: no reader ever mixes two fills.

use crate::{
    disks::Disks,
    fill::{Claim, Varying, memory::FillMemory, table::Fills},
    head::Head,
    key::Key,
    metrics::Metrics,
    object::{Object, Source},
    purge::{Fate, Mode, Purge, PurgeError, Purges, Receipt, What},
    ram::{Cell, Ram},
    tiers::{Coverage, Tiers},
    warming,
};
use model::Moment;
use std::sync::Arc;

/// The cache: RAM, disk if there is one, and the fills under way. Clones share everything.
#[derive(Clone)]
pub struct Cache {
    tiers: Arc<Tiers>,
    fills: Arc<Fills>,
}

/// What the cache may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the RAM tier, heads included. It may overshoot by 4 MiB (less when it is small) for each core.
    pub ram_bytes: u64,
    /// Bytes of all objects being filled or written to disk. From three quarters of it on, what is on disk is let go, new
    /// objects are served without being kept, and fills wait for their readers or the disk. Also bounds how many fills may be open at once: one for
    /// every 256 KiB, 64 at least; beyond it requests for absent objects are answered 503.
    pub fill_bytes: u64,
}

/// What a look-up finds. A hit says nothing of freshness: ask [`Head::freshness`].
pub enum LookUp {
    /// All of it is there, or is just arriving.
    Hit(Object),
    /// The head and some of the bytes: [`Object::covers`] says which ranges can be served.
    Partial(Object),
    /// Its answers may not be stored, as was found a while ago: fetch it without claiming.
    Uncacheable,
    /// [`Cache::claim`] it.
    Absent,
}

impl Cache {
    /// A cache over `disk`, or in memory alone.
    #[must_use]
    pub fn new(limits: Limits, disk: Option<Disks>, metrics: Metrics) -> Cache {
        let ram = Ram::new(limits.ram_bytes, metrics.clone());
        let memory = FillMemory::new(limits.fill_bytes, metrics.clone());
        let tiers = Arc::new(Tiers::new(ram, disk, metrics));
        let fills = Arc::new(Fills::new(Arc::clone(&tiers), memory));
        Cache { tiers, fills }
    }

    /// The object if its head is in RAM and its bytes are in RAM or on disk. The hot path: one look into RAM, no lock
    /// held, nothing allocated. It sees no fill under way: on `None`, and on an object too stale, [`Cache::look_up`].
    #[must_use]
    pub fn peek(&self, key: &Key) -> Option<Object> {
        let cell = self.tiers.ram.cell(key)?;
        if self.tiers.purges.judge(&cell.head) != Fate::Keep {
            return None;
        }
        if cell.whole.is_none() && self.fills.coverage(&cell) != Coverage::Whole {
            return None;
        }
        self.tiers.metrics.hits_ram.inc();
        if warming::is_sampled() {
            self.tiers.warm_on_disk(&cell.head, 0);
        }
        Some(Object::of_cell(cell, &self.tiers, Source::Ram))
    }

    /// Looks everywhere: fills under way, RAM, disk.
    pub async fn look_up(&self, key: &Key) -> LookUp {
        let found = self.find(key).await;
        let metrics = &self.tiers.metrics;
        match &found {
            LookUp::Hit(object) => match object.source() {
                Source::Ram => metrics.hits_ram.inc(),
                Source::Disk => metrics.hits_disk.inc(),
                Source::Fill => metrics.hits_fill.inc(),
            },
            LookUp::Partial(_) => metrics.partial.inc(),
            LookUp::Uncacheable => metrics.uncacheable.inc(),
            LookUp::Absent => metrics.absent.inc(),
        }
        found
    }

    async fn find(&self, key: &Key) -> LookUp {
        // Before anything else is read: what is evicted from here on is not brought back by us.
        let evictions = self.fills.evictions(key);
        // The flight first. A fill that ends after we looked for it leaves its cell in RAM before it goes.
        let flight = self.fills.flight(key);
        let flight = flight.filter(|flight| !self.fills.is_overtaken(flight));
        let cell = self.tiers.ram.cell(key).and_then(|cell| self.fills.admit(cell));
        let filling = flight.as_ref().and_then(|flight| flight.object());
        match (filling, cell) {
            (Some(object), None) => return LookUp::Hit(object.clone()),
            // While the fill runs it is the newest there is.
            (Some(object), Some(cell)) if object.head().age_rank() > cell.head.age_rank() => {
                return LookUp::Hit(object.clone());
            }
            // When it has ended, what it left in RAM is as good, and may have been refreshed. But until the disk has
            // it, only the flight is sure to have its bytes.
            (filled, Some(cell)) => {
                let same = filled.filter(|object| object.head().version == cell.head.version);
                match (self.judge(cell, Source::Ram), same) {
                    (None | Some(LookUp::Partial(_)), Some(object)) => return LookUp::Hit(object.clone()),
                    (Some(found), _) => return found,
                    (None, None) => {}
                }
            }
            (None, None) => {}
        }
        if self.fills.is_uncacheable(key) {
            return LookUp::Uncacheable;
        }
        let fills = Arc::clone(&self.fills);
        // Another may have read it between our look into RAM and now.
        let known = move |key: &Key| fills.whole_in_ram(key);
        let fills = Arc::clone(&self.fills);
        // Within the read: it is in RAM before the read is over, so that who comes later finds it there.
        let keep = move |cell: Cell| {
            fills.know_version(cell.head.version);
            match fills.is_purged(&cell.head) {
                true => None,
                false => fills.keep_read(cell, evictions),
            }
        };
        let kept = self.tiers.cell_from_disk(key, evictions.0, known, keep).await;
        let Some(cell) = kept.and_then(|cell| self.fills.admit(cell)) else {
            return LookUp::Absent;
        };
        self.judge(cell, Source::Disk).unwrap_or(LookUp::Absent)
    }

    /// Hit or partial; `None` when there is a head but not a byte of its body.
    fn judge(&self, cell: Cell, source: Source) -> Option<LookUp> {
        let coverage = self.fills.coverage(&cell);
        let object = Object::of_cell(cell, &self.tiers, source);
        match coverage {
            Coverage::Whole => Some(LookUp::Hit(object)),
            Coverage::Part => Some(LookUp::Partial(object)),
            Coverage::None => None,
        }
    }

    /// Who fetches `key`? `seen` is the head of the object that the caller has found and cannot use (stale, or in
    /// part), `None` when it found nothing. One caller gets the lead; all others join it, and a fill that has ended
    /// since the caller looked counts as joined. What a join yields is to be served whatever its freshness says.
    #[must_use]
    pub fn claim(&self, key: &Key, seen: Option<&Arc<Head>>) -> Claim {
        self.fills.claim(key, seen.map(Arc::as_ref))
    }

    /// Gives a stored object a new head for the same bytes, in RAM and on disk: upstream has answered 304 for `old`.
    /// Key, version and length stay those of `old`, and so does what is known of purges: whoever asked upstream after
    /// one has a [`crate::Lead`] and refreshes through that.
    pub fn refresh(&self, old: &Arc<Head>, new: Head) -> Object {
        Object::of_cell(
            self.fills.refresh(old, new, old.checked()),
            &self.tiers,
            Source::Ram,
        )
    }

    /// Notes that the variant of `head`, which was stored or confirmed before, is among those of its URL, and how long it
    /// is of use.
    pub fn mark(&self, varying: &Varying<'_>, head: &Head) {
        drop(self.fills.mark(varying, head));
    }

    /// Counts a request whose variant cannot be told from others within the bound.
    pub fn refuse_variant(&self) {
        self.tiers.metrics.variants_refused.inc();
    }

    /// Purges: whatever matches and was claimed before is gone, or stale, for everyone who asks from now on, on every
    /// tier, after restarts, and when a fill under way brings it. Those who asked before get what they were promised.
    ///
    /// It is in force when this returns, and acknowledged when every disk that works has
    /// it on stable storage: some milliseconds. Without a disk there is nothing that could come back: it is in force.
    ///
    /// Objects are dropped lazily: a hard purge by URL frees the memory of its head and small body at once, all else
    /// goes when it is touched, displaced or reclaimed. Repeating a purge is harmless. Dropping the future leaves the
    /// purge in force and unacknowledged.
    ///
    /// # Errors
    /// [`PurgeError::Invalid`] when it names nothing that could be stored; [`PurgeError::NotDurable`] when the disk did not take
    /// it: purge again.
    pub fn purge(
        &self,
        purge: &Purge,
        now: Moment,
    ) -> impl Future<Output = Result<Receipt, PurgeError>> + Send + use<> {
        let recorded = self.tiers.purges.record(purge, now);
        if let (What::Url(key), Mode::Hard, Ok(_)) = (&purge.what, purge.mode, &recorded) {
            self.fills.free(key);
        }
        let journalled = match (&self.tiers.disk, &recorded) {
            (Some(disk), Ok(entry)) => Some(disk.record(*entry)),
            _ => None,
        };
        async move {
            let entry = recorded?;
            if let Some(journalled) = journalled {
                journalled.await.map_err(PurgeError::NotDurable)?;
            }
            Ok(Receipt {
                sequence: entry.sequence,
            })
        }
    }

    /// The purges of this node: what compares sequences with other nodes, and disks that come and go, ask it.
    #[must_use]
    pub fn purges(&self) -> &Arc<Purges> {
        &self.tiers.purges
    }

    /// Forgets `key`, in RAM and on disk, but not its variants: [`Cache::purge`] does. A fill under way goes on for those who read it, and is not kept.
    pub fn evict(&self, key: &Key) {
        self.fills.evict(key);
    }

    /// Seals and flushes the disk; it is read-only afterwards.
    pub async fn close(&self) {
        if let Some(disk) = &self.tiers.disk {
            disk.close().await;
        }
    }
}
