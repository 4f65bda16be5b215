//! A small number for each thread, so that threads which do the same all day write to memory of their own.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Threads that have a lane to themselves; of more, some share.
pub(crate) const LANES: usize = 32;

/// The lane of the thread that asks, below [`LANES`].
pub(crate) fn lane() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static LANE: usize = NEXT.fetch_add(1, Ordering::Relaxed) % LANES;
    }
    LANE.with(|lane| *lane)
}
