//! Reading records back: located by the index, read in whole blocks, believed only when every link of the chain holds.

use super::format::Location;
use super::format::record::{CHECKSUM_UNIT, HEADER_BYTES, Kind, MAX_TABLE_BYTES, RecordHeader, is_intact};
use super::format::region::RegionLife;
use super::index::Identity;
use super::store::Store;
use bytes::Bytes;
use std::io;
use std::ops::Range;
use std::time::Instant;

/// A range that begins within so many bytes of its record's start is read in one piece with the record's header and
/// table: an I/O costs more than these bytes.
const NEAR_BYTES: usize = 64 << 10;

/// Why there are no bytes. The caller sees a miss in each case; the counters tell them apart.
#[derive(Debug)]
pub(super) enum Miss {
    /// Nothing is known of it.
    Absent,
    /// The slot belongs to another key with the same fingerprint.
    OtherKey,
    /// The part is shorter than the range.
    OutOfRange,
    /// The region began another life before the read ended.
    Reclaimed,
    /// The bytes are not what was written.
    Corrupt,
    /// Too many reads wait already.
    Busy,
    /// The device refused.
    Failed(io::Error),
}

/// A head as it was put.
#[derive(Debug)]
pub(super) struct FoundHead {
    pub(super) version: u64,
    pub(super) encoded: Bytes,
}

/// The newest head of a key.
pub(super) fn read_head(store: &Store, key_hash: u128, key_text: &str) -> Result<FoundHead, Miss> {
    let sought = Sought::find(store, store.index.head(key_hash))?;
    sought.read(|| {
        let record = sought.fetch(0..sought.record_bytes())?;
        let (header, table) = sought.believe(&record)?;
        if (header.kind, header.key_hash) != (Kind::Head, key_hash) {
            return Err(Miss::OtherKey);
        }
        let body = header.body_start()..header.body_start() + header.body_length as usize;
        if !record
            .get(body.clone())
            .is_some_and(|body| is_intact(table, 0, body))
        {
            return Err(Miss::Corrupt);
        }
        let text_end = body.start + header.key_length as usize;
        if &record[body.start..text_end] != key_text.as_bytes() {
            return Err(Miss::OtherKey);
        }
        Ok(FoundHead {
            version: header.version,
            encoded: record.slice(text_end..body.end),
        })
    })
}

/// A range of a part, in one read when it begins near the part's start and in two when it does not.
pub(super) fn read_part(
    store: &Store,
    key_hash: u128,
    version: u64,
    part: u32,
    range: Range<u32>,
) -> Result<Bytes, Miss> {
    let sought = Sought::find(store, store.index.part(key_hash, version, part))?;
    let range = range.start as usize..range.end as usize;
    if range.is_empty() {
        return Ok(Bytes::new());
    }
    sought.read(|| {
        let front = sought.fetch(0..first_read(&range).min(sought.record_bytes()))?;
        let (header, table) = sought.believe(&front)?;
        if (header.kind, header.key_hash, header.version, header.part)
            != (Kind::Part, key_hash, version, part)
        {
            return Err(Miss::OtherKey);
        }
        if range.end > header.body_length as usize {
            return Err(Miss::OutOfRange);
        }
        let units = header.covering(range.clone());
        let bytes = header.body_start() + units.start..header.body_start() + units.end;
        let body = match bytes.end {
            end if end <= front.len() => front.slice(bytes),
            end if end <= sought.record_bytes() => sought.fetch(bytes)?,
            _ => return Err(Miss::Corrupt),
        };
        if !is_intact(table, units.start / CHECKSUM_UNIT, &body) {
            return Err(Miss::Corrupt);
        }
        // Copied, so that what is kept in RAM is as large as it says: the blocks around it are up to a quarter more, and
        // the allocator rounds them up by as much again. What was just verified lies in the core's cache.
        Ok(Bytes::copy_from_slice(
            &body[range.start - units.start..range.end - units.start],
        ))
    })
}

/// How far from the record's start to read at first.
fn first_read(range: &Range<usize>) -> usize {
    let front = HEADER_BYTES + MAX_TABLE_BYTES;
    if range.start > NEAR_BYTES {
        front
    } else {
        front + range.end.next_multiple_of(CHECKSUM_UNIT)
    }
}

/// A record that the index points to, in the life its region was in when we looked.
struct Sought<'a> {
    store: &'a Store,
    identity: Identity,
    location: Location,
    life: RegionLife,
}

impl<'a> Sought<'a> {
    fn find(store: &'a Store, identity: Identity) -> Result<Sought<'a>, Miss> {
        let location = store.index.find(identity).ok_or(Miss::Absent)?;
        let life = store.life_of(location.region).ok_or(Miss::Reclaimed)?;
        Ok(Sought {
            store,
            identity,
            location,
            life,
        })
    }

    fn record_bytes(&self) -> usize {
        self.location.length_bytes() as usize
    }

    /// Runs a reading and gives its result away only if the region did not begin another life meanwhile. What
    /// cannot be read is not found again.
    fn read<T>(&self, reading: impl FnOnce() -> Result<T, Miss>) -> Result<T, Miss> {
        let start = Instant::now();
        let result = reading();
        self.store
            .metrics
            .read_seconds
            .observe(start.elapsed().as_secs_f64());
        if self.store.life_of(self.location.region) != Some(self.life) {
            return Err(Miss::Reclaimed);
        }
        if let Err(Miss::Reclaimed | Miss::Corrupt | Miss::Failed(_)) = result {
            self.store.index.remove_from(self.identity, self.location);
        }
        result
    }

    /// Reads bytes of the record, counted from its start.
    fn fetch(&self, bytes: Range<usize>) -> Result<Bytes, Miss> {
        let length = bytes.len();
        let start = self.location.offset_bytes() + bytes.start as u64;
        let (blocks, lead) = self
            .store
            .read_blocks(self.location.region, start..start + length as u64)
            .map_err(Miss::Failed)?;
        Ok(blocks.into_bytes().slice(lead..lead + length))
    }

    /// The header and table with which `record` begins, if they are undamaged and of this life.
    fn believe<'r>(&self, record: &'r [u8]) -> Result<(RecordHeader, &'r [u8]), Miss> {
        let header = RecordHeader::decode(record).ok_or(Miss::Corrupt)?;
        if header.life != self.life.life {
            return Err(Miss::Reclaimed);
        }
        let table = header.table(record).ok_or(Miss::Corrupt)?;
        Ok((header, table))
    }
}
