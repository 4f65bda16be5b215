//! Which entries of a region are copied when it is given up: the hottest, within two bounds. What is being read goes before
//! all others and may overdraw the first of them, which later copies make up for; the share of a region bounds it too.

use super::{Class, Entry, Reason, Verdict};

/// The share of a region that may be copied at most: giving it up yields the rest as room. Regions of M are what holds
/// the working set: with 0.3 they lose hot objects while copies are still allowed, 1 to 4 % more byte misses in simulation.
const MOST_OF_A_REGION: f64 = 0.7;
/// Copies that were not made are made up for later, up to so many regions' worth. Regions of M are given up in rows: with
/// 2 a third of what might have been copied lapsed.
const SAVED_REGIONS: f64 = 20.0;

/// So much of what is given may go beside it without costing copies, as a share: headers, padding and footers of objects
/// of some 100 KB. Smaller ones have more of it, and fewer copies are made.
const FREE_OVERHEAD: f64 = 0.015;

/// How many bytes may be copied: a share of those that are given, less what is written beside them.
#[derive(Debug)]
pub(super) struct Allowance {
    share: f64,
    /// Negative when too much was written beside what was given.
    left: f64,
    free_overhead: f64,
    per_region: f64,
}

impl Allowance {
    pub(super) fn new(region_bytes: u64, share: f64) -> Allowance {
        Allowance {
            share,
            left: 0.0,
            free_overhead: 0.0,
            per_region: MOST_OF_A_REGION * region_bytes as f64,
        }
    }

    /// So many bytes were given.
    pub(super) fn earn(&mut self, bytes: u64) {
        self.left = (self.left + self.share * bytes as f64).min(self.most());
        self.free_overhead = (self.free_overhead + FREE_OVERHEAD * bytes as f64).min(self.most());
    }

    /// So many bytes were written beside what was given and copied.
    pub(super) fn pay(&mut self, bytes: u64) {
        self.free_overhead -= bytes as f64;
        let beyond = self.free_overhead.min(0.0);
        self.free_overhead -= beyond;
        self.left = (self.left + beyond).max(-self.most());
    }

    fn most(&self) -> f64 {
        SAVED_REGIONS * self.per_region
    }
}

/// What becomes of each entry, in the order of `entries`.
pub(super) fn choose(class: Class, entries: &[Entry], allowance: &mut Allowance) -> Vec<Verdict> {
    let mut verdicts: Vec<Verdict> = entries.iter().map(|entry| fate_of(class, entry)).collect();
    let mut wanted: Vec<usize> = (0..entries.len())
        .filter(|at| matches!(verdicts[*at], Verdict::Copy { .. }))
        .collect();
    // The sort is stable: of two that are equally hot the older goes first.
    // Heat for each byte instead would serve more requests and fewer bytes, and bytes are what a parent is asked for.
    wanted.sort_by_key(|at| std::cmp::Reverse((entries[*at].held, entries[*at].heat)));
    let mut room = allowance.per_region;
    for at in wanted {
        let bytes = entries[at].bytes as f64;
        if bytes <= room && (entries[at].held || bytes <= allowance.left) {
            room -= bytes;
            allowance.left = (allowance.left - bytes).max(-allowance.most());
        } else {
            verdicts[at] = Verdict::Drop(Reason::Bound);
        }
    }
    verdicts
}

/// What would become of an entry if copies had no bound.
fn fate_of(class: Class, entry: &Entry) -> Verdict {
    match (class, entry) {
        (_, Entry { held: true, heat, .. }) => Verdict::Copy {
            heat: heat.saturating_sub(1),
        },
        (_, Entry { expired: true, .. }) => Verdict::Drop(Reason::Expired),
        (_, Entry { heat: 0, .. }) => Verdict::Drop(Reason::Cold),
        // In M it must prove itself anew.
        (Class::S, _) => Verdict::Copy { heat: 0 },
        (Class::M, Entry { heat, .. }) => Verdict::Copy { heat: heat - 1 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(bytes: u64, heat: u8) -> Entry {
        Entry {
            object: 1,
            bytes,
            heat,
            held: false,
            expired: false,
        }
    }

    fn copied(verdicts: &[Verdict]) -> Vec<bool> {
        verdicts
            .iter()
            .map(|verdict| matches!(verdict, Verdict::Copy { .. }))
            .collect()
    }

    #[test]
    fn no_more_than_a_share_of_the_region_is_copied_and_the_hottest_first() {
        let mut allowance = Allowance::new(1000, 0.5);
        allowance.earn(10_000);
        let entries = [
            entry(90, 1),
            entry(300, 2),
            entry(300, 3),
            entry(200, 2),
            entry(10, 0),
        ];
        let verdicts = choose(Class::M, &entries, &mut allowance);
        assert_eq!(copied(&verdicts), [true, true, true, false, false]);
        assert_eq!(
            (verdicts[3], verdicts[4]),
            (Verdict::Drop(Reason::Bound), Verdict::Drop(Reason::Cold))
        );
    }

    #[test]
    fn copies_follow_what_is_written_and_what_is_saved_up_is_bounded() {
        let mut allowance = Allowance::new(1000, 0.1);
        assert_eq!(copied(&choose(Class::S, &[entry(1, 1)], &mut allowance)), [false]);
        allowance.earn(1000);
        let entries = [entry(60, 1), entry(60, 1), entry(40, 1)];
        assert_eq!(
            copied(&choose(Class::S, &entries, &mut allowance)),
            [true, false, true]
        );
        allowance.earn(1_000_000);
        assert_eq!(allowance.left, 20.0 * 700.0);
    }

    #[test]
    fn what_is_written_beside_what_is_given_costs_copies_beyond_a_small_share() {
        let mut allowance = Allowance::new(1000, 0.1);
        allowance.earn(1000);
        allowance.pay(15);
        assert_eq!(allowance.left, 100.0);
        allowance.pay(60);
        assert_eq!(
            copied(&choose(Class::M, &[entry(41, 1), entry(40, 1)], &mut allowance)),
            [false, true]
        );
        allowance.pay(50);
        allowance.earn(400);
        assert_eq!(copied(&choose(Class::M, &[entry(1, 3)], &mut allowance)), [false]);
    }

    #[test]
    fn what_is_being_read_goes_first_and_may_overdraw_what_others_earned_but_not_fill_the_region() {
        let mut allowance = Allowance::new(1000, 0.5);
        allowance.earn(400);
        let held = |bytes| Entry {
            held: true,
            expired: true,
            ..entry(bytes, 0)
        };
        let entries = [entry(100, 3), held(300), held(300), held(300)];
        assert_eq!(
            copied(&choose(Class::S, &entries, &mut allowance)),
            [false, true, true, false]
        );
        allowance.earn(400);
        assert_eq!(
            copied(&choose(Class::S, &[entry(10, 3)], &mut allowance)),
            [false],
            "it is made up for"
        );
    }
}
