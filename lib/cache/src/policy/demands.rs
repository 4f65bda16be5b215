//! What a request asks of the freshness of its answer (RFC 9111 §5.2.1, §5.4).

use std::time::Duration;

use http::{HeaderMap, header};
use model::Moment;

use super::{
    directives::{CacheControl, members},
    freshness::Freshness,
    targeted::governing,
};

/// The directives of one request that bear on which stored answer will do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Demands {
    /// `no-cache`, or `Pragma: no-cache` where there is no `Cache-Control`: upstream is to be asked.
    pub no_cache: bool,
    /// `max-age`: no older than this.
    pub max_age: Option<Duration>,
    /// `min-fresh`: fresh for at least this much longer.
    pub min_fresh: Option<Duration>,
    /// `max-stale`: stale by at most this; [`Duration::MAX`] is any.
    pub max_stale: Option<Duration>,
    /// `only-if-cached`: upstream is not to be asked.
    pub only_if_cached: bool,
}

impl Demands {
    /// What `request` asks for.
    #[must_use]
    pub fn of(request: &HeaderMap) -> Demands {
        if !request.contains_key(header::CACHE_CONTROL) {
            return Demands {
                no_cache: says_no_cache_in_pragma(request),
                ..Demands::default()
            };
        }
        let said = CacheControl::parse(request);
        Demands {
            no_cache: said.no_cache,
            max_age: said.max_age,
            min_fresh: said.min_fresh,
            max_stale: said.max_stale,
            only_if_cached: said.only_if_cached,
        }
    }

    /// What is left of it for a stored response with these fields: one that is immutable is not validated for a
    /// reload, which says `max-age=0`, but only for who insists with `no-cache` (RFC 8246 §2.1).
    #[must_use]
    pub fn of_stored(self, fields: &HeaderMap) -> Demands {
        if self.max_age.is_none() || self.no_cache || !governing(fields).directives.immutable {
            return self;
        }
        Demands {
            max_age: None,
            ..self
        }
    }

    /// Whether something that is fresh may still not do.
    #[must_use]
    pub fn ask_for_more(&self) -> bool {
        self.no_cache || self.max_age.is_some() || self.min_fresh.is_some()
    }

    /// Whether a fresh object is fresh enough.
    #[must_use]
    pub fn are_met_by(&self, freshness: &Freshness, now: Moment) -> bool {
        !self.no_cache
            && self.max_age.is_none_or(|most| freshness.age(now) <= most)
            && self
                .min_fresh
                .is_none_or(|least| freshness.remaining(now).is_some_and(|left| left >= least))
    }

    /// Whether an object that is stale will do all the same: the request allows it, and the object does not forbid it.
    #[must_use]
    pub fn allow_stale(&self, freshness: &Freshness, now: Moment) -> bool {
        let staleness = freshness.age(now).saturating_sub(freshness.lifetime);
        let allowed = self.max_stale.is_some_and(|most| staleness <= most);
        let young_enough = self.max_age.is_none_or(|most| freshness.age(now) <= most);
        allowed && young_enough && !self.no_cache && self.min_fresh.is_none() && !freshness.must_revalidate
    }
}

/// `Pragma` counts only alone (RFC 9111 §5.4).
fn says_no_cache_in_pragma(request: &HeaderMap) -> bool {
    request
        .get_all(header::PRAGMA)
        .iter()
        .flat_map(|value| members(value.as_bytes()))
        .any(|member| member.eq_ignore_ascii_case(b"no-cache"))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    /// 60 s of life, 20 s old.
    const OBJECT: Freshness = Freshness {
        generated_at: Moment(80_000),
        lifetime: Duration::from_secs(60),
        stale_while_revalidate: Duration::ZERO,
        stale_if_error: Duration::ZERO,
        must_revalidate: false,
    };
    const NOW: Moment = Moment(100_000);

    fn demands(lines: &[(&'static str, &'static str)]) -> Demands {
        let fields = lines.iter().map(|(name, value)| {
            (
                http::HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        });
        Demands::of(&fields.collect())
    }

    /// RFC 9111 §5.2.1.1, §5.2.1.3, §5.2.1.4, §5.4.
    #[test]
    fn a_fresh_object_meets_what_it_is_fresh_enough_for() {
        for (lines, met) in [
            (&[][..], true),
            (&[("cache-control", "max-age=20")], true),
            (&[("cache-control", "max-age=19")], false),
            (&[("cache-control", "max-age=0")], false),
            (&[("cache-control", "min-fresh=40")], true),
            (&[("cache-control", "min-fresh=41")], false),
            (&[("cache-control", "no-cache")], false),
            (&[("cache-control", "max-stale=5")], true),
            (&[("cache-control", "only-if-cached")], true),
            (&[("pragma", "no-cache")], false),
            (&[("pragma", "x, No-Cache")], false),
            (&[("pragma", "no-store")], true),
            (&[("pragma", "no-cache"), ("cache-control", "max-age=60")], true),
            (&[("pragma", "no-cache"), ("cache-control", "")], true),
        ] {
            assert_eq!(demands(lines).are_met_by(&OBJECT, NOW), met, "{lines:?}");
        }
    }

    /// RFC 8246 §2.1.
    #[test]
    fn what_is_immutable_is_not_validated_for_a_reload() {
        let immutable = HeaderMap::from_iter([(
            header::CACHE_CONTROL,
            HeaderValue::from_static("max-age=60, immutable"),
        )]);
        for (value, fields, met) in [
            ("max-age=0", &immutable, true),
            ("max-age=0, no-cache", &immutable, false),
            ("max-age=0, min-fresh=50", &immutable, false),
            ("max-age=0", &HeaderMap::new(), false),
        ] {
            let demands = demands(&[("cache-control", value)]).of_stored(fields);
            assert_eq!(demands.are_met_by(&OBJECT, NOW), met, "{value} {fields:?}");
        }
    }

    /// RFC 9111 §5.2.1.2, §4.2.4.
    #[test]
    fn a_stale_object_will_do_where_both_sides_allow_it() {
        let stale = Freshness {
            lifetime: Duration::from_secs(15),
            ..OBJECT
        };
        let strict = Freshness {
            must_revalidate: true,
            ..stale
        };
        for (value, allowed) in [
            ("max-stale", true),
            ("max-stale=5", true),
            ("max-stale=4", false),
            ("max-stale=x", false),
            ("max-stale, max-age=20", true),
            ("max-stale, max-age=19", false),
            ("max-stale, no-cache", false),
            ("max-stale, min-fresh=1", false),
            ("max-age=60", false),
        ] {
            let demands = demands(&[("cache-control", value)]);
            assert_eq!(demands.allow_stale(&stale, NOW), allowed, "{value}");
            assert!(!demands.allow_stale(&strict, NOW), "{value}");
        }
    }
}
