//! A device that fails as drives do, by chance and with a seed: around any other, so that tests of the whole cache can use it.

use super::aligned::AlignedBuffer;
use super::buffers::Buffers;
use super::{BLOCK_BYTES, Buffer, Completion, Device, Direction, Engine, Transfer};
use parking_lot::{Condvar, Mutex};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// What a drive writes at once even when it tears a write.
const SECTOR_BYTES: usize = 512;

/// What goes wrong. Rates are chances for each transfer, 0 to 1; the default is a device without faults.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Faults {
    /// Reads that fail with EIO.
    pub read_errors: f64,
    /// Writes that fail with EIO, nothing written.
    pub write_errors: f64,
    /// Flushes that fail with EIO.
    pub flush_errors: f64,
    /// Reads that end early: the first half is made, then they fail.
    pub short_reads: f64,
    /// Writes that end early: the first half is made, then they fail.
    pub short_writes: f64,
    /// Reads that succeed with one bit turned over; what is stored stays as it is.
    pub flips: f64,
    /// Writes that report success, and of whose sectors each was written by chance.
    pub torn: f64,
    /// Transfers that wait until the faults are set anew.
    pub stalls: f64,
    /// Every write fails with ENOSPC.
    pub full: bool,
    /// Everything fails with ENODEV: the drive was pulled.
    pub gone: bool,
}

/// How often each fault has happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FaultCounts {
    pub read_errors: u64,
    pub write_errors: u64,
    pub flush_errors: u64,
    pub short: u64,
    pub flips: u64,
    pub torn: u64,
    pub stalls: u64,
    pub full: u64,
    pub gone: u64,
}

/// A device around another, which does what it is asked to but for the [`Faults`]. The same seed and the same
/// transfers in the same order give the same faults.
pub struct FaultyDevice {
    device: Arc<dyn Device>,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    faults: Faults,
    /// Raised by every [`FaultyDevice::set`].
    setting: u64,
    counts: FaultCounts,
    chance: SmallRng,
    /// Submitted transfers that wait for the next setting.
    stalled: Vec<Transfer>,
}

/// What becomes of one transfer.
#[derive(Debug)]
enum Verdict {
    Fine,
    Fail(io::Error),
    Short,
    /// The bit, modulo the transfer's length.
    Flip(u64),
    /// Seed for which sectors are written.
    Tear(u64),
    /// Waits as long as this is the setting.
    Stall(u64),
}

impl State {
    fn happens(&mut self, rate: f64) -> bool {
        // No draw without a rate: what never happens does not change what else does.
        rate > 0.0 && self.chance.random_bool(rate.min(1.0))
    }

    fn judge(&mut self, direction: Direction) -> Verdict {
        let faults = self.faults;
        let counts = &mut self.counts;
        if faults.gone {
            counts.gone += 1;
            return Verdict::Fail(io::Error::from_raw_os_error(libc::ENODEV));
        }
        if faults.full && direction == Direction::Write {
            counts.full += 1;
            return Verdict::Fail(io::Error::from_raw_os_error(libc::ENOSPC));
        }
        if self.happens(faults.stalls) {
            self.counts.stalls += 1;
            return Verdict::Stall(self.setting);
        }
        let (errors, short) = match direction {
            Direction::Read => (faults.read_errors, faults.short_reads),
            Direction::Write => (faults.write_errors, faults.short_writes),
        };
        if self.happens(errors) {
            match direction {
                Direction::Read => self.counts.read_errors += 1,
                Direction::Write => self.counts.write_errors += 1,
            }
            return Verdict::Fail(io::Error::from_raw_os_error(libc::EIO));
        }
        if self.happens(short) {
            self.counts.short += 1;
            return Verdict::Short;
        }
        match direction {
            Direction::Read if self.happens(faults.flips) => {
                self.counts.flips += 1;
                Verdict::Flip(self.chance.random())
            }
            Direction::Write if self.happens(faults.torn) => {
                self.counts.torn += 1;
                Verdict::Tear(self.chance.random())
            }
            _ => Verdict::Fine,
        }
    }
}

impl FaultyDevice {
    /// `device` without faults, until [`FaultyDevice::set`].
    pub fn new(device: Arc<dyn Device>, seed: u64) -> FaultyDevice {
        FaultyDevice {
            device,
            state: Mutex::new(State {
                faults: Faults::default(),
                setting: 0,
                counts: FaultCounts::default(),
                chance: SmallRng::seed_from_u64(seed),
                stalled: Vec::new(),
            }),
            changed: Condvar::new(),
        }
    }

    /// From now on these go wrong. What had stalled goes on, as the new faults allow.
    pub fn set(&self, faults: Faults) {
        let stalled = {
            let mut state = self.state.lock();
            state.faults = faults;
            state.setting += 1;
            std::mem::take(&mut state.stalled)
        };
        self.changed.notify_all();
        for transfer in stalled {
            self.submit(transfer);
        }
    }

    /// What has gone wrong so far.
    #[must_use]
    pub fn counts(&self) -> FaultCounts {
        self.state.lock().counts
    }

    /// How many submitted transfers have stalled and wait.
    #[must_use]
    pub fn stalled(&self) -> usize {
        self.state.lock().stalled.len()
    }

    /// What becomes of a blocking transfer; stalls are sat out here.
    fn judge_blocking(&self, direction: Direction) -> Verdict {
        let mut state = self.state.lock();
        loop {
            match state.judge(direction) {
                Verdict::Stall(setting) => {
                    self.changed
                        .wait_while(&mut state, |state| state.setting == setting);
                }
                verdict => return verdict,
            }
        }
    }

    fn write_torn(&self, offset: u64, data: &[u8], seed: u64) -> io::Result<()> {
        let mut mixed = AlignedBuffer::zeroed(data.len());
        self.device.read_at(offset, &mut mixed)?;
        tear(&mut mixed, data, seed);
        self.device.write_at(offset, &mixed)
    }
}

/// Replaces some sectors of `old` by those of `new`.
fn tear(old: &mut [u8], new: &[u8], seed: u64) {
    let mut chance = SmallRng::seed_from_u64(seed);
    let sectors = old.chunks_mut(SECTOR_BYTES).zip(new.chunks(SECTOR_BYTES));
    for (old, new) in sectors.filter(|_| chance.random_bool(0.5)) {
        old.copy_from_slice(new);
    }
}

fn flip(bytes: &mut [u8], bit: u64) {
    let bit = bit % (bytes.len() as u64 * 8).max(1);
    if let Some(byte) = bytes.get_mut(bit as usize / 8) {
        *byte ^= 1 << (bit % 8);
    }
}

/// The part of a short transfer that is made, in bytes.
fn half(length: usize) -> usize {
    let half = length / 2;
    half - half % BLOCK_BYTES
}

fn ended_early(direction: Direction) -> io::Error {
    let kind = match direction {
        Direction::Read => io::ErrorKind::UnexpectedEof,
        Direction::Write => io::ErrorKind::WriteZero,
    };
    io::Error::new(kind, "the device ended a transfer early")
}

/// Turns a bit over on the way back.
struct Flipped {
    bit: u64,
    next: Box<dyn Completion>,
}

impl Completion for Flipped {
    fn is_awaited(&self) -> bool {
        self.next.is_awaited()
    }

    fn complete(self: Box<Self>, result: io::Result<()>, mut buffer: Buffer) {
        if result.is_ok() {
            flip(&mut buffer, self.bit);
        }
        self.next.complete(result, buffer);
    }
}

impl Device for FaultyDevice {
    fn size(&self) -> u64 {
        self.device.size()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        match self.judge_blocking(Direction::Read) {
            Verdict::Fail(error) => Err(error),
            Verdict::Short => {
                let half = half(buffer.len());
                self.device.read_at(offset, &mut buffer[..half])?;
                Err(ended_early(Direction::Read))
            }
            Verdict::Flip(bit) => {
                self.device.read_at(offset, buffer)?;
                flip(buffer, bit);
                Ok(())
            }
            Verdict::Fine | Verdict::Tear(_) | Verdict::Stall(_) => self.device.read_at(offset, buffer),
        }
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        match self.judge_blocking(Direction::Write) {
            Verdict::Fail(error) => Err(error),
            Verdict::Short => {
                self.device.write_at(offset, &data[..half(data.len())])?;
                Err(ended_early(Direction::Write))
            }
            Verdict::Tear(seed) => self.write_torn(offset, data, seed),
            Verdict::Fine | Verdict::Flip(_) | Verdict::Stall(_) => self.device.write_at(offset, data),
        }
    }

    fn flush(&self) -> io::Result<()> {
        {
            let mut state = self.state.lock();
            let faults = state.faults;
            if faults.gone {
                state.counts.gone += 1;
                return Err(io::Error::from_raw_os_error(libc::ENODEV));
            }
            if state.happens(faults.flush_errors) {
                state.counts.flush_errors += 1;
                return Err(io::Error::from_raw_os_error(libc::EIO));
            }
        }
        self.device.flush()
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

    fn submit(&self, mut transfer: Transfer) {
        let verdict = {
            let mut state = self.state.lock();
            match state.judge(transfer.direction()) {
                Verdict::Stall(_) => return state.stalled.push(transfer),
                verdict => verdict,
            }
        };
        match verdict {
            Verdict::Fine | Verdict::Stall(_) => self.device.submit(transfer),
            Verdict::Fail(error) => transfer.complete(Err(error)),
            Verdict::Flip(bit) => self
                .device
                .submit(transfer.observed_by(|next| Box::new(Flipped { bit, next }))),
            // Rare, so made by blocking calls: the faults are the same, whichever thread they happen on.
            Verdict::Short => {
                let (direction, offset) = (transfer.direction(), transfer.offset());
                let half = half(transfer.buffer().len());
                let part = &mut transfer.buffer()[..half];
                let made = match direction {
                    Direction::Read => self.device.read_at(offset, part),
                    Direction::Write => self.device.write_at(offset, part),
                };
                transfer.complete(made.and_then(|()| Err(ended_early(direction))));
            }
            Verdict::Tear(seed) => {
                let written = self.write_torn(transfer.offset(), transfer.buffer(), seed);
                transfer.complete(written);
            }
        }
    }

    fn adopt(&self, buffers: &Buffers) {
        self.device.adopt(buffers);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{MemoryDevice, Writes};
    use super::*;

    const BYTES: u64 = 1 << 20;

    fn faulty(seed: u64, faults: Faults) -> FaultyDevice {
        let device = FaultyDevice::new(Arc::new(MemoryDevice::new(BYTES)), seed);
        device.set(faults);
        device
    }

    fn block(byte: u8) -> AlignedBuffer {
        let mut block = AlignedBuffer::zeroed(2 * BLOCK_BYTES);
        block.fill(byte);
        block
    }

    /// What a hundred reads and writes of two blocks end with, and what is on the device then.
    fn play(device: &FaultyDevice) -> (Vec<Option<io::ErrorKind>>, Vec<u8>) {
        let mut ends = Vec::new();
        let mut bytes = Vec::new();
        for at in 0..100 {
            let offset = at * 2 * BLOCK_BYTES as u64;
            ends.push(device.write_at(offset, &block(7)).err().map(|error| error.kind()));
            let mut found = block(0);
            ends.push(device.read_at(offset, &mut found).err().map(|error| error.kind()));
            bytes.extend_from_slice(&found);
        }
        (ends, bytes)
    }

    #[test]
    fn each_fault_happens_at_its_rate_is_counted_and_comes_back_with_the_seed() {
        let some = Faults {
            read_errors: 0.1,
            write_errors: 0.1,
            short_reads: 0.1,
            short_writes: 0.1,
            flips: 0.2,
            torn: 0.2,
            ..Faults::default()
        };
        let first = faulty(7, some);
        let played = play(&first);
        let counts = first.counts();
        for count in [
            counts.read_errors,
            counts.write_errors,
            counts.short,
            counts.flips,
            counts.torn,
        ] {
            assert!((3..60).contains(&count), "{counts:?}");
        }
        assert_eq!(play(&faulty(7, some)), played, "the same seed");
        assert_ne!(play(&faulty(8, some)), played, "another seed");
        assert!(
            play(&faulty(7, Faults::default()))
                .1
                .iter()
                .all(|byte| *byte == 7)
        );
    }

    #[test]
    fn a_full_device_still_reads_and_one_that_is_gone_does_nothing() {
        let device = faulty(
            1,
            Faults {
                full: true,
                ..Faults::default()
            },
        );
        let error = device.write_at(0, &block(1)).expect_err("full");
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        device.read_at(0, &mut block(0)).expect("reads go on");
        device.set(Faults {
            gone: true,
            ..Faults::default()
        });
        assert!(device.read_at(0, &mut block(0)).is_err() && device.flush().is_err());
        device.set(Faults::default());
        device.write_at(0, &block(1)).expect("back again");
        assert_eq!((device.counts().full, device.counts().gone), (1, 2));
    }

    #[test]
    fn what_is_submitted_meets_the_same_faults_and_a_stalled_write_is_made_when_the_stall_ends() {
        let device = Arc::new(faulty(
            3,
            Faults {
                stalls: 1.0,
                ..Faults::default()
            },
        ));
        let mut writes = Writes::new(device.clone(), 2);
        writes.begin(0, block(5).into());
        writes.begin(8192, block(6).into());
        assert!(writes.is_full());
        assert_eq!((device.stalled(), writes.count()), (2, 2));
        device.set(Faults::default());
        while let Some((result, _)) = writes.finish_oldest() {
            result.expect("written");
        }
        let mut found = block(0);
        device.read_at(8192, &mut found).expect("read");
        assert_eq!(found[0], 6);
        device.set(Faults {
            short_writes: 1.0,
            ..Faults::default()
        });
        writes.begin(0, block(9).into());
        let (result, _) = writes.finish_oldest().expect("one was begun");
        assert_eq!(result.expect_err("short").kind(), io::ErrorKind::WriteZero);
    }
}
