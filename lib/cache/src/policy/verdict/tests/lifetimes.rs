//! For how long a response is kept, and what its fields say of that afterwards.

use super::*;
use crate::policy::merge_304;

#[test]
fn a_cookie_may_be_stored_for_as_long_as_its_origin_says_and_no_longer() {
    let story = Story::of(&[("set-cookie", "a=1"), ("cache-control", "public, max-age=60")]);
    let story = Story {
        path: "/demo/1.m4s",
        ..story.with_rules(true)
    };
    assert_eq!(story.freshness().lifetime, seconds(60));
}

#[test]
fn rules_reach_errors_and_redirects_only_to_shorten() {
    for status in [203, 301, 302, 308, 404, 410] {
        let silent = Story {
            status,
            ..Story::of(&[]).with_rules(true)
        };
        assert_eq!(silent.judge(), Verdict::Pass(Reason::NoLifetime), "{status}");
        let manifest = Story {
            status,
            ..Story::of(FRESH).with_rules(true)
        };
        assert_eq!(manifest.freshness().lifetime, seconds(15), "{status}");
        let segment = Story {
            path: "/demo/1.m4s",
            ..manifest
        };
        assert_eq!(segment.freshness().lifetime, seconds(60), "{status}");
    }
}

/// RFC 9111 §4.2.1.
#[test]
fn the_origins_lifetime_is_s_maxage_then_max_age_then_expires() {
    let table: [(Lines, u64); 8] = [
        (
            &[
                ("cache-control", "s-maxage=30, max-age=60"),
                ("expires", A_MINUTE_LATER),
            ],
            30,
        ),
        (
            &[("cache-control", "max-age=30"), ("expires", A_MINUTE_LATER)],
            30,
        ),
        (&[("expires", A_MINUTE_LATER), ("date", THEN_TEXT)], 60),
        (&[("expires", A_MINUTE_LATER), ("date", TEN_SECONDS_EARLIER)], 70),
        (&[("expires", A_MINUTE_LATER)], 60),
        // What may be validated may be stored though it is stale.
        (
            &[
                ("expires", TEN_SECONDS_EARLIER),
                ("date", THEN_TEXT),
                ("etag", "\"a\""),
            ],
            0,
        ),
        (&[("expires", "0"), ("last-modified", TEN_SECONDS_EARLIER)], 0),
        (
            &[
                ("cache-control", "max-age=0"),
                ("expires", A_MINUTE_LATER),
                ("etag", "\"a\""),
            ],
            0,
        ),
    ];
    for (response, lifetime) in table {
        let story = Story::of(response);
        assert_eq!(story.freshness().lifetime, seconds(lifetime), "{response:?}");
        assert_eq!(story.rewritten(), story.response, "nobody but the origin spoke");
    }
}

/// RFC 9111 §4.2.2, RFC 9110 §15.1.
#[test]
fn a_lifetime_is_made_up_where_nobody_says_and_the_status_allows_it() {
    const TEN_DAYS_EARLIER: &str = "Thu, 27 Oct 1994 08:49:37 GMT";
    const A_YEAR_EARLIER: &str = "Sat, 06 Nov 1993 08:49:37 GMT";
    let table: [(u16, Lines, Result<u64, Reason>); 10] = [
        (200, &[("last-modified", TEN_DAYS_EARLIER)], Ok(86_400)),
        (200, &[("last-modified", A_YEAR_EARLIER)], Ok(86_400)),
        (
            200,
            &[("last-modified", TEN_SECONDS_EARLIER), ("date", THEN_TEXT)],
            Ok(1),
        ),
        (404, &[("last-modified", TEN_SECONDS_EARLIER)], Ok(1)),
        // Not of these statuses, but for what is said to be for all.
        (
            302,
            &[("last-modified", TEN_SECONDS_EARLIER)],
            Err(Reason::NoLifetime),
        ),
        (
            302,
            &[
                ("last-modified", TEN_SECONDS_EARLIER),
                ("cache-control", "public"),
            ],
            Ok(1),
        ),
        // Changed after it was made: nothing to go by, but it can be validated.
        (200, &[("last-modified", A_MINUTE_LATER)], Ok(0)),
        (200, &[("etag", "\"a\"")], Ok(0)),
        (
            200,
            &[("last-modified", TEN_SECONDS_EARLIER), ("set-cookie", "a=1")],
            Err(Reason::SetCookie),
        ),
        (200, &[("last-modified", "yesterday")], Err(Reason::NoLifetime)),
    ];
    for (status, response, expected) in table {
        let story = Story {
            status,
            ..Story::of(response)
        };
        let found = match story.judge() {
            Verdict::Store { freshness, .. } => Ok(freshness.lifetime.as_secs()),
            Verdict::Pass(reason) => Err(reason),
        };
        assert_eq!(found, expected, "{status} {response:?}");
    }
}

#[test]
fn a_rule_for_a_status_gives_errors_a_lifetime() {
    for (status, override_origin, response, expected) in [
        (404, false, &[][..], Some(10)),
        (404, false, FRESH, Some(60)),
        (404, true, FRESH, Some(10)),
        (503, false, &[], Some(1)),
        (410, false, &[], None),
        (404, true, &[("set-cookie", "a=1")], None),
        (404, true, &[("cache-control", "no-store")], None),
    ] {
        let mut story = Story {
            status,
            path: "/demo/1.m4s",
            ..Story::of(response).with_rules(override_origin)
        };
        if let Some(rules) = &mut story.rules {
            rules.statuses = [(404, Period(seconds(10))), (503, Period(seconds(1)))].into();
        }
        let found = match story.judge() {
            Verdict::Store { freshness, .. } => Some(freshness.lifetime.as_secs()),
            Verdict::Pass(_) => None,
        };
        assert_eq!(found, expected, "{status} {override_origin} {response:?}");
    }
}

/// RFC 9213 §2.2: a targeted field takes the place of `Cache-Control` and `Expires`.
#[test]
fn a_targeted_field_governs_alone() {
    let table: [(Lines, Option<u64>); 6] = [
        (
            &[("cdn-cache-control", "max-age=30"), ("cache-control", "no-store")],
            Some(30),
        ),
        (
            &[("cdn-cache-control", "no-store"), ("cache-control", "max-age=60")],
            None,
        ),
        (&[("cdn-cache-control", "max-age=30"), ("expires", "0")], Some(30)),
        (
            &[
                ("cdn-cache-control", "must-revalidate"),
                ("cache-control", "max-age=60"),
            ],
            None,
        ),
        (
            &[("cdn-cache-control", "max-age"), ("cache-control", "max-age=60")],
            None,
        ),
        (
            &[
                ("cdn-cache-control", "max-age=,"),
                ("cache-control", "max-age=60"),
            ],
            Some(60),
        ),
    ];
    for (response, expected) in table {
        let found = match Story::of(response).judge() {
            Verdict::Store { freshness, .. } => Some(freshness.lifetime.as_secs()),
            Verdict::Pass(_) => None,
        };
        assert_eq!(found, expected, "{response:?}");
    }
    let ruled = Story::of(&[
        ("cdn-cache-control", "max-age=30, stale-if-error=60"),
        ("cache-control", "private"),
    ]);
    let rewritten = ruled.with_rules(true).rewritten();
    assert_eq!(rewritten[header::CACHE_CONTROL], "max-age=15, stale-if-error=60");
    assert!(!rewritten.contains_key("cdn-cache-control"));
}

/// RFC 9111 §5.2.2.10.
#[test]
fn s_maxage_forbids_staleness_that_it_does_not_name() {
    for (directives, strict) in [
        ("s-maxage=60", true),
        ("s-maxage=60, stale-if-error=10", false),
        ("max-age=60", false),
    ] {
        let mut story = Story::of(&[]);
        story
            .response
            .insert(header::CACHE_CONTROL, HeaderValue::from_static(directives));
        assert_eq!(story.freshness().must_revalidate, strict, "{directives}");
    }
}

/// RFC 9111 §5.2.2.4.
#[test]
fn no_cache_is_stored_and_validated_each_time() {
    for directive in ["no-cache, max-age=60", "max-age=60, no-cache=\"\""] {
        let mut story = Story::of(&[("etag", "\"a\"")]);
        story.service = StaleDefaults {
            stale_while_revalidate: seconds(5),
            stale_if_error: seconds(60),
        };
        story
            .response
            .insert(header::CACHE_CONTROL, HeaderValue::from_static(directive));
        assert_eq!(story.freshness().state(THEN), State::Stale, "{directive}");
        story.response.remove(header::ETAG);
        assert_eq!(story.judge(), Verdict::Pass(Reason::Stale), "{directive}");
    }
}

/// RFC 9111 §4.2.3: ages add up across tiers.
#[test]
fn a_manifest_that_left_its_origin_ten_seconds_ago_has_five_left() {
    for response in [&[("age", "10")][..], &[("date", TEN_SECONDS_EARLIER)]] {
        let origin = Story {
            response: fields(response),
            ..Story::of(&[]).with_rules(true)
        };
        assert_eq!(
            origin.freshness().remaining(THEN),
            Some(seconds(5)),
            "{response:?}"
        );
        assert_eq!(origin.rewritten()[header::CACHE_CONTROL], "max-age=15");
        // The edge has it from its parent two seconds later, with the age of then.
        let edge = Story::of(&[("cache-control", "max-age=15"), ("age", "12")]);
        assert_eq!(edge.freshness().remaining(THEN), Some(seconds(3)));
    }
}

/// RFC 9111 §4.2.3.
#[test]
fn the_time_a_response_took_counts_as_age() {
    let story = Story {
        delay: Duration::from_millis(700),
        ..Story::of(FRESH)
    };
    assert_eq!(
        story.freshness().remaining(THEN),
        Some(Duration::from_millis(59_300))
    );
}

#[test]
fn what_the_next_tier_and_the_player_read_agrees_with_the_rule_that_was_applied() {
    let table: [(Lines, &'static str); 8] = [
        (&[], "max-age=15"),
        (&[("cache-control", "max-age=600")], "max-age=15"),
        (
            &[("cache-control", "S-MaxAge=600, Max-Age=600, public")],
            "max-age=15, public",
        ),
        (
            &[
                ("cache-control", "no-cache"),
                ("pragma", "no-cache"),
                ("expires", "0"),
            ],
            "max-age=15",
        ),
        (
            &[("cache-control", "no-cache=\"a, b\", immutable")],
            "max-age=15, immutable",
        ),
        (
            &[("cache-control", "max-age=1, must-revalidate")],
            "max-age=15, must-revalidate",
        ),
        (
            &[
                ("cache-control", "stale-if-error=60"),
                ("cache-control", "no-transform, extension=\"a, b\""),
            ],
            "max-age=15, stale-if-error=60, no-transform, extension=\"a, b\"",
        ),
        (&[("expires", A_MINUTE_LATER), ("date", THEN_TEXT)], "max-age=15"),
    ];
    for (response, cache_control) in table {
        let rewritten = Story::of(response).with_rules(true).rewritten();
        let lines: Vec<_> = rewritten.get_all(header::CACHE_CONTROL).iter().collect();
        assert_eq!(lines, [cache_control], "{response:?}");
        assert!(!rewritten.contains_key(header::EXPIRES) && !rewritten.contains_key(header::PRAGMA));
        let edge = Story {
            response: rewritten,
            ..Story::of(&[])
        };
        assert_eq!(edge.freshness().lifetime, seconds(15), "{response:?}");
    }
}

#[test]
fn rules_that_yield_speak_only_where_the_origin_is_silent() {
    let explicit = Story::of(FRESH).with_rules(false);
    assert_eq!(explicit.freshness().lifetime, seconds(60));
    assert_eq!(explicit.rewritten(), explicit.response);
    let silent = Story::of(&[("etag", "\"a\"")]).with_rules(false);
    assert_eq!(silent.freshness().lifetime, seconds(15));
    let refused = Story::of(&[("cache-control", "no-cache"), ("etag", "\"a\"")]).with_rules(false);
    assert_eq!(refused.freshness().state(THEN), State::Stale);
}

#[test]
fn a_hint_overrides_but_never_lengthens_a_manifest() {
    let manifest = Story {
        hint: Some(seconds(5)),
        ..Story::of(FRESH).with_rules(true)
    };
    assert_eq!(manifest.freshness().lifetime, seconds(5));
    assert_eq!(manifest.rewritten()[header::CACHE_CONTROL], "max-age=5");
    let longer = Story {
        hint: Some(seconds(500)),
        ..Story::of(FRESH).with_rules(true)
    };
    assert_eq!(longer.freshness().lifetime, seconds(15));
    let segment = Story {
        path: "/demo/1.m4s",
        hint: Some(seconds(86_400)),
        ..Story::of(FRESH).with_rules(false)
    };
    assert_eq!(segment.freshness().lifetime, seconds(86_400));
    assert_eq!(segment.rewritten()[header::CACHE_CONTROL], "max-age=86400");
}

/// RFC 5861, RFC 9111 §4.2.4.
#[test]
fn staleness_is_what_the_response_says_and_else_what_the_service_says() {
    let service = StaleDefaults {
        stale_while_revalidate: seconds(5),
        stale_if_error: seconds(600),
    };
    let table: [(&'static str, bool, u64, u64, bool); 11] = [
        ("max-age=60", false, 5, 600, false),
        ("max-age=60, stale-while-revalidate=30", false, 30, 600, false),
        ("max-age=60, stale-if-error=0", false, 5, 0, false),
        ("max-age=60, must-revalidate", false, 5, 600, true),
        ("max-age=60, proxy-revalidate", false, 5, 600, true),
        // §5.2.2.10: s-maxage implies proxy-revalidate, unless the origin itself opens a window …
        ("s-maxage=60", false, 0, 0, true),
        ("s-maxage=60, stale-if-error=30", false, 0, 30, false),
        // … or a rule took its place.
        ("s-maxage=60", true, 5, 600, false),
        ("max-age=60, must-revalidate", true, 5, 600, true),
        // Never fresh, so not served stale unasked; good enough when upstream fails.
        ("max-age=0", false, 0, 600, false),
        ("no-cache", true, 5, 600, false),
    ];
    for (cache_control, ruled, while_revalidate, if_error, must_revalidate) in table {
        let mut story = Story {
            service,
            ..Story::of(&[("etag", "\"a\"")])
        };
        if ruled {
            story = story.with_rules(true);
        }
        story
            .response
            .insert(header::CACHE_CONTROL, HeaderValue::from_static(cache_control));
        let freshness = story.freshness();
        assert_eq!(
            freshness.stale_while_revalidate,
            seconds(while_revalidate),
            "{cache_control} {ruled}"
        );
        assert_eq!(
            freshness.stale_if_error,
            seconds(if_error),
            "{cache_control} {ruled}"
        );
        assert_eq!(
            freshness.must_revalidate, must_revalidate,
            "{cache_control} {ruled}"
        );
    }
}

/// RFC 9111 §4.3.4, with §3.2.
#[test]
fn a_304_renews_what_is_stored_under_the_same_rules() {
    let stored = fields(&[
        ("cache-control", "max-age=15"),
        ("date", TEN_SECONDS_EARLIER),
        ("etag", "\"a\""),
    ]);
    let not_modified = fields(&[
        ("cache-control", "no-cache"),
        ("date", THEN_TEXT),
        ("set-cookie", "user=1"),
    ]);
    let merged = merge_304(&stored, &not_modified);
    let story = Story {
        response: merged,
        ..Story::of(&[]).with_rules(true)
    };
    assert_eq!(story.freshness().remaining(THEN), Some(seconds(15)));
    assert_eq!(story.rewritten()[header::CACHE_CONTROL], "max-age=15");
}
