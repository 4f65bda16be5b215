//! Giving up a region: what is still found in it is judged, what is worth it is copied, and what it said that still
//! matters is said again.
//!
//! Four things keep an old record from coming back with the next start, when regions are not given up in the order in
//! which they were filled:
//! - Copies, and what is put, reach the index before anything is judged, so that the newest record of a key is the one
//!   that is copied, to the region that is opened last for M: later in the order of sequences than any other of its key.
//! - A head that is dropped while an older one of its key may lie in an older region (its slot says so) leaves a
//!   tombstone.
//! - A tombstone is repeated as long as a region is older than its own, unless a newer head of its key is there, which
//!   then knows that it hides something. A head that is no longer found is as good as a tombstone.
//! - While the index is being rebuilt, the region that was opened first of all is given up: it has nothing older to hide.
//!
//! What somebody is in the middle of reading is copied before anything else ([`super::held`]).
//!
//! Heat is kept for each part: of a long object often only the beginning is watched. A part that is read warms its head
//! too, and a part without a head is not copied, since nobody would find it.

use super::format::Location;
use super::format::record::{Kind, RecordHeader, is_intact};
use super::format::region::{FooterEntry, RegionLife};
use super::hints::Hints;
use super::queue::Record;
use super::store::Store;
use super::walk::walk;
use crate::placement::Entry;
use bytes::Bytes;
use model::Moment;

/// What a region holds that matters.
pub(super) struct Remains {
    /// What can be found, in the order of writing, and what the policy is asked of each.
    pub(super) live: Vec<(FooterEntry, Entry)>,
    /// Keys of which something was said that holds for older heads too: removals, and heads that are not found any more.
    pub(super) hiding: Vec<u128>,
    /// That is all. Otherwise the footer was unreadable, and so may some of the records be.
    pub(super) certain: bool,
}

impl Remains {
    /// Reads what a region lists. Nothing may be waiting to be published.
    pub(super) fn of(store: &Store, life: RegionLife, opened_seconds: u32, now: Moment) -> Remains {
        let listed = match store.trailer_of(life.number) {
            Ok(Some(trailer)) if trailer.region.life == life => store.list_of(&trailer).ok().flatten(),
            _ => None,
        };
        let certain = listed.is_some();
        let entries = listed.unwrap_or_else(|| {
            store.metrics.damaged.footer.inc();
            tracing::warn!(
                region = life.number,
                "cache disk: a footer cannot be read; looking at the records of its region"
            );
            walk(store, life).0.entries
        });
        let mut remains = Remains {
            live: Vec::new(),
            hiding: Vec::new(),
            certain,
        };
        for entry in entries {
            if entry.kind == Kind::Tombstone {
                remains.hiding.push(entry.key_hash);
            } else if let Some(heat) = heat_of(store, &entry, life.number) {
                let asked = Entry {
                    object: entry.key_hash,
                    bytes: entry.location(life.number).length_bytes(),
                    heat,
                    held: store.held.holds(entry.key_hash, entry.version),
                    expired: entry.expiry.is_over(opened_seconds, now),
                };
                remains.live.push((entry, asked));
            } else if entry.kind == Kind::Head {
                // Replaced, removed, or found damaged: the older ones must not come back either.
                remains.hiding.push(entry.key_hash);
            }
        }
        remains
    }
}

/// How hot a record is, if it can be found.
fn heat_of(store: &Store, entry: &FooterEntry, region: u32) -> Option<u8> {
    let identity = store.identity(entry.kind, entry.key_hash, entry.version, entry.part)?;
    let marks = store.index.marks_at(identity, entry.location(region))?;
    let lost = entry.kind == Kind::Part && store.index.find(store.index.head(entry.key_hash)).is_none();
    Some(if lost { 0 } else { marks.heat })
}

/// Reads a record to write it again, all of it verified. `None` when it is not what was written, or was purged.
pub(super) fn read_record(
    store: &Store,
    life: RegionLife,
    entry: &FooterEntry,
    opened_seconds: u32,
) -> Option<Record> {
    let location: Location = entry.location(life.number);
    let bytes = location.offset_bytes()..location.offset_bytes() + location.length_bytes();
    let (blocks, lead) = store
        .read_blocks(life.number, bytes)
        .inspect_err(|error| {
            tracing::warn!(region = life.number, %error, "cache disk: a record cannot be copied");
        })
        .ok()?;
    let record = &blocks[lead..lead + location.length_bytes() as usize];
    let header = RecordHeader::decode(record)?;
    let named = (header.kind, header.key_hash, header.version, header.part);
    if header.life != life.life || named != (entry.kind, entry.key_hash, entry.version, entry.part) {
        return None;
    }
    let table = header.table(record)?;
    let body = record.get(header.body_start()..header.body_start() + header.body_length as usize)?;
    if !is_intact(table, 0, body) {
        store.metrics.reads.corrupt.inc();
        return None;
    }
    let pieces = match header.kind {
        Kind::Head => {
            let (text, encoded) = body.split_at_checked(header.key_length as usize)?;
            vec![Bytes::copy_from_slice(text), store.carry_over(encoded)?]
        }
        _ => vec![Bytes::copy_from_slice(body)],
    };
    Some(Record {
        kind: header.kind,
        key_length: header.key_length,
        hints: Hints {
            fresh_until: entry.expiry.fresh_until(opened_seconds),
            revalidates: entry.expiry.revalidates(),
            ..Hints::default()
        },
        ..Record::part(header.key_hash, header.version, header.part, pieces)
    })
}
