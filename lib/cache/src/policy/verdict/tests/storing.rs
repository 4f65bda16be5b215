//! Whether a response is stored at all.

use proptest::prelude::*;

use super::*;

/// RFC 9111 §3.
#[test]
fn what_may_not_be_stored_is_passed_with_the_reason() {
    let table: [(Lines, Reason); 14] = [
        (&[("cache-control", "no-store, max-age=60")], Reason::NoStore),
        (&[("cache-control", "private, max-age=60")], Reason::Private),
        (&[("cache-control", "private=\"\", max-age=60")], Reason::Private),
        (
            &[("cache-control", "max-age=60"), ("cache-control", "no-store")],
            Reason::NoStore,
        ),
        (&[("cache-control", "max-age=60"), ("vary", "*")], Reason::Vary),
        (
            &[("cache-control", "max-age=60"), ("vary", "Origin, *")],
            Reason::Vary,
        ),
        (
            &[
                ("cache-control", "max-age=60"),
                ("vary", "Accept-Encoding, Cookie"),
            ],
            Reason::Vary,
        ),
        (
            &[
                ("cache-control", "max-age=60"),
                ("vary", "Accept-Encoding"),
                ("vary", "Cookie"),
            ],
            Reason::Vary,
        ),
        (
            &[
                ("cache-control", "max-age=60"),
                ("vary", "a, b, c, d, e, f, g, h"),
                ("content-encoding", "gzip"),
            ],
            Reason::Vary,
        ),
        (&[], Reason::NoLifetime),
        (&[("set-cookie", "user=1")], Reason::SetCookie),
        (
            &[
                ("set-cookie", "user=1"),
                ("cache-control", "max-age=0"),
                ("etag", "\"a\""),
            ],
            Reason::SetCookie,
        ),
        (&[("cache-control", "max-age=0")], Reason::Stale),
        (&[("cache-control", "max-age=60"), ("age", "60")], Reason::Stale),
    ];
    for (response, reason) in table {
        assert_eq!(Story::of(response).judge(), Verdict::Pass(reason), "{response:?}");
    }
}

/// RFC 9111 §3: rules give lifetimes, not permissions.
#[test]
fn no_rule_and_no_hint_extends_what_is_not_for_all() {
    let table: [(Lines, Reason); 5] = [
        (&[("cache-control", "no-store")], Reason::NoStore),
        (&[("cache-control", "private")], Reason::Private),
        (&[("vary", "Cookie")], Reason::Vary),
        (&[("set-cookie", "user=1")], Reason::SetCookie),
        (
            &[("set-cookie", "user=1"), ("cache-control", "max-age=0")],
            Reason::SetCookie,
        ),
    ];
    for (response, reason) in table {
        let story = Story {
            hint: Some(seconds(60)),
            ..Story::of(response).with_rules(true)
        };
        assert_eq!(story.judge(), Verdict::Pass(reason), "{response:?}");
        let story = Story {
            path: "/demo/1.m4s",
            ..story
        };
        assert_eq!(story.judge(), Verdict::Pass(reason), "{response:?}");
    }
}

/// RFC 9111 §4.1: each variant lies under a key of its own.
#[test]
fn a_response_that_varies_by_what_a_key_can_hold_is_stored() {
    for vary in ["Accept-Encoding", "origin", "", ", Accept-Encoding ,", "A, b"] {
        for coding in [None, Some("gzip")] {
            let mut story = Story::of(FRESH);
            story
                .response
                .insert(header::VARY, HeaderValue::from_static(vary));
            if let Some(coding) = coding {
                story
                    .response
                    .insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding));
            }
            assert_eq!(story.freshness().lifetime, seconds(60), "{vary:?} {coding:?}");
        }
    }
}

/// RFC 9111 §5.2.2.6: where a rule sets the lifetime, too.
#[test]
fn what_nobody_may_change_stays_known_as_such() {
    let table: [(Lines, bool); 5] = [
        (&[("cache-control", "max-age=60")], false),
        (&[("cache-control", "max-age=60, No-Transform")], true),
        (
            &[
                ("cache-control", "no-transform"),
                ("cdn-cache-control", "max-age=60"),
            ],
            true,
        ),
        (&[("cdn-cache-control", "max-age=60, no-transform")], true),
        (&[("cdn-cache-control", "max-age=60")], false),
    ];
    for (response, forbidden) in table {
        let story = Story::of(response);
        assert_eq!(forbids_transformation(&story.response), forbidden, "{response:?}");
        let rewritten = story.with_rules(true).rewritten();
        assert_eq!(forbids_transformation(&rewritten), forbidden, "{response:?}");
    }
}

/// RFC 9110 §9.2.3.
#[test]
fn only_answers_to_get_are_stored() {
    for method in [
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::OPTIONS,
        Method::DELETE,
    ] {
        let story = Story {
            method,
            ..Story::of(FRESH)
        };
        assert_eq!(story.judge(), Verdict::Pass(Reason::Method));
    }
}

/// RFC 9111 §5.2.1.5.
#[test]
fn a_request_may_forbid_to_store() {
    let story = Story {
        request: fields(&[("cache-control", "no-store")]),
        ..Story::of(FRESH)
    };
    assert_eq!(story.judge(), Verdict::Pass(Reason::RequestNoStore));
}

#[test]
fn one_clients_request_does_not_keep_a_key_out_of_the_cache() {
    for reason in [Reason::Method, Reason::RequestNoStore, Reason::Authorization] {
        assert!(!reason.lies_in_the_response(), "{reason}");
    }
    for reason in [
        Reason::Status,
        Reason::NoStore,
        Reason::Private,
        Reason::Vary,
        Reason::SetCookie,
    ] {
        assert!(reason.lies_in_the_response(), "{reason}");
    }
}

/// RFC 9111 §3.5.
#[test]
fn an_authorized_answer_is_stored_only_when_it_says_that_it_is_for_all() {
    let table: [(Lines, bool); 6] = [
        (&[("cache-control", "max-age=60")], false),
        (&[("expires", A_MINUTE_LATER)], false),
        (&[("cache-control", "max-age=60, proxy-revalidate")], false),
        (&[("cache-control", "max-age=60, public")], true),
        (&[("cache-control", "max-age=60, must-revalidate")], true),
        (&[("cache-control", "s-maxage=60")], true),
    ];
    for (response, stored) in table {
        let authorized = fields(&[("authorization", "Bearer x")]);
        let plain = Story {
            request: authorized.clone(),
            ..Story::of(response)
        };
        let ruled = Story {
            request: authorized,
            ..Story::of(response).with_rules(true)
        };
        for story in [plain, ruled] {
            let passed = story.judge() == Verdict::Pass(Reason::Authorization);
            assert_eq!(passed, !stored, "{response:?}");
        }
    }
}

/// RFC 9111 §3.5: what one tier may store, the next one may.
#[test]
fn a_rule_that_replaces_s_maxage_leaves_the_permission_it_gave() {
    for (response, rewritten) in [
        ("s-maxage=60", "max-age=15, public"),
        ("s-maxage=60, public", "max-age=15, public"),
        ("s-maxage=60, must-revalidate", "max-age=15, must-revalidate"),
    ] {
        let mut story = Story::of(&[]).with_rules(true);
        story.request = fields(&[("authorization", "Bearer x")]);
        story
            .response
            .insert(header::CACHE_CONTROL, HeaderValue::from_static(response));
        assert_eq!(story.rewritten()[header::CACHE_CONTROL], rewritten, "{response}");
        let next_tier = Story {
            response: story.rewritten(),
            request: story.request,
            ..Story::of(&[])
        };
        assert_eq!(next_tier.freshness().lifetime, seconds(15), "{response}");
    }
}

/// RFC 9111 §3, RFC 9110 §15.1.
#[test]
fn statuses_are_stored_when_something_says_for_how_long() {
    for status in [
        200, 203, 204, 299, 300, 301, 302, 303, 307, 308, 400, 403, 404, 405, 410, 414, 451, 499, 500, 501,
        502, 503, 504, 599,
    ] {
        let story = Story {
            status,
            ..Story::of(FRESH)
        };
        assert_eq!(story.freshness().lifetime, seconds(60), "{status}");
        assert_eq!(
            Story {
                status,
                ..Story::of(&[])
            }
            .judge(),
            // An error that says nothing of itself may be this one request's.
            Verdict::Pass(match status {
                400 | 403 | 451 | 499 | 500 | 502.. => Reason::Status,
                _ => Reason::NoLifetime,
            }),
            "{status}"
        );
    }
    for status in [100, 206, 304, 401, 407, 412, 416, 421, 429, 431, 511] {
        let story = Story {
            status,
            ..Story::of(FRESH).with_rules(true)
        };
        assert_eq!(story.judge(), Verdict::Pass(Reason::Status), "{status}");
    }
}

/// RFC 9111 §5.2.2.3.
#[test]
fn who_understands_the_status_heeds_it_instead_of_no_store() {
    for (status, stored) in [
        (200, true),
        (404, true),
        (503, true),
        (299, false),
        (599, false),
        (206, false),
    ] {
        for directives in [
            "must-understand, no-store, max-age=60",
            "must-understand, max-age=60",
        ] {
            let mut story = Story {
                status,
                ..Story::of(&[])
            };
            story
                .response
                .insert(header::CACHE_CONTROL, HeaderValue::from_static(directives));
            let expected = if stored { None } else { Some(Reason::Status) };
            let found = match story.judge() {
                Verdict::Store { .. } => None,
                Verdict::Pass(reason) => Some(reason),
            };
            assert_eq!(found, expected, "{status} {directives}");
        }
    }
}

/// RFC 9111 §5.2.2.4, §5.2.2.7: a list of fields withholds those fields, not the response.
#[test]
fn a_response_with_fields_for_one_client_is_stored_without_them() {
    for directives in [
        "private=\"x-user\", max-age=60",
        "no-cache=\"x-user\", max-age=60",
    ] {
        let mut story = Story::of(&[("x-user", "1")]);
        story
            .response
            .insert(header::CACHE_CONTROL, HeaderValue::from_static(directives));
        assert_eq!(story.freshness().lifetime, seconds(60), "{directives}");
        assert!(!crate::policy::storable_fields(&story.response).contains_key("x-user"));
    }
}

/// RFC 9111 §5.2.1.5.
#[test]
fn a_request_that_forbids_to_store_is_known_before_it_is_sent() {
    let no_store = fields(&[("cache-control", "No-Store")]);
    let other = fields(&[("cache-control", "no-cache, max-age=0")]);
    for (method, request, reason) in [
        (Method::GET, &no_store, Some(Reason::RequestNoStore)),
        (Method::HEAD, &no_store, Some(Reason::RequestNoStore)),
        (Method::GET, &other, None),
        (Method::HEAD, &other, None),
        (Method::POST, &other, Some(Reason::Method)),
    ] {
        assert_eq!(request_forbids(&method, request), reason, "{method} {request:?}");
    }
}

proptest! {
    #[test]
    fn whatever_a_response_says_the_verdict_keeps_its_bounds(
        directives in prop::collection::vec(
            "(no-store|private|no-cache|public|must-revalidate|(max-age|s-maxage|stale-if-error)(=[0-9a-z]{0,12})?)",
            0..5,
        ),
        lines in prop::collection::vec(("(age|date|expires|vary|set-cookie|etag|pragma)", "[ -~]{0,20}"), 0..4),
        override_origin: bool,
        status in 100_u16..600,
    ) {
        let mut response = HeaderMap::new();
        let cache_control = directives.join(", ");
        response.insert(header::CACHE_CONTROL, HeaderValue::try_from(&cache_control).expect("legal"));
        for (name, value) in lines {
            let name = HeaderName::try_from(name).expect("a name");
            response.append(name, HeaderValue::try_from(value).expect("legal"));
        }
        let story = Story { status, response, ..Story::of(&[]).with_rules(override_origin) };
        if let Verdict::Store { freshness, .. } = story.judge() {
            prop_assert!(!cache_control.contains("no-store") && !cache_control.contains("private"));
            prop_assert!(freshness.generated_at <= THEN);
            prop_assert!(!override_origin || freshness.lifetime <= seconds(15));
            // The next tier, which knows no rules, keeps it for as long.
            let next_tier = Story { status, response: story.rewritten(), ..Story::of(&[]) };
            if let Verdict::Store { freshness: next, .. } = next_tier.judge() {
                prop_assert_eq!(next.lifetime, freshness.lifetime);
            }
        }
    }
}
