//! The bytes of one region, as they are for ever: whoever changes them must raise the format version.

use super::{read_head, read_part};
use crate::disk::MemoryDevice;
use crate::disk::aligned::AlignedBuffer;
use crate::disk::commit::Commit;
use crate::disk::device::{BLOCK_BYTES, Device};
use crate::disk::format::region::{Region, RegionLife};
use crate::disk::format::superblock::Superblock;
use crate::disk::format::{FORMAT_VERSION, Geometry};
use crate::disk::hints::Hints;
use crate::disk::log::{Log, Recovered};
use crate::disk::queue::{Record, Write};
use crate::disk::recover::{read_or_format, survey_all};
use crate::disk::store::Store;
use crate::placement::{Class, Settings};
use bytes::Bytes;
use model::Moment;
use rand::RngCore;
use std::fmt::Write as _;
use std::sync::Arc;

const REGION_BYTES: u64 = 64 << 10;
const DEVICE_BYTES: u64 = (1 << 20) + 3 * REGION_BYTES;
const UUID: u128 = 0x0123_4567_89AB_CDEF_0011_2233_4455_6677;
const KEY_HASH: u128 = 0xFEDC_BA98_7654_3210_8899_AABB_CCDD_EEFF;
const GOLDEN: &str = include_str!("golden.txt");

/// Every life is the same.
struct Constant;

impl RngCore for Constant {
    fn next_u32(&mut self) -> u32 {
        0
    }
    fn next_u64(&mut self) -> u64 {
        0xA1A2_A3A4_A5A6_A7A8
    }
    fn fill_bytes(&mut self, target: &mut [u8]) {
        target.fill(0);
    }
}

fn opened(device: &Arc<MemoryDevice>) -> (Arc<Store>, Recovered) {
    let geometry = Geometry::of(DEVICE_BYTES, REGION_BYTES).expect("large enough");
    let superblock =
        read_or_format(&**device, geometry, UUID, &super::metrics().damaged.superblock).expect("works");
    assert_eq!(superblock, Superblock { geometry, uuid: UUID });
    let store = Arc::new(Store::new(device.clone(), geometry, UUID, 0, super::metrics()));
    let (recovered, rebuild) = survey_all(&store);
    rebuild.run(&store);
    (store, recovered)
}

fn head() -> Record {
    let encoded = Bytes::from_static(b"what is known of it");
    Record {
        hints: Hints {
            fresh_until: Some(Moment::from_seconds(1000)),
            revalidates: true,
            ..Hints::default()
        },
        ..Record::head(KEY_HASH, "demo/a.m4s", 77, encoded)
    }
}

/// Two checksum units, nearly all zeros so that the golden file stays short.
fn part() -> Record {
    let pieces = vec![Bytes::from(vec![0; 33_000]), Bytes::from_static(b"the end")];
    Record::part(KEY_HASH, 77, 3, pieces)
}

/// A device with one sealed region: a head, padding, a part, a tombstone, the end, the footer.
fn written() -> Arc<MemoryDevice> {
    let device = Arc::new(MemoryDevice::new(DEVICE_BYTES));
    let (store, recovered) = opened(&device);
    let settings = Settings::of(3, REGION_BYTES);
    let mut log = Log::new(store, settings, &recovered, Box::new(Constant));
    let write = |record| Write {
        record,
        ticket: 1,
        resolver: Some(Commit::pending().0),
    };
    log.append(write(head())).expect("works");
    log.commit().expect("works");
    log.append(write(part())).expect("works");
    log.append(write(Record::tombstone(5))).expect("works");
    log.seal().expect("works");
    device
}

/// Offset and bytes of every 16 that are not all zero.
fn dump(device: &MemoryDevice) -> String {
    let mut text = String::new();
    for block in 0..DEVICE_BYTES / BLOCK_BYTES as u64 {
        let mut buffer = AlignedBuffer::zeroed(BLOCK_BYTES);
        device
            .read_at(block * BLOCK_BYTES as u64, &mut buffer)
            .expect("works");
        for (line, bytes) in buffer
            .chunks(16)
            .enumerate()
            .filter(|(_, bytes)| bytes.iter().any(|byte| *byte != 0))
        {
            write!(text, "{:06x} ", block * BLOCK_BYTES as u64 + line as u64 * 16).expect("a string");
            bytes
                .iter()
                .for_each(|byte| write!(text, " {byte:02x}").expect("a string"));
            text.push('\n');
        }
    }
    text
}

#[test]
fn a_device_with_one_region_has_these_bytes_for_ever() {
    assert_eq!(FORMAT_VERSION, 2, "a new version needs a new golden file");
    let found = dump(&written());
    assert!(found == GOLDEN, "the format has changed; it is now\n{found}");
}

#[test]
fn the_golden_bytes_are_still_read() {
    let device = Arc::new(MemoryDevice::new(DEVICE_BYTES));
    let mut bytes = AlignedBuffer::zeroed(DEVICE_BYTES as usize);
    for line in GOLDEN.lines() {
        let (offset, hex) = line.split_once("  ").expect("offset and bytes");
        let offset = usize::from_str_radix(offset, 16).expect("hex");
        for (at, byte) in hex.split(' ').enumerate() {
            bytes[offset + at] = u8::from_str_radix(byte, 16).expect("hex");
        }
    }
    device.write_at(0, &bytes).expect("works");
    let (store, recovered) = opened(&device);
    let region = Region {
        life: RegionLife {
            number: 0,
            sequence: 1,
            life: 0xA1A2_A3A4_A5A6_A7A8,
        },
        class: Class::M,
        opened_seconds: 0,
    };
    assert_eq!(
        recovered,
        Recovered {
            regions: vec![region],
            next_sequence: 2
        }
    );
    let found = read_head(&store, KEY_HASH, "demo/a.m4s").expect("found");
    assert_eq!(
        (found.version, &found.encoded[..]),
        (77, &b"what is known of it"[..])
    );
    let end = read_part(&store, KEY_HASH, 77, 3, 32_999..33_007).expect("found");
    assert_eq!(&end[..], b"\0the end");
    assert_eq!(store.index.len(), 2);
}
