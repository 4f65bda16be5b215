//! How long a monitor is left alone after its stream was lost. Pure.

use std::time::Duration;

/// A monitor that was only restarted hears this node again well before it misses it.
const FIRST: Duration = Duration::from_millis(200);

/// A monitor that comes back after hours learns of every node within this.
pub(super) const LONGEST: Duration = Duration::from_secs(5);

/// The pause after so many `failures` in a row, doubled with each. `chance`, from 0 to 1, takes up to half of it away:
/// all nodes lose a monitor at one moment, and should not come back at one.
pub(super) fn pause_after(failures: u32, chance: f64) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let whole = FIRST.saturating_mul(1 << doublings).min(LONGEST);
    whole.mul_f64(1.0 - chance.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_chance_shortens_them() {
        let milliseconds = |failures, chance| pause_after(failures, chance).as_millis();
        for (failures, expected) in [
            (0, 200),
            (1, 200),
            (2, 400),
            (5, 3200),
            (6, 5000),
            (u32::MAX, 5000),
        ] {
            assert_eq!(milliseconds(failures, 0.0), expected, "{failures}");
            assert_eq!(milliseconds(failures, 1.0), expected / 2, "{failures}");
        }
        assert_eq!(milliseconds(2, 0.5), 300);
    }
}
