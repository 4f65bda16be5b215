//! Who reads a growing object, and how far each has come: what decides which of its bytes memory may let go.

use super::growing::Growing;
use parking_lot::Mutex;
use slab::Slab;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// The readers of one growing object.
#[derive(Default)]
pub(crate) struct Followers(Mutex<Places>);

#[derive(Default)]
struct Places {
    positions: Slab<Arc<AtomicU64>>,
    /// Readers that there were. Before the first one, everything is kept for it: it is on its way.
    ever: u64,
}

/// One reader's place, given back on drop.
pub(crate) struct Follower {
    growing: Arc<Growing>,
    number: usize,
    position: Arc<AtomicU64>,
}

/// Where the readers are: bytes before a position are not needed by who is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) slowest: u64,
    pub(crate) fastest: u64,
}

/// The position of a reader that needs no more.
const NOWHERE: u64 = u64::MAX;

impl Followers {
    fn enter(&self, position: u64) -> (usize, Arc<AtomicU64>) {
        let position = Arc::new(AtomicU64::new(position));
        let mut places = self.0.lock();
        places.ever += 1;
        (places.positions.insert(Arc::clone(&position)), position)
    }

    fn leave(&self, number: usize) {
        self.0.lock().positions.remove(number);
    }

    /// How many readers there were until now.
    pub(crate) fn ever(&self) -> u64 {
        self.0.lock().ever
    }

    /// Where they are; all needs of those that have what they wanted, or left, are behind them.
    pub(crate) fn span(&self) -> Span {
        let places = self.0.lock();
        if places.ever == 0 {
            return Span {
                slowest: 0,
                fastest: 0,
            };
        }
        let positions = || {
            let positions = places.positions.iter();
            positions.map(|(_, position)| position.load(Ordering::SeqCst))
        };
        Span {
            slowest: positions().min().unwrap_or(NOWHERE),
            fastest: positions()
                .filter(|position| *position != NOWHERE)
                .max()
                .unwrap_or(NOWHERE),
        }
    }
}

impl Follower {
    pub(crate) fn join(growing: &Arc<Growing>, position: u64) -> Follower {
        let (number, position) = growing.followers.enter(position);
        Follower {
            growing: Arc::clone(growing),
            number,
            position,
        }
    }

    /// Everything before `position` was read; a fill that waits may go on.
    pub(crate) fn is_at(&self, position: u64) {
        self.position.store(position, Ordering::SeqCst);
        self.growing.call_waiting();
    }

    pub(crate) fn needs_no_more(&self) {
        self.is_at(NOWHERE);
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.growing.followers.leave(self.number);
        self.growing.call_waiting();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_span_is_that_of_the_readers_that_are_there_and_still_need_something() {
        let followers = Followers::default();
        let span = |slowest, fastest| Span { slowest, fastest };
        assert_eq!(followers.span(), span(0, 0), "the first is on its way");
        let (one, two) = (followers.enter(10), followers.enter(500));
        assert_eq!(followers.span(), span(10, 500));
        one.1.store(700, Ordering::SeqCst);
        assert_eq!(followers.span(), span(500, 700));
        one.1.store(NOWHERE, Ordering::SeqCst);
        assert_eq!(followers.span(), span(500, 500));
        followers.leave(two.0);
        assert_eq!(followers.span(), span(NOWHERE, NOWHERE));
        followers.leave(one.0);
        assert_eq!(followers.span(), span(NOWHERE, NOWHERE), "all have left");
        assert_eq!(followers.ever(), 2, "and are not forgotten");
    }
}
