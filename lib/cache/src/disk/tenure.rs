//! What [`crate::disks`] needs of a disk that it opens and lets go of: its mark, its counters, an end without waiting.

use super::{Commit, Device, Disk, DiskMetrics};
use std::sync::{Arc, Weak};

/// Whether a disk's writer has ended.
#[derive(Debug, Clone)]
pub(crate) struct Retirement(Weak<()>);

impl Retirement {
    /// The writer drops the first when it ends, however it ends.
    pub(super) fn of_one_at_work() -> (Arc<()>, Retirement) {
        let at_work = Arc::new(());
        let retirement = Retirement(Arc::downgrade(&at_work));
        (at_work, retirement)
    }

    pub(crate) fn is_over(&self) -> bool {
        self.0.strong_count() == 0
    }
}

impl Disk {
    /// The mark of the device.
    pub(crate) fn uuid(&self) -> u128 {
        self.shared.store.uuid
    }

    pub(crate) fn device(&self) -> Arc<dyn Device> {
        Arc::clone(&self.shared.store.device)
    }

    pub(crate) fn metrics(&self) -> &DiskMetrics {
        &self.shared.store.metrics
    }

    /// Whether nothing is written any more: a write has failed, or it was closed.
    pub(crate) fn is_read_only(&self) -> bool {
        self.shared.store.is_read_only()
    }

    /// Whether a head can probably be read: no I/O, no waiting.
    pub(crate) fn has_head(&self, key_hash: u128) -> bool {
        let index = &self.shared.store.index;
        index.find(index.head(key_hash)).is_some()
    }

    /// Forgets the head of a key until the next opening.
    pub(crate) fn forget(&self, key_hash: u128) {
        let index = &self.shared.store.index;
        index.remove(index.head(key_hash));
    }

    /// Whether removals wait to be written.
    pub(crate) fn has_pending_removals(&self) -> bool {
        self.shared.store.removals.are_pending()
    }

    /// Begins what [`Disk::close`] does; the commit resolves when it is done, at once when it was begun before.
    pub(crate) fn start_closing(&self) -> Commit {
        self.shared.queue.close()
    }

    /// Gives up what waits and ends the writer without a word to the device, which may be gone. An operation that is
    /// under way ends when it does.
    pub(crate) fn retire(&self) {
        self.shared.store.set_read_only();
        if let Some(keeper) = self.shared.store.keeper.get() {
            keeper.close();
        }
        self.shared.queue.retire();
    }

    /// Says when the writer has ended and the device is let go of.
    pub(crate) fn retirement(&self) -> Retirement {
        self.shared.writer.clone()
    }
}
