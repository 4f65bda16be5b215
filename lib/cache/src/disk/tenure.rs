//! The beginning and the end of a log's time with a device: a predecessor who still reads it, an end without waiting, and
//! what [`crate::disks`] asks of a disk meanwhile.

use super::{Commit, Device, Disk, DiskMetrics};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// How often it is asked whether the predecessor still reads.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// Who wrote to the device before us. Draining, it has let go of the device and reads what its last clients ask for:
/// until it has ended, no region is given up that it may know.
///
/// Nothing wrong would be read without this (a region's records carry the life they were written in), but a client in
/// the middle of an object would be cut off.
pub(super) struct Predecessor {
    /// When it was last seen; `None` once it was not.
    seen: Option<Instant>,
}

impl Predecessor {
    /// Looks for one. Where that cannot be told, there is none.
    pub(super) fn of(device: &dyn Device) -> Predecessor {
        let seen = reads_elsewhere(device).then(Instant::now);
        if seen.is_some() {
            tracing::info!(
                "cache disk: another process still reads this device; until it ends nothing is given up for new objects"
            );
        }
        Predecessor { seen }
    }

    /// Whether it still reads.
    pub(super) fn still_reads(&mut self, device: &dyn Device) -> bool {
        let Some(seen) = self.seen else { return false };
        if seen.elapsed() >= LOOK_INTERVAL {
            self.seen = reads_elsewhere(device).then(Instant::now);
        }
        self.seen.is_some()
    }
}

fn reads_elsewhere(device: &dyn Device) -> bool {
    device.is_read_elsewhere().unwrap_or_else(|error| {
        tracing::warn!(%error, "cache disk: it cannot be told whether another process reads this device");
        false
    })
}

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
