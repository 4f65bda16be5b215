//! What the log needs of a device: aligned blocks read, written and flushed, one writer at a time; and who does it.
//!
//! ```text
//!                 ┌ uring.rs    a thread and an io_uring: many transfers at once, none waits for another
//!  submit ──→ ────┤
//!                 └ threads.rs  a bounded pool in front of any device that can only block
//!  read_at, … ──→ file.rs (file or block device), memory.rs (tests), faulty.rs (around any of them)
//! ```
//!
//! Two ways in. Who may wait calls [`Device::read_at`] and its like. Who may not hands over a [`Transfer`], which owns
//! its buffer from submission to completion, whoever gave up waiting meanwhile: nothing is freed under the kernel's
//! hands. `reads.rs` makes a future of it, with buffers from `buffers.rs`, which are bounded, and a deadline.

pub(super) mod aligned;
mod buffers;
pub(super) mod deadlines;
mod faulty;
mod file;
mod memory;
mod open;
pub(super) mod reads;
#[cfg(test)]
mod tests;
mod threads;
mod transfer;
mod uring;
mod writes;

pub use buffers::{Buffer, Buffers};
pub use faulty::{FaultCounts, Faults, FaultyDevice};
pub use file::FileDevice;
pub use memory::MemoryDevice;
pub use open::{Engine, Io, open_device};
pub use threads::ThreadsDevice;
pub use transfer::{Completion, Direction, Transfer};
pub use uring::UringDevice;
pub use writes::Writes;

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
///
/// A decorator forwards every method, the ones with a default too.
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

    /// Whether anybody else has it open and may read it: a predecessor that has let go of the lock and sees its last
    /// clients out. Devices that nobody else can reach have nobody.
    fn is_read_elsewhere(&self) -> io::Result<bool> {
        Ok(false)
    }

    /// Whether transfers bypass the page cache; exported as a metric.
    fn is_direct(&self) -> bool {
        false
    }

    /// Who carries out what is submitted. With [`Engine::Blocking`] that is whoever submits: put a [`ThreadsDevice`] in
    /// front.
    fn engine(&self) -> Engine {
        Engine::Blocking
    }

    /// Carries out a transfer and completes it, later and on another thread unless the engine is
    /// [`Engine::Blocking`]. When too many wait, it is completed with [`io::ErrorKind::WouldBlock`] at once: that
    /// is no failure of the device.
    fn submit(&self, transfer: Transfer) {
        transfer.carry_out(self);
    }

    /// Told once which buffers most reads will use, so that the kernel can be. Ignoring it costs only speed.
    fn adopt(&self, _buffers: &Buffers) {}
}
