//! Making room: a region is given up, what is worth it is copied, and what it said that still matters is said again. The
//! reasons are told in `reclaim.rs`.

use super::{Log, Origin};
use crate::disk::format::record::Kind;
use crate::disk::format::region::{FooterEntry, RegionLife};
use crate::disk::open_region::{OpenRegion, wipe};
use crate::disk::queue::Record;
use crate::disk::reclaim::{Remains, read_record};
use crate::placement::{Class, Reason, Verdict};
use std::io;

/// Regions that stay free when one is opened for what is new.
const RESERVE: usize = 1;

impl Log {
    /// Whether there is room only by giving up a region that the one who wrote before us may still be reading.
    pub(super) fn waits_for_predecessor(&mut self, class: Class, span: u64) -> bool {
        let open = self.open[class.index()].as_ref();
        let fits = open.is_some_and(|open| open.fits(span, &self.store.geometry));
        !fits && self.placement.regions.free() <= RESERVE && self.predecessor.still_reads(&*self.store.device)
    }

    /// Sees to it that the class has an open region with room for `span` bytes, which an empty one has.
    pub(super) fn make_room(&mut self, class: Class, span: u64) -> io::Result<()> {
        loop {
            match &self.open[class.index()] {
                Some(open) if open.fits(span, &self.store.geometry) => return Ok(()),
                Some(_) => self.seal_class(class)?,
                None => {}
            }
            // Copies may open M's region meanwhile, and even fill it; but they are bounded.
            while self.open[class.index()].is_none()
                && self.placement.regions.free() <= RESERVE
                && self.reclaim()?
            {}
            if self.open[class.index()].is_none() {
                self.open_region(class)?;
            }
        }
    }

    /// The region to be given up: the one that the policy chooses, or the oldest of all while not everything is known or
    /// a crash has left no region in reserve. The oldest hides nothing, so nothing must be said again in its place.
    fn victim(&self) -> Option<(Class, u32)> {
        let regions = &self.placement.regions;
        if !self.store.index.is_recovering() && regions.free() >= RESERVE {
            return regions.victim();
        }
        Class::ALL
            .into_iter()
            .filter_map(|class| Some((class, regions.oldest_first(class).next()?)))
            .min_by_key(|(_, number)| self.store.life_of(*number).map_or(0, |life| life.sequence))
    }

    /// Gives up a region. False when there is none.
    fn reclaim(&mut self) -> io::Result<bool> {
        let Some((class, number)) = self.victim() else {
            return Ok(false);
        };
        self.commit()?;
        // Nothing is staged: what is written and was neither given nor copied went beside it.
        self.placement
            .wrote_beside(self.written.saturating_sub(self.accounted));
        self.accounted = self.written;
        if let Some(life) = self.store.life_of(number) {
            self.save(class, life)?;
        }
        // What takes the place of this region must be stable before it goes, and it before what is said later.
        self.flush()?;
        self.placement.regions.give_up(class);
        let ending = self.store.endings.lock();
        self.store.end_life(number);
        self.written += wipe(&self.store, number)?;
        drop(ending);
        self.unflushed = true;
        self.store.metrics.regions_reclaimed.inc();
        Ok(true)
    }

    /// Copies what is worth it from a region that is given up, and forgets the rest.
    fn save(&mut self, class: Class, life: RegionLife) -> io::Result<()> {
        let store = self.store.clone();
        let opened_seconds = self.store.opened_seconds(life.number);
        let remains = Remains::of(&store, life, opened_seconds, self.now);
        let hides_something = self.has_older_than(class, life);
        let asked: Vec<_> = remains.live.iter().map(|(_, asked)| *asked).collect();
        let verdicts = self.placement.reclaim(class, &asked);
        let judged = || remains.live.iter().zip(&verdicts);
        // Reminders first: they are small, and must find room.
        for ((entry, asked), verdict) in judged() {
            if let Verdict::Drop(reason) = verdict {
                store.metrics.placed.given_up(class, *reason).inc_by(asked.bytes);
                self.forget(life, entry, hides_something)?;
            }
        }
        for key_hash in remains.hiding.iter().filter(|_| hides_something) {
            if !store.index.hide_older(store.index.head(*key_hash)) {
                self.remind(*key_hash)?;
            }
        }
        for ((entry, asked), verdict) in judged() {
            if let Verdict::Copy { heat } = verdict
                && !self.copy(class, life, entry, *heat)?
            {
                let lost = store.metrics.placed.given_up(class, Reason::Bound);
                lost.inc_by(asked.bytes);
                self.forget(life, entry, hides_something)?;
            }
        }
        if !remains.certain {
            store.index.forget_region(life.number);
        }
        self.commit()
    }

    /// Writes a record of a region that is given up again. False when it cannot be.
    fn copy(&mut self, class: Class, life: RegionLife, entry: &FooterEntry, heat: u8) -> io::Result<bool> {
        let opened_seconds = self.store.opened_seconds(life.number);
        let Some(record) = read_record(&self.store, life, entry, opened_seconds) else {
            return Ok(false);
        };
        let from = entry.location(life.number);
        let copied = self.append_again(&record, Origin::Copy { from, heat })?;
        if copied {
            self.store.metrics.placed.copied[class.index()].inc_by(record.span());
            self.accounted += record.span();
        }
        Ok(copied)
    }

    /// Forgets what is not copied, for good.
    fn forget(&mut self, life: RegionLife, entry: &FooterEntry, hides_something: bool) -> io::Result<()> {
        let index = &self.store.index;
        let location = entry.location(life.number);
        let Some(identity) = self
            .store
            .identity(entry.kind, entry.key_hash, entry.version, entry.part)
        else {
            return Ok(());
        };
        let marks = index.marks_at(identity, location);
        index.remove_from(identity, location);
        // What the index has not come to yet it may hide as well.
        let may_hide = index.is_recovering() || marks.is_some_and(|marks| marks.hides_older);
        let hides = hides_something && may_hide;
        if hides && entry.kind == Kind::Head {
            self.remind(entry.key_hash)?;
        }
        Ok(())
    }

    /// Says once more that older heads of a key are gone.
    fn remind(&mut self, key_hash: u128) -> io::Result<()> {
        let said = self.append_again(&Record::tombstone(key_hash), Origin::Reminder)?;
        if !said {
            self.store.metrics.removals_lost.inc();
        }
        Ok(())
    }

    /// Writes to M, while a region is given up, into the open region or the one in reserve. False when there is none.
    fn append_again(&mut self, record: &Record, origin: Origin) -> io::Result<bool> {
        let fits = |open: &OpenRegion| open.fits(record.span(), &self.store.geometry);
        if !self.open[Class::M.index()].as_ref().is_some_and(fits) {
            self.seal_class(Class::M)?;
            if self.placement.regions.free() == 0 {
                return Ok(false);
            }
            self.open_region(Class::M)?;
        }
        self.stage(Class::M, record, origin);
        self.send_if_due(Class::M)?;
        Ok(true)
    }

    /// Whether anything was opened before the oldest region of `class`.
    fn has_older_than(&self, class: Class, life: RegionLife) -> bool {
        let other = class.other();
        let mut full = self.placement.regions.oldest_first(other);
        let full = full.find_map(|number| self.store.life_of(number));
        let open = self.open[other.index()].as_ref().map(|open| open.region.life);
        [full, open]
            .into_iter()
            .flatten()
            .any(|older| older.sequence < life.sequence)
    }
}
