//! Watching a device: what fails, what is slow, what does not end. The device behaves as before.

use super::health::{Operation, Seen};
use crate::disk::{Buffer, Buffers, Completion, Device, Direction, Engine, Transfer};
use parking_lot::Mutex;
use slab::Slab;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The counts of one opening of a device.
#[derive(Debug)]
pub(super) struct Watch {
    slow: Duration,
    operations: AtomicU64,
    slow_operations: AtomicU64,
    errors: [AtomicU64; 3],
    full: AtomicU64,
    protected: AtomicU64,
    gone: AtomicU64,
    /// What has begun and not ended, with when it began. As many as engines take at once: some hundreds.
    under_way: Mutex<Slab<(Operation, Instant)>>,
}

/// An operation that has begun. Dropped without [`Begun::end`], it has ended and says nothing of the device.
pub(super) struct Begun {
    watch: Arc<Watch>,
    operation: Operation,
    since: Instant,
    place: usize,
}

/// What an error says of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blame {
    /// Nothing: the engine had too much to do, or was ended by us.
    None,
    Failed,
    Full,
    Protected,
    Gone,
}

impl Blame {
    fn of(error: &io::Error) -> Blame {
        match error.raw_os_error() {
            Some(libc::ENODEV | libc::ENXIO | libc::ENOMEDIUM | libc::ESHUTDOWN | libc::ESTALE) => {
                return Blame::Gone;
            }
            Some(libc::EROFS) => return Blame::Protected,
            _ => {}
        }
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::BrokenPipe => Blame::None,
            io::ErrorKind::UnexpectedEof | io::ErrorKind::NotFound => Blame::Gone,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                Blame::Full
            }
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => Blame::Protected,
            _ => Blame::Failed,
        }
    }
}

impl Watch {
    /// Counts operations longer than `slow` as such.
    pub(super) fn new(slow: Duration) -> Arc<Watch> {
        Arc::new(Watch {
            slow,
            operations: AtomicU64::new(0),
            slow_operations: AtomicU64::new(0),
            errors: Default::default(),
            full: AtomicU64::new(0),
            protected: AtomicU64::new(0),
            gone: AtomicU64::new(0),
            under_way: Mutex::default(),
        })
    }

    pub(super) fn begin(self: &Arc<Watch>, operation: Operation) -> Begun {
        let since = Instant::now();
        let place = self.under_way.lock().insert((operation, since));
        Begun {
            watch: Arc::clone(self),
            operation,
            since,
            place,
        }
    }

    /// Everything since the opening, and the oldest of what is under way now.
    pub(super) fn seen(&self) -> Seen {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let now = Instant::now();
        let age = |since: Instant| now.saturating_duration_since(since);
        // A flush has more time than others: it is only the oldest where nothing else is under way.
        let oldest = {
            let under_way = self.under_way.lock();
            let others = under_way
                .iter()
                .filter(|(_, (operation, _))| *operation != Operation::Flush);
            let oldest = others.map(|(_, begun)| *begun).min_by_key(|(_, since)| *since);
            oldest.or_else(|| {
                under_way
                    .iter()
                    .map(|(_, begun)| *begun)
                    .min_by_key(|(_, since)| *since)
            })
        };
        Seen {
            operations: count(&self.operations),
            slow: count(&self.slow_operations),
            read_errors: self.errors(Operation::Read),
            write_errors: self.errors(Operation::Write) + self.errors(Operation::Flush),
            full: count(&self.full),
            protected: count(&self.protected),
            gone: count(&self.gone),
            oldest: oldest.map(|(operation, since)| (operation, age(since))),
        }
    }

    pub(super) fn errors(&self, operation: Operation) -> u64 {
        self.errors[operation as usize].load(Ordering::Relaxed)
    }

    /// Whether nothing is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.under_way.lock().is_empty()
    }

    fn count(&self, operation: Operation, error: &io::Error) {
        let blame = Blame::of(error);
        if blame == Blame::None {
            return;
        }
        self.errors[operation as usize].fetch_add(1, Ordering::Relaxed);
        let kind = match blame {
            Blame::Full => &self.full,
            Blame::Protected => &self.protected,
            Blame::Gone => &self.gone,
            Blame::Failed | Blame::None => return,
        };
        kind.fetch_add(1, Ordering::Relaxed);
    }
}

impl Begun {
    /// Counts how it ended.
    pub(super) fn end(self, result: &io::Result<()>) {
        let watch = &self.watch;
        watch.operations.fetch_add(1, Ordering::Relaxed);
        if self.since.elapsed() > watch.slow {
            watch.slow_operations.fetch_add(1, Ordering::Relaxed);
        }
        if let Err(error) = result {
            watch.count(self.operation, error);
        }
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.watch.under_way.lock().try_remove(self.place);
    }
}

/// A device whose operations are watched.
pub(super) struct Watched {
    device: Arc<dyn Device>,
    watch: Arc<Watch>,
}

impl Watched {
    pub(super) fn new(device: Arc<dyn Device>, watch: Arc<Watch>) -> Watched {
        Watched { device, watch }
    }

    fn observe(&self, operation: Operation, act: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let begun = self.watch.begin(operation);
        let result = act();
        begun.end(&result);
        result
    }
}

impl Device for Watched {
    fn size(&self) -> u64 {
        self.device.size()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.observe(Operation::Read, || self.device.read_at(offset, buffer))
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.observe(Operation::Write, || self.device.write_at(offset, data))
    }

    fn flush(&self) -> io::Result<()> {
        self.observe(Operation::Flush, || self.device.flush())
    }

    fn lock(&self, patience: Duration) -> io::Result<()> {
        self.device.lock(patience)
    }

    fn unlock(&self) -> io::Result<()> {
        self.device.unlock()
    }

    fn is_read_elsewhere(&self) -> io::Result<bool> {
        self.device.is_read_elsewhere()
    }

    fn is_direct(&self) -> bool {
        self.device.is_direct()
    }

    fn engine(&self) -> Engine {
        self.device.engine()
    }

    fn submit(&self, transfer: Transfer) {
        let begun = self.watch.begin(match transfer.direction() {
            Direction::Read => Operation::Read,
            Direction::Write => Operation::Write,
        });
        let observed = transfer.observed_by(|told| Box::new(Observed { begun, told }));
        self.device.submit(observed);
    }

    fn adopt(&self, buffers: &Buffers) {
        self.device.adopt(buffers);
    }
}

/// Counts the end of a transfer and passes it on.
struct Observed {
    begun: Begun,
    told: Box<dyn Completion>,
}

impl Completion for Observed {
    fn is_awaited(&self) -> bool {
        self.told.is_awaited()
    }

    fn complete(self: Box<Self>, result: io::Result<()>, buffer: Buffer) {
        self.begun.end(&result);
        self.told.complete(result, buffer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{BLOCK_BYTES, MemoryDevice};

    #[test]
    fn an_error_is_blamed_on_what_it_says() {
        let of = |number| Blame::of(&io::Error::from_raw_os_error(number));
        assert_eq!(of(libc::EIO), Blame::Failed);
        assert_eq!(of(libc::ENOSPC), Blame::Full);
        assert_eq!(of(libc::EDQUOT), Blame::Full);
        assert_eq!(of(libc::EROFS), Blame::Protected);
        assert_eq!(of(libc::ENODEV), Blame::Gone);
        assert_eq!(of(libc::ENXIO), Blame::Gone);
        assert_eq!(Blame::of(&io::ErrorKind::UnexpectedEof.into()), Blame::Gone);
        assert_eq!(Blame::of(&io::ErrorKind::WouldBlock.into()), Blame::None);
    }

    #[test]
    fn what_ends_is_counted_and_what_does_not_is_seen_to_be_under_way() {
        let watch = Watch::new(Duration::from_secs(1));
        let device = Watched::new(Arc::new(MemoryDevice::new(1 << 20)), Arc::clone(&watch));
        device.flush().expect("flushed");
        let mut past_the_end = vec![0; 2 * BLOCK_BYTES];
        let start = past_the_end.as_ptr().addr().wrapping_neg() % BLOCK_BYTES;
        let block = &mut past_the_end[start..start + BLOCK_BYTES];
        device.read_at(1 << 20, block).expect_err("past the end");
        let seen = watch.seen();
        assert_eq!((seen.operations, seen.read_errors, seen.gone), (2, 1, 1));
        assert!(watch.is_idle());
        let flush = watch.begin(Operation::Flush);
        let write = watch.begin(Operation::Write);
        assert!(!watch.is_idle());
        assert_eq!(watch.seen().oldest.map(|oldest| oldest.0), Some(Operation::Write));
        write.end(&Err(io::Error::from_raw_os_error(libc::ENOSPC)));
        assert_eq!(watch.seen().oldest.map(|oldest| oldest.0), Some(Operation::Flush));
        drop(flush);
        let seen = watch.seen();
        assert_eq!(
            (seen.operations, seen.write_errors, seen.full, seen.oldest),
            (3, 1, 1, None)
        );
    }
}
