//! What to do with what the cache found. Pure.

use std::time::Duration;

use cache::policy::demands::Demands;
use cache::policy::freshness::{Freshness, State};
use model::Moment;

/// The last part of the time for which an object may be served unasked, in which it is refreshed if it is popular: one in
/// so many.
const EARLY_SHARE: u32 = 10;

/// An object that may be served unasked for less than this in all is not refreshed before its end: it changes all the
/// time, and what may be stale for a moment says so (`stale-while-revalidate`).
const LEAST_SPAN: Duration = Duration::from_secs(5);

/// One hit of so many that may refresh an object early does. Who has fewer hits in that time is hardly refreshed: it
/// would cost upstream more than it saves.
pub const EARLY_CHANCE: u32 = 16;

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

/// What to ask upstream for if a fresh object is near its end, so that nobody will have to wait for it. `asked` is when
/// upstream was last asked for it; `None` as long as there is time.
///
/// Nobody counts hits: each hit in this time refreshes by chance ([`EARLY_CHANCE`]), so what is popular is all but sure to
/// be refreshed (Vattani et al., Optimal Probabilistic Cache Stampede Prevention, 2015). Where that does not help, because
/// upstream's answer ends with ours, the next such time is a tenth of what is left: the questions stay few.
#[must_use]
pub fn early(freshness: &Freshness, asked: Moment, now: Moment) -> Option<Demands> {
    let left = freshness.remaining(now)?;
    let span = now.since(asked) + left;
    (span >= LEAST_SPAN && left <= span / EARLY_SHARE).then(|| Demands {
        // A parent whose object ends with ours asks for itself (RFC 9111 §5.2.1.3). It is said in whole seconds, and its
        // object may end a moment later than ours.
        min_fresh: Some(Duration::from_secs(left.as_secs() + 2)),
        ..Demands::default()
    })
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
    fn a_fresh_object_is_refreshed_in_the_last_tenth_of_its_time_here() {
        // Fresh until second 15. When it was asked for, the time, and how fresh the answer should be.
        for (asked, second, expected) in [
            (0, 13, None),
            (0, 14, Some(3)),
            (0, 15, None),
            // It came here old: 6 seconds are its time here.
            (9, 14, None),
            (4, 14, Some(3)),
            // What it brought ends as soon: not again at once.
            (14, 14, None),
            (11, 14, None),
        ] {
            let found = early(&OBJECT, Moment::from_seconds(asked), Moment::from_seconds(second));
            let expected = expected.map(|seconds| Demands {
                min_fresh: Some(Duration::from_secs(seconds)),
                ..Demands::default()
            });
            assert_eq!(found, expected, "asked at {asked} s, after {second} s");
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
