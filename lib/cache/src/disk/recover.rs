//! Opening a device: format what is not ours, and find out what there is.
//!
//! First both ends of every region are looked at: that says where the log goes on, and takes well below a second. Regions
//! that were being filled are walked and sealed. What all of them hold is added afterwards (`rebuild.rs`).

use super::aligned::AlignedBuffer;
use super::device::{BLOCK_BYTES, Device};
use super::format::region::{Region, Trailer};
use super::format::superblock::{Foreign, OFFSETS, Superblock};
use super::format::{FORMAT_VERSION, Geometry};
use super::journal;
use super::log::Recovered;
use super::open_region::write_end;
use super::rebuild::Rebuild;
use super::store::Store;
use super::walk::walk;
use prometheus::IntCounter;
use std::collections::HashMap;
use std::io;

/// How many reads the device sees at once. 3 TB are 45,000 regions: two reads each, one after the other, would take
/// 7 seconds on a fast drive.
const DEPTH: usize = 32;
/// Fewer items than this are not worth a thread.
const LEAST_SHARE: usize = 8;

/// Reads the superblock, or formats a device that is not ours, is of another format version or was divided otherwise.
/// `fresh_uuid` becomes the device's when it is formatted; `damaged` counts copies that are not what they should be. Fails
/// only when the device does.
pub(super) fn read_or_format(
    device: &dyn Device,
    geometry: Geometry,
    fresh_uuid: u128,
    damaged: &IntCounter,
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
            let others = copies.iter().filter(|(copy, _)| *copy != Ok(found)).count();
            if others > 0 {
                damaged.inc_by(others as u64);
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
pub(super) struct Survey {
    pub(super) region: Region,
    /// The footer of that life; a region that was being filled has none.
    pub(super) sealed: Option<Trailer>,
}

/// Finds out in which life every region is, and seals those that were being filled. Returns what the log needs to go on,
/// and what is left to do for the index. What cannot be read is missing; if the device refuses to write, it is served
/// read-only.
pub(super) fn survey_all(store: &Store) -> (Recovered, Rebuild) {
    // A predecessor that was killed may have written what it never flushed. It is found, so it must stay.
    read_only_on_failure(store, store.device.flush());
    let numbers: Vec<u32> = (0..store.geometry.region_count).collect();
    let mut surveys: Vec<Survey> = in_parallel(&numbers, |number| survey(store, *number))
        .into_iter()
        .flatten()
        .collect();
    surveys.sort_by_key(|survey| std::cmp::Reverse(survey.region.life.sequence));
    let mut walked = HashMap::new();
    for Survey { region, .. } in surveys.iter().filter(|survey| survey.sealed.is_none()) {
        let (list, records_end) = walk(store, region.life);
        // From now on it is like the others.
        let written = write_end(store, *region, records_end, &list.entries);
        read_only_on_failure(store, written.and_then(|_| store.device.flush()));
        walked.insert(region.life.number, list);
    }
    for survey in &surveys {
        store.begin_life(survey.region.life);
    }
    let next_sequence = surveys
        .first()
        .map_or(1, |newest| newest.region.life.sequence + 1);
    let recovered = Recovered {
        regions: surveys.iter().rev().map(|survey| survey.region).collect(),
        next_sequence,
    };
    (recovered, Rebuild::begin(store, surveys, walked))
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

pub(super) fn read_only_on_failure(store: &Store, written: io::Result<()>) {
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

/// Looks at a region's header and trailer. The header decides: it was zeros before it was written, so it is never that
/// of an earlier life, while the trailer may be all that power left of a life whose number was given out again. Zeros
/// say that the region is free; of a damaged header the trailer tells.
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
    let opened = header
        .as_ref()
        .and_then(|block| Region::decode(store.uuid, number, block));
    let trailer = trailer.ok().flatten();
    let region = opened.or(trailer.map(|trailer| trailer.region))?;
    if let Some(block) = &header {
        let harmed = Region::harmed_copies(store.uuid, number, block);
        store.metrics.damaged.region_header.inc_by(harmed);
    }
    Some(Survey {
        region,
        sealed: trailer.filter(|trailer| trailer.region == region),
    })
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
