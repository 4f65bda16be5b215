//! Opening a device: format what is not ours, and rebuild the index of what is.
//!
//! There is no journal of the index: the regions are the journal. Going back from the newest region, the first that is
//! said of a key is the last that was written, and a tombstone met before a head means that the head is gone. That
//! holds only as far as regions can be read: one that cannot may have held tombstones, so everything older is given up.
//! It takes two damaged blocks in one region to get there.

use super::aligned::AlignedBuffer;
use super::device::{BLOCK_BYTES, Device};
use super::format::record::Kind;
use super::format::region::{FooterEntry, Region, RegionLife, Trailer};
use super::format::superblock::{Foreign, OFFSETS, Superblock};
use super::format::{FORMAT_VERSION, Geometry};
use super::journal;
use super::log::Recovered;
use super::open_region::{wipe, write_end};
use super::store::Store;
use super::walk::{List, walk};
use std::collections::HashSet;
use std::io;

/// How many reads the device sees at once. 3 TB are 45,000 regions: three reads each, one after the other, would take
/// 10 seconds on a fast drive.
const DEPTH: usize = 16;
/// Fewer items than this are not worth a thread.
const LEAST_SHARE: usize = 4;
/// So many regions' lists are in memory at once: 200 KB as a rule, and at worst, regions full of removals, 300 MB.
const BATCH: usize = 64;

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
                FORMAT_VERSION
            )
        }
        (None, (_, true)) => "it is blank".to_owned(),
        (None, _) => "it holds nothing of ours".to_owned(),
    };
    format(device, geometry, fresh_uuid, &reason)
}

/// Makes the device ours and empty, and says why.
pub(super) fn format(
    device: &dyn Device,
    geometry: Geometry,
    uuid: u128,
    reason: &str,
) -> io::Result<Superblock> {
    tracing::warn!(
        reason,
        "cache disk: the device is formatted and the cache starts empty"
    );
    let superblock = Superblock { geometry, uuid };
    // First, so that a device that is ours has a journal.
    journal::format(device, &geometry, uuid)?;
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
    region: Region,
    /// The footer of that life; a region that was being filled has none.
    sealed: Option<Trailer>,
}

/// Rebuilds the index and seals what was open. Returns what the log needs to go on. What cannot be read is missing
/// afterwards; if the device refuses to write, it is served read-only.
pub(super) fn rebuild_index(store: &Store) -> Recovered {
    // A predecessor that was killed may have written what it never flushed. It is found, so it must stay.
    read_only_on_failure(store, store.device.flush());
    let numbers: Vec<u32> = (0..store.geometry.region_count).collect();
    let mut surveys: Vec<Survey> = in_parallel(&numbers, |number| survey(store, *number))
        .into_iter()
        .flatten()
        .collect();
    surveys.sort_by_key(|survey| std::cmp::Reverse(survey.region.life.sequence));
    let next_sequence = surveys
        .first()
        .map_or(1, |newest| newest.region.life.sequence + 1);
    let used = insert_all(store, &surveys);
    for survey in &surveys[used..] {
        // Or it would be back with the next start, without what was said of it later.
        read_only_on_failure(store, wipe(store, survey.region.life.number).map(drop));
    }
    let given_up = surveys.len() - used;
    let records = store.metrics.slots.get();
    tracing::info!(regions = used, given_up, records, "cache disk: index rebuilt");
    Recovered {
        regions: surveys[..used].iter().rev().map(|survey| survey.region).collect(),
        next_sequence,
    }
}

/// Inserts what the regions hold, newest first, and seals those that are not. Returns how many of them it used.
fn insert_all(store: &Store, surveys: &[Survey]) -> usize {
    let mut removed = HashSet::new();
    // The newest of each class may have been being filled, so it may end early.
    let mut met = [false; 2];
    let mut used = 0;
    for batch in surveys.chunks(BATCH) {
        let lists = in_parallel(batch, |survey| list_of(store, *survey));
        for (survey, list) in batch.iter().zip(lists) {
            let Region { life, class, .. } = survey.region;
            store.begin_life(life);
            insert(store, life, &list.entries, &mut removed);
            used += 1;
            if let Some(records_end) = list.records_end {
                // It was being filled, or its footer is damaged: from now on it is like the others.
                let written = write_end(store, survey.region, records_end, &list.entries);
                read_only_on_failure(store, written.and_then(|_| store.device.flush()));
            }
            let is_newest = !std::mem::replace(&mut met[class.index()], true);
            if !list.complete && !is_newest {
                let region = life.number;
                tracing::warn!(
                    region,
                    "cache disk: part of a region is unreadable; everything older is given up"
                );
                return used;
            }
        }
    }
    used
}

/// Does `work` for every item, several at a time: what waits is the device. The results are in the items' order.
fn in_parallel<I: Sync, T: Send>(items: &[I], work: impl Fn(&I) -> T + Sync) -> Vec<T> {
    let share = items.len().div_ceil(DEPTH).max(LEAST_SHARE);
    if items.len() <= share {
        return items.iter().map(work).collect();
    }
    let work = &work;
    std::thread::scope(|scope| {
        let threads: Vec<_> = items
            .chunks(share)
            .map(|share| scope.spawn(move || share.iter().map(work).collect::<Vec<T>>()))
            .collect();
        let results = threads.into_iter().flat_map(|thread| match thread.join() {
            Ok(results) => results,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        results.collect()
    })
}

fn read_only_on_failure(store: &Store, written: io::Result<()>) {
    if let Err(error) = written {
        tracing::error!(
            %error,
            "cache disk: a write failed at start; nothing is written until restart, what is there is served: check \
             the drive"
        );
        store.metrics.write_errors.inc();
        store.set_read_only();
    }
}

/// Looks at a region's header and trailer. The later of the two lives is the one it is in: a header that was lost
/// leaves the older life's footer, a region being filled has a header that is newer than its footer. A header of zeros
/// says that the region is free, whatever its end says.
fn survey(store: &Store, number: u32) -> Option<Survey> {
    let header = store
        .read_blocks(number, 0..BLOCK_BYTES as u64)
        .map(|(block, _)| block);
    let trailer = store.trailer_of(number);
    if let Err(error) = header.as_ref().map(drop).and(trailer.as_ref().map(drop)) {
        tracing::warn!(region = number, %error, "cache disk: a region cannot be read");
    }
    let header = header.ok();
    if header
        .as_ref()
        .is_some_and(|block| block.iter().all(|byte| *byte == 0))
    {
        return None;
    }
    let opened = header.and_then(|block| Region::decode(store.uuid, number, &block));
    let trailer = trailer.ok().flatten();
    match (opened, trailer) {
        (Some(opened), Some(trailer)) if opened.life.sequence > trailer.region.life.sequence => {
            Some(Survey {
                region: opened,
                sealed: None,
            })
        }
        (_, Some(trailer)) => Some(Survey {
            region: trailer.region,
            sealed: Some(trailer),
        }),
        (Some(opened), None) => Some(Survey {
            region: opened,
            sealed: None,
        }),
        (None, None) => None,
    }
}

/// The region's own list, or what a walk finds when there is none.
fn list_of(store: &Store, survey: Survey) -> List {
    let listed = survey
        .sealed
        .and_then(|trailer| store.list_of(&trailer).ok().flatten());
    match listed {
        Some(entries) => List {
            entries,
            complete: true,
            records_end: None,
        },
        None => walk(store, survey.region.life),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_in_parallel_comes_back_in_order() {
        for count in [0, 1, 4, 5, 63, 64, 1000] {
            let items: Vec<usize> = (0..count).collect();
            let doubled: Vec<usize> = (0..count).map(|item| item * 2).collect();
            assert_eq!(in_parallel(&items, |item| item * 2), doubled);
        }
    }
}
