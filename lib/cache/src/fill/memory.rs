//! The memory of all fills together: one bound, kept by letting go of what is elsewhere or no longer needed, by fills
//! that wait for their readers or the disk, and at last by dropping disk copies. Readers are the last to lose anything.
//!
//! ```text
//!  0 ─────────────────────────── mark ──────────── limit
//!      fills keep what they have   │ let go: what is on disk; what no reader needs and the disk was given
//!                                  │ new fills stream through: kept nowhere but in RAM, let go behind their readers
//!                                  │ fills wait: for their reader, or for the disk where a slow reader needs it
//!                                  │ more than the mark in parts not complete: the newest fill streams through
//!                                                  │ all stream through; then readers lag, the slower ones first
//! ```
//!
//! A fill waits with its upstream, which slows down for it: no client sees more than that. It never waits for a reader
//! while another one is faster. What cannot be let go is the tail of an open fill, less than one chunk of
//! [`CHUNK_BYTES`]; the number of open fills is bounded so that all tails fit the limit.

use super::growing::{Growing, Measure};
use crate::{metrics::Metrics, ram::CHUNK_BYTES, relay::Bell, tiers::gauge};
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
/// The mark, in quarters of the limit. The quarter above it is for what arrives before a fill waits: a network buffer
/// of 64 KiB for each fill that may be open, at one for every 256 KiB.
const MARK_QUARTERS: u64 = 3;

/// Counts the bytes of all growing objects.
pub(crate) struct FillMemory {
    limit: u64,
    mark: u64,
    used: AtomicU64,
    open: AtomicUsize,
    most_open: usize,
    /// Objects that have a chunk to let go, in turn. As long as there are such objects; each is here once.
    holders: Mutex<VecDeque<Weak<Growing>>>,
    /// Rung when there may be room for a fill that waits.
    pub(crate) room: Bell,
    waiting: AtomicUsize,
    metrics: Metrics,
}

/// Leave for one open fill, given back on drop.
pub(crate) struct Permit(Arc<FillMemory>);

/// A fill that waits for room.
pub(crate) struct Waiting(Arc<FillMemory>);

impl FillMemory {
    pub(crate) fn new(limit: u64, metrics: Metrics) -> FillMemory {
        metrics.fill_bound_bytes.set(gauge(limit));
        let tails = usize::try_from(limit / CHUNK_BYTES).unwrap_or(usize::MAX);
        FillMemory {
            limit,
            mark: limit / 4 * MARK_QUARTERS,
            used: AtomicU64::new(0),
            open: AtomicUsize::new(0),
            most_open: tails.max(LEAST_OPEN_FILLS),
            holders: Mutex::default(),
            room: Bell::default(),
            waiting: AtomicUsize::new(0),
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

    /// Counts `bytes` more, after making room for them where the limit is reached.
    pub(crate) fn take(&self, bytes: u64) {
        let within = |used: u64| Some(used + bytes).filter(|used| *used <= self.limit);
        let taken = loop {
            if let Ok(before) = self.used.fetch_update(Ordering::SeqCst, Ordering::SeqCst, within) {
                break before + bytes;
            }
            if !self.keep_limit(bytes) {
                break self.used.fetch_add(bytes, Ordering::SeqCst) + bytes;
            }
        };
        self.metrics.fill_bytes.set(gauge(taken));
    }

    /// Counts `bytes` less.
    pub(crate) fn give_back(&self, bytes: u64) {
        let used = self.used.fetch_sub(bytes, Ordering::SeqCst) - bytes;
        self.metrics.fill_bytes.set(gauge(used));
        if bytes > 0 {
            self.call_waiting();
        }
    }

    /// `growing` has a chunk to let go, and had none before.
    pub(crate) fn enlist(&self, growing: &Arc<Growing>) {
        self.holders.lock().push_back(Arc::downgrade(growing));
    }

    /// More is used than fills may keep at their ease.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.used.load(Ordering::SeqCst) > self.mark
    }

    /// Lets go of what costs nobody anything; where parts that are not complete take more than the mark, the newest
    /// fills stream through.
    pub(crate) fn make_room(&self) {
        if !self.is_exhausted() {
            return;
        }
        let mut incomplete = self.pass(Measure::Harmless, self.mark);
        while self.is_exhausted() && incomplete > self.mark {
            let Some(bytes) = self.stream_newest() else { return };
            incomplete = incomplete.saturating_sub(bytes);
            self.pass(Measure::Harmless, self.mark);
        }
    }

    /// What has to be done at the limit: in the end some reader, or some disk copy, loses bytes. Says whether there is
    /// room for `bytes` now; there is none when only tails are left.
    fn keep_limit(&self, bytes: u64) -> bool {
        let goal = self.limit.saturating_sub(bytes);
        let has_room = || self.used.load(Ordering::SeqCst) + bytes <= self.limit;
        self.make_room();
        while !has_room() && self.stream_newest().is_some() {
            self.pass(Measure::Harmless, goal);
        }
        for measure in [Measure::Laggards, Measure::Any] {
            self.pass(measure, goal);
        }
        has_room()
    }

    /// Lets go of chunks, in turn over all objects, until no more than `goal` is used or none has any to let go by this
    /// measure. Returns the bytes of parts that are not complete, as far as it came.
    fn pass(&self, measure: Measure, goal: u64) -> u64 {
        let mut incomplete = 0;
        let mut turns = self.holders.lock().len();
        while turns > 0 && self.used.load(Ordering::SeqCst) > goal {
            let Some(holder) = self.holders.lock().pop_front() else {
                break;
            };
            let Some(growing) = holder.upgrade() else {
                turns -= 1;
                continue;
            };
            let release = growing.let_go(measure);
            if release.holds_more {
                self.holders.lock().push_back(holder);
            }
            match release.bytes {
                0 => {
                    turns -= 1;
                    incomplete += release.incomplete;
                }
                bytes => self.metrics.spilled_bytes.inc_by(bytes),
            }
        }
        incomplete
    }

    /// Has the newest fill that is to be kept stream through instead. Returns what it held of parts not complete.
    fn stream_newest(&self) -> Option<u64> {
        let newest = {
            let holders = self.holders.lock();
            let kept = holders.iter().filter_map(Weak::upgrade);
            kept.filter(|growing| !growing.streams())
                .max_by_key(|growing| growing.head.version)
        };
        let bytes = newest?.stream();
        self.metrics.fills_streamed.inc();
        Some(bytes)
    }

    /// Counts one who waits at [`FillMemory::room`].
    pub(crate) fn wait(self: &Arc<FillMemory>) -> Waiting {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        self.metrics.fill_waits.inc();
        Waiting(Arc::clone(self))
    }

    /// Something has changed that a fill may wait for.
    pub(crate) fn call_waiting(&self) {
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.room.ring();
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
        self.0.metrics.fills_open.dec();
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}
