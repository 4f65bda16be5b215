//! Popularity by Zipf's law: title n is asked for in proportion to 1 / n^s.

use rand::Rng;

/// Chooses among titles.
#[derive(Clone, Debug)]
pub(crate) struct Zipf {
    /// Entry n is the share of titles 0 to n together; the last is 1.
    shares: Vec<f64>,
}

impl Zipf {
    /// For `count` titles (at least one) with exponent `exponent`; 0 makes them equally popular.
    pub(crate) fn new(count: u32, exponent: f64) -> Zipf {
        let mut sum = 0.0;
        let sums: Vec<f64> = (1..=count.max(1))
            .map(|rank| {
                sum += f64::from(rank).powf(-exponent);
                sum
            })
            .collect();
        Zipf {
            shares: sums.into_iter().map(|partial| partial / sum).collect(),
        }
    }

    /// The next title, from 0.
    pub(crate) fn choose(&self, chance: &mut impl Rng) -> u32 {
        let at: f64 = chance.random();
        let rank = self
            .shares
            .partition_point(|share| *share <= at)
            .min(self.shares.len() - 1);
        u32::try_from(rank).expect("there are no more shares than titles, which a u32 counts")
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn titles_are_chosen_in_proportion_to_their_rank() {
        let zipf = Zipf::new(100, 1.0);
        let mut chance = StdRng::seed_from_u64(1);
        let mut counts = [0_u32; 100];
        for _ in 0..100_000 {
            counts[zipf.choose(&mut chance) as usize] += 1;
        }
        // The harmonic number of 100 is 5.187: rank 1 has 19.3 %, rank 2 half of it, rank 10 a tenth.
        for (rank, expected) in [(1, 19_278), (2, 9_639), (10, 1_928)] {
            let counted = f64::from(counts[rank - 1]);
            assert!(
                (counted / f64::from(expected) - 1.0).abs() < 0.1,
                "rank {rank}: {counted}"
            );
        }
        assert!(counts.iter().all(|count| *count > 0));
    }

    #[test]
    fn one_title_is_always_chosen() {
        let mut chance = StdRng::seed_from_u64(1);
        assert_eq!(Zipf::new(1, 0.9).choose(&mut chance), 0);
    }
}
