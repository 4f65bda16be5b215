//! Opening a device: format what is not ours, and rebuild the index of what is.
//!
//! There is no journal of the index: the regions are the journal. Going back from the newest region, the first that is
//! said of a key is the last that was written, and a tombstone met before a head means that the head is gone. That
//! holds only for an unbroken row of sequences: where a region in the row cannot be read, it may have held tombstones,
//! so everything older is given up. It takes two damaged blocks in one region to get there.

use super::aligned::AlignedBuffer;
use super::device::{BLOCK_BYTES, Device};
use super::format::record::{Kind, RecordHeader};
use super::format::region::{FooterEntry, RegionLife};
use super::format::superblock::{Foreign, OFFSETS, Superblock};
use super::format::{Geometry, UNIT_BYTES};
use super::log::{Next, write_end};
use super::store::Store;
use std::collections::HashSet;
use std::io;

/// How much of an unsealed region is read at once while its record headers are walked.
const WALK_BYTES: u64 = 256 << 10;

/// Reads the superblock, or formats a device that is not ours, is of another format version or was divided otherwise.
/// `fresh_uuid` becomes the device's when it is formatted. Fails only when the device does.
pub(super) fn read_or_format(
    device: &dyn Device,
    geometry: Geometry,
    fresh_uuid: u128,
) -> io::Result<Superblock> {
    let mut copies = Vec::with_capacity(OFFSETS.len());
    for offset in OFFSETS {
        let mut block = AlignedBuffer::zeroed(BLOCK_BYTES);
        device.read_at(offset, &mut block)?;
        let blank = block.iter().all(|byte| *byte == 0);
        copies.push((Superblock::decode(&block), blank));
    }
    let found = copies.iter().find_map(|(copy, _)| copy.ok());
    let reason = match (found, &copies[0]) {
        (Some(found), _) if found.geometry == geometry => {
            // One copy was damaged, or a format was cut short: make them equal.
            if copies.iter().any(|(copy, _)| *copy != Ok(found)) {
                write_superblocks(device, found)?;
            }
            return Ok(found);
        }
        (Some(found), _) => format!("it was divided otherwise: {:?}, now {geometry:?}", found.geometry),
        (None, (Err(Foreign::OtherVersion(version)), _)) => {
            format!(
                "it has format version {version}, this release reads and writes {}",
                super::format::FORMAT_VERSION
            )
        }
        (None, (_, true)) => "it is blank".to_owned(),
        (None, _) => "it holds nothing of ours".to_owned(),
    };
    tracing::warn!(
        reason,
        "cache disk: the device is formatted and the cache starts empty"
    );
    let superblock = Superblock {
        geometry,
        uuid: fresh_uuid,
    };
    write_superblocks(device, superblock)?;
    Ok(superblock)
}

fn write_superblocks(device: &dyn Device, superblock: Superblock) -> io::Result<()> {
    let mut block = AlignedBuffer::zeroed(BLOCK_BYTES);
    superblock.encode(&mut block);
    for offset in OFFSETS {
        device.write_at(offset, &block)?;
        // One after the other, so that one is whole at any time.
        device.flush()?;
    }
    Ok(())
}

/// What a look at its two ends says of a region.
#[derive(Debug, Clone, Copy)]
struct Survey {
    life: RegionLife,
    sealed: bool,
}

/// What a region holds.
struct List {
    entries: Vec<FooterEntry>,
    /// Nothing is missing between the region's start and its end.
    complete: bool,
    /// Where the last record ends, from the region's start, if that was found by walking.
    records_end: Option<u64>,
}

/// Rebuilds the index and seals what was open. Returns where the log goes on.
pub(super) fn rebuild_index(store: &Store) -> io::Result<Next> {
    let geometry = store.geometry;
    // A predecessor that was killed may have written what it never flushed. It is found, so it must stay.
    store.device.flush()?;
    let surveys: Vec<Option<Survey>> = (0..geometry.region_count)
        .map(|number| survey(store, number))
        .collect();
    let Some(newest) = surveys
        .iter()
        .flatten()
        .max_by_key(|survey| survey.life.sequence)
        .copied()
    else {
        return Ok(Next {
            number: 0,
            sequence: 1,
        });
    };
    let mut removed = HashSet::new();
    let mut expected = newest.life;
    let mut regions = 0_u32;
    while regions < geometry.region_count && expected.sequence > 0 {
        let found =
            surveys[expected.number as usize].filter(|survey| survey.life.sequence == expected.sequence);
        let Some(found) = found else { break };
        let list = list_of(store, found)?;
        store.begin_life(found.life);
        insert(store, found.life, &list.entries, &mut removed);
        regions += 1;
        if let Some(records_end) = list.records_end {
            // It was being filled, or its footer is damaged: from now on it is like the others.
            write_end(store, found.life, records_end, &list.entries)?;
            store.device.flush()?;
            if !list.complete && found.life.sequence != newest.life.sequence {
                tracing::warn!(
                    region = found.life.number,
                    "cache disk: part of this region is unreadable; everything older is given up"
                );
                break;
            }
        }
        expected.number = geometry.before(expected.number);
        expected.sequence -= 1;
    }
    let older = surveys.iter().flatten().count() - regions as usize;
    tracing::info!(
        regions,
        given_up = older,
        records = store.metrics.slots.get(),
        "cache disk: index rebuilt"
    );
    Ok(Next {
        number: geometry.after(newest.life.number),
        sequence: newest.life.sequence + 1,
    })
}

/// Looks at a region's header and trailer. The later of the two lives is the one it is in: a header that was lost
/// leaves the older life's footer, a region being filled has a header that is newer than its footer.
fn survey(store: &Store, number: u32) -> Option<Survey> {
    let header = store
        .read_blocks(number, 0..BLOCK_BYTES as u64)
        .map(|(block, _)| block);
    let trailer = store.trailer_of(number);
    if let Err(error) = header.as_ref().map(drop).and(trailer.as_ref().map(drop)) {
        tracing::warn!(region = number, %error, "cache disk: a region cannot be read");
    }
    let opened = header
        .ok()
        .and_then(|block| RegionLife::decode(store.uuid, number, &block));
    let sealed = trailer.ok().flatten().map(|trailer| trailer.life);
    match (opened, sealed) {
        (Some(opened), Some(sealed)) if opened.sequence > sealed.sequence => Some(Survey {
            life: opened,
            sealed: false,
        }),
        (_, Some(sealed)) => Some(Survey {
            life: sealed,
            sealed: true,
        }),
        (Some(opened), None) => Some(Survey {
            life: opened,
            sealed: false,
        }),
        (None, None) => None,
    }
}

/// The region's own list, or what a walk finds when there is none.
fn list_of(store: &Store, survey: Survey) -> io::Result<List> {
    if survey.sealed
        && let Ok(Some(trailer)) = store.trailer_of(survey.life.number)
        && let Ok(Some(entries)) = store.list_of(&trailer)
    {
        return Ok(List {
            entries,
            complete: true,
            records_end: None,
        });
    }
    walk(store, survey.life)
}

/// Goes from record to record up to the first that is none.
fn walk(store: &Store, life: RegionLife) -> io::Result<List> {
    let mut window = Window {
        store,
        number: life.number,
        start: 0,
        bytes: None,
    };
    let mut entries = Vec::new();
    let mut at = BLOCK_BYTES as u64;
    let mut complete = false;
    while at + UNIT_BYTES <= store.geometry.region_bytes {
        let Some(header) = RecordHeader::decode(window.at(at)?) else {
            break;
        };
        let end = at + header.span();
        if header.life != life.life
            || end > store.geometry.records_end(entries.len() + 1) + BLOCK_BYTES as u64
        {
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
            Kind::End => {
                complete = true;
                break;
            }
        }
        at = end;
    }
    Ok(List {
        entries,
        complete,
        records_end: Some(at),
    })
}

/// A piece of a region, moved along as a walk needs it.
struct Window<'a> {
    store: &'a Store,
    number: u32,
    start: u64,
    bytes: Option<AlignedBuffer>,
}

impl Window<'_> {
    /// The bytes from `at` to the end of its unit at least.
    fn at(&mut self, at: u64) -> io::Result<&[u8]> {
        let end = self.start + self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64);
        if !(self.start..end).contains(&at) {
            self.start = at - at % BLOCK_BYTES as u64;
            let end = (self.start + WALK_BYTES).min(self.store.geometry.region_bytes);
            self.bytes = Some(self.store.read_blocks(self.number, self.start..end)?.0);
        }
        let bytes: &[u8] = self.bytes.as_deref().unwrap_or_default();
        Ok(&bytes[(at - self.start) as usize..])
    }
}

/// Adds what a region holds, unless something newer is known. Newest first, within the region too.
fn insert(store: &Store, life: RegionLife, entries: &[FooterEntry], removed: &mut HashSet<u128>) {
    for entry in entries.iter().rev() {
        let hidden = match entry.kind {
            Kind::Tombstone => !removed.insert(entry.key_hash),
            Kind::Head => removed.contains(&entry.key_hash),
            Kind::Part | Kind::Padding | Kind::End => false,
        };
        if let Some(identity) = store.identity(entry.kind, entry.key_hash, entry.version, entry.part)
            && !hidden
        {
            store.index.put_if_absent(identity, entry.location(life.number));
        }
    }
}
