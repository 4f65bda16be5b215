//! Waiting for something to become true, with a deadline.

use std::thread;
use std::time::{Duration, Instant};

/// Far beyond what any wait here takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(20);

/// Returns when `holds` does; panics with `what` at the deadline.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < DEADLINE, "waited {DEADLINE:?} for: {what}");
        thread::park_timeout(Duration::from_millis(5));
    }
}
