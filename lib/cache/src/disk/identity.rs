//! Whose device it is, asked and changed without opening its log.

use super::device::BLOCK_BYTES;
use super::device::Device;
use super::device::aligned::AlignedBuffer;
use super::format::superblock::{OFFSETS, Superblock};
use std::io;

/// The mark that was drawn when the device was formatted; `None` when it is not of ours, or of another format version.
/// Fails when the device does.
pub(crate) fn identify(device: &dyn Device) -> io::Result<Option<u128>> {
    for offset in OFFSETS {
        if let Ok(superblock) = Superblock::decode(&read_block(device, offset)?) {
            return Ok(Some(superblock.uuid));
        }
    }
    Ok(None)
}

/// Makes the device blank: the next opening formats it, and nothing that it holds is found again. Nobody may have it open.
pub(crate) fn wipe(device: &dyn Device) -> io::Result<()> {
    let zeros = AlignedBuffer::zeroed(BLOCK_BYTES);
    for offset in OFFSETS {
        device.write_at(offset, &zeros)?;
    }
    device.flush()
}

/// Writes what is there already, to see whether the device takes it. Harmless beside an open log, which never writes
/// this block.
pub(crate) fn try_writing(device: &dyn Device) -> io::Result<()> {
    let [_, copy] = OFFSETS;
    let block = read_block(device, copy)?;
    device.write_at(copy, &block)?;
    device.flush()
}

fn read_block(device: &dyn Device, offset: u64) -> io::Result<AlignedBuffer> {
    let mut block = AlignedBuffer::zeroed(BLOCK_BYTES);
    device.read_at(offset, &mut block)?;
    Ok(block)
}
