//! Answers that belong under another key than the one they were claimed by: variants of a URL, and plain ones where
//! there were variants.
//!
//! ```text
//!  claim of a.json ── answer says Vary ──→ fills a.json#accept-encoding=br; under a.json lies a Variation
//!        │                                          ↑ who waits and says the same in those fields joins it
//!        └─ those who wait for a.json are told to choose ─┘ the others claim their own variant
//!  claim of a.json#… ─ answer says no Vary ─→ fills a.json, which everybody gets from now on
//! ```

use super::{
    filler::Filler,
    flight::{Lead, Open, Outcome, Shared},
    table::Fills,
};
use crate::{
    head::Head,
    key::Key,
    object::{Object, Source},
    policy::{freshness::Freshness, vary::Names},
    purge::{Admission, Fate},
    ram::Cell,
    variation::Variation,
};
use bytes::Bytes;
use std::{sync::Arc, time::Duration};

/// What becomes of an answer that varies.
pub struct Varying<'a> {
    /// The key of its URL.
    pub primary: &'a Key,
    /// What the URL's answers vary by, this one's fields among them.
    pub names: &'a Names,
    /// The key of this answer.
    pub variant: &'a Key,
    /// What was found under `primary` when the request looked, if it was a [`Variation`].
    pub seen: Option<&'a Head>,
}

impl Lead {
    /// The answer may be stored, as one of several of its URL: as [`Lead::start`], and who waits at this lead's own key,
    /// where that is another, is told to choose among the variants.
    ///
    /// # Errors
    /// The lead, when somebody fetches that variant already, or too many fetches are under way: this answer is not kept.
    pub fn start_variant(self, varying: &Varying<'_>, head: Head) -> Result<Filler, Lead> {
        let fills = Arc::clone(self.fills());
        let (filler, before) = self.start_at(varying.variant, head)?;
        // In this order: whoever finds the variation finds the variant, or who fetches it.
        let marked = fills.mark(varying, filler.object().head());
        if let Some(before) = before {
            before.end(Outcome::Object(Object::of_cell(
                marked,
                &fills.tiers,
                Source::Ram,
            )));
        }
        Ok(filler)
    }

    /// The answer may be stored, and is for every request of the URL of `primary`: as [`Lead::start`], and who waits at
    /// this lead's own key, where that is another, gets it too.
    ///
    /// # Errors
    /// The lead, when somebody fetches `primary` already, or too many fetches are under way: this answer is not kept.
    pub fn start_plain(self, primary: &Key, head: Head) -> Result<Filler, Lead> {
        let fills = Arc::clone(self.fills());
        let (filler, before) = self.start_at(primary, head)?;
        fills.unmark(primary);
        if let Some(before) = before {
            before.end(Outcome::Object(filler.object()));
        }
        Ok(filler)
    }

    /// Starts under `key`. With the filler comes the lead's own flight, where that is another: it has yet to end.
    fn start_at(self, key: &Key, head: Head) -> Result<(Filler, Option<Open>), Lead> {
        if key == self.key() {
            return Ok((self.start(head), None));
        }
        let Some(open) = self.fills().take_over(key, self.sequence()) else {
            return Err(self);
        };
        let filler = Lead::of(open).start(head);
        Ok((filler, Some(self.into_open())))
    }
}

impl Fills {
    /// Opens a flight for `key` on behalf of one that asked upstream after the purge of `sequence`, whatever is stored:
    /// what it brings is newer. `None` while another brings its own.
    fn take_over(self: &Arc<Fills>, key: &Key, sequence: u64) -> Option<Open> {
        let mut shard = self.shard(key).lock();
        if let Some(shared) = shard.flights.get(key)
            && !shared.has_landed()
            && !self.is_overtaken(shared)
        {
            return None;
        }
        let permit = self.memory.open()?;
        let shared = Arc::new(Shared::new(key, sequence));
        shard.flights.insert(key.clone(), Arc::clone(&shared));
        drop(shard);
        Some(Open::new(Arc::clone(self), shared, permit))
    }

    /// Notes under the URL's key by what its answers vary, and that there is this one, of `head`. Returns what is noted.
    pub(crate) fn mark(&self, varying: &Varying<'_>, head: &Head) -> Cell {
        let primary = varying.primary;
        let shard = self.shard(primary).lock();
        let present = self.tiers.ram.cell(primary);
        let present = present.as_ref().map(|cell| cell.head.as_ref()).or(varying.seen);
        let present = present.filter(|present| self.tiers.purges.judge(present) != Fate::Hard);
        let known = present.and_then(|present| Some((present, present.variation()?)));
        let mut displaced = Vec::new();
        let mut variation = match known {
            Some((_, known)) if known.names().contain(varying.names) => Variation::clone(known),
            Some((_, known)) => {
                // Variants by other names are found by nobody any more.
                displaced.extend(known.keys(primary));
                Variation::new(varying.names.clone())
            }
            None => Variation::new(varying.names.clone()),
        };
        // Another answer may have added names meanwhile; this one is found by nobody then.
        if variation.names() == varying.names {
            displaced.extend(variation.add(primary, varying.variant));
        }
        let until = fresh_until(&head.freshness);
        let until = known.map_or(until, |(known, _)| until.max(fresh_until(&known.freshness)));
        if let Some((known, before)) = known
            && **before == variation
            && fresh_until(&known.freshness) == until
            && let Some(cell) = self.tiers.ram.cell(primary)
        {
            return cell;
        }
        let freshness = Freshness {
            lifetime: until.since(head.freshness.generated_at),
            stale_while_revalidate: Duration::ZERO,
            stale_if_error: Duration::ZERO,
            ..head.freshness
        };
        let mut mark = Head::of_variation(primary.clone(), variation, freshness).asked_at(head.asked_at);
        mark.version = self.next_version(&mark);
        mark.set_sequence(head.sequence);
        let cell = |head| Cell {
            head,
            whole: Some(Bytes::new()),
        };
        let cell = match self.tiers.purges.admit(&mark) {
            Admission::Kept => cell(Arc::new(mark)),
            Admission::Stale(mark) => cell(mark),
            // Purged since upstream was asked: those who asked before may choose by it, and it is not kept.
            Admission::Gone => return cell(Arc::new(mark)),
        };
        self.tiers.ram.keep_cell(cell.clone());
        if super::filler::goes_to_disk(&cell.head) {
            self.put_head(&cell.head);
        }
        drop(shard);
        for key in displaced {
            self.tiers.metrics.variants_displaced.inc();
            self.forget(&key);
        }
        cell
    }

    /// An answer for everybody is on its way: who asks from now on joins it instead of choosing among variants.
    fn unmark(&self, primary: &Key) {
        let shard = self.shard(primary).lock();
        if let Some(cell) = self.tiers.ram.cell(primary)
            && cell.head.variation().is_some()
        {
            self.tiers.ram.drop_cell(primary);
        }
        drop(shard);
    }
}

fn fresh_until(freshness: &Freshness) -> model::Moment {
    freshness.generated_at + freshness.lifetime
}
