//! Finding what a region holds without its list: from record to record, and over what is none.
//!
//! A header that is damaged does not say where the next record begins, and what a loss of power left of the last writes
//! may have holes. Records begin at multiples of 512 B and repeat the life of their region, which nobody can guess: so
//! from a hole on, each such place is tried until one of them holds a header of this life.

use super::aligned::AlignedBuffer;
use super::device::BLOCK_BYTES;
use super::format::UNIT_BYTES;
use super::format::record::{Kind, RecordHeader};
use super::format::region::{FooterEntry, RegionLife};
use super::reclaim::read_record;
use super::store::Store;

/// How much is read at once: many small records, or little more than needed beside a large one.
const WINDOW_BYTES: u64 = 256 << 10;

/// What a region holds.
pub(super) struct List {
    pub(super) entries: Vec<FooterEntry>,
    /// Nothing is missing between the region's start and its end.
    pub(super) complete: bool,
}

/// Walks a region, to its end mark or its end. Bodies are not looked at, but those of copies: a reader will. What is
/// damaged or cannot be read is left out. Says where the last record ends as well, from the region's start.
pub(super) fn walk(store: &Store, life: RegionLife) -> (List, u64) {
    let mut window = Window {
        store,
        number: life.number,
        start: 0,
        bytes: None,
        complained: false,
    };
    let mut entries = Vec::new();
    let mut records_end = BLOCK_BYTES as u64;
    let mut at = records_end;
    let (mut ended, mut whole) = (false, true);
    while !ended && at + UNIT_BYTES <= store.geometry.region_bytes {
        let header = window.header_at(at);
        let Some(header) = header.filter(|header| belongs(store, life, at, header, entries.len())) else {
            whole = false;
            at = window.next_try(at);
            continue;
        };
        match header.kind {
            Kind::Head | Kind::Part | Kind::Tombstone => {
                let entry = FooterEntry {
                    key_hash: header.key_hash,
                    version: header.version,
                    part: header.part,
                    offset_units: (at / UNIT_BYTES) as u32,
                    length_units: (header.span() / UNIT_BYTES) as u32,
                    kind: header.kind,
                    expiry: header.expiry,
                };
                // The original of a copy that was cut short is still there.
                if !entry.expiry.is_of_copy() || read_record(store, life, &entry, 0).is_some() {
                    entries.push(entry);
                }
            }
            Kind::Padding => {}
            Kind::End => ended = true,
        }
        records_end = if ended { at } else { at + header.span() };
        at = records_end;
    }
    let complete = ended && whole;
    (List { entries, complete }, records_end)
}

/// Whether a header found at `at`, behind `listed` records, is of this life and leaves free what the writer keeps free
/// for end mark and footer.
fn belongs(store: &Store, life: RegionLife, at: u64, header: &RecordHeader, listed: usize) -> bool {
    let limit = match header.kind {
        Kind::Head | Kind::Part | Kind::Tombstone => store.geometry.records_end(listed + 1),
        Kind::Padding => store.geometry.records_end(listed),
        Kind::End => store.geometry.records_end(listed) + BLOCK_BYTES as u64,
    };
    header.life == life.life && at + header.span() <= limit
}

/// A piece of a region, moved along as the walk needs it.
struct Window<'a> {
    store: &'a Store,
    number: u32,
    start: u64,
    /// `None` before the first read and when the last one failed.
    bytes: Option<AlignedBuffer>,
    complained: bool,
}

impl Window<'_> {
    /// The record header at `at`, if there is one and it can be read. Headers never straddle a block.
    fn header_at(&mut self, at: u64) -> Option<RecordHeader> {
        let end = self.start + self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64);
        if !(self.start..end).contains(&at) {
            self.start = at - at % BLOCK_BYTES as u64;
            self.bytes = self.read();
        }
        RecordHeader::decode_unit(&self.bytes.as_ref()?[(at - self.start) as usize..])
    }

    /// Where to try after `at`: the next place for a record, or behind what cannot be read.
    fn next_try(&self, at: u64) -> u64 {
        match self.bytes {
            Some(_) => at + UNIT_BYTES,
            None => self.start + WINDOW_BYTES,
        }
    }

    fn read(&mut self) -> Option<AlignedBuffer> {
        let end = (self.start + WINDOW_BYTES).min(self.store.geometry.region_bytes);
        match self.store.read_blocks(self.number, self.start..end) {
            Ok((bytes, _)) => Some(bytes),
            Err(error) => {
                if !self.complained {
                    tracing::warn!(region = self.number, %error, "cache disk: part of a region cannot be read");
                }
                self.complained = true;
                None
            }
        }
    }
}
