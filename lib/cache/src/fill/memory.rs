//! The memory of all fills together: one bound, kept by letting go of chunks, never by waiting.
//!
//! What cannot be let go is the tail of an open fill, less than one chunk of [`CHUNK_BYTES`]; the number of open fills
//! is bounded so that all tails fit the limit. Everything else can: a chunk let go is in the RAM tier or on disk as a
//! rule, and where it is not, readers that still need it lag.

use super::growing::Growing;
use crate::{metrics::Metrics, ram::CHUNK_BYTES, tiers::gauge};
use parking_lot::Mutex;
use std::{
    collections::VecDeque,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

/// Open fills that are always allowed, however small the limit: a tiny configuration still serves a page's worth of
/// objects at once, for at most 16 MiB.
const LEAST_OPEN_FILLS: usize = 64;

/// Counts the bytes of all growing objects.
pub(crate) struct FillMemory {
    limit: u64,
    used: AtomicU64,
    open: AtomicUsize,
    most_open: usize,
    /// Objects that have a chunk to let go, in turn. As long as there are such objects; each is here once.
    holders: Mutex<VecDeque<Weak<Growing>>>,
    metrics: Metrics,
}

/// Leave for one open fill, given back on drop.
pub(crate) struct Permit(Arc<FillMemory>);

impl FillMemory {
    pub(crate) fn new(limit: u64, metrics: Metrics) -> FillMemory {
        metrics.fill_bound_bytes.set(gauge(limit));
        let tails = usize::try_from(limit / CHUNK_BYTES).unwrap_or(usize::MAX);
        FillMemory {
            limit,
            used: AtomicU64::new(0),
            open: AtomicUsize::new(0),
            most_open: tails.max(LEAST_OPEN_FILLS),
            holders: Mutex::default(),
            metrics,
        }
    }

    /// Leave for one more fill, unless too many are open.
    pub(crate) fn open(self: &Arc<FillMemory>) -> Option<Permit> {
        let within = |open: usize| (open < self.most_open).then_some(open + 1);
        self.open
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, within)
            .ok()?;
        self.metrics.fills_open.inc();
        Some(Permit(Arc::clone(self)))
    }

    /// Counts `bytes` more, and makes room for them.
    pub(crate) fn take(&self, bytes: u64) {
        let used = self.used.fetch_add(bytes, Ordering::SeqCst) + bytes;
        self.metrics.fill_bytes.set(gauge(used));
        if used > self.limit {
            self.make_room();
        }
    }

    /// Counts `bytes` less.
    pub(crate) fn give_back(&self, bytes: u64) {
        let used = self.used.fetch_sub(bytes, Ordering::SeqCst) - bytes;
        self.metrics.fill_bytes.set(gauge(used));
    }

    /// `growing` has a chunk to let go, and had none before.
    pub(crate) fn enlist(&self, growing: &Arc<Growing>) {
        self.holders.lock().push_back(Arc::downgrade(growing));
    }

    /// Lets go of chunks, in turn over all objects: first such as the disk has, then any.
    fn make_room(&self) {
        for only_on_disk in [true, false] {
            let mut turns = self.holders.lock().len();
            while turns > 0 && self.used.load(Ordering::SeqCst) > self.limit {
                let Some(holder) = self.holders.lock().pop_front() else {
                    return;
                };
                let Some(growing) = holder.upgrade() else {
                    turns -= 1;
                    continue;
                };
                let release = growing.release_oldest(only_on_disk);
                if release.holds_more {
                    self.holders.lock().push_back(holder);
                }
                match release.bytes {
                    0 => turns -= 1,
                    bytes => self.metrics.spilled_bytes.inc_by(bytes),
                }
            }
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
        self.0.metrics.fills_open.dec();
    }
}
