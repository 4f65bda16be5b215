//! What to do with what the cache found. Pure.

use cache::policy::freshness::{Freshness, State};
use model::Moment;

/// The next step for a request whose object was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Serve it.
    Serve,
    /// Serve it, and refresh it behind (RFC 5861 §3).
    ServeAndRefresh,
    /// Ask upstream whether it still holds; serve it only if that fails and it may stand in (RFC 5861 §4).
    Revalidate,
}

/// Decides by freshness alone.
#[must_use]
pub fn plan(freshness: &Freshness, now: Moment) -> Plan {
    match freshness.state(now) {
        State::Fresh => Plan::Serve,
        State::StaleWhileRevalidate => Plan::ServeAndRefresh,
        State::StaleIfError | State::Stale => Plan::Revalidate,
    }
}

/// Whether a stale object may stand in for an upstream that failed.
#[must_use]
pub fn may_stand_in(freshness: &Freshness, now: Moment) -> bool {
    !matches!(freshness.state(now), State::Stale)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn an_object_is_served_refreshed_behind_or_revalidated_as_it_ages() {
        let freshness = Freshness {
            generated_at: Moment(0),
            lifetime: Duration::from_secs(15),
            stale_while_revalidate: Duration::from_secs(5),
            stale_if_error: Duration::from_secs(60),
            must_revalidate: false,
        };
        for (second, expected, stands_in) in [
            (14, Plan::Serve, true),
            (15, Plan::ServeAndRefresh, true),
            (20, Plan::Revalidate, true),
            (75, Plan::Revalidate, false),
        ] {
            let now = Moment::from_seconds(second);
            assert_eq!(plan(&freshness, now), expected, "after {second} s");
            assert_eq!(may_stand_in(&freshness, now), stands_in, "after {second} s");
        }
    }
}
