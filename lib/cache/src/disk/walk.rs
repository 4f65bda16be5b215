//! Finding what a region holds without its list: from record to record, up to the first that is none.

use super::aligned::AlignedBuffer;
use super::device::BLOCK_BYTES;
use super::format::UNIT_BYTES;
use super::format::record::{Kind, RecordHeader};
use super::format::region::{FooterEntry, RegionLife};
use super::store::Store;
use std::io;

/// How much is read at once: many small records, or little more than needed beside a large one.
const WINDOW_BYTES: u64 = 256 << 10;

/// What a region holds.
pub(super) struct List {
    pub(super) entries: Vec<FooterEntry>,
    /// Nothing is missing between the region's start and its end.
    pub(super) complete: bool,
    /// Where the last record ends, from the region's start, if that was found by walking.
    pub(super) records_end: Option<u64>,
}

/// Walks a region. Bodies are not looked at: a reader will. Ends where the region does, was cut off, is damaged, or
/// cannot be read.
pub(super) fn walk(store: &Store, life: RegionLife) -> List {
    let mut window = Window {
        store,
        number: life.number,
        start: 0,
        bytes: None,
    };
    let mut entries = Vec::new();
    let mut at = BLOCK_BYTES as u64;
    let mut complete = false;
    while !complete && at + UNIT_BYTES <= store.geometry.region_bytes {
        let Some(header) = window.header_at(at) else { break };
        let end = at + header.span();
        // What the writer keeps free for the end mark and the footer.
        let limit = match header.kind {
            Kind::Head | Kind::Part | Kind::Tombstone => store.geometry.records_end(entries.len() + 1),
            Kind::Padding => store.geometry.records_end(entries.len()),
            Kind::End => store.geometry.records_end(entries.len()) + BLOCK_BYTES as u64,
        };
        if header.life != life.life || end > limit {
            break;
        }
        match header.kind {
            Kind::Head | Kind::Part | Kind::Tombstone => entries.push(FooterEntry {
                key_hash: header.key_hash,
                version: header.version,
                part: header.part,
                offset_units: (at / UNIT_BYTES) as u32,
                length_units: (header.span() / UNIT_BYTES) as u32,
                kind: header.kind,
            }),
            Kind::Padding => {}
            Kind::End => complete = true,
        }
        if !complete {
            at = end;
        }
    }
    List {
        entries,
        complete,
        records_end: Some(at),
    }
}

/// A piece of a region, moved along as the walk needs it.
struct Window<'a> {
    store: &'a Store,
    number: u32,
    start: u64,
    bytes: Option<AlignedBuffer>,
}

impl Window<'_> {
    /// The record header at `at`, if there is one and it can be read. Headers never straddle a block.
    fn header_at(&mut self, at: u64) -> Option<RecordHeader> {
        let end = self.start + self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64);
        if !(self.start..end).contains(&at) {
            self.start = at - at % BLOCK_BYTES as u64;
            self.bytes = self.read().inspect_err(|error| self.complain(error)).ok();
        }
        RecordHeader::decode(&self.bytes.as_ref()?[(at - self.start) as usize..])
    }

    fn read(&self) -> io::Result<AlignedBuffer> {
        let end = (self.start + WINDOW_BYTES).min(self.store.geometry.region_bytes);
        Ok(self.store.read_blocks(self.number, self.start..end)?.0)
    }

    fn complain(&self, error: &io::Error) {
        tracing::warn!(region = self.number, %error, "cache disk: the rest of a region cannot be read");
    }
}
