//! The one place where the wall clock is read.

use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// Milliseconds since the Unix epoch; 0 when the machine's clock stands before it.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "this is the one clock; everything else takes `now` as an argument"
)]
pub fn now_millis() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
}

/// A process's own time: the wall clock at its start, and from then on as long as has passed. A clock that is set
/// meanwhile makes nothing older or younger. Copies agree.
#[derive(Clone, Copy, Debug)]
pub struct Steady {
    started_millis: u64,
    then: Instant,
}

impl Steady {
    /// A clock that shows the time of the wall now.
    #[must_use]
    pub fn start() -> Steady {
        Steady {
            started_millis: now_millis(),
            then: Instant::now(),
        }
    }

    /// Milliseconds since the Unix epoch, by this clock.
    #[must_use]
    pub fn now_millis(&self) -> u64 {
        let passed = u64::try_from(self.then.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.started_millis.saturating_add(passed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_counts_milliseconds_and_not_seconds() {
        let year_2020 = 1_577_836_800_000;
        let year_2200 = 7_258_118_400_000;
        assert!((year_2020..year_2200).contains(&now_millis()), "{}", now_millis());
    }

    #[tokio::test(start_paused = true)]
    async fn a_steady_clock_shows_what_has_passed_since_its_start() {
        let clock = Steady::start();
        let started = clock.now_millis();
        tokio::time::advance(std::time::Duration::from_secs(3600)).await;
        assert_eq!(clock.now_millis(), started + 3_600_000);
    }
}
