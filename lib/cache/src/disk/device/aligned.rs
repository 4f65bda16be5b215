//! Memory whose address is a multiple of a block, as `O_DIRECT` asks.
//!
//! Plain safe code: a little more than needed is allocated, and the part that begins at a block is used.

use super::BLOCK_BYTES;
use std::ops::{Deref, DerefMut};

/// Zeroed bytes at a block-aligned address, a whole number of blocks long.
pub(in crate::disk) struct AlignedBuffer {
    memory: Vec<u8>,
    start: usize,
    length: usize,
}

impl AlignedBuffer {
    /// A buffer of at least `length` bytes, rounded up to whole blocks.
    pub(in crate::disk) fn zeroed(length: usize) -> AlignedBuffer {
        let length = length.next_multiple_of(BLOCK_BYTES);
        let memory = vec![0; length + BLOCK_BYTES];
        let start = memory.as_ptr().addr().wrapping_neg() % BLOCK_BYTES;
        AlignedBuffer {
            memory,
            start,
            length,
        }
    }
}

impl Deref for AlignedBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.length]
    }
}

impl DerefMut for AlignedBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + self.length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_aligned_and_stays_where_it_is_when_it_is_moved() {
        for length in [1, 4096, 4097, 300_000] {
            let mut buffer = AlignedBuffer::zeroed(length);
            assert_eq!(buffer.len(), length.next_multiple_of(BLOCK_BYTES));
            buffer[length - 1] = 7;
            let address = buffer.as_ptr();
            assert_eq!(address.addr() % BLOCK_BYTES, 0);
            let moved = Box::new(buffer);
            assert_eq!(moved.as_ptr(), address);
            assert_eq!(moved[length - 1], 7);
        }
    }
}
