//! Reading records back: located by the index, read in whole blocks, believed only when every link of the chain holds.
//!
//! A head is one I/O, with the beginning of its object where that lies right behind it, and so is a range that begins
//! with its part. The first of the other ranges is two, of the record's front (header and table) and of the checksum
//! units that cover the range, begun together: the index knows the record's length, and from it follows, to a few bytes,
//! where the body begins. The front is remembered ([`fronts`](super::fronts)), so whatever is read next of the part is one.

use super::Found;
use super::device::reads::{Begun, Reads, Unread};
use super::device::{BLOCK_BYTES, Buffer};
use super::format::Location;
use super::format::record::{
    CHECKSUM_UNIT, HEADER_BYTES, Kind, MAX_TABLE_BYTES, RecordHeader, body_start_bounds, is_intact,
};
use super::format::region::RegionLife;
use super::fronts::Front;
use super::index::Identity;
use super::reach::{FIRST_BYTES, Reach, is_behind};
use super::store::Store;
use bytes::Bytes;
use std::io;
use std::ops::Range;
use std::time::Instant;

/// How often a part that was copied to another region while it was read is looked for there. Each time a whole region was
/// given up meanwhile.
const MOST_MOVES: usize = 2;

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
    /// The device did not answer in time.
    Late,
    /// The device refused.
    Failed(io::Error),
}

impl From<Unread> for Miss {
    fn from(unread: Unread) -> Miss {
        match unread {
            Unread::Busy => Miss::Busy,
            Unread::Late => Miss::Late,
            Unread::Failed(error) => Miss::Failed(error),
        }
    }
}

/// The newest head of a key.
pub(super) async fn read_head(
    store: &Store,
    reads: &Reads,
    key_hash: u128,
    key_text: &str,
) -> Result<Found, Miss> {
    let sought = Sought::find(store, store.index.head(key_hash))?;
    store.index.warm(sought.identity);
    let start = Instant::now();
    let found = sought.head(reads, key_hash, key_text, None).await;
    sought.conclude(start, found)
}

/// The newest head of a key, with the beginning of its object where that lies right behind it.
pub(super) async fn read_object(
    store: &Store,
    reads: &Reads,
    key_hash: u128,
    key_text: &str,
) -> Result<Found, Miss> {
    let identity = store.index.head(key_hash);
    let (_, reach) = store.index.find_with_reach(identity).ok_or(Miss::Absent)?;
    let sought = Sought::find(store, identity)?;
    store.index.warm(identity);
    let start = Instant::now();
    let found = sought.head(reads, key_hash, key_text, Some(reach)).await;
    let found = sought.conclude(start, found)?;
    if !found.first.is_empty() {
        store.index.warm(store.index.part(key_hash, found.version, 0));
    }
    Ok(found)
}

/// A range of a part.
pub(super) async fn read_part(
    store: &Store,
    reads: &Reads,
    (key_hash, version, part): (u128, u64, u32),
    range: Range<u32>,
) -> Result<Bytes, Miss> {
    let mut found = read_part_once(store, reads, (key_hash, version, part), range.clone()).await;
    for _ in 0..MOST_MOVES {
        match found {
            // It may have been copied elsewhere before its region was given up.
            Err(Miss::Reclaimed) => {
                found = read_part_once(store, reads, (key_hash, version, part), range.clone()).await;
            }
            _ => break,
        }
    }
    found
}

async fn read_part_once(
    store: &Store,
    reads: &Reads,
    (key_hash, version, part): (u128, u64, u32),
    range: Range<u32>,
) -> Result<Bytes, Miss> {
    let sought = Sought::find(store, store.index.part(key_hash, version, part))?;
    // Who reads all of a part reads its beginning once, and its other chunks after it.
    if range.start == 0 {
        store.index.warm(sought.identity);
        store.index.warm(store.index.head(key_hash));
    } else {
        store.index.warm_first(sought.identity);
    }
    let range = range.start as usize..range.end as usize;
    if range.is_empty() {
        return Ok(Bytes::new());
    }
    let start = Instant::now();
    let found = sought.part(reads, (key_hash, version, part), range).await;
    sought.conclude(start, found)
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

    /// The record, which is a head, and as much behind it as `reach` says.
    async fn head(
        &self,
        reads: &Reads,
        key_hash: u128,
        key_text: &str,
        reach: Option<Reach>,
    ) -> Result<Found, Miss> {
        let region_bytes = self.store.geometry.region_bytes;
        let bytes = reach.unwrap_or_default().bytes(self.location, region_bytes) as usize;
        let fetched = self.begin(reads, 0..bytes)?.end().await?.into_bytes();
        let record = fetched.slice(..self.record_bytes());
        let (header, table) = self.believe(&record)?;
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
        let version = header.version;
        let first = match reach {
            Some(_) => self.first(key_hash, version, &fetched[self.record_bytes()..]),
            None => Bytes::new(),
        };
        Ok(Found {
            version,
            encoded: record.slice(text_end..body.end),
            first,
        })
    }

    /// The beginning of the object whose head this is, from what was read behind the head. Empty when it lies
    /// elsewhere, or is not intact: who reads the part will learn why.
    fn first(&self, key_hash: u128, version: u64, behind: &[u8]) -> Bytes {
        let index = &self.store.index;
        match index.find(index.part(key_hash, version, 0)) {
            Some(part) if is_behind(self.location, part) => {
                // What was learnt at a restart is no more than where the two are.
                self.store.join_to_head(key_hash, part);
                self.intact_first(key_hash, version, behind).unwrap_or_default()
            }
            _ => Bytes::new(),
        }
    }

    fn intact_first(&self, key_hash: u128, version: u64, behind: &[u8]) -> Option<Bytes> {
        let (header, table) = self.believe(behind).ok()?;
        let named = (header.kind, header.key_hash, header.version, header.part);
        if named != (Kind::Part, key_hash, version, 0) {
            return None;
        }
        let length = FIRST_BYTES.min(header.body_length as usize);
        let first = behind.get(header.body_start()..header.body_start() + length)?;
        is_intact(table, 0, first).then(|| Bytes::copy_from_slice(first))
    }

    async fn part(&self, reads: &Reads, name: (u128, u64, u32), range: Range<usize>) -> Result<Bytes, Miss> {
        if let Some(front) = self.store.fronts.find(self.location, self.life) {
            return self.part_behind(reads, &front, name, range).await;
        }
        let front_end = (HEADER_BYTES + MAX_TABLE_BYTES).min(self.record_bytes());
        let (front, body) = if range.start < CHECKSUM_UNIT {
            let end = (front_end + range.end.next_multiple_of(CHECKSUM_UNIT)).min(self.record_bytes());
            (self.begin(reads, 0..end)?, None)
        } else {
            let body = self.reach(&range).ok_or(Miss::OutOfRange)?;
            let front = self.begin(reads, 0..front_end)?;
            (front, Some(self.begin(reads, body)?))
        };
        let front = front.end().await?;
        let (header, table) = self.believe(front.all())?;
        within(&header, name, &range)?;
        let body = match body {
            Some(body) => Some(body.end().await?),
            None => None,
        };
        let bytes = cut(&header, table, body.as_ref().unwrap_or(&front), &range)?;
        if range.end < header.body_length as usize {
            self.store.fronts.keep(Front {
                location: self.location,
                life: self.life,
                header,
                table: table.into(),
            });
        }
        Ok(bytes)
    }

    /// A range of a part whose front is known: one read, of what it needs and no more.
    async fn part_behind(
        &self,
        reads: &Reads,
        Front { header, table, .. }: &Front,
        name: (u128, u64, u32),
        range: Range<usize>,
    ) -> Result<Bytes, Miss> {
        within(header, name, &range)?;
        let units = header.covering(range.clone());
        let start = header.body_start();
        let body = self.begin(reads, start + units.start..start + units.end)?;
        cut(header, table, &body.end().await?, &range)
    }

    /// The bytes of the record in which the checksum units that cover `range` lie, wherever its body begins. `None`
    /// when the record is too short for that.
    fn reach(&self, range: &Range<usize>) -> Option<Range<usize>> {
        let starts = body_start_bounds(self.record_bytes());
        let start = starts.start() + range.start - range.start % CHECKSUM_UNIT;
        let end = starts.end() + range.end.next_multiple_of(CHECKSUM_UNIT);
        let end = end.min(self.record_bytes());
        (start < end).then_some(start..end)
    }

    /// Begins to read bytes of the record, counted from its start.
    fn begin(&self, reads: &Reads, bytes: Range<usize>) -> Result<Fetch, Miss> {
        let region = self.store.geometry.start_of(self.location.region);
        let start = region + self.location.offset_bytes() + bytes.start as u64;
        let lead = (start % BLOCK_BYTES as u64) as usize;
        let length = (lead + bytes.len()).next_multiple_of(BLOCK_BYTES);
        let begun = reads.begin(start - lead as u64, length)?;
        self.store.metrics.bytes_read.inc_by(length as u64);
        Ok(Fetch { begun, lead, bytes })
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

    /// Gives a result away only if the region did not begin another life meanwhile. What cannot be read is not found
    /// again; what was only not read in time is.
    fn conclude<T>(&self, start: Instant, result: Result<T, Miss>) -> Result<T, Miss> {
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
}

/// Whether the header is that of the part we look for, and the part has the range.
fn within(header: &RecordHeader, name: (u128, u64, u32), range: &Range<usize>) -> Result<(), Miss> {
    if header.kind != Kind::Part || (header.key_hash, header.version, header.part) != name {
        return Err(Miss::OtherKey);
    }
    match range.end <= header.body_length as usize {
        true => Ok(()),
        false => Err(Miss::OutOfRange),
    }
}

/// The bytes of `range`, if the checksum units that cover it are intact.
fn cut(header: &RecordHeader, table: &[u8], body: &Fetched, range: &Range<usize>) -> Result<Bytes, Miss> {
    let units = header.covering(range.clone());
    let bytes = body
        .get(header.body_start() + units.start..header.body_start() + units.end)
        .ok_or(Miss::Corrupt)?;
    if !is_intact(table, units.start / CHECKSUM_UNIT, bytes) {
        return Err(Miss::Corrupt);
    }
    // Copied, so that the buffer is free for the next read and what is kept in RAM is as large as it says. What was
    // just verified lies in the core's cache.
    Ok(Bytes::copy_from_slice(
        &bytes[range.start - units.start..range.end - units.start],
    ))
}

/// Some bytes of a record, on their way.
struct Fetch {
    begun: Begun,
    /// Where in the blocks the first of them lies.
    lead: usize,
    bytes: Range<usize>,
}

/// Bytes of a record, addressed from the record's start.
struct Fetched {
    blocks: Buffer,
    lead: usize,
    bytes: Range<usize>,
}

impl Fetch {
    async fn end(self) -> Result<Fetched, Unread> {
        Ok(Fetched {
            blocks: self.begun.end().await?,
            lead: self.lead,
            bytes: self.bytes,
        })
    }
}

impl Fetched {
    /// Those bytes of the record, if all of them were fetched.
    fn get(&self, bytes: Range<usize>) -> Option<&[u8]> {
        let is_here = self.bytes.start <= bytes.start && bytes.end <= self.bytes.end;
        let before = self.bytes.start;
        is_here.then(|| &self.blocks[self.lead + bytes.start - before..self.lead + bytes.end - before])
    }

    /// All that was fetched.
    fn all(&self) -> &[u8] {
        &self.blocks[self.lead..self.lead + self.bytes.len()]
    }

    /// All that was fetched; slices of it keep the buffer.
    fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self.blocks).slice(self.lead..self.lead + self.bytes.len())
    }
}
