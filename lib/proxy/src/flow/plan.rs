//! What to do with what the cache found. Pure.

use std::time::Duration;

use cache::policy::demands::Demands;
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
    /// The request wants nothing that would have to be asked for (RFC 9111 §5.2.1.7).
    GiveUp,
}

/// A request's wishes, as far as the service follows them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wishes {
    /// What it asks for.
    pub demands: Demands,
    /// What was asked for upstream within this time is fresh enough for every wish.
    pub floor: Duration,
}

/// Decides by freshness, and by what the request wishes. `asked` is when upstream was last asked for the object.
#[must_use]
pub fn plan(freshness: &Freshness, asked: Moment, wishes: &Wishes, now: Moment) -> Plan {
    let Wishes { demands, floor } = wishes;
    let unasked = match freshness.state(now) {
        State::Fresh => Plan::Serve,
        State::StaleWhileRevalidate => Plan::ServeAndRefresh,
        State::StaleIfError | State::Stale => Plan::Revalidate,
    };
    let plan = match unasked {
        Plan::Serve if demands.are_met_by(freshness, now) => Plan::Serve,
        Plan::ServeAndRefresh if !demands.ask_for_more() => Plan::ServeAndRefresh,
        Plan::Serve | Plan::ServeAndRefresh if now.since(asked) < *floor => unasked,
        _ if demands.allow_stale(freshness, now) && unasked == Plan::Revalidate => Plan::Serve,
        _ => Plan::Revalidate,
    };
    if plan == Plan::Revalidate && demands.only_if_cached {
        Plan::GiveUp
    } else {
        plan
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

    const OBJECT: Freshness = Freshness {
        generated_at: Moment(0),
        lifetime: Duration::from_secs(15),
        stale_while_revalidate: Duration::from_secs(5),
        stale_if_error: Duration::from_secs(60),
        must_revalidate: false,
    };

    #[test]
    fn an_object_is_served_refreshed_behind_or_revalidated_as_it_ages() {
        for (second, expected, stands_in) in [
            (14, Plan::Serve, true),
            (15, Plan::ServeAndRefresh, true),
            (20, Plan::Revalidate, true),
            (75, Plan::Revalidate, false),
        ] {
            let now = Moment::from_seconds(second);
            let found = plan(&OBJECT, Moment(0), &Wishes::default(), now);
            assert_eq!(found, expected, "after {second} s");
            assert_eq!(may_stand_in(&OBJECT, now), stands_in, "after {second} s");
        }
    }

    #[test]
    fn a_wish_has_an_object_revalidated_once_in_a_while() {
        let no_cache = Demands {
            no_cache: true,
            ..Demands::default()
        };
        let young = Demands {
            max_age: Some(Duration::from_secs(10)),
            ..Demands::default()
        };
        for (demands, asked, second, expected) in [
            (no_cache, 0, 14, Plan::Revalidate),
            (no_cache, 13, 14, Plan::Revalidate),
            (no_cache, 14, 14, Plan::Serve),
            // A clock that went back does not let anybody hammer the origin.
            (no_cache, 20, 14, Plan::Serve),
            (no_cache, 15, 15, Plan::ServeAndRefresh),
            (no_cache, 0, 15, Plan::Revalidate),
            (no_cache, 20, 20, Plan::Revalidate),
            (young, 0, 10, Plan::Serve),
            (young, 0, 11, Plan::Revalidate),
            (young, 11, 11, Plan::Serve),
        ] {
            let wishes = Wishes {
                demands,
                floor: Duration::from_secs(1),
            };
            let found = plan(
                &OBJECT,
                Moment::from_seconds(asked),
                &wishes,
                Moment::from_seconds(second),
            );
            assert_eq!(
                found, expected,
                "{demands:?} asked at {asked} s, after {second} s"
            );
        }
    }

    #[test]
    fn who_wants_only_what_is_cached_gets_that_or_nothing() {
        for (second, max_stale, expected) in [
            (14, None, Plan::Serve),
            (15, None, Plan::ServeAndRefresh),
            (20, None, Plan::GiveUp),
            (20, Some(5), Plan::Serve),
            (21, Some(5), Plan::GiveUp),
        ] {
            let wishes = Wishes {
                demands: Demands {
                    only_if_cached: true,
                    max_stale: max_stale.map(Duration::from_secs),
                    ..Demands::default()
                },
                floor: Duration::ZERO,
            };
            let found = plan(&OBJECT, Moment(0), &wishes, Moment::from_seconds(second));
            assert_eq!(found, expected, "after {second} s, max-stale {max_stale:?}");
        }
    }
}
