//! What the log needs of a device: aligned blocks read, written and flushed, and one writer at a time.

pub(super) mod aligned;
mod file;
mod memory;
pub(super) mod pool;

pub use file::FileDevice;
pub use memory::MemoryDevice;

use std::io;
use std::time::Duration;

/// The unit of every transfer, in bytes: offsets, lengths and buffer addresses are multiples of it, as `O_DIRECT` asks.
/// 4 KiB is the page and the physical sector of every NVMe drive we know; the log never writes one block twice
/// between two flushes, so a torn write can only lose what was not yet committed.
pub const BLOCK_BYTES: usize = 4096;

/// A flat array of bytes that survives the process: a regular file, a block device, or memory in tests.
///
/// Every `offset`, every length and the address of every buffer is a multiple of [`BLOCK_BYTES`]. A transfer is
/// complete or an error: short reads and writes are continued by the implementation.
pub trait Device: Send + Sync {
    /// Usable size in bytes. Constant while the device is open.
    fn size(&self) -> u64;

    /// Fills `buffer` from `offset`. Fails when the device does, or past its end.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;

    /// Writes all of `data` at `offset`. It survives the process at once, and loss of power after [`Device::flush`].
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()>;

    /// Returns when everything written before is on stable storage (`fdatasync`).
    fn flush(&self) -> io::Result<()>;

    /// Becomes the one writer, waiting up to `patience` for another to let go. Devices that nobody else can reach
    /// have nothing to do. Fails with what to look for when the other keeps it.
    fn lock(&self, _patience: Duration) -> io::Result<()> {
        Ok(())
    }

    /// Lets the next writer in. Reading goes on being possible.
    fn unlock(&self) -> io::Result<()> {
        Ok(())
    }

    /// Whether transfers bypass the page cache; exported as a metric.
    fn is_direct(&self) -> bool {
        false
    }
}
