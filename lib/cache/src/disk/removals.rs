//! Removals on their way to the disk: what was put before one must not come back when it is published after it.
//!
//! A key is forgotten the moment its removal is asked for, but a head that was handed to the writer earlier becomes
//! findable only when it has been written. Until the tombstone, which follows it in the log, is written as well, this
//! table keeps it hidden.

use parking_lot::Mutex;
use std::collections::HashMap;

/// Removals that may wait for the writer at once: 32 MiB of log, minutes' worth of any purge that names keys one by one.
pub(super) const MAX_PENDING: usize = 65_536;

/// A number that every write and removal draws as it enters the queue: their order.
pub(super) type Ticket = u64;

/// The latest pending removal of each key.
#[derive(Default)]
pub(super) struct Removals(Mutex<Pending>);

#[derive(Default)]
struct Pending {
    latest: HashMap<u128, Ticket>,
    /// Removals begun and not ended; one key may have several.
    count: usize,
}

impl Removals {
    /// Hides what was put under `key_hash` before `ticket`. False when too many removals are pending.
    pub(super) fn begin(&self, key_hash: u128, ticket: Ticket) -> bool {
        let mut pending = self.0.lock();
        let fits = pending.count < MAX_PENDING;
        if fits {
            pending.latest.insert(key_hash, ticket);
            pending.count += 1;
        }
        fits
    }

    /// Whether any removal has begun and not ended.
    pub(super) fn are_pending(&self) -> bool {
        self.0.lock().count > 0
    }

    /// The tombstone of `ticket`, which has begun, is written, or never will be.
    pub(super) fn end(&self, key_hash: u128, ticket: Ticket) {
        let mut pending = self.0.lock();
        pending.count = pending.count.saturating_sub(1);
        if pending.latest.get(&key_hash) == Some(&ticket) {
            pending.latest.remove(&key_hash);
        }
    }

    /// Runs `publish` unless a removal later than `ticket` is pending. No removal can begin meanwhile.
    pub(super) fn publish(&self, key_hash: u128, ticket: Ticket, publish: impl FnOnce()) {
        let pending = self.0.lock();
        if pending
            .latest
            .get(&key_hash)
            .is_none_or(|removal| *removal < ticket)
        {
            publish();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_removal_hides_what_came_before_it_until_it_ends_and_nothing_that_came_after() {
        let removals = Removals::default();
        let published = |ticket| {
            let mut done = false;
            removals.publish(1, ticket, || done = true);
            done
        };
        assert!(published(3));
        assert!(removals.begin(1, 5));
        assert_eq!((published(4), published(6)), (false, true));
        assert!(removals.begin(1, 8));
        removals.end(1, 5);
        assert_eq!((published(6), published(9)), (false, true));
        removals.end(1, 8);
        assert!(published(6));
    }

    #[test]
    fn removals_beyond_the_bound_are_refused_until_one_ends() {
        let removals = Removals::default();
        assert!((1..=MAX_PENDING as Ticket).all(|ticket| removals.begin(7, ticket)));
        assert!(!removals.begin(8, Ticket::MAX));
        removals.end(7, 1);
        assert!(removals.begin(8, Ticket::MAX));
    }
}
