//! How long an object is fresh, and what it may still be used for afterwards (RFC 9111 §4.2, RFC 5861).

use std::time::Duration;

use model::Moment;

/// What is kept of an object's age and lifetime.
///
/// Ages add up across tiers because everything counts from `generated_at`, the moment the response left its origin as
/// far as `Age` (between our own tiers its exact form), `Date` and our own clock tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freshness {
    /// When the response was generated or last validated at its origin (RFC 9111 §4.2.3).
    pub generated_at: Moment,
    /// Freshness lifetime (RFC 9111 §4.2.1), from `generated_at`.
    pub lifetime: Duration,
    /// For how long past its lifetime it may be served while it is refreshed behind (RFC 5861 §3).
    pub stale_while_revalidate: Duration,
    /// For how long past its lifetime it may be served when upstream fails (RFC 5861 §4).
    pub stale_if_error: Duration,
    /// It may never be served stale (RFC 9111 §5.2.2.2): both windows above count as zero.
    pub must_revalidate: bool,
}

/// What an object may be used for now. Each state allows all that the states after it allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Served as it is.
    Fresh,
    /// Served, and refreshed behind.
    StaleWhileRevalidate,
    /// Served when upstream fails.
    StaleIfError,
    /// Served only after upstream has validated it.
    Stale,
}

impl Freshness {
    /// Current age (RFC 9111 §4.2.3): the time since it was generated.
    #[must_use]
    pub fn age(&self, now: Moment) -> Duration {
        now.since(self.generated_at)
    }

    /// How long it stays fresh; `None` when it is stale.
    #[must_use]
    pub fn remaining(&self, now: Moment) -> Option<Duration> {
        self.lifetime
            .checked_sub(self.age(now))
            .filter(|left| !left.is_zero())
    }

    /// What it may be used for at `now`.
    #[must_use]
    pub fn state(&self, now: Moment) -> State {
        let age = self.age(now);
        if age < self.lifetime {
            return State::Fresh;
        }
        let stale_for = age - self.lifetime;
        if self.must_revalidate {
            State::Stale
        } else if stale_for < self.stale_while_revalidate {
            State::StaleWhileRevalidate
        } else if stale_for < self.stale_if_error {
            State::StaleIfError
        } else {
            State::Stale
        }
    }

    /// Whether it would be of use for longer than `other`, fresh or stale.
    #[must_use]
    pub fn promises_more_than(&self, other: &Freshness) -> bool {
        let fresh_until = |freshness: &Freshness| freshness.generated_at + freshness.lifetime;
        fresh_until(self) > fresh_until(other) || self.useless_at() > other.useless_at()
    }

    /// The moment from which it may be used for nothing without validation.
    #[must_use]
    pub fn useless_at(&self) -> Moment {
        let fresh_until = self.generated_at + self.lifetime;
        if self.must_revalidate {
            fresh_until
        } else {
            fresh_until + self.stale_while_revalidate.max(self.stale_if_error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: Freshness = Freshness {
        generated_at: Moment(100_000),
        lifetime: Duration::from_secs(15),
        stale_while_revalidate: Duration::from_secs(5),
        stale_if_error: Duration::from_secs(60),
        must_revalidate: false,
    };

    #[test]
    fn an_object_goes_through_its_states_in_order() {
        for (after_ms, state, remaining_ms) in [
            (0, State::Fresh, Some(15_000)),
            (14_999, State::Fresh, Some(1)),
            // RFC 9111 §4.2: fresh while freshness_lifetime > current_age.
            (15_000, State::StaleWhileRevalidate, None),
            (19_999, State::StaleWhileRevalidate, None),
            (20_000, State::StaleIfError, None),
            (74_999, State::StaleIfError, None),
            (75_000, State::Stale, None),
        ] {
            let now = MANIFEST.generated_at + Duration::from_millis(after_ms);
            assert_eq!(MANIFEST.age(now), Duration::from_millis(after_ms));
            assert_eq!(MANIFEST.state(now), state, "after {after_ms} ms");
            assert_eq!(
                MANIFEST.remaining(now),
                remaining_ms.map(Duration::from_millis),
                "after {after_ms} ms"
            );
            assert_eq!(now >= MANIFEST.useless_at(), state == State::Stale);
        }
    }

    #[test]
    fn must_revalidate_closes_both_windows() {
        let strict = Freshness {
            must_revalidate: true,
            ..MANIFEST
        };
        assert_eq!(strict.state(Moment(114_999)), State::Fresh);
        assert_eq!(strict.state(Moment(115_000)), State::Stale);
        assert_eq!(strict.useless_at(), Moment(115_000));
    }

    #[test]
    fn more_is_promised_by_what_is_fresh_or_of_use_for_longer() {
        let shorter = Freshness {
            lifetime: Duration::from_secs(14),
            stale_if_error: Duration::from_secs(70),
            ..MANIFEST
        };
        let strict = Freshness {
            must_revalidate: true,
            ..MANIFEST
        };
        let later = Freshness {
            generated_at: Moment(101_000),
            ..MANIFEST
        };
        for (one, other, more) in [
            (MANIFEST, MANIFEST, false),
            (MANIFEST, shorter, true),
            (shorter, MANIFEST, true),
            (MANIFEST, strict, true),
            (strict, MANIFEST, false),
            (later, MANIFEST, true),
            (MANIFEST, later, false),
        ] {
            assert_eq!(one.promises_more_than(&other), more, "{one:?} {other:?}");
        }
    }

    #[test]
    fn a_clock_that_went_back_makes_nothing_older_or_panic() {
        assert_eq!(MANIFEST.age(Moment(0)), Duration::ZERO);
        assert_eq!(MANIFEST.state(Moment(0)), State::Fresh);
    }

    #[test]
    fn a_longer_window_for_revalidation_covers_errors_too() {
        let freshness = Freshness {
            stale_if_error: Duration::ZERO,
            ..MANIFEST
        };
        assert_eq!(freshness.state(Moment(116_000)), State::StaleWhileRevalidate);
        assert!(State::StaleWhileRevalidate < State::StaleIfError);
    }
}
