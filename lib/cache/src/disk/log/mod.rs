//! The logs of a device: records go to the region that their class fills, and are published in the order in which they
//! came, when their blocks are written.
//!
//! A record becomes findable only when its blocks are written. When a commit is due with the last block part full, the
//! rest of that block is filled with padding: no block that holds a committed record is ever written again, so no torn
//! write can damage one. At five commits a second that costs at most 20 KB/s a log.
//!
//! A region is sealed when it is full, when the log is closed, and by the next start after a kill; what is left of it then
//! stays unused until it is given up. One region is kept free, so that there is somewhere to copy to while room is made.
//!
//! The copies of a key's head must be in the order of the sequences of their regions, since recovery knows no other. So
//! a head or tombstone whose key stands in a region of the other class, opened later than its own, follows it there.
//!
//! Decides by no clock and has no thread; `writer.rs` says when. How room is made is told in `room.rs`.

mod room;

use super::commit::{Fate, Resolver};
use super::device::BLOCK_BYTES;
use super::format::Location;
use super::format::record::Kind;
use super::format::region::{FooterEntry, Region, RegionLife};
use super::open_region::{OpenRegion, staging_bytes};
use super::outflow::{Landed, Outflow};
use super::queue::{Record, Write};
use super::removals::Ticket;
use super::store::Store;
use super::tenure::Predecessor;
use crate::disk::PART_BYTES;
use crate::placement::{Admission, Candidate, Class, Placement, Settings};
use model::Moment;
use rand::RngCore;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What is known of the regions when the log begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Recovered {
    /// Regions that hold something, all full, in the order in which they were opened.
    pub(super) regions: Vec<Region>,
    /// Higher than that of any region there ever was.
    pub(super) next_sequence: u64,
}

/// The one who writes records.
pub(super) struct Log {
    store: Arc<Store>,
    predecessor: Predecessor,
    /// Draws the lives of regions: unpredictable, so that no stored body can pretend to be a record.
    chance: Box<dyn RngCore + Send>,
    placement: Placement,
    /// The region that each class fills.
    open: [Option<OpenRegion>; 2],
    outflow: Outflow,
    /// Records that cannot be found yet, oldest first.
    unpublished: VecDeque<Unpublished>,
    /// Whose head was admitted last: its only part comes right behind it.
    begun: Option<u128>,
    /// Bytes that were written, in all.
    written: u64,
    /// Of those, so many the policy knows of.
    accounted: u64,
    next_sequence: u64,
    /// The latest time that anybody has told.
    now: Moment,
    /// The time since the log began, by which the write budget is counted.
    elapsed: Moment,
    unflushed: bool,
}

/// A record that is staged and not yet wholly written, or behind one that is not.
struct Unpublished {
    region: RegionLife,
    class: Class,
    entry: FooterEntry,
    origin: Origin,
}

/// Why a record is written.
enum Origin {
    Put {
        ticket: Ticket,
        resolver: Option<Resolver>,
    },
    /// Its region is given up.
    Copy { from: Location, heat: u8 },
    /// A removal, said again because the region that said it is given up, or for a head that was dropped.
    Reminder,
}

impl Log {
    pub(super) fn new(
        store: Arc<Store>,
        settings: Settings,
        recovered: &Recovered,
        chance: Box<dyn RngCore + Send>,
    ) -> Log {
        let latest = recovered.regions.iter().map(|region| region.opened_seconds).max();
        let now = Moment::from_seconds(latest.unwrap_or(0).into());
        let mut placement = Placement::new(settings, Moment::default());
        let full = recovered
            .regions
            .iter()
            .map(|region| (region.class, region.life.number));
        placement.regions.recover(full);
        for region in &recovered.regions {
            store.note_opened(region.life.number, region.opened_seconds);
        }
        Log {
            predecessor: Predecessor::of(&*store.device),
            chance,
            placement,
            open: [None, None],
            outflow: Outflow::new(
                store.device.clone(),
                staging_bytes(&store.geometry),
                store.metrics.clone(),
            ),
            unpublished: VecDeque::new(),
            begun: None,
            written: 0,
            accounted: 0,
            next_sequence: recovered.next_sequence,
            now,
            elapsed: Moment::default(),
            unflushed: false,
            store,
        }
    }

    /// Whether something waits for [`Log::commit`].
    pub(super) fn has_staged(&self) -> bool {
        !self.unpublished.is_empty()
    }

    /// Whether something waits for [`Log::flush`].
    pub(super) fn has_unflushed(&self) -> bool {
        self.unflushed
    }

    /// So much time has passed since the log began.
    pub(super) fn set_elapsed(&mut self, elapsed: Duration) {
        self.elapsed = Moment::default() + elapsed;
    }

    /// Takes a record: it is staged, and written together with what follows. One that fits no region, or is not worth
    /// its place, is dropped. After an error, [`Log::abandon`].
    pub(super) fn append(&mut self, write: Write) -> io::Result<()> {
        let span = write.record.span();
        self.now = self.now.max(write.record.hints.now.unwrap_or_default());
        let fits = BLOCK_BYTES as u64 + span <= self.store.geometry.records_end(1);
        let admission = fits.then(|| self.admit(&write.record));
        let dropped = &self.store.metrics.dropped;
        let reason = match admission {
            None => &dropped.too_large,
            Some(Admission::Fleeting) => &dropped.fleeting,
            Some(Admission::OverBudget) => &dropped.over_budget,
            Some(Admission::Write(class)) => return self.append_to(class, write, span),
        };
        reason.inc();
        settle(write.resolver, Fate::Dropped);
        Ok(())
    }

    /// Writes everything staged and publishes it.
    pub(super) fn commit(&mut self) -> io::Result<()> {
        for class in Class::ALL {
            if let Some(open) = &mut self.open[class.index()] {
                open.pad_to_block();
                self.send_whole_blocks(class)?;
            }
        }
        while let Some(landed) = self.outflow.wait() {
            self.land(landed?);
        }
        Ok(())
    }

    /// Returns when everything committed is on stable storage.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if self.unflushed {
            let start = Instant::now();
            self.store.device.flush()?;
            self.store
                .metrics
                .flush_seconds
                .observe(start.elapsed().as_secs_f64());
            self.unflushed = false;
        }
        Ok(())
    }

    /// Commits, lists and flushes the regions being filled: the log is being closed.
    pub(super) fn seal(&mut self) -> io::Result<()> {
        Class::ALL
            .into_iter()
            .try_for_each(|class| self.seal_class(class))
    }

    /// Gives up what is staged and on its way: the device has failed.
    pub(super) fn abandon(&mut self) {
        self.outflow.settle();
        self.open = [None, None];
        for lost in std::mem::take(&mut self.unpublished) {
            if let Origin::Put { ticket, resolver } = lost.origin {
                self.drop_unwritten(lost.entry.kind, lost.entry.key_hash, ticket, resolver);
            }
        }
    }

    /// Gives up one record.
    pub(super) fn give_up(&self, write: Write) {
        self.drop_unwritten(
            write.record.kind,
            write.record.key_hash,
            write.ticket,
            write.resolver,
        );
    }

    fn drop_unwritten(&self, kind: Kind, key_hash: u128, ticket: Ticket, resolver: Option<Resolver>) {
        if kind == Kind::Tombstone {
            self.store.removals.end(key_hash, ticket);
            self.store.metrics.removals_lost.inc();
        } else {
            self.store.metrics.dropped.failed.inc();
        }
        settle(resolver, Fate::Dropped);
    }

    fn admit(&mut self, record: &Record) -> Admission {
        let hints = &record.hints;
        let index = &self.store.index;
        let continues = match record.kind {
            Kind::Part => record.part > 0 || self.begun == Some(record.key_hash),
            // It comes after its parts, unless there is but one.
            Kind::Head => hints.outdates || hints.length.is_none_or(|length| length > PART_BYTES),
            Kind::Tombstone | Kind::Padding | Kind::End => return Admission::Write(Class::M),
        };
        let candidate = Candidate {
            object: record.key_hash,
            bytes: hints.length.unwrap_or(record.body_length() as u64),
            fresh_for: hints.lifetime.unwrap_or(Duration::MAX),
            heat: hints.heat,
            // What replaces something was asked for before.
            seen_before: index.find(index.head(record.key_hash)).is_some(),
            continues,
        };
        let ghost_hits = self.placement.ghost_hits();
        let admission = self.placement.admit(&candidate, self.elapsed);
        let begins = record.kind == Kind::Head && matches!(admission, Admission::Write(_));
        self.begun = begins.then_some(record.key_hash);
        let metrics = &self.store.metrics.placed;
        metrics
            .ghost_hits
            .inc_by(self.placement.ghost_hits() - ghost_hits);
        metrics
            .budget_left
            .set(self.placement.budget_left().unwrap_or(i64::MAX));
        admission
    }

    fn append_to(&mut self, class: Class, write: Write, span: u64) -> io::Result<()> {
        let class = self.in_order(class, &write.record);
        if write.record.kind != Kind::Tombstone && self.waits_for_predecessor(class, span) {
            self.store.metrics.dropped.handing_over.inc();
            settle(write.resolver, Fate::Dropped);
            return Ok(());
        }
        if let Err(error) = self.make_room(class, span) {
            self.give_up(write);
            return Err(error);
        }
        let given = write.record.body_length() as u64;
        self.placement.wrote(given);
        self.accounted += given;
        self.store.metrics.placed.written[class.index()].inc_by(span);
        let Write {
            record,
            ticket,
            resolver,
        } = write;
        self.stage(class, &record, Origin::Put { ticket, resolver });
        self.send_if_due(class)
    }

    /// The class for a record, so that what is said of one key is in the order of sequences.
    fn in_order(&self, wanted: Class, record: &Record) -> Class {
        match &self.open[wanted.index()] {
            Some(open) if open.is_overtaken(record) => wanted.other(),
            // A region that is yet to be opened comes after all others.
            _ => wanted,
        }
    }

    /// Seals the region that a class fills, if there is one. What the other class has staged is committed as well:
    /// a region that is sealed holds nothing unpublished.
    fn seal_class(&mut self, class: Class) -> io::Result<()> {
        self.commit()?;
        let Some(open) = self.open[class.index()].take() else {
            return Ok(());
        };
        let number = open.region.life.number;
        let (bytes, staging) = open.finish(&self.store)?;
        self.written += bytes;
        self.outflow.give_back(staging);
        self.placement.regions.fill(class, number);
        self.unflushed = true;
        self.flush()?;
        self.store.metrics.regions_sealed.inc();
        Ok(())
    }

    /// Begins to fill a free region.
    fn open_region(&mut self, class: Class) -> io::Result<()> {
        let store = &self.store;
        let number = self.placement.regions.take().ok_or_else(|| {
            io::Error::other("no region of the cache disk is free and none can be given up")
        })?;
        let life = RegionLife {
            number,
            sequence: self.next_sequence,
            life: self.chance.next_u64(),
        };
        let opened_seconds = u32::try_from(self.now.seconds()).unwrap_or(u32::MAX);
        let region = Region {
            life,
            class,
            opened_seconds,
        };
        self.next_sequence += 1;
        store.begin_life(life);
        store.note_opened(number, region.opened_seconds);
        let staging = self.outflow.staging();
        self.open[class.index()] = Some(OpenRegion::new(region, store.uuid, &store.geometry, staging));
        Ok(())
    }

    /// Puts a record behind what its class has staged; there is room.
    fn stage(&mut self, class: Class, record: &Record, origin: Origin) {
        let open = self.open[class.index()].as_mut();
        let open = open.expect("room was made in an open region");
        let entry = open.stage(record, matches!(origin, Origin::Copy { .. }));
        let region = open.region.life;
        self.unpublished.push_back(Unpublished {
            region,
            class,
            entry,
            origin,
        });
        if record.kind != Kind::Part
            && let Some(other) = &mut self.open[class.other().index()]
            && other.region.life.sequence < region.sequence
        {
            other.note_later(record.key_hash);
        }
    }

    fn send_if_due(&mut self, class: Class) -> io::Result<()> {
        if self.open[class.index()].as_ref().is_some_and(OpenRegion::is_due) {
            self.send_whole_blocks(class)?;
        }
        Ok(())
    }

    /// Sends the whole blocks that a class has staged, and sees what has been written meanwhile.
    fn send_whole_blocks(&mut self, class: Class) -> io::Result<()> {
        if self.outflow.is_full()
            && let Some(landed) = self.outflow.wait()
        {
            self.land(landed?);
        }
        if let Some(open) = &mut self.open[class.index()] {
            open.send_whole_blocks(&self.store.geometry, &mut self.outflow);
        }
        while let Some(landed) = self.outflow.poll() {
            self.land(landed?);
        }
        Ok(())
    }

    /// Some blocks are written: records can be found that are in them and were not put after one that is not.
    fn land(&mut self, landed: Landed) {
        self.written += landed.bytes;
        self.unflushed = true;
        if let Some(open) = &mut self.open[landed.class.index()]
            && open.region.life == landed.region
        {
            open.note_written(landed.end);
        }
        self.publish_written();
    }

    fn publish_written(&mut self) {
        while let Some(next) = self.unpublished.front() {
            let open = self.open[next.class.index()].as_ref();
            let location = next.entry.location(next.region.number);
            let end = location.offset_bytes() + location.length_bytes();
            // Whose region is no longer open is written, or it could not have been sealed.
            if open.is_some_and(|open| open.region.life == next.region && !open.has_written(end)) {
                return;
            }
            if let Some(done) = self.unpublished.pop_front() {
                publish(&self.store, done);
            }
        }
    }
}

/// Lets a written record be found and tells who waits for it.
fn publish(store: &Store, done: Unpublished) {
    let entry = done.entry;
    let to = entry.location(done.region.number);
    let identity = store.identity(entry.kind, entry.key_hash, entry.version, entry.part);
    match (done.origin, identity) {
        (Origin::Put { ticket, resolver }, identity) => {
            publish_put(store, &entry, ticket, || {
                if let Some(identity) = identity {
                    store.index.put(identity, to);
                }
            });
            settle(resolver, Fate::Committed);
        }
        // Removed or replaced meanwhile, it stays so.
        (Origin::Copy { from, heat }, Some(identity)) => store.index.move_to(identity, from, to, heat),
        (Origin::Copy { .. } | Origin::Reminder, _) => {}
    }
    if (entry.kind, entry.part) == (Kind::Part, 0) {
        store.join_to_head(entry.key_hash, to);
    }
}

fn publish_put(store: &Store, entry: &FooterEntry, ticket: Ticket, put: impl FnOnce()) {
    let committed = &store.metrics.committed;
    match entry.kind {
        Kind::Head => {
            store.removals.publish(entry.key_hash, ticket, put);
            committed.heads.inc();
        }
        Kind::Part => {
            put();
            committed.parts.inc();
        }
        Kind::Tombstone => {
            store.removals.end(entry.key_hash, ticket);
            committed.tombstones.inc();
        }
        Kind::Padding | Kind::End => {}
    }
}

fn settle(resolver: Option<Resolver>, fate: Fate) {
    if let Some(resolver) = resolver {
        resolver.resolve(fate);
    }
}
