//! The index after a start, rebuilt while it is in use.
//!
//! There is no journal of the index: the regions are the journal. Going back from the newest region, the first that is
//! said of a key is the last that was written, and a tombstone met before a head means that the head is gone: so nothing
//! that was removed is found, however little of the device is known yet. Whatever is put or removed meanwhile is newer
//! than all of it ([`super::index`] sees to that), and a region that is given up meanwhile is left out.
//!
//! The order holds only as far as regions can be read: one that cannot may have held tombstones, so everything older is
//! given up. It takes a damaged footer and a damaged record in one region to get there.

use super::format::record::Kind;
use super::format::region::{FooterEntry, RegionLife};
use super::in_order::in_order;
use super::open_region::wipe;
use super::recover::{Survey, read_only_on_failure};
use super::store::Store;
use super::walk::{List, walk};
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::time::Instant;

/// How many reads the device sees at once. 3 TB are 45,000 regions: one read after the other would take 5 seconds on a
/// fast drive.
const DEPTH: usize = 16;
/// Fewer regions than this are not worth a thread.
const FEW: usize = 32;
/// So many keys may have been removed, by what the regions say: 150 MB of memory while the index is rebuilt. Beyond it
/// everything older is given up, lest something removed come back.
const MOST_HIDDEN: usize = 8 << 20;

/// What is left to do.
pub(super) struct Rebuild {
    /// Newest first.
    surveys: Vec<Survey>,
    /// What the walk over a region found that was being filled, by region.
    walked: HashMap<u32, List>,
    /// So many of `surveys` are done.
    taken: usize,
    /// The newest of each class may have been being filled, so it may end early.
    met: [bool; 2],
    hidden: usize,
    begun: Instant,
}

impl Rebuild {
    /// Makes the index ready to be used meanwhile. `surveys` are in the order of their sequences, newest first.
    pub(super) fn begin(store: &Store, surveys: Vec<Survey>, walked: HashMap<u32, List>) -> Rebuild {
        store.index.begin_recovery();
        store.metrics.recovering.set(1);
        store.metrics.regions_to_recover.set(surveys.len() as i64);
        Rebuild {
            surveys,
            walked,
            taken: 0,
            met: [false; 2],
            hidden: 0,
            begun: Instant::now(),
        }
    }

    /// Does all of it, or as much as is wanted.
    pub(super) fn run(mut self, store: &Store) {
        let surveys = std::mem::take(&mut self.surveys);
        let read = |at: usize| read(store, &surveys[at]);
        if surveys.len() <= FEW {
            for at in 0..surveys.len() {
                if self.take(store, &surveys, at, read(at)).is_break() {
                    break;
                }
            }
        } else {
            in_order(surveys.len(), DEPTH, read, |at, list| {
                self.take(store, &surveys, at, list)
            });
        }
        self.surveys = surveys;
        self.finish(store);
    }

    /// Takes the next region. False when there was none: then the index is complete.
    #[cfg(test)]
    pub(super) fn step(&mut self, store: &Store) -> bool {
        let surveys = std::mem::take(&mut self.surveys);
        let at = self.taken;
        let flow = match surveys.get(at) {
            Some(survey) => {
                let list = read(store, survey);
                self.take(store, &surveys, at, list)
            }
            None => ControlFlow::Break(()),
        };
        self.surveys = surveys;
        if flow.is_break() {
            self.finish(store);
        }
        flow.is_continue()
    }

    /// Adds heads and tombstones of a region; its parts are there already.
    fn take(&mut self, store: &Store, surveys: &[Survey], at: usize, list: Option<List>) -> ControlFlow<()> {
        if store.is_unwanted() {
            return ControlFlow::Break(());
        }
        let region = surveys[at].region;
        let walked = self.walked.remove(&region.life.number);
        let list = list.or_else(|| walked.map(|list| without_parts(store, region.life, list)));
        let Some(List {
            entries, complete, ..
        }) = list
        else {
            unreachable!("a region is listed or was walked");
        };
        self.taken = at + 1;
        store
            .metrics
            .regions_to_recover
            .set((surveys.len() - self.taken) as i64);
        for entry in entries.iter().rev() {
            match entry.kind {
                // Even if the region was given up meanwhile: what it removed is older still.
                Kind::Tombstone => {
                    self.hidden += usize::from(store.index.hide(store.index.head(entry.key_hash)));
                }
                _ => add(store, region.life, std::slice::from_ref(entry)),
            }
        }
        let is_newest = !std::mem::replace(&mut self.met[region.class.index()], true);
        let reason = if !complete && !is_newest {
            "part of a region is unreadable"
        } else if self.hidden > MOST_HIDDEN {
            "there are too many removals to remember"
        } else {
            return ControlFlow::Continue(());
        };
        let older = &surveys[self.taken..];
        tracing::warn!(
            region = region.life.number,
            regions = older.len(),
            "cache disk: {reason}; everything older is given up"
        );
        older.iter().for_each(|survey| give_up(store, survey.region.life));
        ControlFlow::Break(())
    }

    fn finish(&self, store: &Store) {
        store.index.end_recovery();
        store.metrics.recovering.set(0);
        store.metrics.regions_to_recover.set(0);
        let seconds = self.begun.elapsed().as_secs_f64();
        store.metrics.recovery_seconds.set(seconds);
        let given_up = self.surveys.len() - self.taken;
        let records = store.metrics.slots.get();
        if store.is_unwanted() {
            tracing::info!(
                regions = self.taken,
                left = given_up,
                "cache disk: closed before the index was rebuilt"
            );
        } else {
            tracing::info!(
                regions = self.taken,
                given_up,
                records,
                seconds,
                "cache disk: index rebuilt"
            );
        }
    }
}

/// What a region holds besides parts, which are added at once: their order does not matter, because what is said of a
/// part is never taken back. `None` for a region that was walked before.
fn read(store: &Store, survey: &Survey) -> Option<List> {
    let trailer = survey.sealed.as_ref()?;
    let listed = store.list_of(trailer).ok().flatten();
    if listed.is_none() {
        store.metrics.damaged.footer.inc();
    }
    let list = listed.map_or_else(
        || walk(store, survey.region.life).0,
        |entries| List {
            entries,
            complete: true,
        },
    );
    Some(without_parts(store, survey.region.life, list))
}

fn without_parts(store: &Store, life: RegionLife, mut list: List) -> List {
    let is_part = |entry: &FooterEntry| entry.kind == Kind::Part;
    let parts: Vec<FooterEntry> = list.entries.iter().copied().filter(is_part).collect();
    list.entries.retain(|entry| !is_part(entry));
    add(store, life, &parts);
    list
}

/// Adds what a region holds, if it is still in that life when all is added.
fn add(store: &Store, life: RegionLife, entries: &[FooterEntry]) {
    let found = || {
        entries.iter().filter_map(|entry| {
            let identity = store.identity(entry.kind, entry.key_hash, entry.version, entry.part)?;
            Some((identity, entry.location(life.number)))
        })
    };
    let is_alive = || store.life_of(life.number) == Some(life);
    if is_alive() {
        found().for_each(|(identity, location)| store.index.recover(identity, location));
    }
    // Who gives a region up ends its life first and forgets what it held then.
    if !is_alive() {
        found().for_each(|(identity, location)| store.index.remove_from(identity, location));
    }
}

/// Wipes a region whose content is not to be believed, or it would be back with the next start.
fn give_up(store: &Store, life: RegionLife) {
    let ending = store.endings.lock();
    if store.is_read_only() || store.life_of(life.number) != Some(life) {
        return;
    }
    store.end_life(life.number);
    let wiped = wipe(store, life.number);
    drop(ending);
    read_only_on_failure(store, wiped.map(drop));
}
