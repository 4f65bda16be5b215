//! One reader's reads from disk: the one it waits for, and those it will want next.
//!
//! A reader that goes from chunk to chunk has the next ones read while its caller sends: one at first, twice as many
//! with every chunk, up to [`READ_AHEAD_BYTES`]. So one connection goes at the device's pace, a player that leaves
//! after its first chunk wasted little, and a reader that stops holds no more than that bound.

use bytes::Bytes;
use prometheus::IntGauge;
use std::{
    collections::VecDeque,
    future::Future,
    ops::Range,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker, ready},
};

/// What one reader may have under way or at hand from disk. At 1 ms a read it is 1 GB/s on one connection.
pub(crate) const READ_AHEAD_BYTES: u64 = 1 << 20;

/// The reads of one reader, in the order of the object. They live here and not in a caller's future, so a caller may
/// come and go.
#[derive(Default)]
pub(crate) struct ReadAhead {
    fetches: VecDeque<Fetch>,
    /// How far ahead to read now, in bytes; 0 until a read from disk was waited for.
    window: u64,
}

/// A read on its way, or what it brought.
pub(crate) type Read = Pin<Box<dyn Future<Output = Option<Bytes>> + Send>>;

struct Fetch {
    range: Range<u64>,
    /// Held when it was begun before it was asked for.
    early: Option<Lease>,
    state: State,
}

/// What all readers together may have read ahead. Beyond it they read what they need, when they need it.
pub(crate) struct Allowance {
    bound: u64,
    used: AtomicU64,
    gauge: IntGauge,
}

/// A share of the allowance, given back on drop.
pub(crate) struct Lease {
    allowance: Arc<Allowance>,
    bytes: u64,
}

enum State {
    Running(Read),
    Done(Option<Bytes>),
}

/// What became of the read that was waited for.
pub(crate) enum Brought {
    /// The bytes from the position asked for.
    Bytes(Bytes),
    /// Nothing; but it was begun early, and may be tried again.
    NothingYet,
    Nothing,
}

impl ReadAhead {
    /// How far ahead to read now, in bytes.
    pub(crate) fn window(&self) -> u64 {
        self.window
    }

    /// The reader goes on from disk: it may read further ahead, from `least` bytes at first.
    pub(crate) fn widen(&mut self, least: u64) {
        self.window = (self.window * 2).clamp(least, READ_AHEAD_BYTES);
    }

    /// Whether there is a read that brings the byte at `position`.
    pub(crate) fn has(&self, position: u64) -> bool {
        self.fetches.iter().any(|fetch| fetch.range.contains(&position))
    }

    /// Where the last of the reads ends.
    pub(crate) fn end(&self) -> Option<u64> {
        self.fetches.back().map(|fetch| fetch.range.end)
    }

    /// Drops what ends before `position`.
    pub(crate) fn forget_before(&mut self, position: u64) {
        while self
            .fetches
            .pop_front_if(|fetch| fetch.range.end <= position)
            .is_some()
        {}
    }

    /// Begins `read`, which brings `range`, that begins behind all others: the first poll submits it.
    pub(crate) fn begin_early(&mut self, range: Range<u64>, read: Read, lease: Lease) {
        debug_assert!(
            self.fetches
                .back()
                .is_none_or(|last| last.range.end <= range.start)
        );
        let mut fetch = Fetch::new(range, Some(lease), read);
        // Nobody waits for it yet: who does polls again.
        let _ = fetch.poll(&mut Context::from_waker(Waker::noop()));
        self.fetches.push_back(fetch);
    }

    /// Begins `read`, which brings `range` and is wanted now: all others are beside the reader's way.
    pub(crate) fn begin(&mut self, range: Range<u64>, read: Read) {
        self.fetches.clear();
        self.fetches.push_back(Fetch::new(range, None, read));
    }

    /// Waits for the byte at `position`.
    pub(crate) fn poll(&mut self, position: u64, context: &mut Context<'_>) -> Poll<Brought> {
        self.forget_before(position);
        let Some(fetch) = self.fetches.front_mut() else {
            return Poll::Ready(Brought::Nothing);
        };
        let bytes = ready!(fetch.poll(context)).clone();
        let (start, early) = (fetch.range.start, fetch.early.is_some());
        self.fetches.pop_front();
        let at = position
            .checked_sub(start)
            .and_then(|at| usize::try_from(at).ok());
        Poll::Ready(match (bytes, at) {
            (Some(bytes), Some(at)) if at < bytes.len() => Brought::Bytes(bytes.slice(at..)),
            _ if early => Brought::NothingYet,
            _ => Brought::Nothing,
        })
    }
}

impl Fetch {
    fn new(range: Range<u64>, early: Option<Lease>, read: Read) -> Fetch {
        Fetch {
            range,
            early,
            state: State::Running(read),
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<&Option<Bytes>> {
        if let State::Running(read) = &mut self.state {
            self.state = State::Done(ready!(read.as_mut().poll(context)));
        }
        match &self.state {
            State::Done(bytes) => Poll::Ready(bytes),
            State::Running(_) => Poll::Pending,
        }
    }
}

impl Allowance {
    pub(crate) fn new(bound: u64, gauge: IntGauge) -> Allowance {
        Allowance {
            bound,
            used: AtomicU64::new(0),
            gauge,
        }
    }

    /// Leave to read `bytes` ahead, unless all is in use.
    pub(crate) fn take(self: &Arc<Allowance>, bytes: u64) -> Option<Lease> {
        let within = |used: u64| Some(used + bytes).filter(|used| *used <= self.bound);
        self.used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, within)
            .ok()?;
        self.gauge.add(i64::try_from(bytes).unwrap_or(i64::MAX));
        Some(Lease {
            allowance: Arc::clone(self),
            bytes,
        })
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.allowance.used.fetch_sub(self.bytes, Ordering::Relaxed);
        self.allowance
            .gauge
            .sub(i64::try_from(self.bytes).unwrap_or(i64::MAX));
    }
}
