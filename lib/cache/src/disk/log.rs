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
//! Decides by no clock and has no thread; `writer.rs` says when.

use super::commit::{Fate, Resolver};
use super::device::BLOCK_BYTES;
use super::format::Location;
use super::format::record::Kind;
use super::format::region::{FooterEntry, Region, RegionLife};
use super::open_region::{OpenRegion, Staging, wipe};
use super::queue::Write;
use super::removals::Ticket;
use super::store::Store;
use crate::placement::{Class, Placement, Settings};
use model::Moment;
use rand::RngCore;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Instant;

/// Regions that stay free when one is opened for what is new.
const RESERVE: usize = 1;

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
    /// Draws the lives of regions: unpredictable, so that no stored body can pretend to be a record.
    chance: Box<dyn RngCore + Send>,
    placement: Placement,
    /// The region that each class fills.
    open: [Option<OpenRegion>; 2],
    /// For the next region of each class.
    spare: [Option<Staging>; 2],
    /// Records that cannot be found yet, oldest first.
    unpublished: VecDeque<Unpublished>,
    next_sequence: u64,
    /// The latest time that anybody has told.
    now: Moment,
    unflushed: bool,
}

/// A record that is staged and not yet wholly written, or behind one that is not.
struct Unpublished {
    region: RegionLife,
    class: Class,
    entry: FooterEntry,
    ticket: Ticket,
    resolver: Option<Resolver>,
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
        let mut placement = Placement::new(settings, now);
        let full = recovered
            .regions
            .iter()
            .map(|region| (region.class, region.life.number));
        placement.regions.recover(full);
        for region in &recovered.regions {
            store.note_opened(region.life.number, region.opened_seconds);
        }
        Log {
            chance,
            placement,
            open: [None, None],
            spare: [None, None],
            unpublished: VecDeque::new(),
            next_sequence: recovered.next_sequence,
            now,
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

    /// Takes a record: it is staged, and written together with what follows. One that fits no region is dropped.
    /// After an error, [`Log::abandon`].
    pub(super) fn append(&mut self, write: Write) -> io::Result<()> {
        let span = write.record.span();
        if BLOCK_BYTES as u64 + span > self.store.geometry.records_end(1) {
            self.store.metrics.dropped.too_large.inc();
            settle(write.resolver, Fate::Dropped);
            return Ok(());
        }
        let class = Class::M;
        if let Err(error) = self.make_room(class, span) {
            self.give_up(write);
            return Err(error);
        }
        self.placement.wrote(span);
        self.stage(class, write);
        if self.open[class.index()].as_ref().is_some_and(OpenRegion::is_due) {
            self.write_whole_blocks(class)?;
        }
        Ok(())
    }

    /// Writes everything staged and publishes it.
    pub(super) fn commit(&mut self) -> io::Result<()> {
        for class in Class::ALL {
            if let Some(open) = &mut self.open[class.index()] {
                open.pad_to_block();
                self.write_whole_blocks(class)?;
            }
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

    /// Gives up what is staged: the device has failed.
    pub(super) fn abandon(&mut self) {
        self.open = [None, None];
        for lost in std::mem::take(&mut self.unpublished) {
            self.drop_unwritten(lost.entry.kind, lost.entry.key_hash, lost.ticket, lost.resolver);
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

    /// Sees to it that the class has an open region with room for `span` bytes.
    fn make_room(&mut self, class: Class, span: u64) -> io::Result<()> {
        match &self.open[class.index()] {
            Some(open) if open.fits(span, &self.store.geometry) => return Ok(()),
            Some(_) => self.seal_class(class)?,
            None => {}
        }
        while self.placement.regions.free() <= RESERVE && self.reclaim()? {}
        self.open_region(class)
    }

    /// Seals the region that a class fills, if there is one. What the other class has staged is committed as well:
    /// a region that is sealed holds nothing unpublished.
    fn seal_class(&mut self, class: Class) -> io::Result<()> {
        self.commit()?;
        let Some(open) = self.open[class.index()].take() else {
            return Ok(());
        };
        let number = open.region.life.number;
        let (_, staging) = open.finish(&self.store)?;
        self.spare[class.index()] = Some(staging);
        self.placement.regions.fill(class, number);
        self.unflushed = true;
        self.flush()?;
        self.store.metrics.regions_sealed.inc();
        Ok(())
    }

    /// Gives up the region that the policy chooses. False when there is none.
    fn reclaim(&mut self) -> io::Result<bool> {
        let Some((class, number)) = self.placement.regions.victim() else {
            return Ok(false);
        };
        // What is said after this region was given up must not become stable before it is.
        self.commit()?;
        self.flush()?;
        let ending = self.store.endings.lock();
        if let Some(life) = self.store.life_of(number) {
            self.store.end_life(number);
            self.store.forget(life);
        }
        self.placement.regions.give_up(class);
        wipe(&self.store, number)?;
        drop(ending);
        self.unflushed = true;
        self.store.metrics.regions_reclaimed.inc();
        Ok(true)
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
        let region = Region {
            life,
            class,
            opened_seconds: u32::try_from(self.now.seconds()).unwrap_or(u32::MAX),
        };
        self.next_sequence += 1;
        store.begin_life(life);
        store.note_opened(number, region.opened_seconds);
        let staging = self.spare[class.index()]
            .take()
            .unwrap_or_else(|| Staging::new(&store.geometry));
        self.open[class.index()] = Some(OpenRegion::new(region, store.uuid, staging));
        Ok(())
    }

    /// Copies a record behind what its class has staged; there is room.
    fn stage(&mut self, class: Class, write: Write) {
        let open = self.open[class.index()].as_mut();
        let open = open.expect("make_room has opened a region");
        let entry = open.stage(&write.record);
        self.unpublished.push_back(Unpublished {
            region: open.region.life,
            class,
            entry,
            ticket: write.ticket,
            resolver: write.resolver,
        });
    }

    /// Writes the whole blocks that a class has staged, then lets the records be found that are written and were not
    /// put after one that is not.
    fn write_whole_blocks(&mut self, class: Class) -> io::Result<()> {
        let Some(open) = &mut self.open[class.index()] else {
            return Ok(());
        };
        if open.write_whole_blocks(&self.store)? > 0 {
            self.unflushed = true;
            self.publish_written();
        }
        Ok(())
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
    let Unpublished {
        region,
        entry,
        ticket,
        resolver,
        ..
    } = done;
    let location: Location = entry.location(region.number);
    let committed = &store.metrics.committed;
    match entry.kind {
        Kind::Head => {
            let identity = store.index.head(entry.key_hash);
            store
                .removals
                .publish(entry.key_hash, ticket, || store.index.put(identity, location));
            committed.heads.inc();
        }
        Kind::Part => {
            store.index.put(
                store.index.part(entry.key_hash, entry.version, entry.part),
                location,
            );
            if entry.part == 0 {
                store.join_to_head(entry.key_hash, location);
            }
            committed.parts.inc();
        }
        Kind::Tombstone => {
            store.removals.end(entry.key_hash, ticket);
            committed.tombstones.inc();
        }
        Kind::Padding | Kind::End => {}
    }
    settle(resolver, Fate::Committed);
}

fn settle(resolver: Option<Resolver>, fate: Fate) {
    if let Some(resolver) = resolver {
        resolver.resolve(fate);
    }
}
