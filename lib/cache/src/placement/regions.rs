//! Which region is free, and in which order the others were filled.

use super::Class;
use std::collections::{HashSet, VecDeque};

/// Below so many regions there is one log: S would have a region or none, and half the device would be open.
const LEAST_FOR_S: u32 = 16;

/// The free list, and one queue of full regions for each class. A region that is being filled is in none of them.
#[derive(Debug)]
pub struct Regions {
    free: VecDeque<u32>,
    full: [VecDeque<u32>; 2],
    /// S is given up first while it has more than this.
    s_share: usize,
}

impl Regions {
    /// All free, lowest first.
    pub(super) fn new(count: u32, s_share: f64) -> Regions {
        let regions = if count >= LEAST_FOR_S && s_share > 0.0 {
            ((f64::from(count) * s_share).round() as usize).max(1)
        } else {
            0
        };
        Regions {
            free: (0..count).collect(),
            full: Default::default(),
            s_share: regions,
        }
    }

    /// Whether there are two logs.
    #[must_use]
    pub fn has_s(&self) -> bool {
        self.s_share > 0
    }

    /// Says after a restart which regions are full, in the order in which they were opened. All others are free.
    pub fn recover(&mut self, full: impl IntoIterator<Item = (Class, u32)>) {
        let mut taken = HashSet::new();
        for (class, number) in full {
            self.full[class.index()].push_back(number);
            taken.insert(number);
        }
        self.free.retain(|number| !taken.contains(number));
    }

    /// Takes a free region to fill it.
    pub fn take(&mut self) -> Option<u32> {
        self.free.pop_front()
    }

    /// A region is full.
    pub fn fill(&mut self, class: Class, number: u32) {
        self.full[class.index()].push_back(number);
    }

    /// The region to be given up next; [`Regions::give_up`] follows.
    #[must_use]
    pub fn victim(&self) -> Option<(Class, u32)> {
        let [s, m] = &self.full;
        let class = if s.len() > self.s_share || m.is_empty() {
            Class::S
        } else {
            Class::M
        };
        let number = self.full[class.index()].front()?;
        Some((class, *number))
    }

    /// The full regions of a class in the order in which they were opened.
    pub fn oldest_first(&self, class: Class) -> impl Iterator<Item = u32> {
        self.full[class.index()].iter().copied()
    }

    /// The oldest full region of a class is free again.
    pub fn give_up(&mut self, class: Class) {
        self.free.extend(self.full[class.index()].pop_front());
    }

    /// Regions that nothing was written to.
    #[must_use]
    pub fn free(&self) -> usize {
        self.free.len()
    }

    /// Full regions of a class.
    #[must_use]
    pub fn full(&self, class: Class) -> usize {
        self.full[class.index()].len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s_is_given_up_beyond_its_share_and_m_otherwise_each_oldest_first() {
        let mut regions = Regions::new(20, 0.1);
        for _ in 0..4 {
            let number = regions.take().expect("free");
            regions.fill(Class::S, number);
        }
        for _ in 0..3 {
            let number = regions.take().expect("free");
            regions.fill(Class::M, number);
        }
        let order = std::iter::from_fn(|| {
            let (class, number) = regions.victim()?;
            regions.give_up(class);
            Some((class, number))
        });
        assert_eq!(
            order.collect::<Vec<_>>(),
            [
                (Class::S, 0),
                (Class::S, 1),
                (Class::M, 4),
                (Class::M, 5),
                (Class::M, 6),
                (Class::S, 2),
                (Class::S, 3)
            ]
        );
        assert_eq!(regions.free(), 20);
    }

    #[test]
    fn after_a_restart_what_is_not_full_is_free() {
        let mut regions = Regions::new(5, 0.1);
        assert!(!regions.has_s());
        regions.recover([(Class::M, 3), (Class::S, 1)]);
        assert_eq!((regions.full(Class::M), regions.full(Class::S)), (1, 1));
        assert_eq!(
            regions.victim(),
            Some((Class::S, 1)),
            "S has no share: it goes first"
        );
        let free: Vec<u32> = std::iter::from_fn(|| regions.take()).collect();
        assert_eq!(free, [0, 2, 4]);
    }
}
