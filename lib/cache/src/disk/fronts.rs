//! The fronts of parts that are being read: header and checksums, so that every chunk of a part after the first is one
//! read instead of two.

use super::format::Location;
use super::format::record::RecordHeader;
use super::format::region::RegionLife;
use parking_lot::Mutex;
use std::sync::Arc;

/// Fronts remembered, one of each slot: 640 bytes at most each, 5 MiB in all. So many parts of 4 MiB can be read at once;
/// one that is forgotten early costs one more read of 8 KiB.
const SLOTS: usize = 8192;

/// The newest front of each slot.
pub(super) struct Fronts(Box<[Mutex<Option<Arc<Front>>>]>);

/// What was found before the body of a record, and believed.
pub(super) struct Front {
    pub(super) location: Location,
    pub(super) life: RegionLife,
    pub(super) header: RecordHeader,
    pub(super) table: Box<[u8]>,
}

impl Fronts {
    pub(super) fn new() -> Fronts {
        Fronts((0..SLOTS).map(|_| Mutex::default()).collect())
    }

    /// The front of the record that lies at `location` in this life of its region.
    pub(super) fn find(&self, location: Location, life: RegionLife) -> Option<Arc<Front>> {
        let front = self.slot(location).lock().clone()?;
        (front.location == location && front.life == life).then_some(front)
    }

    /// Remembers a front in the place of another.
    pub(super) fn keep(&self, front: Front) {
        let slot = self.slot(front.location);
        let replaced = slot.lock().replace(Arc::new(front));
        drop(replaced); // Outside the lock.
    }

    fn slot(&self, location: Location) -> &Mutex<Option<Arc<Front>>> {
        let place = u64::from(location.region) << 32 | u64::from(location.offset_units);
        let mixed = place.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        &self.0[mixed as usize % SLOTS]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::format::expiry::Expiry;
    use crate::disk::format::record::Kind;

    fn front(region: u32, offset_units: u32, life: u64) -> Front {
        let header = RecordHeader {
            kind: Kind::Part,
            expiry: Expiry::default(),
            life,
            version: 1,
            key_hash: 2,
            part: 0,
            body_length: 4 << 20,
            key_length: 0,
            table_crc: 0,
        };
        Front {
            location: Location {
                region,
                offset_units,
                length_units: 9000,
            },
            life: RegionLife {
                number: region,
                sequence: 1,
                life,
            },
            header,
            table: Box::default(),
        }
    }

    #[test]
    fn a_front_is_known_where_it_lies_until_its_region_begins_another_life() {
        let fronts = Fronts::new();
        let (kept, next_life, beside) = (front(3, 8, 7), front(3, 8, 9), front(3, 16, 7));
        let (location, life) = (kept.location, kept.life);
        assert!(fronts.find(location, life).is_none());
        fronts.keep(kept);
        assert!(fronts.find(location, life).is_some());
        assert!(fronts.find(location, next_life.life).is_none());
        assert!(fronts.find(beside.location, life).is_none());
    }

    #[test]
    fn however_many_are_kept_each_slot_holds_one() {
        let fronts = Fronts::new();
        for number in 0..4 * SLOTS as u32 {
            fronts.keep(front(number / 100, number % 100, 1));
        }
        let held = fronts.0.iter().filter(|slot| slot.lock().is_some()).count();
        assert!(held > SLOTS / 2, "{held}: the slots are used unevenly");
    }
}
