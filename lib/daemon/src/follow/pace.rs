//! How often a source is looked at, and how the pauses grow while it fails.

use std::time::Duration;

use super::source::Source;

/// A file costs one `stat` a look.
const FILE_POLL: Duration = Duration::from_secs(1);
/// An unchanged document at a URL costs one small answer a look.
const URL_POLL: Duration = Duration::from_secs(5);
/// A server that restarts is back within a few of these.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// A server that was gone for long is found again within this.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A fetch, from name look-up to last byte, takes no longer.
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);

/// The times of a follower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// The pause between two looks while all is well.
    pub poll: Duration,
    /// The pause after the first failure; it doubles with every further one.
    pub first_pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
    /// How long one fetch from a URL may take.
    pub timeout: Duration,
}

impl Pace {
    /// What suits the source.
    #[must_use]
    pub fn of(source: &Source) -> Pace {
        match source {
            Source::File(_) => Pace {
                poll: FILE_POLL,
                first_pause: FILE_POLL,
                longest_pause: FILE_POLL,
                timeout: FETCH_TIMEOUT,
            },
            Source::Url(_) => Pace {
                poll: URL_POLL,
                first_pause: FIRST_PAUSE,
                longest_pause: LONGEST_PAUSE,
                timeout: FETCH_TIMEOUT,
            },
        }
    }

    /// How long to wait after so many failures in a row.
    pub(super) fn pause_after(&self, failures: u32) -> Duration {
        match failures.checked_sub(1) {
            None => self.poll,
            Some(doublings) => {
                let factor = 2_u32.saturating_pow(doublings);
                self.first_pause.saturating_mul(factor).min(self.longest_pause)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_fall_back_when_all_is_well() {
        let pace = Pace::of(&"https://control.example/snapshot".parse().unwrap());
        let seconds: Vec<u64> = (0..=9)
            .map(|failures| pace.pause_after(failures).as_secs())
            .collect();
        assert_eq!(seconds, [5, 1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(pace.pause_after(u32::MAX).as_secs(), 60);
    }

    #[test]
    fn a_file_is_looked_at_every_second_whatever_happens() {
        let pace = Pace::of(&"cdn.json".parse().unwrap());
        for failures in [0, 1, 2, 100] {
            assert_eq!(pace.pause_after(failures), Duration::from_secs(1));
        }
    }
}
