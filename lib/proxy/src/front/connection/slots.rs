//! How many connections are open, over all cores: the cap, and the wait until none is left.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use parking_lot::{Condvar, Mutex};
use prometheus::IntGauge;

/// The count of open connections.
pub(crate) struct Slots {
    open: AtomicUsize,
    most: usize,
    gauge: IntGauge,
    none_left: Condvar,
    /// Guards nothing but the condition: whoever waits holds it while looking at `open`.
    waiting: Mutex<()>,
}

/// One open connection; dropping it is its end.
pub(crate) struct Slot(Arc<Slots>);

impl Slots {
    /// No connection is open, `most` may be; `gauge` shows how many are.
    pub(crate) fn new(most: usize, gauge: IntGauge) -> Arc<Slots> {
        Arc::new(Slots {
            open: AtomicUsize::new(0),
            most,
            gauge,
            none_left: Condvar::new(),
            waiting: Mutex::new(()),
        })
    }

    /// A place for one more connection, or `None` at the cap.
    pub(crate) fn take(self: &Arc<Slots>) -> Option<Slot> {
        if self.open.fetch_add(1, Ordering::AcqRel) >= self.most {
            self.give_back();
            return None;
        }
        self.gauge.inc();
        Some(Slot(Arc::clone(self)))
    }

    /// How many are open.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Acquire)
    }

    /// Blocks until no connection is open or `deadline` has come, and says how many are open.
    pub(crate) fn wait_until_none(&self, deadline: Instant) -> usize {
        let mut waiting = self.waiting.lock();
        while self.open() > 0 {
            if self.none_left.wait_until(&mut waiting, deadline).timed_out() {
                break;
            }
        }
        self.open()
    }

    fn give_back(&self) {
        if self.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            let _waiting = self.waiting.lock();
            self.none_left.notify_all();
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.gauge.dec();
        self.0.give_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn slots(most: usize) -> Arc<Slots> {
        Slots::new(most, IntGauge::new("open", "open").unwrap())
    }

    #[test]
    fn the_cap_holds_and_a_closed_connection_makes_room() {
        let slots = slots(2);
        let first = slots.take().unwrap();
        let _second = slots.take().unwrap();
        assert!(slots.take().is_none());
        assert_eq!((slots.open(), slots.gauge.get()), (2, 2));
        drop(first);
        assert!(slots.take().is_some());
    }

    #[test]
    fn waiting_ends_with_the_last_connection_and_not_before() {
        let slots = slots(10);
        let held: Vec<Slot> = (0..3).map(|_| slots.take().unwrap()).collect();
        assert_eq!(
            slots.wait_until_none(Instant::now() + Duration::from_millis(20)),
            3
        );
        let started = Instant::now();
        let closer = std::thread::spawn(move || drop(held));
        assert_eq!(slots.wait_until_none(started + Duration::from_secs(20)), 0);
        assert!(started.elapsed() < Duration::from_secs(10));
        closer.join().unwrap();
    }
}
