//! The policy at work on lists in memory: what a disk would hold, for simulations. The disk tier does the same with
//! footers, records and index slots.

use super::{Admission, Candidate, Class, Entry, MOST_HEAT, Placement, Reason, Settings, Verdict};
use model::Moment;
use std::collections::HashMap;

/// Objects are kept in pieces of so many bytes, as the disk tier keeps parts; a region holds four at least.
const PIECE_BYTES: u64 = 4 << 20;
/// A free region stays in reserve, so that there is room to copy to.
const RESERVE: usize = 1;

/// Regions as lists of what was written to them.
#[derive(Debug)]
pub struct Shelves {
    placement: Placement,
    piece_bytes: u64,
    shelves: Vec<Shelf>,
    open: [Option<u32>; 2],
    slots: HashMap<Name, Slot>,
    counts: Counts,
}

/// An object, and which piece of it.
type Name = (u128, u32);

#[derive(Debug, Default)]
struct Shelf {
    entries: Vec<(Name, u64)>,
    bytes: u64,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    region: u32,
    heat: u8,
}

/// What was done so far, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Newly written, to S and to M.
    pub written: [u64; 2],
    /// Written again when their region was given up, from S and from M.
    pub copied: [u64; 2],
    /// Given up because nobody had read them, from S and from M.
    pub cold: [u64; 2],
    /// Given up although they had been read, because copies are bounded.
    pub bound: u64,
    /// Not written: fresh for too short a time.
    pub fleeting: u64,
    /// Not written: beyond the write budget.
    pub over_budget: u64,
}

impl Counts {
    /// Bytes written for each byte that was newly written.
    #[must_use]
    pub fn amplification(&self) -> f64 {
        let new: u64 = self.written.iter().sum();
        let copied: u64 = self.copied.iter().sum();
        (new + copied) as f64 / (new as f64).max(1.0)
    }
}

impl Shelves {
    #[must_use]
    pub fn new(settings: Settings, now: Moment) -> Shelves {
        Shelves {
            piece_bytes: PIECE_BYTES.min(settings.region_bytes / 4),
            shelves: (0..settings.regions).map(|_| Shelf::default()).collect(),
            open: [None; 2],
            slots: HashMap::new(),
            counts: Counts::default(),
            placement: Placement::new(settings, now),
        }
    }

    /// Reads an object. Returns how many of its bytes are there, and makes them hotter.
    pub fn read(&mut self, object: u128, bytes: u64) -> u64 {
        let mut found = 0;
        for (name, length) in pieces(object, bytes, self.piece_bytes) {
            if let Some(slot) = self.slots.get_mut(&name) {
                slot.heat = (slot.heat + 1).min(MOST_HEAT);
                found += length;
            }
        }
        found
    }

    /// Writes what is absent of an object, if the policy wants it.
    pub fn write(&mut self, candidate: &Candidate, now: Moment) -> Admission {
        let admission = self.placement.admit(candidate, now);
        match admission {
            Admission::Write(class) => {
                for (name, length) in pieces(candidate.object, candidate.bytes, self.piece_bytes) {
                    if !self.slots.contains_key(&name) {
                        self.append(class, name, length);
                        self.placement.wrote(length);
                        self.counts.written[class.index()] += length;
                    }
                }
            }
            Admission::Fleeting => self.counts.fleeting += candidate.bytes,
            Admission::OverBudget => self.counts.over_budget += candidate.bytes,
        }
        admission
    }

    /// Forgets an object.
    pub fn remove(&mut self, object: u128, bytes: u64) {
        for (name, _) in pieces(object, bytes, self.piece_bytes) {
            self.slots.remove(&name);
        }
    }

    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    #[must_use]
    pub fn placement(&self) -> &Placement {
        &self.placement
    }

    fn append(&mut self, class: Class, name: Name, length: u64) {
        let full = |shelf: &Shelf| shelf.bytes + length > self.placement.settings().region_bytes;
        if let Some(number) = self.open[class.index()]
            && full(&self.shelves[number as usize])
        {
            self.placement.regions.fill(class, number);
            self.open[class.index()] = None;
        }
        if self.open[class.index()].is_none() {
            while self.placement.regions.free() <= RESERVE && self.reclaim() {}
        }
        self.place(class, name, length, 0);
    }

    /// Puts an entry at the end of a log, which has a region to spare.
    fn place(&mut self, class: Class, name: Name, length: u64, heat: u8) {
        let fits = |number: &u32| {
            let shelf = &self.shelves[*number as usize];
            shelf.bytes + length <= self.placement.settings().region_bytes
        };
        let open = self.open[class.index()];
        let number = match open.filter(fits) {
            Some(number) => number,
            None => {
                if let Some(full) = open {
                    self.placement.regions.fill(class, full);
                }
                let Some(number) = self.placement.regions.take() else {
                    self.open[class.index()] = None;
                    return;
                };
                self.open[class.index()] = Some(number);
                number
            }
        };
        let shelf = &mut self.shelves[number as usize];
        shelf.entries.push((name, length));
        shelf.bytes += length;
        self.slots.insert(name, Slot { region: number, heat });
    }

    /// Gives up a region. False when there is none.
    fn reclaim(&mut self) -> bool {
        let Some((class, number)) = self.placement.regions.victim() else {
            return false;
        };
        let shelf = std::mem::take(&mut self.shelves[number as usize]);
        let mut listed = Vec::new();
        let mut entries = Vec::new();
        for (name, bytes) in shelf.entries {
            if let Some(slot) = self.slots.get(&name)
                && slot.region == number
            {
                listed.push((name, bytes));
                entries.push(Entry {
                    object: name.0,
                    bytes,
                    heat: slot.heat,
                    held: false,
                    expired: false,
                });
            }
        }
        let verdicts = self.placement.reclaim(class, &entries);
        for ((name, bytes), verdict) in listed.into_iter().zip(verdicts) {
            self.slots.remove(&name);
            match verdict {
                Verdict::Copy { heat } => {
                    self.place(Class::M, name, bytes, heat);
                    self.counts.copied[class.index()] += bytes;
                }
                Verdict::Drop(Reason::Bound) => self.counts.bound += bytes,
                Verdict::Drop(_) => self.counts.cold[class.index()] += bytes,
            }
        }
        self.placement.regions.give_up(class);
        true
    }
}

/// The pieces of an object.
fn pieces(object: u128, bytes: u64, piece_bytes: u64) -> impl Iterator<Item = (Name, u64)> {
    (0..bytes.div_ceil(piece_bytes)).map(move |piece| {
        let start = piece * piece_bytes;
        ((object, piece as u32), piece_bytes.min(bytes - start))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::SmallRng;
    use rand::{Rng, SeedableRng};

    const KIB: u64 = 1 << 10;
    const NOW: Moment = Moment(0);

    fn settings() -> Settings {
        Settings::of(64, 1024 * KIB)
    }

    /// Object numbers with a popularity that falls with the number: Zipf's law with an exponent of 0.9.
    fn zipf(chance: &mut SmallRng, objects: f64) -> u128 {
        let exponent: f64 = 0.9;
        let point: f64 = chance.random();
        (1.0 + point * (objects.powf(1.0 - exponent) - 1.0)).powf(1.0 / (1.0 - exponent)) as u128
    }

    /// Requests of a Zipf popularity, with a one-hit wonder after each second of them. Returns bytes missed of the
    /// popular ones.
    fn run(settings: Settings, seed: u64) -> (u64, Counts) {
        let mut chance = SmallRng::seed_from_u64(seed);
        let mut shelves = Shelves::new(settings, NOW);
        let mut missed = 0;
        for request in 0..60_000_u64 {
            let object = zipf(&mut chance, 8000.0);
            let bytes = 20 * KIB + (object as u64 * 7919) % (60 * KIB);
            if shelves.read(object, bytes) < bytes {
                missed += bytes;
                shelves.write(&Candidate::new(object, bytes), NOW);
            }
            if request % 2 == 0 {
                let once = u128::from(request) << 64;
                shelves.write(&Candidate::new(once, 50 * KIB), NOW);
            }
        }
        (missed, shelves.counts())
    }

    #[test]
    fn what_is_asked_for_once_does_not_displace_what_is_asked_for_often() {
        let (missed, counts) = run(settings(), 5);
        let one_log = Settings {
            s_share: 0.0,
            copied_share: 0.0,
            ..settings()
        };
        let (missed_first_in_first_out, plain) = run(one_log, 5);
        assert!(
            missed * 10 < missed_first_in_first_out * 9,
            "{missed} bytes missed, {missed_first_in_first_out} by first in, first out"
        );
        assert!(counts.amplification() <= 1.15, "{counts:?}");
        assert_eq!(plain.copied, [0, 0]);
    }

    #[test]
    fn the_same_seed_gives_the_same_life() {
        assert_eq!(run(settings(), 9), run(settings(), 9));
    }

    #[test]
    fn large_objects_are_kept_in_pieces_and_a_removed_one_is_gone() {
        let mut shelves = Shelves::new(settings(), NOW);
        let large = Candidate::new(1, 3000 * KIB);
        assert_eq!(shelves.write(&large, NOW), Admission::Write(Class::S));
        assert_eq!(shelves.read(1, 3000 * KIB), 3000 * KIB);
        shelves.remove(1, 3000 * KIB);
        assert_eq!(shelves.read(1, 3000 * KIB), 0);
    }

    #[test]
    fn room_is_always_made_however_hot_everything_is() {
        let mut shelves = Shelves::new(Settings::of(4, 256 * KIB), NOW);
        for object in 0..2000 {
            let bytes = 10 * KIB + (object as u64 * 37) % (50 * KIB);
            assert!(matches!(
                shelves.write(&Candidate::new(object, bytes), NOW),
                Admission::Write(_)
            ));
            (0..3).for_each(|_| assert_eq!(shelves.read(object, bytes), bytes));
        }
        assert!(shelves.counts().amplification() <= 1.15);
    }
}
