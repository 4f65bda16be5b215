//! Where an object's bytes go on a disk, and which of them stay when room is made. Pure: no I/O, no clock, no chance.
//!
//! ```text
//!             first touch        ┌────────┐  read since it was written: copied
//!  admit ───────────────────────→│ S  5 % │──────────────────────┐
//!    │                           └───┬────┘                      ↓
//!    │ in the ghost, read twice      │ not read: dropped     ┌────────┐  read: copied, one degree colder
//!    │ while in RAM, seen before     └───→ ghost             │ M 95 % │───┐
//!    ├──────────────────────────────────────────────────────→│        │←──┘
//!    └─ refused: fleeting, beyond the write budget           └────────┘  not read: dropped
//! ```
//!
//! S3-FIFO (Yang et al., SOSP 2023) with a region of the log as the unit that is given up: whatever is written is written
//! in sequence, and what only one client ever asked for leaves after a twentieth of the disk was written instead of
//! after all of it. Copying costs writes, so it has two bounds ([`survivors`]): a share of what is written, which holds
//! down wear, and a share of a region, which sees to it that giving up a region always yields room.
//!
//! The disk tier runs this state machine, and [`Shelves`] runs it on lists in memory for those who simulate.

mod budget;
mod ghost;
mod regions;
mod shelves;
mod survivors;

pub use budget::Budget;
pub use regions::Regions;
pub use shelves::{Counts, Shelves};

use ghost::Ghost;
use model::Moment;
use std::time::Duration;
use survivors::Allowance;

/// The highest heat: two bits of an index slot hold it. S3-FIFO needs no more.
pub const MOST_HEAT: u8 = 3;
/// So hot in RAM, an object need not prove itself in S.
const PROVEN_HEAT: u8 = 2;
/// What is fresh for less than this stays in RAM: it would be stale, or replaced, before its place on disk is paid for.
pub const LEAST_LIFETIME: Duration = Duration::from_secs(120);
/// What is this large goes to disk however short it is fresh, in bytes: RAM may not hold it.
pub const LEAST_LARGE_BYTES: u64 = 4 << 20;

/// One of the two logs of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// The smaller one, on probation: what was asked for once.
    S,
    /// The larger one: what was asked for again.
    M,
}

impl Class {
    /// Both, in the order of tables that have one entry for each.
    pub const ALL: [Class; 2] = [Class::S, Class::M];

    /// Its place in [`Class::ALL`].
    #[must_use]
    pub fn index(self) -> usize {
        self as usize
    }

    /// The other one.
    #[must_use]
    pub fn other(self) -> Class {
        match self {
            Class::S => Class::M,
            Class::M => Class::S,
        }
    }
}

/// What the policy is told once.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Regions of the device.
    pub regions: u32,
    /// Bytes of each.
    pub region_bytes: u64,
    /// The share of regions that S has, 0 to 0.5. 0 leaves one log: first in, first out, with reinsertion.
    pub s_share: f64,
    /// Bytes copied from regions that are given up may reach this share of the bytes that are given. 0 gives up
    /// everything.
    pub copied_share: f64,
    /// How often the whole device may be written over in a day; what drives are rated by. 0 sets no bound.
    pub drive_writes_per_day: f64,
    /// Makes the ghost's fingerprints unpredictable for clients, and a simulation repeatable.
    pub seed: u64,
}

impl Settings {
    /// The usual shares for a device: S a twentieth, copies 13 %, no bound on writes.
    ///
    /// Simulated on Zipf popularity, HLS sessions and floods at 1 to 10 % of the footprint, an S of a tenth has 1 to 2 %
    /// more byte misses. With these copies, headers and padding included, the log writes at most 1.15 times what it is given.
    /// Where what is popular changes within hours, LRU has up to 4 % fewer byte misses.
    #[must_use]
    pub fn of(regions: u32, region_bytes: u64) -> Settings {
        Settings {
            regions,
            region_bytes,
            s_share: 0.05,
            copied_share: 0.13,
            drive_writes_per_day: 0.0,
            seed: 0,
        }
    }

    fn capacity_bytes(&self) -> u64 {
        u64::from(self.regions) * self.region_bytes
    }
}

/// Something that could be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// Which object, by any number that stays the same.
    pub object: u128,
    /// Bytes of the whole object, as far as is known.
    pub bytes: u64,
    /// How long it will be fresh. [`Duration::MAX`] where that plays no part.
    pub fresh_for: Duration,
    /// How often it was read while it was fetched beside the first time, up to [`MOST_HEAT`].
    pub heat: u8,
    /// Something else is known to speak for it: it was asked for before.
    pub seen_before: bool,
    /// A later piece of an object whose first piece was admitted: it is not refused any more, or that was in vain.
    pub continues: bool,
}

impl Candidate {
    /// An object of which nothing is known but its size.
    #[must_use]
    pub fn new(object: u128, bytes: u64) -> Candidate {
        Candidate {
            object,
            bytes,
            fresh_for: Duration::MAX,
            heat: 0,
            seen_before: false,
            continues: false,
        }
    }
}

/// Whether and where to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    Write(Class),
    /// Fresh for too short a time: RAM only.
    Fleeting,
    /// The write budget is overdrawn, and others need it more.
    OverBudget,
}

/// A piece of an object in a region that is given up. Only what can still be found is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    pub object: u128,
    /// What a copy would cost.
    pub bytes: u64,
    /// How often it was read since it was written, up to [`MOST_HEAT`].
    pub heat: u8,
    /// Somebody is in the middle of reading its object.
    pub held: bool,
    /// No longer fresh, and nothing to revalidate it by.
    pub expired: bool,
}

/// What becomes of an [`Entry`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Written again, to M, beginning with this heat.
    Copy {
        heat: u8,
    },
    Drop(Reason),
}

/// Why something is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Nobody read it.
    Cold,
    /// It was read, but others in its region more, and copies are bounded.
    Bound,
    /// It could not be served again.
    Expired,
}

/// The policy of one device.
#[derive(Debug)]
pub struct Placement {
    /// Which region is whose.
    pub regions: Regions,
    settings: Settings,
    ghost: Ghost,
    budget: Budget,
    allowance: Allowance,
    ghost_hits: u64,
}

impl Placement {
    #[must_use]
    pub fn new(settings: Settings, now: Moment) -> Placement {
        Placement {
            regions: Regions::new(settings.regions, settings.s_share),
            ghost: Ghost::new(settings.capacity_bytes(), settings.seed),
            budget: Budget::new(
                settings.capacity_bytes(),
                settings.region_bytes,
                settings.drive_writes_per_day,
                now,
            ),
            allowance: Allowance::new(settings.region_bytes, settings.copied_share),
            ghost_hits: 0,
            settings,
        }
    }

    /// Whether and where to write something. What is then written, [`Placement::wrote`] must hear of.
    pub fn admit(&mut self, candidate: &Candidate, now: Moment) -> Admission {
        self.budget.refill(now);
        let remembered = self.ghost.remembers(candidate.object);
        let proven = remembered || candidate.heat >= PROVEN_HEAT || candidate.seen_before;
        if !candidate.continues {
            if candidate.fresh_for < LEAST_LIFETIME && candidate.bytes < LEAST_LARGE_BYTES {
                return Admission::Fleeting;
            }
            let evidence = proven || candidate.heat > 0;
            if !self.budget.allows(candidate.bytes, evidence) {
                return Admission::OverBudget;
            }
            self.ghost_hits += u64::from(remembered);
        }
        match proven || !self.regions.has_s() {
            true => Admission::Write(Class::M),
            false => Admission::Write(Class::S),
        }
    }

    /// Bytes of an object that were written.
    pub fn wrote(&mut self, bytes: u64) {
        self.budget.spend(bytes);
        self.allowance.earn(bytes);
    }

    /// Bytes that were written beside those of objects: headers, padding, footers. They wear the drive as well, so where
    /// they are many, copies are fewer.
    pub fn wrote_beside(&mut self, bytes: u64) {
        self.budget.spend(bytes);
        self.allowance.pay(bytes);
    }

    /// What becomes of each entry of a region of `class` that is given up, in the order of `entries`. Bytes that are
    /// copied count as written.
    pub fn reclaim(&mut self, class: Class, entries: &[Entry]) -> Vec<Verdict> {
        let verdicts = survivors::choose(class, entries, &mut self.allowance);
        for (entry, verdict) in entries.iter().zip(&verdicts) {
            match (verdict, class) {
                (Verdict::Copy { .. }, _) => self.budget.spend(entry.bytes),
                (Verdict::Drop(Reason::Cold), Class::S) | (Verdict::Drop(Reason::Bound), _) => {
                    self.ghost.remember(entry.object, entry.bytes);
                }
                (Verdict::Drop(_), _) => {}
            }
        }
        verdicts
    }

    /// How often something came back that had been dropped unread.
    #[must_use]
    pub fn ghost_hits(&self) -> u64 {
        self.ghost_hits
    }

    /// What may be written before larger objects are refused, in bytes; negative when it is overdrawn. `None` when
    /// there is no bound.
    #[must_use]
    pub fn budget_left(&self) -> Option<i64> {
        self.budget.left()
    }

    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    const START: Moment = Moment(0);

    fn placement() -> Placement {
        Placement::new(Settings::of(20, 64 * MIB), START)
    }

    fn entry(object: u128, bytes: u64, heat: u8) -> Entry {
        Entry {
            object,
            bytes,
            heat,
            held: false,
            expired: false,
        }
    }

    #[test]
    fn the_first_touch_goes_to_s_and_any_evidence_to_m() {
        let mut placement = placement();
        let plain = Candidate::new(1, MIB);
        let cases = [
            (plain, Admission::Write(Class::S)),
            (Candidate { heat: 1, ..plain }, Admission::Write(Class::S)),
            (Candidate { heat: 2, ..plain }, Admission::Write(Class::M)),
            (
                Candidate {
                    seen_before: true,
                    ..plain
                },
                Admission::Write(Class::M),
            ),
            (
                Candidate {
                    fresh_for: Duration::from_secs(119),
                    ..plain
                },
                Admission::Fleeting,
            ),
            (
                Candidate {
                    fresh_for: Duration::from_secs(119),
                    bytes: 5 * MIB,
                    ..plain
                },
                Admission::Write(Class::S),
            ),
            (
                Candidate {
                    fresh_for: LEAST_LIFETIME,
                    ..plain
                },
                Admission::Write(Class::S),
            ),
        ];
        for (candidate, expected) in cases {
            assert_eq!(placement.admit(&candidate, START), expected, "{candidate:?}");
        }
        let mut one_log = Placement::new(
            Settings {
                s_share: 0.0,
                ..Settings::of(20, 64 * MIB)
            },
            START,
        );
        assert_eq!(one_log.admit(&plain, START), Admission::Write(Class::M));
    }

    #[test]
    fn what_s_drops_unread_is_remembered_and_goes_to_m_when_it_comes_back() {
        let mut placement = placement();
        placement.wrote(640 * MIB);
        let entries = [entry(1, MIB, 0), entry(2, MIB, 1)];
        assert_eq!(
            placement.reclaim(Class::S, &entries),
            [Verdict::Drop(Reason::Cold), Verdict::Copy { heat: 0 }]
        );
        assert_eq!(
            placement.admit(&Candidate::new(1, MIB), START),
            Admission::Write(Class::M)
        );
        assert_eq!(
            placement.admit(&Candidate::new(2, MIB), START),
            Admission::Write(Class::S)
        );
        assert_eq!(placement.ghost_hits(), 1);
    }

    #[test]
    fn m_keeps_what_is_read_one_degree_colder_and_forgets_the_rest() {
        let mut placement = placement();
        placement.wrote(640 * MIB);
        let expired = Entry {
            expired: true,
            ..entry(3, MIB, 3)
        };
        let entries = [entry(1, MIB, 0), entry(2, MIB, 3), expired];
        assert_eq!(
            placement.reclaim(Class::M, &entries),
            [
                Verdict::Drop(Reason::Cold),
                Verdict::Copy { heat: 2 },
                Verdict::Drop(Reason::Expired)
            ]
        );
        assert_eq!(
            placement.admit(&Candidate::new(1, MIB), START),
            Admission::Write(Class::S),
            "M's cold ones start again"
        );
    }

    #[test]
    fn an_overdrawn_budget_refuses_the_large_then_the_unproven_but_never_the_rest_of_what_it_began() {
        let settings = Settings {
            drive_writes_per_day: 1.0,
            ..Settings::of(24 * 64, 64 * MIB)
        };
        let mut placement = Placement::new(settings, START);
        let hour = 64 * 64 * MIB;
        assert_eq!(placement.budget_left(), Some(hour as i64));
        placement.wrote(hour + hour / 8);
        let admit = |placement: &mut Placement, bytes, seen_before, continues| {
            let candidate = Candidate {
                seen_before,
                continues,
                ..Candidate::new(7, bytes)
            };
            !matches!(placement.admit(&candidate, START), Admission::OverBudget)
        };
        assert!(admit(&mut placement, 64 << 10, false, false), "small");
        assert!(!admit(&mut placement, 32 * MIB, false, false), "large");
        assert!(
            admit(&mut placement, 32 * MIB, true, false),
            "large, and asked for again"
        );
        placement.wrote(hour / 2);
        assert!(!admit(&mut placement, 64 << 10, false, false));
        assert!(admit(&mut placement, 64 << 10, true, false));
        assert!(
            admit(&mut placement, 64 << 10, false, true),
            "a piece of what was begun"
        );
        placement.wrote(hour);
        assert!(!admit(&mut placement, 1, true, false), "there is an end");
        let later = START + Duration::from_secs(3 * 3600);
        assert_eq!(
            placement.admit(&Candidate::new(7, 32 * MIB), later),
            Admission::Write(Class::S)
        );
    }
}
