//! What the logs of a device have handed over to be written: a few large writes under way at once, so that the drive works
//! while the next records are gathered and their checksums taken.
//!
//! ```text
//!  staging, being filled ──→ send ──→ under way (bounded) ──→ landed, in the order of sending ──→ staging, spare
//! ```
//!
//! The order in which writes land is the order in which they were sent, whatever the device does: what is published is
//! always a beginning of what was put.

use super::aligned::AlignedBuffer;
use super::device::{Buffer, Device, Writes};
use super::format::region::RegionLife;
use super::metrics::DiskMetrics;
use crate::placement::Class;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Instant;

/// Writes under way at once, 1 to 5 MiB each, which the kernel divides further. Two keep a drive busy: one is being
/// written while the other waits its turn and a third is gathered. Memory: so many stagings and two more, 20 MiB.
const DEPTH: usize = 2;

/// The writes of both logs.
pub(super) struct Outflow {
    writes: Writes,
    /// Of each write under way, oldest first.
    sent: VecDeque<Sent>,
    /// Memory of writes that have landed, for the next.
    spare: Vec<Buffer>,
    staging_bytes: usize,
    metrics: DiskMetrics,
}

struct Sent {
    what: Landed,
    start: Instant,
}

/// A write that is on the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Landed {
    pub(super) class: Class,
    pub(super) region: RegionLife,
    /// Everything of the region up to here is written, in bytes from its start.
    pub(super) end: u64,
    /// So much it was.
    pub(super) bytes: u64,
}

impl Outflow {
    /// Each staging has `staging_bytes`.
    pub(super) fn new(device: Arc<dyn Device>, staging_bytes: usize, metrics: DiskMetrics) -> Outflow {
        Outflow {
            writes: Writes::new(device, DEPTH),
            sent: VecDeque::new(),
            spare: Vec::new(),
            staging_bytes,
            metrics,
        }
    }

    /// Memory to gather records in; what it holds is left over.
    pub(super) fn staging(&mut self) -> Buffer {
        let staging_bytes = self.staging_bytes;
        self.spare
            .pop()
            .unwrap_or_else(|| AlignedBuffer::zeroed(staging_bytes).into())
    }

    /// Takes memory back that nothing was written from.
    pub(super) fn give_back(&mut self, staging: Buffer) {
        self.spare.push(staging);
    }

    /// Whether one must land before the next is sent.
    pub(super) fn is_full(&self) -> bool {
        self.writes.is_full()
    }

    /// Begins to write the first `what.bytes` of `staging` at `offset` of the device.
    pub(super) fn send(&mut self, offset: u64, mut staging: Buffer, what: Landed) {
        staging.resize(what.bytes as usize);
        let start = Instant::now();
        self.sent.push_back(Sent { what, start });
        self.writes.begin(offset, staging);
    }

    /// Waits for the write that was sent first. `None` when none is under way.
    pub(super) fn wait(&mut self) -> Option<io::Result<Landed>> {
        let (result, staging) = self.writes.finish_oldest()?;
        self.land(result, staging)
    }

    /// The write that was sent first, if it has landed.
    pub(super) fn poll(&mut self) -> Option<io::Result<Landed>> {
        let (result, staging) = self.writes.try_finish_oldest()?;
        self.land(result, staging)
    }

    /// Waits for all, whatever becomes of them: nothing is written afterwards.
    pub(super) fn settle(&mut self) {
        while self.wait().is_some() {}
    }

    fn land(&mut self, result: io::Result<()>, mut staging: Buffer) -> Option<io::Result<Landed>> {
        let Sent { what, start } = self.sent.pop_front()?;
        staging.resize(self.staging_bytes);
        if staging.len() == self.staging_bytes {
            self.spare.push(staging);
        }
        Some(result.map(|()| {
            self.metrics.write_seconds.observe(start.elapsed().as_secs_f64());
            self.metrics.bytes_written.inc_by(what.bytes);
            what
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::device::{MemoryDevice, Transfer};
    use parking_lot::Mutex;
    use prometheus::Registry;

    const BLOCK: usize = crate::disk::BLOCK_BYTES;

    /// A device that ends what is submitted when it is told to.
    struct Held {
        device: MemoryDevice,
        transfers: Mutex<Vec<Transfer>>,
    }

    impl Held {
        fn end(&self, at: usize) {
            self.transfers.lock().remove(at).carry_out(&self.device);
        }

        fn fail(&self, at: usize) {
            let transfer = self.transfers.lock().remove(at);
            transfer.complete(Err(io::Error::other("broken")));
        }
    }

    impl Device for Held {
        fn size(&self) -> u64 {
            self.device.size()
        }

        fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
            self.device.read_at(offset, buffer)
        }

        fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
            self.device.write_at(offset, data)
        }

        fn flush(&self) -> io::Result<()> {
            self.device.flush()
        }

        fn submit(&self, transfer: Transfer) {
            self.transfers.lock().push(transfer);
        }
    }

    fn outflow() -> (Arc<Held>, Outflow) {
        let device = Arc::new(Held {
            device: MemoryDevice::new(1 << 20),
            transfers: Mutex::default(),
        });
        let metrics = DiskMetrics::register(&Registry::new(), "test").unwrap();
        (device.clone(), Outflow::new(device, 2 * BLOCK, metrics))
    }

    fn send(outflow: &mut Outflow, block: u64) -> Landed {
        let what = Landed {
            class: Class::M,
            region: RegionLife {
                number: 0,
                sequence: 1,
                life: 1,
            },
            end: (block + 1) * BLOCK as u64,
            bytes: BLOCK as u64,
        };
        let mut staging = outflow.staging();
        staging[..BLOCK].fill(block as u8 + 1);
        outflow.send(block * BLOCK as u64, staging, what);
        what
    }

    #[test]
    fn writes_land_in_the_order_of_sending_whatever_the_device_ends_first() {
        let (device, mut outflow) = outflow();
        let (first, second) = (send(&mut outflow, 0), send(&mut outflow, 1));
        assert!(outflow.is_full());
        device.end(1);
        assert!(outflow.poll().is_none(), "the first is on its way");
        device.end(0);
        let landed = [outflow.poll(), outflow.poll()].map(|landed| landed.unwrap().unwrap());
        assert_eq!(landed, [first, second]);
        assert!(outflow.poll().is_none() && outflow.wait().is_none());
        let mut blocks = AlignedBuffer::zeroed(2 * BLOCK);
        device.read_at(0, &mut blocks).unwrap();
        assert_eq!((blocks[0], blocks[BLOCK]), (1, 2));
        assert_eq!(outflow.metrics.bytes_written.get(), 2 * BLOCK as u64);
        assert_eq!(outflow.spare.len(), 2, "the memory is used again");
        assert_eq!(outflow.staging().len(), 2 * BLOCK, "all of it");
    }

    #[test]
    fn a_write_that_fails_is_told_in_its_turn_and_the_others_are_waited_for() {
        let (device, mut outflow) = outflow();
        let first = send(&mut outflow, 0);
        send(&mut outflow, 1);
        device.fail(1);
        device.end(0);
        assert_eq!(outflow.wait().unwrap().unwrap(), first);
        assert_eq!(outflow.wait().unwrap().unwrap_err().to_string(), "broken");
        send(&mut outflow, 2);
        device.fail(0);
        outflow.settle();
        assert!(outflow.poll().is_none());
    }
}
