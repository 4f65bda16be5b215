//! Slow start: a node that came back gets its share step by step, so that its cold cache does not fall on its parents.

use std::time::Duration;

use model::Moment;

/// Steps from nothing to everything: as many changes are published.
const STEPS: f64 = 10.0;

/// How a node's weight grows after it came back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Ramp {
    /// From its first share to all of it; zero gives it everything at once.
    pub(crate) length: Duration,
}

impl Ramp {
    /// The share of its weight that a node gets which came back at `back`: a tenth at once, all after the length.
    pub(crate) fn share(&self, now: Moment, back: Moment) -> f64 {
        if self.length.is_zero() {
            return 1.0;
        }
        let passed = now.since(back).as_secs_f64() / self.length.as_secs_f64();
        let step = (passed * (STEPS - 1.0)).floor() + 1.0;
        (step / STEPS).min(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_grows_from_a_tenth_to_all_in_ten_steps() {
        let ramp = Ramp {
            length: Duration::from_secs(300),
        };
        let back = Moment::from_seconds(1000);
        let at = |seconds| ramp.share(back + Duration::from_secs(seconds), back);
        assert_eq!(
            (at(0), at(33), at(34), at(150), at(300), at(9000)),
            (0.1, 0.1, 0.2, 0.5, 1.0, 1.0)
        );
        let mut steps: Vec<u64> = (0..=300).map(|second| (at(second) * 10.0) as u64).collect();
        assert!(steps.is_sorted());
        steps.dedup();
        assert_eq!(steps, (1..=10).collect::<Vec<_>>());
        let none = Ramp {
            length: Duration::ZERO,
        };
        assert_eq!(none.share(back, back), 1.0);
    }
}
