//! The purges that may still cover something, by name: what one head looks up, and what is given up beyond the bound.
//!
//! A look-up costs as many probes of one hash table as the head has tags and its path has segments, and none for a kind
//! of which nothing was purged since the head was judged: nothing scans, however many entries there are.

use super::name::{KeyNames, ServiceId};
use super::{Entry, Kind, Mode, Name, Record, sequence, tags};
use http::HeaderMap;
use model::Moment;
use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    time::Duration,
};

/// Services with a purge of their own. No document describes as many; beyond it they are purged all together.
pub(super) const SERVICES_MAX: usize = 4096;
/// A small journal has room for one service in so many entries, each perhaps hard and soft.
const SERVICES_SHARE: usize = 8;
/// Of a bound that is reached with nothing to fold into, so much is forgotten at once: it takes a pass over the table.
const FORGOTTEN_SHARE: usize = 2;

/// One table for a node.
pub(super) struct Live {
    names: HashMap<Name, Stamp, BuildHasherDefault<NameHasher>>,
    services: HashMap<ServiceId, Service>,
    everything: Stamp,
    /// The newest sequence of each kind, ever: what is older than a head need not be looked for.
    newest: [u64; Kind::ALL.len()],
    /// Entries, by kind.
    counts: [usize; Kind::ALL.len()],
    forgotten: u64,
    /// The most by which a soft purge's sequence ran ahead of the clock: all count as so much earlier, which only
    /// shortens for how long something stale may be served.
    ahead_ms: u32,
    bound: usize,
    services_max: usize,
}

/// The latest purges of one name; 0 is none.
#[derive(Clone, Copy, Debug, Default)]
struct Stamp {
    hard: u64,
    soft: u64,
}

/// What is known of a service as a whole.
#[derive(Default)]
struct Service {
    stamp: Stamp,
    /// Its stamps in `names`.
    entries: usize,
    /// Its newest purge of a tag: what covers an answer whose fields are not known yet.
    newest_tag: u64,
}

/// What is known of an object's fields.
#[derive(Clone, Copy)]
pub(super) enum Fields<'a> {
    Known(&'a HeaderMap),
    /// It is being asked for: any tag may be among them.
    Unknown,
}

/// What the table says of one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cover {
    None,
    /// By soft purges, the first of them at this moment.
    Soft(Moment),
    Hard,
    /// It was last judged before a purge that is forgotten.
    Unknown,
}

/// What was given up to make room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct GivenUp {
    pub(super) folded: usize,
    pub(super) forgotten: usize,
}

impl Stamp {
    fn of(entry: &Entry) -> Stamp {
        match entry.mode {
            Mode::Hard => Stamp {
                hard: entry.sequence,
                soft: 0,
            },
            Mode::Soft => Stamp {
                hard: 0,
                soft: entry.sequence,
            },
        }
    }

    /// Adds what `other` covers. A soft purge before a hard one covers nothing any more.
    fn add(&mut self, other: Stamp) {
        self.hard = self.hard.max(other.hard);
        self.soft = self.soft.max(other.soft);
        if self.soft <= self.hard {
            self.soft = 0;
        }
    }

    /// How many entries it is: 0, 1 or 2.
    fn entries(self) -> usize {
        usize::from(self.hard > 0) + usize::from(self.soft > 0)
    }

    fn cover(self, checked: u64, ahead_ms: u32) -> Cover {
        if self.hard > checked {
            Cover::Hard
        } else if self.soft > checked {
            Cover::Soft(sequence::moment_of(self.soft) - Duration::from_millis(ahead_ms.into()))
        } else {
            Cover::None
        }
    }

    /// Drops what is not later than `floor`; returns the latest of what was dropped.
    fn forget(&mut self, floor: u64) -> u64 {
        let mut dropped = 0;
        for sequence in [&mut self.hard, &mut self.soft] {
            if *sequence <= floor {
                dropped = dropped.max(*sequence);
                *sequence = 0;
            }
        }
        dropped
    }
}

impl Cover {
    fn and(self, other: Cover) -> Cover {
        match (self, other) {
            (Cover::Hard, _) | (_, Cover::Hard) => Cover::Hard,
            (Cover::Soft(one), Cover::Soft(two)) => Cover::Soft(one.min(two)),
            (Cover::None, cover) | (cover, _) => cover,
        }
    }
}

impl Live {
    /// An empty table for at most `bound` entries, those of whole services not counted.
    pub(super) fn new(bound: usize) -> Live {
        Live {
            names: HashMap::default(),
            services: HashMap::new(),
            everything: Stamp::default(),
            newest: [0; Kind::ALL.len()],
            counts: [0; Kind::ALL.len()],
            forgotten: 0,
            ahead_ms: 0,
            bound,
            services_max: SERVICES_MAX.min(bound),
        }
    }

    /// From now on at most `bound`. What is there beyond it goes when the next entry comes.
    pub(super) fn limit(&mut self, bound: usize) {
        self.bound = self.bound.min(bound);
        self.services_max = self.services_max.min(bound / SERVICES_SHARE);
    }

    pub(super) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Entries of a kind.
    pub(super) fn count(&self, kind: Kind) -> usize {
        self.counts[kind as usize]
    }

    /// Entries that count against the bound.
    fn named_entries(&self) -> usize {
        [Kind::Url, Kind::Prefix, Kind::Tag]
            .map(|kind| self.count(kind))
            .iter()
            .sum()
    }

    /// What covers an object that was last judged at `checked`.
    pub(super) fn cover(&self, key_text: &str, fields: Fields<'_>, checked: u64) -> Cover {
        if checked < self.forgotten {
            return Cover::Unknown;
        }
        let is_newer = |kind: Kind| self.newest[kind as usize] > checked;
        let names = KeyNames::of(key_text);
        let mut cover = self.everything.cover(checked, self.ahead_ms);
        let service = self.services.get(&names.service);
        if let Some(service) = service {
            cover = cover.and(service.stamp.cover(checked, self.ahead_ms));
        }
        if is_newer(Kind::Url) {
            cover = cover.and(self.named(names.url(), checked));
        }
        if is_newer(Kind::Prefix) {
            cover = names
                .prefixes()
                .fold(cover, |cover, name| cover.and(self.named(name, checked)));
        }
        if service.is_some_and(|service| service.newest_tag > checked) {
            cover = cover.and(self.tagged(names.service, fields, checked));
        }
        cover
    }

    fn named(&self, name: Name, checked: u64) -> Cover {
        let stamp = self.names.get(&name);
        stamp.map_or(Cover::None, |stamp| stamp.cover(checked, self.ahead_ms))
    }

    fn tagged(&self, service: ServiceId, fields: Fields<'_>, checked: u64) -> Cover {
        let Fields::Known(fields) = fields else {
            return Cover::Hard;
        };
        let mut cover = Cover::None;
        let read = tags::for_each(fields, |tag| {
            cover = cover.and(self.named(Name::tag(service, tag), checked));
        });
        match read {
            Ok(()) => cover,
            // Tags that are not read: the purge of any may be meant, and whether it was soft is not known.
            Err(tags::TooMany) => Cover::Hard,
        }
    }

    /// Adds an entry. `may_forget` when there is no device on which something old could be.
    pub(super) fn insert(&mut self, entry: Entry, may_forget: bool) -> GivenUp {
        let kind = entry.name.kind();
        self.newest[kind as usize] = self.newest[kind as usize].max(entry.sequence);
        if entry.mode == Mode::Soft {
            self.ahead_ms = self.ahead_ms.max(entry.ahead_ms);
        }
        match kind {
            Kind::Everything => {
                self.insert_everything(entry);
                GivenUp::default()
            }
            Kind::Service => self.insert_service(entry),
            Kind::Url | Kind::Prefix | Kind::Tag => {
                let given_up = self.make_room(entry.name, may_forget);
                self.insert_name(entry);
                given_up
            }
        }
    }

    fn insert_name(&mut self, entry: Entry) {
        let stamp = self.names.entry(entry.name).or_default();
        let before = stamp.entries();
        stamp.add(Stamp::of(&entry));
        let after = stamp.entries();
        let service = self.services.entry(entry.name.service()).or_default();
        let kind = entry.name.kind();
        if kind == Kind::Tag {
            service.newest_tag = service.newest_tag.max(entry.sequence);
        }
        service.entries = service.entries + after - before;
        let count = &mut self.counts[kind as usize];
        *count = *count + after - before;
    }

    fn insert_everything(&mut self, entry: Entry) {
        self.everything.add(Stamp::of(&entry));
        self.counts[Kind::Everything as usize] = self.everything.entries();
    }

    /// A whole service. What was purged in it before a hard purge of it is covered by that.
    fn insert_service(&mut self, entry: Entry) -> GivenUp {
        let id = entry.name.service();
        let is_known = self
            .services
            .get(&id)
            .is_some_and(|service| service.stamp.entries() > 0);
        if !is_known && self.count(Kind::Service) >= self.services_max {
            self.insert_everything(entry);
            return GivenUp {
                folded: 1,
                forgotten: 0,
            };
        }
        let service = self.services.entry(id).or_default();
        let before = service.stamp.entries();
        service.stamp.add(Stamp::of(&entry));
        let count = &mut self.counts[Kind::Service as usize];
        *count = *count + service.stamp.entries() - before;
        if entry.mode == Mode::Hard && service.entries > 0 {
            self.retain(|name, stamp| {
                if name.service() == id {
                    stamp.forget(entry.sequence);
                }
            });
        }
        GivenUp::default()
    }

    /// Makes room for one more entry, by folding the service that has most of them into one.
    fn make_room(&mut self, coming: Name, may_forget: bool) -> GivenUp {
        let count = self.named_entries();
        if count < self.bound || self.names.get(&coming).is_some_and(|stamp| stamp.entries() == 2) {
            return GivenUp::default();
        }
        if may_forget {
            return GivenUp {
                folded: 0,
                forgotten: self.forget(self.median()),
            };
        }
        let largest = self.services.iter().max_by_key(|(_, service)| service.entries);
        let Some(id) = largest.map(|(id, _)| *id) else {
            return GivenUp::default();
        };
        let mut folded = Stamp::default();
        self.retain(|name, stamp| {
            if name.service() == id {
                folded.hard = folded.hard.max(stamp.hard);
                folded.soft = folded.soft.max(stamp.soft);
                *stamp = Stamp::default();
            }
        });
        let known = self
            .services
            .get(&id)
            .is_some_and(|service| service.stamp.entries() > 0);
        if known || self.count(Kind::Service) < self.services_max {
            self.services.entry(id).or_default().stamp.add(folded);
        } else {
            self.everything.add(folded);
            self.counts[Kind::Everything as usize] = self.everything.entries();
        }
        self.recount_services();
        GivenUp {
            folded: count - self.named_entries(),
            forgotten: 0,
        }
    }

    fn median(&self) -> u64 {
        let mut sequences: Vec<u64> = self
            .names
            .values()
            .map(|stamp| stamp.hard.max(stamp.soft))
            .collect();
        let middle = sequences.len() / FORGOTTEN_SHARE;
        match sequences.is_empty() {
            true => 0,
            false => *sequences.select_nth_unstable(middle).1,
        }
    }

    /// Forgets all purges up to `floor`: nothing older is stored. Returns how many.
    pub(super) fn forget(&mut self, floor: u64) -> usize {
        let before: usize = self.counts.iter().sum();
        let mut latest = self.everything.forget(floor);
        self.counts[Kind::Everything as usize] = self.everything.entries();
        for service in self.services.values_mut() {
            latest = latest.max(service.stamp.forget(floor));
        }
        self.recount_services();
        self.retain(|_, stamp| latest = latest.max(stamp.forget(floor)));
        self.forgotten = self.forgotten.max(latest);
        before - self.counts.iter().sum::<usize>()
    }

    /// What a journal knows is known here, too. Returns what had to be given up for it.
    pub(super) fn adopt(&mut self, record: &Record) -> GivenUp {
        self.forgotten = self.forgotten.max(record.forgotten);
        let mut sum = GivenUp::default();
        for entry in &record.entries {
            let given_up = self.insert(*entry, false);
            sum.folded += given_up.folded;
            sum.forgotten += given_up.forgotten;
        }
        sum
    }

    fn recount_services(&mut self) {
        let stamps = self.services.values().map(|service| service.stamp.entries());
        self.counts[Kind::Service as usize] = stamps.sum();
    }

    /// Changes every stamp, drops those that became empty, and counts anew.
    fn retain(&mut self, mut change: impl FnMut(Name, &mut Stamp)) {
        let (counts, services) = (&mut self.counts, &mut self.services);
        self.names.retain(|name, stamp| {
            let before = stamp.entries();
            change(*name, stamp);
            let after = stamp.entries();
            if after < before {
                counts[name.kind() as usize] -= before - after;
                if let Some(service) = services.get_mut(&name.service()) {
                    service.entries -= before - after;
                }
            }
            after > 0
        });
        services.retain(|_, service| service.entries > 0 || service.stamp.entries() > 0);
        if self.names.len() < self.names.capacity() / 4 {
            self.names.shrink_to_fit();
        }
    }

    /// Everything known, as a journal keeps it.
    pub(super) fn entries(&self) -> Vec<Entry> {
        let services = self
            .services
            .iter()
            .map(|(id, service)| (id.name(), service.stamp));
        let names = self.names.iter().map(|(name, stamp)| (*name, *stamp));
        let everything = std::iter::once((Name::EVERYTHING, self.everything));
        let stamps = everything.chain(services).chain(names);
        let modes =
            stamps.flat_map(|(name, stamp)| [(name, Mode::Hard, stamp.hard), (name, Mode::Soft, stamp.soft)]);
        modes
            .filter(|(_, _, sequence)| *sequence > 0)
            .map(|(name, mode, sequence)| Entry {
                name,
                mode,
                sequence,
                ahead_ms: self.ahead_ms,
            })
            .collect()
    }
}

/// Takes the low half of the name's own hash.
#[derive(Default)]
pub(super) struct NameHasher(u64);

impl Hasher for NameHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn write_u128(&mut self, number: u128) {
        // The low half is XXH3 of the text; service and kind come from the high half.
        self.0 = number as u64 ^ ((number >> 64) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
