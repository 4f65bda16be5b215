//! A seeded life of a small device: puts, reads, removals, purges, reclaims and closings, cut short again and again by a
//! kill or a loss of power at a random write. After each, what is found must be explainable by what was done.
//!
//! Some seeds have a device that also fails by the way ([`weather`]), and says that it has written what it has not: there
//! anything may be missing, but what is found must be right, and purged if it was purged.

mod purging;
mod weather;

use super::{body, metrics, patient, reads};
use crate::disk::commit::{Commit, Fate};
use crate::disk::device::{Faults, FaultyDevice};
use crate::disk::format::Location;
use crate::disk::hints::Hints;
use crate::disk::log::Log;
use crate::disk::metrics::DiskMetrics;
use crate::disk::queue::{Record, Write};
use crate::disk::read::{self, Miss};
use crate::disk::rebuild::Rebuild;
use crate::disk::store::Store;
use crate::disk::{Found, MemoryDevice, Options, open_log};
use bytes::Bytes;
use model::Moment;
use purging::Purging;
use rand::rngs::{SmallRng, StdRng};
use rand::seq::IteratorRandom;
use rand::{Rng, SeedableRng};
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

const REGION_BYTES: u64 = 64 << 10;
/// With the fewer there is one log, with the more there are two.
const REGIONS: [u64; 2] = [6, 18];
const KEYS: u128 = 14;
const CRASHES_PER_SEED: usize = 75;
const SEEDS: u64 = 134;
/// The longest time between two things that are done, in milliseconds: regions grow old enough for purges to be forgotten.
const STEP_MILLISECONDS: u64 = 20_000;
/// How often a device that fails by the way is tried with its faults, before they end.
const STORMY_STARTS: u32 = 2;

/// What a record under a name is: a head or a part. Parts are named by version too, so theirs never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Name {
    Head(u128),
    Part(u128, u64, u32),
}

/// One thing done to a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Deed {
    /// `None` removes; otherwise the version and the stamp from which the bytes follow.
    put: Option<(u64, u64)>,
    length: usize,
    /// Of a head: the latest purge that was known when upstream was asked for it.
    claimed: u64,
}

/// Everything done to one name since the last crash; the first deed is what was found then.
#[derive(Debug, Default)]
struct History {
    deeds: Vec<Deed>,
    /// So many deeds are written; the next crash keeps them if it is a kill.
    written: usize,
    /// So many deeds are flushed; any crash keeps them.
    flushed: usize,
    /// Where the last written put lies, and in which sequence of its region.
    place: Option<(Location, u64)>,
}

struct Simulation {
    seed: u64,
    chance: SmallRng,
    device: Arc<MemoryDevice>,
    /// In front of it; fails only where the seed is stormy.
    faulty: Arc<FaultyDevice>,
    stormy: bool,
    /// Of this life.
    faults: Faults,
    purging: Purging,
    now: Moment,
    /// The latest purge that was known some time ago.
    earlier: u64,
    metrics: DiskMetrics,
    store: Arc<Store>,
    log: Log,
    /// What is left of the index to be found, where the last start is still at it.
    rebuild: Option<Rebuild>,
    histories: BTreeMap<Name, History>,
    waiting: VecDeque<(Name, Commit)>,
    last_number: u64,
    crashes: usize,
    kept: usize,
}

fn options() -> Options {
    Options {
        region_bytes: REGION_BYTES,
        ..Options::default()
    }
}

fn key_text(key: u128) -> String {
    format!("demo/object-{key}")
}

impl Simulation {
    fn start(seed: u64) -> Simulation {
        let regions = REGIONS[seed as usize % REGIONS.len()];
        let device = Arc::new(MemoryDevice::new((1 << 20) + regions * REGION_BYTES));
        let faulty = Arc::new(FaultyDevice::new(device.clone(), seed));
        let metrics = metrics();
        let (store, log, rebuild) = open_log(
            faulty.clone(),
            &options(),
            metrics.clone(),
            &mut StdRng::seed_from_u64(seed),
        )
        .expect("blank");
        let mut purging = Purging::default();
        purging.begin(&store, key_text, seed);
        Simulation {
            seed,
            chance: SmallRng::seed_from_u64(seed),
            device,
            faulty,
            stormy: weather::is_stormy(seed),
            faults: Faults::default(),
            purging,
            now: Moment::from_seconds(1_700_000_000),
            earlier: 0,
            metrics,
            store,
            log,
            rebuild: Some(rebuild),
            histories: BTreeMap::new(),
            waiting: VecDeque::new(),
            last_number: 0,
            crashes: 0,
            kept: 0,
        }
    }

    fn number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    /// Does one random thing. Fails when the device does.
    fn step(&mut self) -> std::io::Result<()> {
        self.now = self.now + Duration::from_millis(self.chance.random_range(0..STEP_MILLISECONDS));
        if self.chance.random_bool(0.1) {
            self.earlier = self.purging.latest();
        }
        match self.chance.random_range(0..100) {
            0..24 => self.put_head()?,
            24..26 => self.purge()?,
            26..60 => self.put_part()?,
            60..70 => self.remove()?,
            70..85 => self.log.commit()?,
            85..91 => self.log.flush()?,
            91..92 => self.log.seal()?,
            92..95 => self.rebuild_some(),
            _ => self.check_one(),
        }
        self.note_progress();
        match self.store.is_read_only() {
            true => Err(std::io::Error::other("a write failed at the start")),
            false => Ok(()),
        }
    }

    fn purge(&mut self) -> std::io::Result<()> {
        let key = self.chance.random_range(0..KEYS);
        self.purging.purge(&self.store, key, &key_text(key), self.now)
    }

    /// What sends a record to either log.
    fn hints(&mut self) -> Hints {
        Hints {
            heat: if self.chance.random_bool(0.4) { 2 } else { 0 },
            now: Some(self.now),
            ..Hints::default()
        }
    }

    fn put_head(&mut self) -> std::io::Result<()> {
        let key = self.chance.random_range(0..KEYS);
        let version = self.number();
        let stamp = self.number();
        let length = self.chance.random_range(0..3000);
        // Asked for before something else was purged, or just now.
        let claimed = match self.chance.random_bool(0.2) {
            true => self.earlier,
            false => self.purging.latest(),
        };
        let put = (version, stamp);
        let encoded = self
            .purging
            .encode(&key_text(key), put, claimed, &body(stamp, length));
        let Some(encoded) = encoded else {
            return Ok(());
        };
        let record = Record {
            hints: self.hints(),
            ..Record::head(key, &key_text(key), version, encoded)
        };
        let deed = Deed {
            put: Some(put),
            length,
            claimed,
        };
        self.append(Name::Head(key), deed, record)
    }

    fn put_part(&mut self) -> std::io::Result<()> {
        let (key, part) = (self.chance.random_range(0..KEYS), self.chance.random_range(0..3));
        let version = self.number();
        let stamp = self.number();
        let most = if self.chance.random_bool(0.1) {
            50_000
        } else {
            6000
        };
        let length = self.chance.random_range(0..most);
        let bytes = body(stamp, length);
        let cut = self.chance.random_range(0..=length);
        let pieces = vec![bytes.slice(..cut), bytes.slice(cut..)];
        let record = Record {
            hints: self.hints(),
            ..Record::part(key, version, part, pieces)
        };
        self.append(
            Name::Part(key, version, part),
            Deed {
                put: Some((version, stamp)),
                length,
                claimed: 0,
            },
            record,
        )
    }

    fn remove(&mut self) -> std::io::Result<()> {
        let key = self.chance.random_range(0..KEYS);
        // As Disk::remove does: hidden first, then in line, then forgotten.
        assert!(self.store.removals.begin(key, self.last_number + 1));
        self.store.index.remove(self.store.index.head(key));
        self.append(
            Name::Head(key),
            Deed {
                put: None,
                length: 0,
                claimed: 0,
            },
            Record::tombstone(key),
        )
    }

    fn append(&mut self, name: Name, deed: Deed, record: Record) -> std::io::Result<()> {
        let ticket = self.number();
        let (resolver, commit) = Commit::pending();
        self.histories.entry(name).or_default().deeds.push(deed);
        self.waiting.push_back((name, commit));
        self.log.append(Write {
            record,
            ticket,
            resolver: Some(resolver),
        })
    }

    /// Notes what has been written and flushed.
    fn note_progress(&mut self) {
        let mut context = Context::from_waker(Waker::noop());
        while let Some((name, commit)) = self.waiting.front_mut() {
            let Poll::Ready(fate) = Pin::new(commit).poll(&mut context) else {
                break;
            };
            assert_eq!(
                fate,
                Fate::Committed,
                "nothing here is too large, and the device works"
            );
            let name = *name;
            self.waiting.pop_front();
            self.note_written(name);
        }
        if !self.log.has_unflushed() {
            self.histories
                .values_mut()
                .for_each(|history| history.flushed = history.written);
        }
    }

    fn sequence_of(&self, location: Location) -> Option<u64> {
        self.store.life_of(location.region).map(|life| life.sequence)
    }

    fn is_alive(&self, place: Option<(Location, u64)>) -> bool {
        place.is_some_and(|(location, sequence)| self.sequence_of(location) == Some(sequence))
    }

    /// What the store says is under a name: checked byte for byte, told as a deed.
    fn observe(&mut self, name: Name) -> Option<(u64, u64)> {
        if self.stormy && self.chance.random_bool(0.05) {
            weather::stall(&self.faulty);
        }
        let found = match name {
            Name::Head(key) => self.read_head(key).map(|head| (head.version, head.encoded)),
            Name::Part(key, version, part) => {
                let deed = self.histories[&name].deeds[0];
                let end = deed.length as u32;
                let start = self.chance.random_range(0..=end);
                // A piece first, then the whole: both must agree.
                let piece = self.read_part((key, version, part), start..end);
                let whole = self.read_part((key, version, part), 0..end);
                if let (Ok(piece), Ok(whole)) = (&piece, &whole) {
                    assert_eq!(piece, &whole[start as usize..], "seed {}", self.seed);
                }
                whole.map(|bytes| (version, bytes))
            }
        };
        self.faulty.set(self.faults);
        match found {
            Ok((version, bytes)) => {
                let put = self.histories[&name].deeds.iter().find_map(|deed| {
                    let put = deed.put?;
                    (put.0 == version && self.is_what_was_put(name, deed, put, &bytes)).then_some(put)
                });
                Some(put.unwrap_or_else(|| panic!("seed {}: {name:?} gave bytes nobody put", self.seed)))
            }
            Err(Miss::Failed(error)) if !self.stormy => {
                panic!("seed {}: reading {name:?}: {error}", self.seed)
            }
            Err(miss) => {
                eprintln!("{name:?}: {miss:?}");
                None
            }
        }
    }

    fn is_what_was_put(&self, name: Name, deed: &Deed, put: (u64, u64), found: &[u8]) -> bool {
        let bytes = body(put.1, deed.length);
        match name {
            Name::Head(key) => self.purging.is_head_of(key, found, put, &bytes),
            Name::Part(..) => found == bytes,
        }
    }

    /// What stalls goes on when the device does.
    fn read_head(&self, key: u128) -> Result<Found, Miss> {
        let go_on = || self.faulty.set(self.faults);
        patient(
            read::read_head(&self.store, &reads(&self.store), key, &key_text(key)),
            go_on,
        )
    }

    fn read_part(&self, name: (u128, u64, u32), range: Range<u32>) -> Result<Bytes, Miss> {
        let go_on = || self.faulty.set(self.faults);
        patient(
            read::read_part(&self.store, &reads(&self.store), name, range),
            go_on,
        )
    }

    /// While nothing crashes, a name says exactly what was last written and not removed since.
    fn check_one(&mut self) {
        let Some(name) = self.histories.keys().copied().choose(&mut self.chance) else {
            return;
        };
        let observed = self.observe(name);
        if self.stormy {
            // It was put under this name once, or it is a miss: that was looked at.
            return;
        }
        let history = &self.histories[&name];
        let removed_since = history.deeds[history.written..]
            .iter()
            .any(|deed| deed.put.is_none());
        let last = history
            .written
            .checked_sub(1)
            .and_then(|at| history.deeds[at].put);
        let expected = last.filter(|_| !removed_since);
        // What has not been found yet is a miss; what has been must be the truth.
        let unfound = self.rebuild.is_some() && observed.is_none();
        // What is cold is given up with its region; what is copied is found as before.
        let given_up = observed.is_none() && !self.is_alive(history.place);
        assert!(
            unfound || given_up || observed == expected,
            "seed {}, crash {}: {name:?} is {observed:?} after {history:?}",
            self.seed,
            self.crashes
        );
    }

    /// One more region is found of what the last start found unknown.
    fn rebuild_some(&mut self) {
        if self
            .rebuild
            .as_mut()
            .is_some_and(|rebuild| !rebuild.step(&self.store))
        {
            self.rebuild = None;
        }
    }

    /// Works until the device fails at a random write, then starts again on what is left.
    fn live_and_crash(&mut self) {
        self.device.fail_after(self.chance.random_range(0..25));
        if self.stormy {
            self.faults = weather::of_a_life(&mut self.chance);
            self.faulty.set(self.faults);
        }
        while self.step().is_ok() {}
        self.note_progress_before_failure();
        if self.stormy {
            self.read_on();
        }
        self.note_copies();
        let power_loss = self.chance.random_bool(0.6);
        let found = if power_loss {
            self.device.after_power_loss(self.chance.random())
        } else {
            self.device.after_kill()
        };
        let alive_before: BTreeMap<Name, bool> = self
            .histories
            .iter()
            .map(|(name, history)| {
                // Forgotten in the middle of giving up its region, it may or may not be found again.
                let forgotten = self.rebuild.is_none() && find(&self.store, *name).is_none();
                (*name, self.is_alive(history.place) && !forgotten)
            })
            .collect();
        let found = self.crash_at_start(found, power_loss);
        // The truth is what is found by who finds everything before anything else is done.
        let twin = found.after_kill();
        let (uuid, purged) = (self.store.uuid, self.purging.history.clone());
        self.reopen(found, uuid);
        self.finish_rebuild();
        self.crashes += 1;
        let names: Vec<Name> = self.histories.keys().copied().collect();
        for name in names {
            let unknown = find(&self.store, name).is_none();
            let observed = self.observe(name);
            let alive = alive_before[&name] && self.is_alive(self.histories[&name].place);
            if !self.stormy {
                self.explain(name, observed, power_loss, alive);
            }
            self.kept += usize::from(observed.is_some());
            match (name, observed) {
                // Nobody puts it again. Should it come back, the index has one record too many.
                (Name::Part(..), None) if unknown && !self.stormy => drop(self.histories.remove(&name)),
                _ => self.settle(name, observed),
            }
        }
        assert_eq!(
            self.store.index.len(),
            self.histories
                .values()
                .filter(|kept| kept.place.is_some())
                .count()
        );
        if self.chance.random_bool(0.5) {
            // Life goes on while the index is being rebuilt.
            self.purging.history = purged;
            self.reopen(twin, uuid);
        }
    }

    /// What the writer does when a write has failed: nothing more is written, and what is there is served.
    fn read_on(&mut self) {
        self.store.set_read_only();
        self.log.abandon();
        for _ in 0..self.chance.random_range(0..5) {
            self.check_one();
        }
        self.faults = Faults::default();
        self.faulty.set(self.faults);
    }

    fn finish_rebuild(&mut self) {
        while self.rebuild.is_some() {
            self.rebuild_some();
        }
    }

    /// What was committed by the operation that failed half-way counts as written too.
    fn note_progress_before_failure(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        let mut context = Context::from_waker(Waker::noop());
        for (name, mut commit) in waiting {
            if Pin::new(&mut commit).poll(&mut context) == Poll::Ready(Fate::Committed) {
                self.note_written(name);
            }
        }
    }

    fn note_written(&mut self, name: Name) {
        let place = self.place_of(name);
        let history = self.histories.get_mut(&name).expect("it was put");
        history.written += 1;
        history.place = place;
    }

    /// What was copied lies elsewhere now.
    fn note_copies(&mut self) {
        let moved: Vec<_> = self
            .histories
            .keys()
            .filter_map(|name| Some((*name, self.place_of(*name)?)))
            .collect();
        for (name, place) in moved {
            self.histories.get_mut(&name).expect("it is there").place = Some(place);
        }
    }

    fn place_of(&self, name: Name) -> Option<(Location, u64)> {
        let location = find(&self.store, name)?;
        Some((location, self.sequence_of(location)?))
    }

    /// Sometimes the start after a crash crashes as well.
    fn crash_at_start(&mut self, found: MemoryDevice, power_loss: bool) -> MemoryDevice {
        if !self.chance.random_bool(0.2) {
            return found;
        }
        found.fail_after(self.chance.random_range(0..4));
        let seed = self.chance.random();
        let device = Arc::new(found);
        drop(open_log(
            device.clone(),
            &options(),
            self.metrics.clone(),
            &mut StdRng::seed_from_u64(seed),
        ));
        if power_loss {
            device.after_power_loss(seed)
        } else {
            device.after_kill()
        }
    }

    /// `uuid` is what the device had when it was written last.
    fn reopen(&mut self, found: MemoryDevice, uuid: u128) {
        self.device = Arc::new(found);
        self.faulty = Arc::new(FaultyDevice::new(self.device.clone(), self.chance.random()));
        let starts = if self.stormy { STORMY_STARTS } else { 0 };
        let opened = (0..=starts).find_map(|start| {
            let fails = start < starts && self.chance.random_bool(0.2);
            self.faulty.set(match fails {
                true => weather::of_a_life(&mut self.chance),
                false => Faults::default(),
            });
            let mut chance = StdRng::seed_from_u64(self.chance.random());
            open_log(self.faulty.clone(), &options(), self.metrics.clone(), &mut chance).ok()
        });
        self.faulty.set(Faults::default());
        let (store, log, rebuild) = opened.expect("a crash leaves a device that opens");
        if store.uuid != uuid {
            // The purges are not known any more, and nothing that they cover is there.
            assert!(self.stormy, "seed {}: the device was formatted", self.seed);
            self.purging.forget();
        }
        (self.store, self.log, self.rebuild) = (store, log, Some(rebuild));
        self.purging.begin(&self.store, key_text, self.seed);
        self.earlier = self.earlier.min(self.purging.latest());
    }

    /// Whether what was found after a crash can be the truth.
    fn explain(&self, name: Name, observed: Option<(u64, u64)>, power_loss: bool, alive: bool) {
        let history = &self.histories[&name];
        let durable = if power_loss {
            history.flushed
        } else {
            history.written
        };
        // The state after the last durable deed, or after any later one.
        let certain = durable.checked_sub(1).map(|at| history.deeds[at].put);
        let uncertain = &history.deeds[durable..];
        let explained = match observed {
            Some(put) => certain == Some(Some(put)) || uncertain.iter().any(|deed| deed.put == Some(put)),
            None => certain.flatten().is_none() || !alive || !uncertain.is_empty(),
        };
        assert!(
            explained,
            "seed {}, crash {}, power loss {power_loss}, alive {alive}: {name:?} is {observed:?} after {history:?}",
            self.seed, self.crashes
        );
    }

    /// From now on, what was found is the truth.
    fn settle(&mut self, name: Name, observed: Option<(u64, u64)>) {
        let place = self.place_of(name);
        assert_eq!(
            place.is_some(),
            observed.is_some(),
            "seed {}: {name:?} is at {place:?}",
            self.seed
        );
        let history = self.histories.get_mut(&name).expect("observed");
        if self.stormy {
            // What is missing now may be found later.
            history.place = place;
            return;
        }
        // What is gone stays gone until somebody puts it again.
        let of_it = history
            .deeds
            .iter()
            .find(|deed| observed.is_none() || deed.put == observed);
        let of_it = *of_it.expect("something was done to it");
        let deeds = vec![Deed {
            put: observed,
            ..of_it
        }];
        *history = History {
            deeds,
            written: 1,
            flushed: 1,
            place,
        };
    }
}

fn find(store: &Store, name: Name) -> Option<Location> {
    let identity = match name {
        Name::Head(key) => store.index.head(key),
        Name::Part(key, version, part) => store.index.part(key, version, part),
    };
    store.index.find(identity)
}

/// Runs the lives of some seeds. Returns how often they crashed, and how many records survived that.
fn live(seeds: impl Iterator<Item = u64>) -> (usize, usize) {
    seeds.fold((0, 0), |(crashes, kept), seed| {
        // Shown when the test fails: `MILLRACE_SEED` runs it alone.
        println!("seed {seed}");
        let mut simulation = Simulation::start(seed);
        for _ in 0..CRASHES_PER_SEED {
            simulation.live_and_crash();
        }
        (crashes + simulation.crashes, kept + simulation.kept)
    })
}

/// What whoever follows up a failure has set.
#[expect(
    clippy::disallowed_methods,
    reason = "a seed for one run of one test is no configuration"
)]
fn seed_to_replay() -> Option<u64> {
    std::env::var("MILLRACE_SEED").ok()?.parse().ok()
}

#[test]
fn whatever_crashes_no_byte_is_wrong_nothing_flushed_is_lost_and_nothing_removed_or_purged_returns() {
    if let Some(seed) = seed_to_replay() {
        live(std::iter::once(seed));
        return;
    }
    let first = (0..SEEDS / 2).chain([rand::random()]);
    let second = SEEDS / 2..SEEDS;
    let (one, other) = std::thread::scope(|scope| {
        let other = scope.spawn(|| live(second));
        (live(first), other.join())
    });
    let other = other.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    let (crashes, kept) = (one.0 + other.0, one.1 + other.1);
    println!("{crashes} crash points, {kept} records survived one");
    assert!(crashes >= 10_000, "{crashes} crash points");
    assert!(
        kept > 10 * crashes,
        "only {kept} records survived {crashes} crashes: the device forgets too much"
    );
}
