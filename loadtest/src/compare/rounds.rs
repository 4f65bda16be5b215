//! Several rounds to one figure: the median, and how far the rounds lie from it. Pure.

/// The figures of the rounds of one contestant in one case.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Rounds(Vec<f64>);

impl Rounds {
    /// One more round.
    pub(crate) fn add(&mut self, figure: f64) {
        self.0.push(figure);
        self.0.sort_by(f64::total_cmp);
    }

    /// The middle one, or the mean of the two in the middle.
    pub(crate) fn median(&self) -> Option<f64> {
        let middle = self.0.len() / 2;
        match (self.0.get(middle), self.0.len() % 2) {
            (Some(figure), 1) => Some(*figure),
            (Some(figure), _) => Some((figure + self.0[middle - 1]) / 2.0),
            (None, _) => None,
        }
    }

    /// The largest distance of a round from the median, as a share of the median.
    pub(crate) fn spread(&self) -> Option<f64> {
        let median = self.median().filter(|median| *median > 0.0)?;
        let (least, most) = (self.0.first()?, self.0.last()?);
        Some((median - least).max(most - median) / median)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_ignores_one_wild_round_and_the_spread_shows_it() {
        let mut rounds = Rounds::default();
        assert_eq!((rounds.median(), rounds.spread()), (None, None));
        for figure in [100.0, 10.0, 110.0] {
            rounds.add(figure);
        }
        assert_eq!((rounds.median(), rounds.spread()), (Some(100.0), Some(0.9)));
        rounds.add(120.0);
        assert_eq!(rounds.median(), Some(105.0));
    }
}
