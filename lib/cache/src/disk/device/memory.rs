//! A device in memory that remembers what was not flushed yet, so that a test can take the power away.

use super::{BLOCK_BYTES, Device};
use parking_lot::Mutex;
use rand::{Rng, SeedableRng, rngs::SmallRng};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

/// What a device writes at once even when it loses power: a torn block is made of whole sectors.
const SECTOR_BYTES: usize = 512;

/// Shared, so that a copy of a device costs little: a test makes thousands.
type Block = Arc<[u8]>;

/// A device of zeros that lives as long as the value. What was written since the last flush is kept block by block
/// beside what is stable, and [`MemoryDevice::after_power_loss`] decides which of it survived.
#[derive(Debug)]
pub struct MemoryDevice {
    size: u64,
    contents: Mutex<Contents>,
}

#[derive(Debug, Clone, Default)]
struct Contents {
    /// What survives everything, by block number; absent is zeros.
    stable: BTreeMap<u64, Block>,
    /// What was written since the last flush, oldest first.
    unflushed: BTreeMap<u64, Vec<Block>>,
    /// Writes and flushes still allowed before the device fails for good.
    fuse: Option<u64>,
    burnt: bool,
    writes_and_flushes: u64,
}

impl MemoryDevice {
    /// `size` bytes of zeros; `size` is rounded down to whole blocks. Memory is used only for what is written.
    pub fn new(size: u64) -> MemoryDevice {
        MemoryDevice {
            size: size - size % BLOCK_BYTES as u64,
            contents: Mutex::default(),
        }
    }

    /// Lets `count` more writes and flushes succeed, then fails every one. Of the first write that fails, the first
    /// half of the blocks is written: the process was killed in the middle of it.
    pub fn fail_after(&self, count: u64) {
        self.contents.lock().fuse = Some(count);
    }

    /// How many writes and flushes have succeeded.
    pub fn writes_and_flushes(&self) -> u64 {
        self.contents.lock().writes_and_flushes
    }

    /// The device as the next process finds it when this one is killed: everything written is there.
    pub fn after_kill(&self) -> MemoryDevice {
        let contents = self.contents.lock();
        let stable_and_unflushed = Contents {
            fuse: None,
            ..contents.clone()
        };
        MemoryDevice {
            size: self.size,
            contents: Mutex::new(stable_and_unflushed),
        }
    }

    /// The device as it is found when power fails now: of each block written since the last flush, `seed` decides
    /// whether the stable content, one of the writes, or a mixture of sectors is there.
    pub fn after_power_loss(&self, seed: u64) -> MemoryDevice {
        let mut chance = SmallRng::seed_from_u64(seed);
        let contents = self.contents.lock();
        let mut stable = contents.stable.clone();
        // One bias per loss: from nearly everything kept to nearly nothing.
        let kept = chance.random_range(0.0..=1.0);
        for (number, writes) in &contents.unflushed {
            let newest = &writes[chance.random_range(0..writes.len())];
            if chance.random_bool(0.05) {
                let mut torn = stable.get(number).unwrap_or(&blank()).to_vec();
                for sector in 0..BLOCK_BYTES / SECTOR_BYTES {
                    let bytes = sector * SECTOR_BYTES..(sector + 1) * SECTOR_BYTES;
                    if chance.random_bool(kept) {
                        torn[bytes.clone()].copy_from_slice(&newest[bytes]);
                    }
                }
                stable.insert(*number, torn.into());
            } else if chance.random_bool(kept) {
                stable.insert(*number, newest.clone());
            }
        }
        let contents = Contents {
            stable,
            ..Contents::default()
        };
        MemoryDevice {
            size: self.size,
            contents: Mutex::new(contents),
        }
    }

    /// Turns one bit over, wherever it is now: what a failing drive does.
    pub fn flip_bit(&self, bit: u64) {
        let byte = bit / 8;
        let mut contents = self.contents.lock();
        contents.settle();
        let number = byte / BLOCK_BYTES as u64;
        let mut block = contents.stable.get(&number).unwrap_or(&blank()).to_vec();
        block[byte as usize % BLOCK_BYTES] ^= 1 << (bit % 8);
        contents.stable.insert(number, block.into());
    }

    fn check(&self, offset: u64, buffer: &[u8]) -> io::Result<()> {
        let aligned = offset.is_multiple_of(BLOCK_BYTES as u64)
            && buffer.len().is_multiple_of(BLOCK_BYTES)
            && buffer.as_ptr().addr().is_multiple_of(BLOCK_BYTES);
        if !aligned {
            // O_DIRECT says EINVAL; so does this, so that tests see what a drive would see.
            let message = format!("unaligned transfer of {} bytes at {offset}", buffer.len());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        if offset.saturating_add(buffer.len() as u64) > self.size {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "past the end of the device",
            ));
        }
        Ok(())
    }
}

impl Contents {
    fn burn(&mut self) -> io::Result<()> {
        match &mut self.fuse {
            Some(0) => {
                self.burnt = true;
                return Err(io::Error::other("the device has failed"));
            }
            Some(left) => *left -= 1,
            None => {}
        }
        self.writes_and_flushes += 1;
        Ok(())
    }

    fn settle(&mut self) {
        for (number, mut writes) in std::mem::take(&mut self.unflushed) {
            if let Some(newest) = writes.pop() {
                self.stable.insert(number, newest);
            }
        }
    }
}

fn blank() -> Block {
    Arc::new([0; BLOCK_BYTES])
}

impl Device for MemoryDevice {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.check(offset, buffer)?;
        let contents = self.contents.lock();
        for (number, block) in (offset / BLOCK_BYTES as u64..).zip(buffer.chunks_exact_mut(BLOCK_BYTES)) {
            let written = contents.unflushed.get(&number).and_then(|writes| writes.last());
            match written.or_else(|| contents.stable.get(&number)) {
                Some(bytes) => block.copy_from_slice(bytes),
                None => block.fill(0),
            }
        }
        Ok(())
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.check(offset, data)?;
        let mut contents = self.contents.lock();
        let was_burnt = contents.burnt;
        let result = contents.burn();
        let blocks = data.len() / BLOCK_BYTES;
        let written = match &result {
            Ok(()) => blocks,
            Err(_) if was_burnt => 0,
            Err(_) => blocks / 2,
        };
        for (number, block) in (offset / BLOCK_BYTES as u64..)
            .zip(data.chunks_exact(BLOCK_BYTES))
            .take(written)
        {
            contents.unflushed.entry(number).or_default().push(block.into());
        }
        result
    }

    fn flush(&self) -> io::Result<()> {
        let mut contents = self.contents.lock();
        contents.burn()?;
        contents.settle();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::aligned::AlignedBuffer;
    use super::*;

    fn first_byte(device: &MemoryDevice, block: u64) -> u8 {
        let mut buffer = AlignedBuffer::zeroed(BLOCK_BYTES);
        device
            .read_at(block * BLOCK_BYTES as u64, &mut buffer)
            .expect("read");
        buffer[0]
    }

    fn write(device: &MemoryDevice, block: u64, byte: u8) -> io::Result<()> {
        let mut buffer = AlignedBuffer::zeroed(BLOCK_BYTES);
        buffer.fill(byte);
        device.write_at(block * BLOCK_BYTES as u64, &buffer)
    }

    #[test]
    fn power_loss_keeps_what_was_flushed_and_any_subset_of_the_rest_and_a_kill_keeps_everything() {
        let device = MemoryDevice::new(1 << 20);
        write(&device, 0, 1).expect("written");
        device.flush().expect("flushed");
        for block in 1..20 {
            write(&device, block, 2).expect("written");
        }
        assert_eq!(
            (0..20)
                .map(|block| first_byte(&device.after_kill(), block))
                .sum::<u8>(),
            1 + 19 * 2
        );
        let survivors: Vec<u8> = (0..50)
            .map(|seed| {
                let found = device.after_power_loss(seed);
                assert_eq!(first_byte(&found, 0), 1);
                (1..20).map(|block| first_byte(&found, block)).sum::<u8>() / 2
            })
            .collect();
        assert!(survivors.iter().any(|count| *count < 5) && survivors.iter().any(|count| *count > 14));
    }

    #[test]
    fn a_fuse_ends_writes_and_flushes_but_not_reads_and_unaligned_transfers_are_refused() {
        let device = MemoryDevice::new(1 << 20);
        device.fail_after(1);
        write(&device, 3, 9).expect("within the fuse");
        write(&device, 4, 9).expect_err("fuse burnt");
        device.flush().expect_err("fuse burnt");
        assert_eq!(first_byte(&device, 3), 9);
        let mut buffer = AlignedBuffer::zeroed(BLOCK_BYTES);
        assert!(device.read_at(512, &mut buffer).is_err());
        assert!(device.read_at(0, &mut buffer[1..]).is_err());
        assert!(device.read_at(1 << 20, &mut buffer).is_err());
    }
}
