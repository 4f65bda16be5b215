//! The RAM tier: one budget for heads, small bodies and the chunks of larger ones.
//!
//! An object is a *cell* (its head, and its whole body up to [`WHOLE_BYTES`]); a larger body lies beside it in chunks
//! of [`CHUNK_BYTES`], each with a life of its own, so that a film's hot beginning stays when its end goes.
//!
//! The eviction policy is plain LRU, with a disk and without one. moka's other policy, TinyLFU, refuses newcomers that
//! were asked for less often than what they would displace. That suits a tier whose every entry was wanted before;
//! here it would refuse what has just been filled (a live segment is always new, and without a disk the next request
//! would fetch it again), it judges cell and chunks of one object apart, and it weighs one 256 KiB chunk against the
//! summed popularity of the hundred small cells it displaces, so that chunks would hardly ever enter. The price of LRU
//! is that one pass over a large cold library washes the tier; with a disk below a washed-out entry costs a disk read.
//!
//! No eviction listener: with one, maintenance may run long on a thread that serves. Maintenance runs every few
//! mebibytes of insertions instead ([`Ram::settle`]), which bounds by how much the tier overshoots.

use crate::{head::Head, key::Key, metrics::Metrics, tiers::gauge};
use bytes::Bytes;
use moka::policy::EvictionPolicy;
use std::{
    hash::{BuildHasherDefault, Hash, Hasher},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// A chunk: the unit of RAM, of reads from disk and of what a fill copies together.
pub(crate) const CHUNK_BYTES: u64 = 256 << 10;
/// The largest body kept whole in its object's cell.
pub(crate) const WHOLE_BYTES: u64 = 64 << 10;
/// Memory of an entry beside what it holds: moka's table slot, key, counters and list node.
const ENTRY_OVERHEAD_BYTES: usize = 256;
/// Insertions after which evictions are carried out: the most by which the tier may overshoot, once per running thread.
const SETTLE_BYTES: u64 = 4 << 20;
/// A small tier settles more often: after this share of its budget.
const SETTLE_SHARE: u64 = 32;
/// An object longer than this share of the tier is not put there by its fill: it would displace all else and, without
/// a disk, still not be whole when it is asked for again.
const LARGEST_SHARE: u64 = 4;

/// The hot tier. Shared by reference; every call is synchronous.
pub(crate) struct Ram {
    entries: moka::sync::Cache<Place, Held, BuildHasherDefault<PlaceHasher>>,
    budget: u64,
    unsettled: AtomicU64,
    metrics: Metrics,
}

/// A head, and the body when it is small.
#[derive(Clone)]
pub(crate) struct Cell {
    pub(crate) head: Arc<Head>,
    pub(crate) whole: Option<Bytes>,
}

/// Where an entry is: cells by key, chunks by key, version and number.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Place {
    key_hash: u128,
    version: u64,
    number: u64,
}

/// `Place::number` of a cell.
const CELL: u64 = u64::MAX;

#[derive(Clone)]
enum Held {
    Cell(Cell),
    Chunk(Bytes),
}

impl Place {
    fn cell(key_hash: u128) -> Place {
        Place {
            key_hash,
            version: 0,
            number: CELL,
        }
    }
}

impl Cell {
    /// This cell may stay where it is when `other`, of the same key, turns up.
    pub(crate) fn outranks(&self, other: &Cell) -> bool {
        let (ours, theirs) = (self.head.age_rank(), other.head.age_rank());
        ours > theirs || ours == theirs && (self.whole.is_some() || other.whole.is_none())
    }
}

impl Ram {
    pub(crate) fn new(budget: u64, metrics: Metrics) -> Ram {
        metrics.ram_bound_bytes.set(gauge(budget));
        let entries = moka::sync::Cache::builder()
            .max_capacity(budget)
            .weigher(|_, held: &Held| u32::try_from(held.memory_bytes()).unwrap_or(u32::MAX))
            .eviction_policy(EvictionPolicy::lru())
            .build_with_hasher(BuildHasherDefault::default());
        Ram {
            entries,
            budget,
            unsettled: AtomicU64::new(0),
            metrics,
        }
    }

    /// Bytes that it may hold.
    pub(crate) fn budget(&self) -> u64 {
        self.budget
    }

    /// The cell of `key`, its text compared.
    pub(crate) fn cell(&self, key: &Key) -> Option<Cell> {
        match self.entries.get(&Place::cell(key.hash()))? {
            Held::Cell(cell) if cell.head.key == *key => Some(cell),
            _ => None,
        }
    }

    /// Puts `cell` in its place. Which of two cells is the newer is for the caller to say.
    pub(crate) fn keep_cell(&self, cell: Cell) {
        self.insert(Place::cell(cell.head.key.hash()), Held::Cell(cell));
    }

    pub(crate) fn drop_cell(&self, key: &Key) {
        self.entries.invalidate(&Place::cell(key.hash()));
    }

    pub(crate) fn chunk(&self, key_hash: u128, version: u64, number: u64) -> Option<Bytes> {
        match self.entries.get(&Place {
            key_hash,
            version,
            number,
        })? {
            Held::Chunk(bytes) => Some(bytes),
            Held::Cell(_) => None,
        }
    }

    pub(crate) fn has_chunk(&self, key_hash: u128, version: u64, number: u64) -> bool {
        self.entries.contains_key(&Place {
            key_hash,
            version,
            number,
        })
    }

    pub(crate) fn keep_chunk(&self, key_hash: u128, version: u64, number: u64, bytes: Bytes) {
        self.insert(
            Place {
                key_hash,
                version,
                number,
            },
            Held::Chunk(bytes),
        );
    }

    /// Whether an object of `length` bytes is small enough to be put here by its fill.
    pub(crate) fn admits(&self, length: u64) -> bool {
        length <= self.budget / LARGEST_SHARE
    }

    fn insert(&self, place: Place, held: Held) {
        let bytes = held.memory_bytes() as u64;
        self.entries.insert(place, held);
        let unsettled = self.unsettled.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if unsettled >= SETTLE_BYTES.min(self.budget / SETTLE_SHARE) {
            self.settle();
        }
    }

    /// Carries out the evictions that are due.
    fn settle(&self) {
        self.unsettled.store(0, Ordering::Relaxed);
        self.entries.run_pending_tasks();
        self.metrics.ram_bytes.set(gauge(self.entries.weighted_size()));
    }

    /// Bytes held, after all evictions that are due.
    #[cfg(test)]
    pub(crate) fn settled_bytes(&self) -> u64 {
        self.settle();
        self.entries.weighted_size()
    }
}

impl Held {
    fn memory_bytes(&self) -> usize {
        ENTRY_OVERHEAD_BYTES
            + match self {
                Held::Cell(cell) => {
                    cell.head.memory_bytes()
                        + cell
                            .whole
                            .as_ref()
                            .map_or(0, |whole| allocated_bytes(whole.len()))
                }
                Held::Chunk(bytes) => allocated_bytes(bytes.len()),
            }
    }
}

/// What an allocation of `bytes` takes: allocators round up to one of four sizes between two powers of two.
fn allocated_bytes(bytes: usize) -> usize {
    match bytes.checked_ilog2() {
        Some(log) if log >= 2 => bytes.next_multiple_of(1 << (log - 2)),
        _ => bytes,
    }
}

impl Hash for Place {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // The key's hash is XXH3 already; version and number are mixed in by odd multipliers (of SplitMix64).
        let mixed = (self.key_hash as u64)
            ^ self.version.wrapping_mul(0x9e37_79b9_7f4a_7c15)
            ^ self.number.wrapping_mul(0xbf58_476d_1ce4_e5b9);
        state.write_u64((mixed ^ (mixed >> 32)).wrapping_mul(0x94d0_49bb_1331_11eb));
    }
}

/// Passes on what [`Place`] has mixed.
#[derive(Default)]
struct PlaceHasher(u64);

impl Hasher for PlaceHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn write_u64(&mut self, mixed: u64) {
        self.0 = mixed;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_entry_weighs_what_its_allocation_takes() {
        for (bytes, allocated) in [
            (0, 0),
            (3, 3),
            (1000, 1024),
            (1025, 1280),
            (65_536, 65_536),
            (200_000, 229_376),
            (262_144, 262_144),
        ] {
            assert_eq!(super::allocated_bytes(bytes), allocated, "{bytes}");
        }
    }

    use super::*;
    use crate::policy::freshness::Freshness;
    use http::{HeaderMap, StatusCode};
    use model::Moment;
    use std::time::Duration;

    fn cell(path: &str, whole: &[u8]) -> Cell {
        let freshness = Freshness {
            generated_at: Moment(0),
            lifetime: Duration::ZERO,
            stale_while_revalidate: Duration::ZERO,
            stale_if_error: Duration::ZERO,
            must_revalidate: false,
        };
        let length = Some(whole.len() as u64);
        let head = Head::new(
            Key::new("demo", path),
            StatusCode::OK,
            HeaderMap::new(),
            length,
            freshness,
        );
        Cell {
            head: Arc::new(head),
            whole: Some(Bytes::copy_from_slice(whole)),
        }
    }

    fn ram(budget: u64) -> Ram {
        Ram::new(budget, Metrics::new(&prometheus::Registry::new()).unwrap())
    }

    #[test]
    fn the_least_recently_read_goes_first_and_heads_count_as_bytes() {
        let ram = ram(1 << 20);
        let key = |number: u32| Key::new("demo", format!("/{number}"));
        for number in 0..2000 {
            ram.keep_cell(cell(&format!("/{number}"), &[0; 800]));
            assert!(
                ram.cell(&key(0)).is_some(),
                "read all the time, it stays ({number})"
            );
        }
        let settled = ram.settled_bytes();
        assert!((900_000..=1 << 20).contains(&settled), "{settled}");
        let present = (0..2000)
            .filter(|number| ram.cell(&key(*number)).is_some())
            .count();
        assert!(
            present < 900,
            "{present} cells of 800 bytes and their heads fit a mebibyte"
        );
        assert!(ram.cell(&key(1999)).is_some() && ram.cell(&key(1)).is_none());
    }

    #[test]
    fn chunks_are_told_apart_by_key_version_and_number() {
        let ram = ram(8 << 20);
        ram.keep_cell(cell("/a", b"whole"));
        ram.keep_chunk(1, 1, 0, Bytes::from_static(b"one"));
        ram.keep_chunk(1, 2, 0, Bytes::from_static(b"two"));
        ram.keep_chunk(1, 1, 1, Bytes::from_static(b"three"));
        assert_eq!(ram.chunk(1, 1, 0).as_deref(), Some(&b"one"[..]));
        assert_eq!(ram.chunk(1, 2, 0).as_deref(), Some(&b"two"[..]));
        assert_eq!(ram.chunk(1, 1, 1).as_deref(), Some(&b"three"[..]));
        assert!(ram.chunk(2, 1, 0).is_none() && !ram.has_chunk(1, 2, 1));
        ram.drop_cell(&Key::new("demo", "/a"));
        assert!(ram.cell(&Key::new("demo", "/a")).is_none());
    }

    #[test]
    fn a_fill_too_large_for_the_tier_is_not_put_there() {
        assert!(ram(8 << 20).admits(2 << 20));
        assert!(!ram(8 << 20).admits((2 << 20) + 1));
    }
}
