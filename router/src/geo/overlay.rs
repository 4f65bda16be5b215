//! Lays the sources of evidence over one another: for every address the best there is.

use super::database::PlaceId;
use super::layer::Step;
use super::ranking::RankingId;

/// What every source says, for one family.
pub(super) struct Layers<'a> {
    pub(super) deep_coverage: Vec<Step<RankingId>>,
    pub(super) coverage: Vec<Step<RankingId>>,
    pub(super) latency: Vec<Step<RankingId>>,
    pub(super) places: &'a [Step<PlaceId>],
}

/// What is known of one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    /// The best ranking of coverage zones and measurements.
    pub(super) ranking: Option<RankingId>,
    pub(super) place: Option<PlaceId>,
}

/// From `from` on, up to the next run, all addresses are answered alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run<T> {
    pub(super) from: u64,
    pub(super) answer: T,
}

/// The longest runs of addresses that `answer` does not tell apart; the first begins at address 0.
pub(super) fn overlay<T: PartialEq>(layers: &Layers<'_>, mut answer: impl FnMut(Known) -> T) -> Vec<Run<T>> {
    let mut deep_coverage = Cursor::at_the_start(&layers.deep_coverage);
    let mut coverage = Cursor::at_the_start(&layers.coverage);
    let mut latency = Cursor::at_the_start(&layers.latency);
    let mut places = Cursor::at_the_start(layers.places);
    let mut runs: Vec<Run<T>> = Vec::new();
    let mut here = Some(0);
    while let Some(from) = here {
        let told = [&mut deep_coverage, &mut coverage, &mut latency].map(|cursor| cursor.value(from));
        let place = places.value(from);
        let ranking = told.into_iter().flatten().next();
        let answer = answer(Known { ranking, place });
        if runs.last().is_none_or(|run| run.answer != answer) {
            runs.push(Run { from, answer });
        }
        let next = [
            deep_coverage.next(),
            coverage.next(),
            latency.next(),
            places.next(),
        ];
        here = next.into_iter().flatten().min();
    }
    runs
}

/// A place in a line of steps, moving right.
struct Cursor<'a, T> {
    /// The step it is on, and those after it.
    steps: &'a [Step<T>],
}

impl<'a, T: Copy> Cursor<'a, T> {
    fn at_the_start(steps: &'a [Step<T>]) -> Cursor<'a, T> {
        Cursor { steps }
    }

    /// What is said of `address`, which is not left of the last one asked for.
    fn value(&mut self, address: u64) -> Option<T> {
        while self.next().is_some_and(|next| next <= address) {
            self.steps = &self.steps[1..];
        }
        self.steps.first()?.value
    }

    /// Where something else is said.
    fn next(&self) -> Option<u64> {
        self.steps.get(1).map(|step| step.from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(of: &[(u64, Option<u32>)]) -> Vec<Step<RankingId>> {
        let step = |(from, value): &(u64, Option<u32>)| Step {
            from: *from,
            value: value.map(RankingId),
        };
        of.iter().map(step).collect()
    }

    #[test]
    fn the_best_evidence_answers_and_equal_answers_are_one_run() {
        let layers = Layers {
            deep_coverage: steps(&[(0, None), (50, Some(1)), (60, None)]),
            coverage: steps(&[(0, None), (40, Some(2)), (70, None)]),
            latency: steps(&[(0, Some(3)), (45, Some(1)), (65, Some(2))]),
            places: &[Step { from: 0, value: None }],
        };
        let runs = overlay(&layers, |known| known.ranking.map(|ranking| ranking.0));
        let told: Vec<(u64, Option<u32>)> = runs.iter().map(|run| (run.from, run.answer)).collect();
        assert_eq!(
            told,
            [(0, Some(3)), (40, Some(2)), (50, Some(1)), (60, Some(2)),],
            "from 65 on latency says what coverage said before it ended"
        );
    }
}
