//! What lies on the device of a running edge, and single bits of it, flipped.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use cache::disk::inspect::{Extent, Piece, Record, inspect};
use cache::disk::{BLOCK_BYTES, Device, FileDevice};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

/// Pieces whose damage a read of their object meets.
const OF_RECORDS: [Piece; 4] = [Piece::RecordHeader, Piece::Table, Piece::Metadata, Piece::Body];

/// Everything that was found by one look at a device.
pub(super) struct Found {
    pub(super) extents: Vec<Extent>,
    /// The records of each object that a read would find, by its hash.
    live: HashMap<u128, Vec<Record>>,
}

impl Found {
    /// Looks at all of `device`, of so many bytes.
    ///
    /// # Errors
    ///
    /// When it cannot be read or is not ours.
    pub(super) async fn on(device: PathBuf, bytes: u64) -> Result<Found, String> {
        let looked = tokio::task::spawn_blocking(move || {
            let device = open(&device, bytes)?;
            let mut extents = Vec::new();
            match inspect(&device, &mut |extent| extents.push(extent)) {
                Ok(_) => Ok(Found::of(extents)),
                Err(refusal) => Err(refusal.to_string()),
            }
        });
        looked.await.map_err(|error| error.to_string())?
    }

    fn of(extents: Vec<Extent>) -> Found {
        let live = live(&extents);
        Found { extents, live }
    }

    pub(super) fn holds_bodies(&self) -> bool {
        self.extents.iter().any(|extent| extent.piece == Piece::Body)
    }

    /// The pieces of the records that are found of an object: none when its head is not there, or any of it is damaged
    /// already, and the same bit turned again would mend it.
    pub(super) fn live_pieces(&self, key_hash: u128) -> Vec<Extent> {
        let Some(records) = self.live.get(&key_hash) else {
            return Vec::new();
        };
        let is_live = |extent: &&Extent| extent.record.is_some_and(|record| records.contains(&record));
        let pieces: Vec<Extent> = self
            .extents
            .iter()
            .filter(|extent| OF_RECORDS.contains(&extent.piece) && extent.bytes > 0)
            .filter(is_live)
            .copied()
            .collect();
        match pieces.iter().all(|extent| extent.intact) {
            true => pieces,
            false => Vec::new(),
        }
    }

    /// Whether a record is the one that would be found.
    pub(super) fn is_live(&self, record: &Record) -> bool {
        let records = self.live.get(&record.key_hash);
        records.is_some_and(|records| records.contains(record))
    }

    /// Structures that are damaged, by kind.
    pub(super) fn damaged(&self, piece: Piece) -> u64 {
        let damaged = |extent: &&Extent| extent.piece == piece && !extent.intact;
        self.extents.iter().filter(damaged).count() as u64
    }
}

/// The newest head of each object, with the newest of each of the parts of its version.
fn live(extents: &[Extent]) -> HashMap<u128, Vec<Record>> {
    let mut heads: HashMap<u128, Record> = HashMap::new();
    let mut parts: HashMap<(u128, u64, u32), Record> = HashMap::new();
    let newer = |known: &mut Record, other: Record| {
        if other.written > known.written {
            *known = other;
        }
    };
    for record in extents.iter().filter_map(|extent| extent.record) {
        match record.part {
            None => newer(heads.entry(record.key_hash).or_insert(record), record),
            Some(part) => {
                let name = (record.key_hash, record.version, part);
                newer(parts.entry(name).or_insert(record), record);
            }
        }
    }
    let mut live: HashMap<u128, Vec<Record>> = heads.iter().map(|(key, head)| (*key, vec![*head])).collect();
    for record in parts.into_values() {
        if let Some(records) = live.get_mut(&record.key_hash)
            && records[0].version == record.version
        {
            records.push(record);
        }
    }
    live
}

/// Chooses among `extents` so that each kind of piece is as likely as any other.
pub(super) fn choose(extents: &[Extent], chance: &mut StdRng) -> Option<Extent> {
    let mut pieces: BTreeMap<Piece, Vec<&Extent>> = BTreeMap::new();
    for extent in extents.iter().filter(|extent| extent.bytes > 0) {
        pieces.entry(extent.piece).or_default().push(extent);
    }
    let pieces: Vec<Vec<&Extent>> = pieces.into_values().collect();
    Some(**pieces.choose(chance)?.choose(chance)?)
}

/// Flips one bit of `extent`, any.
///
/// # Errors
///
/// When the device cannot be opened, read or written.
pub(super) fn flip(path: &Path, bytes: u64, extent: &Extent, chance: &mut StdRng) -> Result<(), String> {
    let device = open(path, bytes)?;
    let offset = extent.offset + chance.random_range(0..extent.bytes);
    flip_bit(&device, offset, chance.random_range(0..8)).map_err(|error| error.to_string())
}

fn open(device: &Path, bytes: u64) -> Result<FileDevice, String> {
    FileDevice::open(device, bytes).map_err(|error| error.to_string())
}

fn flip_bit(device: &FileDevice, offset: u64, bit: u32) -> std::io::Result<()> {
    // Past the page cache, as the edge reads it: the memory has to begin at a block.
    let mut memory = [0; 2 * BLOCK_BYTES];
    let begin = memory.as_ptr().addr().wrapping_neg() % BLOCK_BYTES;
    let block = &mut memory[begin..begin + BLOCK_BYTES];
    let start = offset - offset % BLOCK_BYTES as u64;
    device.read_at(start, block)?;
    block[(offset - start) as usize] ^= 1 << bit;
    device.write_at(start, block)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_was_written_twice_the_later_is_live_and_parts_of_an_older_version_are_not() {
        let extent = |piece, version, part, written| Extent {
            piece,
            offset: written,
            bytes: 1,
            intact: true,
            copy: 0,
            record: Some(Record {
                key_hash: 7,
                version,
                part,
                written: (1, written),
            }),
        };
        let found = Found::of(vec![
            extent(Piece::Metadata, 2, None, 50),
            extent(Piece::Metadata, 1, None, 10),
            extent(Piece::Body, 1, Some(0), 20),
            extent(Piece::Body, 2, Some(0), 30),
            extent(Piece::Body, 2, Some(0), 60),
            extent(Piece::Body, 2, Some(1), 40),
        ]);
        let mut offsets: Vec<u64> = found.live_pieces(7).iter().map(|extent| extent.offset).collect();
        offsets.sort_unstable();
        assert_eq!(offsets, [40, 50, 60]);
        assert_eq!(found.live_pieces(8), []);
    }
}
