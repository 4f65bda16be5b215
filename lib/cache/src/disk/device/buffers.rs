//! The memory that reads go into: aligned, used again and again, and bounded in bytes whatever the device does.
//!
//! Three sizes cover what readers ask for: a head or a record's front, a short range with its checksum units, and a
//! chunk of 256 KiB with all that surrounds it. Anything larger is made for the occasion. Everything that exists counts,
//! lent or at rest; where the bound is reached, buffers at rest of other sizes make room, and beyond it there are none.

use super::aligned::AlignedBuffer;
use parking_lot::Mutex;
use prometheus::IntGauge;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

/// Sizes of which buffers are kept at rest, in bytes: a front of 576 bytes lies in two blocks at most; two checksum
/// units and a front take 76 KiB; 256 KiB at any place of a part, with its head before it, take less than 288.
const CLASSES: [usize; 3] = [8 << 10, 80 << 10, 288 << 10];

/// How many of each class exist from the start and may be registered with the kernel: together 4.8 MiB, below the
/// 8 MiB that a process may lock as a rule.
const LASTING: [usize; 3] = [32, 16, 12];

/// The most that lasting buffers take of the bound: one in so many bytes.
const LASTING_SHARE: u64 = 4;

/// Where reads get their buffers. Clones share it.
#[derive(Clone)]
pub struct Buffers {
    stock: Arc<Stock>,
}

struct Stock {
    shelves: Mutex<Shelves>,
    bound_bytes: u64,
    gauge: IntGauge,
}

#[derive(Default)]
struct Shelves {
    /// By class. The lasting ones lie on top, so that they are used most.
    at_rest: [Vec<Memory>; CLASSES.len()],
    /// Of everything that exists, lent or at rest.
    bytes: u64,
    lent_bytes: u64,
}

/// A buffer's memory and its number among the lasting ones.
struct Memory {
    bytes: AlignedBuffer,
    lasting: Option<u16>,
}

/// Block-aligned bytes that go back to where they came from when they are dropped.
pub struct Buffer {
    memory: Option<Memory>,
    length: usize,
    home: Option<Arc<Stock>>,
}

impl Buffers {
    /// No more than `bound_bytes` will exist at once; `gauge` shows how many are lent.
    pub(in crate::disk) fn new(bound_bytes: u64, gauge: IntGauge) -> Buffers {
        gauge.set(0);
        let mut shelves = Shelves::default();
        let mut number = 0;
        for (class, count) in LASTING.into_iter().enumerate() {
            for _ in 0..count {
                if shelves.bytes + CLASSES[class] as u64 <= bound_bytes / LASTING_SHARE {
                    shelves.bytes += CLASSES[class] as u64;
                    shelves.at_rest[class].push(Memory {
                        bytes: AlignedBuffer::zeroed(CLASSES[class]),
                        lasting: Some(number),
                    });
                    number += 1;
                }
            }
        }
        Buffers {
            stock: Arc::new(Stock {
                shelves: Mutex::new(shelves),
                bound_bytes,
                gauge,
            }),
        }
    }

    /// A buffer of `length` bytes, a multiple of a block. `None` when so many are lent that it would exceed the bound.
    /// What it holds is left over from its last use.
    pub(in crate::disk) fn take(&self, length: usize) -> Option<Buffer> {
        let class = CLASSES.iter().position(|class| length <= *class);
        let size = class.map_or(length, |class| CLASSES[class]);
        let mut shelves = self.stock.shelves.lock();
        let found = class.and_then(|class| shelves.at_rest[class].pop());
        if found.is_none() {
            shelves.make_room(size as u64, self.stock.bound_bytes);
            if shelves.bytes + size as u64 > self.stock.bound_bytes {
                return None;
            }
            shelves.bytes += size as u64;
        }
        shelves.lent_bytes += size as u64;
        self.stock.gauge.set(shelves.lent_bytes as i64);
        drop(shelves);
        // Made outside the lock: it is zeroed.
        let memory = found.unwrap_or_else(|| Memory {
            bytes: AlignedBuffer::zeroed(size),
            lasting: None,
        });
        Some(Buffer {
            memory: Some(memory),
            length,
            home: Some(self.stock.clone()),
        })
    }

    /// Address and length of the lasting buffers, in the order of their numbers. Empty when some are lent: ask before
    /// the first use.
    pub(super) fn lasting(&self) -> Vec<(usize, usize)> {
        let mut shelves = self.stock.shelves.lock();
        let mut found: Vec<(u16, usize, usize)> = Vec::new();
        for memory in shelves.at_rest.iter_mut().flatten() {
            if let Some(number) = memory.lasting {
                found.push((
                    number,
                    memory.bytes.as_mut_ptr().expose_provenance(),
                    memory.bytes.len(),
                ));
            }
        }
        found.sort_unstable();
        let complete = found
            .iter()
            .enumerate()
            .all(|(at, (number, ..))| at == usize::from(*number));
        if !complete {
            return Vec::new();
        }
        found
            .into_iter()
            .map(|(_, address, length)| (address, length))
            .collect()
    }
}

impl Shelves {
    /// Lets go of buffers at rest, largest first, until `size` more bytes fit. Lasting ones stay.
    fn make_room(&mut self, size: u64, bound_bytes: u64) {
        for shelf in self.at_rest.iter_mut().rev() {
            while self.bytes + size > bound_bytes
                && let Some(at) = shelf.iter().rposition(|memory| memory.lasting.is_none())
            {
                self.bytes -= shelf.remove(at).bytes.len() as u64;
            }
        }
    }
}

impl Stock {
    fn give_back(&self, memory: Memory) {
        let size = memory.bytes.len();
        let mut shelves = self.shelves.lock();
        shelves.lent_bytes -= size as u64;
        self.gauge.set(shelves.lent_bytes as i64);
        match CLASSES.iter().position(|class| *class == size) {
            // Lasting ones on top.
            Some(class) if memory.lasting.is_some() => shelves.at_rest[class].push(memory),
            Some(class) => {
                let below = shelves.at_rest[class]
                    .iter()
                    .position(|other| other.lasting.is_some())
                    .unwrap_or(shelves.at_rest[class].len());
                shelves.at_rest[class].insert(below, memory);
            }
            None => shelves.bytes -= size as u64,
        }
    }
}

impl Buffer {
    /// Its number among the lasting buffers of where it came from.
    pub(super) fn lasting(&self) -> Option<u16> {
        self.memory.as_ref()?.lasting
    }

    /// Shows the first `length` bytes of its memory, or all of it when that is less.
    pub(in crate::disk) fn resize(&mut self, length: usize) {
        let memory = self.memory.as_ref().map_or(0, |memory| memory.bytes.len());
        self.length = length.min(memory);
    }
}

/// Memory that belongs to nobody's stock: freed when it is dropped.
impl From<AlignedBuffer> for Buffer {
    fn from(bytes: AlignedBuffer) -> Buffer {
        Buffer {
            length: bytes.len(),
            memory: Some(Memory { bytes, lasting: None }),
            home: None,
        }
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let memory = self.memory.as_ref().expect("present until dropped");
        &memory.bytes[..self.length]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        let memory = self.memory.as_mut().expect("present until dropped");
        &mut memory.bytes[..self.length]
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let (Some(memory), Some(home)) = (self.memory.take(), &self.home) {
            home.give_back(memory);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buffers(bound_bytes: u64) -> Buffers {
        Buffers::new(bound_bytes, IntGauge::new("bytes", "bytes").expect("gauge"))
    }

    #[test]
    fn a_buffer_is_used_again_and_what_is_lent_and_what_exists_never_exceed_the_bound() {
        let buffers = buffers(1 << 20);
        let first = buffers.take(260 << 10).expect("room");
        assert_eq!(first.len(), 260 << 10);
        let address = first.as_ptr();
        drop(first);
        let again = buffers.take(288 << 10).expect("room");
        assert_eq!(again.as_ptr(), address, "the same memory");
        let others: Vec<_> = std::iter::from_fn(|| buffers.take(288 << 10)).collect();
        assert!(others.len() <= 2, "{} lent beside one", others.len());
        assert_eq!(buffers.stock.gauge.get(), (others.len() as i64 + 1) * (288 << 10));
        assert!(buffers.take(600 << 10).is_none(), "beyond the bound");
        drop((again, others));
        assert_eq!(buffers.stock.gauge.get(), 0);
        let large = buffers.take(600 << 10).expect("those at rest make room");
        assert!(buffers.stock.shelves.lock().bytes <= 1 << 20);
        drop(large);
        assert!(buffers.stock.shelves.lock().bytes <= 1 << 20);
    }

    #[test]
    fn lasting_buffers_keep_their_addresses_and_are_lent_before_others() {
        let buffers = buffers(64 << 20);
        let lasting = buffers.lasting();
        assert_eq!(lasting.len(), LASTING.iter().sum::<usize>());
        let all: Vec<Buffer> = (0..40).map(|_| buffers.take(4096).expect("room")).collect();
        let count = all.iter().filter(|buffer| buffer.lasting().is_some()).count();
        assert_eq!(count, LASTING[0]);
        for buffer in &all {
            if let Some(number) = buffer.lasting() {
                assert_eq!(lasting[usize::from(number)].0, buffer.as_ptr().addr());
            }
        }
        assert!(buffers.lasting().is_empty(), "some are lent");
        drop(all);
        assert!(buffers.take(4096).expect("room").lasting().is_some(), "on top");
        assert_eq!(buffers.lasting(), lasting);
    }
}
