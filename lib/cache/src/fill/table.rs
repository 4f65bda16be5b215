//! The flight table: which objects are being fetched, or are on their way to the disk.
//!
//! Cells of the RAM tier are only written under their shard's lock. That is what makes the table and the tier one
//! thing to look at: a claim that finds no flight finds the cell that its fill has left, and no older head, read from
//! disk meanwhile, replaces a newer one.

use super::{flight::Shared, memory::FillMemory, uncacheable::Uncacheable};
use crate::{
    disk::Hints,
    head::Head,
    key::Key,
    purge::{Admission, Fate},
    ram::Cell,
    tiers::{Coverage, Tiers},
};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// Locks the table is spread over; held for a look-up and a pointer or two.
const SHARDS: usize = 256;
/// Version numbers within one millisecond, beyond which they run ahead of the clock, which is harmless.
const VERSIONS_PER_MILLISECOND: u64 = 1 << 16;

/// All fills of one cache, and what they share.
pub(crate) struct Fills {
    pub(crate) tiers: Arc<Tiers>,
    pub(crate) memory: Arc<FillMemory>,
    uncacheable: Uncacheable,
    shards: Box<[Mutex<Shard>]>,
    newest_version: AtomicU64,
    salt: u64,
}

#[derive(Default)]
pub(super) struct Shard {
    pub(super) flights: HashMap<Key, Arc<Shared>, BuildHasherDefault<KeyHasher>>,
    /// The version of which a disk copy is on its way, whatever has taken its flight's place. As many at most as the
    /// disk has in line.
    landing: HashMap<Key, u64, BuildHasherDefault<KeyHasher>>,
    evictions: u64,
}

/// The evictions a shard has seen: a head read from disk is only kept when there were none since.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Evictions(pub(crate) u64);

impl Fills {
    pub(crate) fn new(tiers: Arc<Tiers>, memory: FillMemory) -> Fills {
        Fills {
            tiers,
            memory: Arc::new(memory),
            uncacheable: Uncacheable::new(),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            newest_version: AtomicU64::new(0),
            salt: RandomState::new().build_hasher().finish() % VERSIONS_PER_MILLISECOND,
        }
    }

    pub(super) fn shard(&self, key: &Key) -> &Mutex<Shard> {
        // The low bits choose the bucket within the shard's map.
        &self.shards[(key.hash() >> 64) as usize % SHARDS]
    }

    /// The flight of `key`, whatever its stage.
    pub(crate) fn flight(&self, key: &Key) -> Option<Arc<Shared>> {
        self.shard(key).lock().flights.get(key).cloned()
    }

    /// Takes `flight` out of the table, if it is still there: eviction or a later claim may have taken its place.
    pub(super) fn remove(&self, flight: &Arc<Shared>) {
        let mut shard = self.shard(&flight.key).lock();
        if shard.has(flight) {
            shard.flights.remove(&flight.key);
        }
    }

    /// A version newer than any before (see [`crate::cache`]).
    pub(super) fn next_version(&self, head: &Head) -> u64 {
        let moment = head
            .freshness
            .generated_at
            .0
            .saturating_mul(VERSIONS_PER_MILLISECOND);
        let by_clock = moment.saturating_add(self.salt);
        self.newest_version
            .fetch_max(by_clock.saturating_sub(1), Ordering::SeqCst);
        self.newest_version.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Versions from now on are newer than `version`, which was found on disk.
    pub(crate) fn know_version(&self, version: u64) {
        self.newest_version.fetch_max(version, Ordering::SeqCst);
    }

    pub(crate) fn is_uncacheable(&self, key: &Key) -> bool {
        self.uncacheable.contains(key)
    }

    pub(super) fn remember_uncacheable(&self, key: &Key, remember: Duration) {
        self.uncacheable.remember(key, remember);
    }

    pub(super) fn forget_uncacheable(&self, key: &Key) {
        self.uncacheable.forget(key);
    }

    pub(crate) fn evictions(&self, key: &Key) -> Evictions {
        Evictions(self.shard(key).lock().evictions)
    }

    /// What is in RAM of `key`, where all its bytes can be read.
    pub(crate) fn whole_in_ram(&self, key: &Key) -> Option<Cell> {
        let cell = self.tiers.ram.cell(key)?;
        (self.coverage(&cell) == Coverage::Whole).then_some(cell)
    }

    /// Whether a purge has taken what this is the head of.
    pub(crate) fn is_purged(&self, head: &Head) -> bool {
        self.tiers.purges.judge(head) == Fate::Hard
    }

    /// Puts a cell that was read from disk into RAM, unless there is a newer one or the key was evicted meanwhile.
    /// Returns what is in RAM now.
    pub(crate) fn keep_read(&self, cell: Cell, since: Evictions) -> Option<Cell> {
        let shard = self.shard(&cell.head.key).lock();
        match self.tiers.ram.cell(&cell.head.key) {
            Some(present) if present.outranks(&cell) => Some(present),
            _ if shard.evictions != since.0 => None,
            _ => {
                self.tiers.ram.keep_cell(cell.clone());
                Some(cell)
            }
        }
    }

    /// The cell as it may be served now: as it is, stale when it was purged softly, not at all when it was purged hard.
    /// What is changed or gone is so in RAM, too.
    pub(crate) fn admit(&self, cell: Cell) -> Option<Cell> {
        if self.tiers.purges.judge(&cell.head) == Fate::Keep {
            return Some(cell);
        }
        let shard = self.shard(&cell.head.key).lock();
        let (ram, rank) = (&self.tiers.ram, cell.head.age_rank());
        let is_in_ram = ram
            .cell(&cell.head.key)
            .is_some_and(|present| present.head.age_rank() == rank);
        let admitted = match self.tiers.purges.admit(&cell.head) {
            Admission::Kept => Some(cell),
            Admission::Stale(head) => {
                let stale = Cell {
                    head,
                    whole: cell.whole,
                };
                if is_in_ram {
                    ram.keep_cell(stale.clone());
                }
                Some(stale)
            }
            Admission::Gone => {
                if is_in_ram {
                    ram.drop_cell(&cell.head.key);
                }
                None
            }
        };
        drop(shard);
        admitted
    }

    /// Forgets what is in RAM of a key that was purged hard: its head and small body at once. Larger ones' chunks are
    /// found by nobody who asks from now on, and stay for those who are reading them until they are displaced.
    pub(crate) fn free(&self, key: &Key) {
        let shard = self.shard(key).lock();
        self.tiers.ram.drop_cell(key);
        self.uncacheable.forget(key);
        drop(shard);
    }

    /// Gives the object of `old` a new head for the same bytes, in RAM and, where it is there, on disk. When a newer
    /// fill has taken the object's place, that is what is returned. `sequence` is that of the claim by which upstream
    /// was asked; what was purged since is returned to who asked before, and not kept.
    pub(crate) fn refresh(&self, old: &Head, mut new: Head, sequence: u64) -> Cell {
        let shard = self.shard(&old.key).lock();
        let present = self.tiers.ram.cell(&old.key);
        if let Some(newer) = present
            .as_ref()
            .filter(|present| present.head.version > old.version)
        {
            return newer.clone();
        }
        let same = present.filter(|present| present.head.version == old.version);
        let revision = same
            .as_ref()
            .map_or(old.revision, |same| same.head.revision.max(old.revision));
        new.key = old.key.clone();
        new.version = old.version;
        new.revision = revision.saturating_add(1);
        new.length = same.as_ref().and_then(|same| same.head.length).or(old.length);
        new.set_sequence(sequence);
        let whole = same.and_then(|same| same.whole);
        let head = match self.tiers.purges.admit(&new) {
            Admission::Kept => Arc::new(new),
            Admission::Stale(head) => head,
            Admission::Gone => {
                self.tiers.ram.drop_cell(&old.key);
                let head = Arc::new(new);
                return Cell { head, whole };
            }
        };
        let cell = Cell { head, whole };
        self.tiers.ram.keep_cell(cell.clone());
        let on_its_way = shard.landing.get(&old.key) == Some(&old.version);
        if on_its_way || self.tiers.on_disk(&cell.head, 0) || cell.head.length == Some(0) {
            self.put_head_as(
                &cell.head,
                Hints {
                    outdates: old.freshness.promises_more_than(&cell.head.freshness),
                    ..Hints::of(&cell.head)
                },
            );
        }
        drop(shard);
        self.tiers.metrics.refreshed.inc();
        cell
    }

    /// The object of `old` with a new head, for the caller alone: it was purged, and is not kept.
    pub(super) fn unkept(&self, old: &Head, mut new: Head) -> Cell {
        let same = self
            .tiers
            .ram
            .cell(&old.key)
            .filter(|cell| cell.head.version == old.version);
        new.key = old.key.clone();
        new.version = old.version;
        new.revision = old.revision;
        new.length = old.length;
        Cell {
            head: Arc::new(new),
            whole: same.and_then(|same| same.whole),
        }
    }

    /// Hands a head to the disk and does not wait for it: losing it means one more revalidation.
    pub(super) fn put_head(&self, head: &Head) {
        self.put_head_as(head, Hints::of(head));
    }

    fn put_head_as(&self, head: &Head, hints: Hints) {
        if let (Some(disk), Some(encoded)) = (&self.tiers.disk, self.tiers.purges.encode(head)) {
            drop(disk.put_head(&head.key, head.version, encoded.into(), hints));
        }
    }

    /// Forgets `key` everywhere. A fill under way goes on for those who read it, and is not kept.
    pub(crate) fn evict(&self, key: &Key) {
        self.forget(key);
        self.tiers.metrics.evicted.inc();
    }

    /// The same, uncounted.
    pub(super) fn forget(&self, key: &Key) {
        let mut shard = self.shard(key).lock();
        shard.evictions += 1;
        shard.flights.remove(key);
        shard.landing.remove(key);
        self.tiers.ram.drop_cell(key);
        self.uncacheable.forget(key);
        if let Some(disk) = &self.tiers.disk {
            disk.remove(key.hash());
        }
        drop(shard);
    }

    /// The cell of `key` if its bytes are all there and it is newer than `seen`.
    pub(super) fn newer_cell(&self, key: &Key, seen: Option<&Head>) -> Option<Cell> {
        let cell = self.tiers.ram.cell(key)?;
        if self.tiers.purges.judge(&cell.head) != Fate::Keep {
            return None;
        }
        let newer = seen.is_none_or(|seen| cell.head.age_rank() > seen.age_rank());
        (newer && self.coverage(&cell) == Coverage::Whole).then_some(cell)
    }

    /// How much of a cell's object can be read.
    pub(crate) fn coverage(&self, cell: &Cell) -> Coverage {
        match (&cell.whole, cell.head.length) {
            (Some(_), _) => Coverage::Whole,
            (None, Some(length)) => self.tiers.coverage(&cell.head, length),
            (None, None) => Coverage::None,
        }
    }
}

impl Shard {
    /// The disk copy of `head` is on its way, until [`Shard::has_landed`].
    pub(super) fn lands(&mut self, head: &Head) {
        self.landing.insert(head.key.clone(), head.version);
    }

    /// The disk has it, or never will.
    pub(super) fn has_landed(&mut self, head: &Head) {
        if self.landing.get(&head.key) == Some(&head.version) {
            self.landing.remove(&head.key);
        }
    }

    /// Whether `flight` is the one in the table for its key.
    pub(super) fn has(&self, flight: &Arc<Shared>) -> bool {
        self.flights
            .get(&flight.key)
            .is_some_and(|present| Arc::ptr_eq(present, flight))
    }
}

/// Takes the low half of the key's own hash.
#[derive(Default)]
pub(super) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn write_u128(&mut self, hash: u128) {
        self.0 = hash as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{metrics::Metrics, policy::freshness::Freshness, ram::Ram};
    use bytes::Bytes;
    use http::{HeaderMap, StatusCode};
    use model::Moment;

    fn fills() -> Fills {
        let metrics = Metrics::new(&prometheus::Registry::new()).unwrap();
        let tiers = Tiers::new(Ram::new(1 << 20, metrics.clone()), None, metrics.clone());
        Fills::new(Arc::new(tiers), FillMemory::new(1 << 20, metrics))
    }

    fn head(version: u64, generated_at: u64) -> Head {
        let freshness = Freshness {
            generated_at: Moment(generated_at),
            lifetime: Duration::ZERO,
            stale_while_revalidate: Duration::ZERO,
            stale_if_error: Duration::ZERO,
            must_revalidate: false,
        };
        let key = Key::new("demo", "/a");
        let mut head = Head::new(key, StatusCode::OK, HeaderMap::new(), Some(1), freshness);
        head.version = version;
        head
    }

    fn cell(version: u64, whole: &'static [u8]) -> Cell {
        Cell {
            head: Arc::new(head(version, 0)),
            whole: Some(Bytes::from_static(whole)),
        }
    }

    #[test]
    fn versions_grow_whatever_clocks_and_disks_say() {
        let fills = fills();
        let mut last = 0;
        for generated_at in [
            1_700_000_000_000,
            1_700_000_000_000,
            1_700_000_000_001,
            5,
            0,
            u64::MAX,
        ] {
            let version = fills.next_version(&head(0, generated_at));
            assert!(version > last, "{generated_at}");
            last = version;
        }
        let fills = self::fills();
        fills.know_version(1 << 60);
        assert!(
            fills.next_version(&head(0, 1_700_000_000_000)) > 1 << 60,
            "the clock was set back since"
        );
    }

    #[test]
    fn what_was_read_from_disk_never_replaces_what_is_newer() {
        let fills = fills();
        let key = Key::new("demo", "/a");
        let since = fills.evictions(&key);
        assert_eq!(fills.keep_read(cell(2, b"2"), since).unwrap().head.version, 2);
        assert_eq!(
            fills.keep_read(cell(1, b"1"), since).unwrap().head.version,
            2,
            "a fill has landed meanwhile"
        );
        let refreshed = fills.refresh(&head(2, 0), head(0, 9), 0);
        let kept = fills.keep_read(cell(2, b"2"), since).unwrap();
        assert_eq!(
            kept.head.age_rank(),
            refreshed.head.age_rank(),
            "nor the head before its refresh"
        );
        assert_eq!(fills.keep_read(cell(3, b"3"), since).unwrap().head.version, 3);
    }

    #[test]
    fn what_was_being_read_from_disk_during_an_eviction_is_not_brought_back() {
        let fills = fills();
        let key = Key::new("demo", "/a");
        let before = fills.evictions(&key);
        fills.evict(&key);
        assert!(fills.keep_read(cell(1, b"1"), before).is_none());
        assert!(fills.tiers.ram.cell(&key).is_none());
        assert!(fills.keep_read(cell(1, b"1"), fills.evictions(&key)).is_some());
    }
}
