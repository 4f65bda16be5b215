//! Ours: the engine's own placement policy on lists in memory.

use cache::placement::{Admission, Candidate, Settings, Shelves};
use model::Moment;

use super::super::sizes;
use super::super::trace::Object;
use super::{Policy, Written};

/// Regions of a simulated disk. A real one has tens of thousands; from some hundreds on their number matters little.
const REGIONS: u64 = 400;

/// A region has room for this many of the largest objects, as a real one has.
const LARGEST_OBJECTS_PER_REGION: u64 = 4;

/// Fewer regions than this are no two logs any more.
const LEAST_REGIONS: u64 = 20;

/// What an object's head takes on the disk: its key and its fields, in two units.
const HEAD_BYTES: u64 = 1024;

/// Its bytes are preceded by a header and by four bytes for each of these, and end at a unit of the log.
const CHECKSUM_UNIT_BYTES: u64 = 32 << 10;
const HEADER_BYTES: u64 = 64;
const UNIT_BYTES: u64 = 512;

pub(super) struct Millrace {
    shelves: Shelves,
    overhead_bytes: u64,
}

impl Millrace {
    pub(super) fn new(capacity_bytes: u64) -> Millrace {
        let least_bytes = LARGEST_OBJECTS_PER_REGION * u64::from(sizes::LARGEST_BYTES);
        let regions = (capacity_bytes / least_bytes).clamp(LEAST_REGIONS, REGIONS);
        let settings = Settings::of(regions as u32, capacity_bytes / regions);
        Millrace {
            shelves: Shelves::new(settings, Moment(0)),
            overhead_bytes: 0,
        }
    }
}

impl Policy for Millrace {
    fn request(&mut self, at: Moment, object: Object, bytes: u32) -> bool {
        let (object, bytes) = (u128::from(object), u64::from(bytes));
        if self.shelves.read(object, bytes) == bytes {
            return true;
        }
        if let Admission::Write(_) = self.shelves.write(&Candidate::new(object, bytes), at) {
            self.overhead_bytes += overhead_of(bytes);
        }
        false
    }

    fn written(&self) -> Written {
        let counts = self.shelves.counts();
        Written {
            admitted_bytes: counts.written.iter().sum(),
            copied_bytes: counts.copied.iter().sum(),
            overhead_bytes: self.overhead_bytes,
        }
    }
}

/// What the log writes beside the bytes of an object.
fn overhead_of(bytes: u64) -> u64 {
    let record = HEADER_BYTES + bytes.div_ceil(CHECKSUM_UNIT_BYTES) * 4 + bytes;
    HEAD_BYTES + record.next_multiple_of(UNIT_BYTES) - bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_once_is_written_with_its_headers_and_found_again() {
        let mut cache = Millrace::new(1 << 30);
        assert_eq!(
            [false, true],
            [(); 2].map(|()| cache.request(Moment(0), 7, 40_000))
        );
        let written = Written {
            admitted_bytes: 40_000,
            copied_bytes: 0,
            overhead_bytes: 1024 + 448,
        };
        assert_eq!(cache.written(), written);
    }
}
