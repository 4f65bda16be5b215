//! A moment: time as a value that callers pass down, so that what decides never reads a clock.

use std::{
    ops::{Add, Sub},
    time::Duration,
};

use serde::{Deserialize, Serialize};

/// Milliseconds since the Unix epoch, in JSON a whole number. Arithmetic saturates: no clock, however wrong, makes it panic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Moment(pub u64);

impl Moment {
    /// The time from `earlier` to this moment; zero when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Moment) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// The moment so many whole seconds after the Unix epoch, as HTTP dates count.
    #[must_use]
    pub fn from_seconds(seconds: u64) -> Moment {
        Moment(seconds.saturating_mul(1000))
    }

    /// Whole seconds since the Unix epoch.
    #[must_use]
    pub fn seconds(self) -> u64 {
        self.0 / 1000
    }
}

impl Add<Duration> for Moment {
    type Output = Moment;
    fn add(self, length: Duration) -> Moment {
        Moment(self.0.saturating_add(milliseconds(length)))
    }
}

impl Sub<Duration> for Moment {
    type Output = Moment;
    fn sub(self, length: Duration) -> Moment {
        Moment(self.0.saturating_sub(milliseconds(length)))
    }
}

fn milliseconds(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_is_plain_inside_the_range_and_saturates_at_its_ends() {
        let noon = Moment::from_seconds(43_200);
        assert_eq!(noon + Duration::from_millis(1500), Moment(43_201_500));
        assert_eq!(noon - Duration::from_secs(200), Moment(43_000_000));
        assert_eq!(
            (noon + Duration::from_secs(5)).since(noon),
            Duration::from_secs(5)
        );
        assert_eq!(noon.since(noon + Duration::from_secs(5)), Duration::ZERO);
        assert_eq!(Moment(0) - Duration::from_secs(1), Moment(0));
        assert_eq!(Moment(u64::MAX) + Duration::MAX, Moment(u64::MAX));
        assert_eq!(Moment(1_999).seconds(), 1);
        assert_eq!(Moment::from_seconds(u64::MAX), Moment(u64::MAX));
    }
}
