//! A look from outside finds everything that was put, and every bit that was flipped.

use super::super::device::aligned::AlignedBuffer;
use super::super::device::{Device, MemoryDevice};
use super::super::inspect::{Extent, Piece, Refusal, Report, inspect};
use super::super::{Disk, Fate, Options};
use super::{body, metrics};
use crate::key::Key;
use std::collections::BTreeSet;
use std::sync::Arc;

const REGION_BYTES: u64 = 256 << 10;
const DEVICE_BYTES: u64 = (1 << 20) + 20 * REGION_BYTES;
const OBJECTS: u64 = 12;

fn key(number: u64) -> Key {
    Key::new("demo", format!("/object/{number}"))
}

/// A device with twelve objects and a removal, as a clean end leaves it, or as kill -9 does.
fn filled(closed: bool) -> Arc<MemoryDevice> {
    let device = Arc::new(MemoryDevice::new(DEVICE_BYTES));
    let options = Options {
        region_bytes: REGION_BYTES,
        ..Options::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let disk = Disk::open(device.clone(), options, metrics()).expect("opens");
        for number in 0..OBJECTS {
            let hash = key(number).hash();
            let part = disk.put_part(hash, 1, 0, vec![body(number, 70_000)]);
            let head = disk.put_head(&key(number), 1, body(100 + number, 300));
            assert_eq!((part.await, head.await), (Fate::Committed, Fate::Committed));
        }
        disk.remove(key(0).hash());
        let last = disk.put_head(&key(1), 2, body(1, 10));
        assert_eq!(last.await, Fate::Committed);
        if closed {
            disk.close().await;
        } else {
            // What a killed process leaves: a copy of this moment.
            return Arc::new(copy_of(&device));
        }
        device
    })
}

fn copy_of(device: &MemoryDevice) -> MemoryDevice {
    let copy = MemoryDevice::new(DEVICE_BYTES);
    let mut bytes = AlignedBuffer::zeroed(DEVICE_BYTES as usize);
    device.read_at(0, &mut bytes).expect("reads");
    copy.write_at(0, &bytes).expect("writes");
    copy
}

fn look(device: &MemoryDevice) -> (Report, Vec<Extent>) {
    let mut extents = Vec::new();
    let report = inspect(device, &mut |extent| extents.push(extent)).expect("ours");
    (report, extents)
}

fn flip(device: &MemoryDevice, offset: u64, bit: u8) {
    let start = offset - offset % 4096;
    let mut block = AlignedBuffer::zeroed(4096);
    device.read_at(start, &mut block).expect("reads");
    block[(offset - start) as usize] ^= 1 << bit;
    device.write_at(start, &block).expect("writes");
}

#[test]
fn everything_that_was_put_is_found_intact_sealed_or_not() {
    for closed in [true, false] {
        let (report, extents) = look(&filled(closed));
        assert_eq!(report.damage, []);
        let [s, m] = report.classes;
        assert_eq!(s.heads + m.heads, OBJECTS + 1);
        assert_eq!((s.parts + m.parts, s.tombstones + m.tombstones), (OBJECTS, 1));
        let open = u32::from(!closed);
        assert_eq!((s.open_regions, m.open_regions), (open, open), "closed: {closed}");
        let sealed = s.sealed_regions + m.sealed_regions;
        assert!(sealed >= 3 && report.empty_regions + sealed + 2 * open == report.region_count);
        let bodies = extents.iter().filter(|extent| extent.piece == Piece::Body);
        assert_eq!(bodies.map(|extent| extent.bytes).sum::<u64>(), OBJECTS * 70_000);
    }
}

#[test]
fn a_flipped_bit_is_found_wherever_it_is() {
    let device = filled(true);
    let (_, extents) = look(&device);
    let pieces: BTreeSet<Piece> = extents.iter().map(|extent| extent.piece).collect();
    assert_eq!(pieces.len(), 9, "{pieces:?}");
    let mut seen = std::collections::BTreeMap::<Piece, u32>::new();
    for extent in extents {
        let count = seen.entry(extent.piece).or_default();
        *count += 1;
        if *count > 4 {
            continue;
        }
        for (offset, bit) in [(0, 0), (extent.bytes / 2, 3), (extent.bytes - 1, 7)] {
            flip(&device, extent.offset + offset, bit);
            let (report, _) = look(&device);
            // Of a footer only the entries and the trailer mean something; a tombstone stands twice in its place.
            let spared = matches!(extent.piece, Piece::Footer | Piece::Tombstone);
            let found = report.damage.iter().any(|damage| damage.piece == extent.piece);
            assert!(found || spared, "{extent:?} + {offset}: {:?}", report.damage);
            flip(&device, extent.offset + offset, bit);
        }
    }
    assert_eq!(look(&device).0.damage, []);
}

#[test]
fn what_is_not_ours_is_refused() {
    let blank = MemoryDevice::new(DEVICE_BYTES);
    assert!(matches!(inspect(&blank, &mut |_| {}), Err(Refusal::NotOurs)));
    let device = filled(true);
    let short = MemoryDevice::new(2 << 20);
    let mut bytes = AlignedBuffer::zeroed(2 << 20);
    device.read_at(0, &mut bytes).expect("reads");
    short.write_at(0, &bytes).expect("writes");
    assert!(matches!(
        inspect(&short, &mut |_| {}),
        Err(Refusal::TooShort { .. })
    ));
}
