//! How far to read when a head is wanted: over the beginning of the object too, where that lies right behind it. Pure.

use super::format::Location;
use super::format::record::{HEADER_BYTES, MAX_TABLE_BYTES};

/// The most of an object's beginning that comes with its head, in bytes: one chunk, eight checksum units.
pub(super) const FIRST_BYTES: usize = 256 << 10;

/// What a reach is counted in: coarse enough for five bits, fine enough to read little in vain.
const STEP_BYTES: u64 = 16 << 10;
/// The longest reach, so that it fits the largest of the buffers that are kept, wherever in a block it begins. A head
/// that leaves too little room is read alone.
const MOST_BYTES: u64 = 284 << 10;

/// From a head's start, in steps; 0 when the head is all there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Reach(u8);

impl Reach {
    /// Bits that a reach needs.
    pub(super) const BITS: u32 = 5;

    /// Over the beginning of `part`, if that lies right behind `head`.
    pub(super) fn over(head: Location, part: Location) -> Option<Reach> {
        if !is_behind(head, part) {
            return None;
        }
        let front = (HEADER_BYTES + MAX_TABLE_BYTES + FIRST_BYTES) as u64;
        let bytes = head.length_bytes() + part.length_bytes().min(front);
        (bytes <= MOST_BYTES).then_some(Reach(bytes.div_ceil(STEP_BYTES) as u8))
    }

    pub(super) fn from_bits(bits: u32) -> Reach {
        Reach(bits as u8)
    }

    pub(super) fn bits(self) -> u32 {
        self.0.into()
    }

    /// How much to read from the start of `head`, in a region of `region_bytes`.
    pub(super) fn bytes(self, head: Location, region_bytes: u64) -> u64 {
        (u64::from(self.0) * STEP_BYTES)
            .min(MOST_BYTES)
            .min(region_bytes - head.offset_bytes())
            .max(head.length_bytes())
    }
}

/// Whether `part` begins where `head` ends.
pub(super) fn is_behind(head: Location, part: Location) -> bool {
    head.region == part.region && head.offset_units + head.length_units == part.offset_units
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(offset_units: u32, length_units: u32) -> Location {
        Location {
            region: 1,
            offset_units,
            length_units,
        }
    }

    #[test]
    fn a_reach_covers_head_and_first_bytes_in_five_bits_and_ends_with_the_region() {
        let region = 1 << 20;
        for (head, part) in [(1, 1), (3, 130), (20, 525), (7, 8194), (30, 600)] {
            let (head, part) = (location(8, head), location(8 + head, part));
            let reach = Reach::over(head, part).expect("adjacent");
            assert!(reach.bits() < 1 << Reach::BITS);
            assert_eq!(Reach::from_bits(reach.bits()), reach);
            let bytes = reach.bytes(head, region);
            let needed = head.length_bytes() + part.length_bytes().min(FIRST_BYTES as u64 + 576);
            assert!(bytes >= needed && bytes <= needed + STEP_BYTES && bytes <= MOST_BYTES);
            assert_eq!(
                reach.bytes(location(2040, 3), region),
                8 * 512,
                "not beyond the region"
            );
        }
        assert_eq!(Reach::over(location(8, 3), location(12, 9)), None, "a gap");
        assert_eq!(
            Reach::over(location(8, 200), location(208, 8194)),
            None,
            "a long head"
        );
        assert_eq!(Reach::default().bytes(location(8, 3), region), 3 * 512);
    }
}
