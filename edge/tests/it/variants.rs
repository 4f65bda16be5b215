//! One URL with several answers: who gets which, and how often the origin is asked for each (RFC 9110 §12.5.5,
//! RFC 9111 §4.1).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use model::service::{Direction, HeaderAction, HeaderRule, Service};
use model::{Period, Tier};
use testkit::cdn::Cdn;
use testkit::client::{ClientError, Request, Response, crowd};
use testkit::eventually;
use testkit::origin::{Gate, Reply};

use crate::methods::open_to_all;
use crate::{EDGE, PARENT, builder, one_of_each, results};

const PATH: &str = "/demo/a.json";

/// One origin, one parent, one edge, and a service that players may ask for fresh answers at once.
fn cdn(change: impl FnOnce(&mut Service) + 'static) -> Cdn {
    let change = |service: &mut Service| {
        service.revalidation_floor = Period(Duration::ZERO);
        change(service);
    };
    builder()
        .parents("ams", 1)
        .edges("ams", 1)
        .service("demo", change)
        .start()
}

/// Asks over each protocol in turn, so that no variant depends on one.
fn ask(cdn: &Cdn, nth: usize, request: &Request) -> Response {
    let client = match nth % 3 {
        0 => cdn.http(EDGE),
        1 => cdn.https(EDGE),
        _ => cdn.http2(EDGE),
    };
    client.send(request)
}

/// Has the origin answer with the language that it is asked for.
fn speak_languages(cdn: &Cdn) {
    cdn.origin().on_each(PATH, |request| {
        let language = request.values("accept-language").join("+");
        Reply::ok(language.clone())
            .field("Vary", "Accept-Language")
            .field("ETag", format!("\"{language}\""))
    });
}

fn in_language(language: &str) -> Request {
    Request::get(PATH).field("Accept-Language", language)
}

#[test]
fn every_variant_is_asked_for_once_and_spellings_of_one_wish_share_it() {
    let cdn = one_of_each();
    speak_languages(&cdn);
    let asked = |language: &str| {
        cdn.origin()
            .requests()
            .iter()
            .filter(|request| request.values("accept-language").join("+") == language)
            .count()
    };
    for nth in 0..3 {
        for (said, answered) in [
            ("nl", "nl"),
            ("en, nl;q=0.5", "en, nl;q=0.5"),
            ("NL", "nl"),
            ("EN ,nl; q=0.5", "en, nl;q=0.5"),
        ] {
            let response = ask(&cdn, nth, &in_language(said));
            response
                .expect(200)
                .number("Age", 0, 2)
                .field_with("Cache-Status", &[PARENT, EDGE])
                .field_with("Via", &[PARENT, EDGE])
                .field("X-Region", "ams")
                .any("Accept-Ranges")
                .field("Cache-Control", "max-age=3600")
                .field("Vary", "Accept-Language")
                .field("ETag", &format!("\"{answered}\""))
                .body(answered.as_bytes())
                .and_no_other_field();
        }
        // Nobody's language is one of them.
        assert_eq!(ask(&cdn, nth, &Request::get(PATH)).body, "");
    }
    assert_eq!((asked("nl"), asked("en, nl;q=0.5"), asked("")), (1, 1, 1));
    assert_eq!(cdn.origin().total(), 3);
    assert_eq!(results(&cdn, EDGE, "miss"), 3.0);
    assert_eq!(results(&cdn, EDGE, "hit"), 12.0);
}

#[test]
fn a_variant_that_is_missing_is_told_from_a_url_that_is() {
    let cdn = one_of_each();
    speak_languages(&cdn);
    for (language, says) in [
        ("nl", "edge-ams-1; fwd=uri-miss"),
        ("en", "edge-ams-1; fwd=vary-miss"),
        ("nl", "edge-ams-1; hit"),
    ] {
        let response = cdn.http(EDGE).send(&in_language(language));
        assert_eq!(response.body, language);
        let status = response.head.joined("Cache-Status");
        assert!(status.contains(says), "{status}");
    }
}

#[test]
fn all_lines_of_vary_count_and_more_than_one_field() {
    let cdn = one_of_each();
    cdn.origin().on_each(PATH, |request| {
        let said = ["x-a", "x-b"].map(|name| request.values(name).join(", "));
        Reply::ok(said.join("|"))
            .field("Vary", "X-B")
            .field("Vary", "x-a, ,X-b")
    });
    for (nth, (a, b)) in [("1", "1"), ("1", "2"), ("2", "1"), ("1", "1"), ("2", "1")]
        .into_iter()
        .enumerate()
    {
        let request = Request::get(PATH)
            .field("X-A", a)
            .field("X-B", b)
            .field("X-C", nth.to_string());
        assert_eq!(ask(&cdn, nth, &request).body, format!("{a}|{b}"));
    }
    assert_eq!(cdn.origin().total(), 3);
    // Several lines are one value (RFC 9110 §5.3).
    let lines = Request::get(PATH)
        .field("X-A", "1")
        .field("X-A", "2")
        .field("X-B", "1");
    assert_eq!(cdn.http(EDGE).send(&lines).body, "1, 2|1");
    let one = Request::get(PATH).field("X-A", "1, 2").field("X-B", "1");
    assert_eq!(cdn.http2(EDGE).send(&one).body, "1, 2|1");
    assert_eq!(cdn.origin().total(), 4);
}

#[test]
fn what_varies_by_what_no_other_request_shares_is_asked_for_each() {
    let cdn = one_of_each();
    for (path, vary) in [
        ("/demo/star", "*"),
        ("/demo/list", "Accept-Language, *"),
        ("/demo/cookie", "Cookie"),
        ("/demo/wrong", "no name"),
    ] {
        cdn.origin().on(path, Reply::ok("own").field("Vary", vary));
        for nth in 0..3 {
            assert_eq!(ask(&cdn, nth, &Request::get(path)).body, "own");
            assert_eq!(cdn.origin().count(path), nth + 1, "{vary}");
        }
    }
}

/// RFC 9110 §12.5.3.
#[test]
fn codings_are_the_origins_by_what_each_player_takes() {
    let cdn = one_of_each();
    cdn.origin().on_each(PATH, |request| {
        let taken = request.field("accept-encoding").unwrap_or_default().to_owned();
        let reply = Reply::ok(format!("for {taken}")).field("Vary", "accept-encoding");
        let best = taken.split([',', ';']).next().unwrap_or_default().to_owned();
        match best.as_str() {
            "identity" => reply,
            coding => reply.field("Content-Encoding", coding),
        }
    });
    for (nth, (said, sent, coding)) in [
        (None, "identity", None),
        (Some("identity"), "identity", None),
        (Some("gzip, deflate"), "gzip", Some("gzip")),
        (Some("deflate;q=0.5, gzip"), "gzip", Some("gzip")),
        (Some("gzip, deflate, br, zstd"), "br, zstd, gzip", Some("br")),
        (Some("br;q=1.0, gzip;q=1.0, zstd"), "br, zstd, gzip", Some("br")),
        (Some("*"), "br, zstd, gzip", Some("br")),
        (Some("zstd, gzip;q=0.5"), "zstd, gzip;q=0.9", Some("zstd")),
        (Some("gzip, identity;q=0"), "gzip, identity;q=0", Some("gzip")),
        (Some("deflate"), "identity", None),
        (Some("gzip;q=0"), "identity", None),
        (Some("identity, gzip;q=0.1"), "identity, gzip;q=0.9", None),
    ]
    .into_iter()
    .enumerate()
    {
        let request = said.map_or(Request::get(PATH), |said| {
            Request::get(PATH).field("Accept-Encoding", said)
        });
        let response = ask(&cdn, nth, &request);
        assert_eq!(response.body, format!("for {sent}"), "{said:?}");
        assert_eq!(response.field("Content-Encoding"), coding, "{said:?}");
        assert_eq!(response.field("Vary"), Some("accept-encoding"));
    }
    let mut asked: Vec<String> = cdn
        .origin()
        .requests()
        .iter()
        .filter_map(|request| request.field("accept-encoding").map(str::to_owned))
        .collect();
    asked.sort();
    let once = [
        "br, zstd, gzip",
        "gzip",
        "gzip, identity;q=0",
        "identity",
        "identity, gzip;q=0.9",
        "zstd, gzip;q=0.9",
    ];
    assert_eq!(asked, once);
}

#[test]
fn an_encoded_answer_is_not_given_to_who_cannot_read_it_though_its_origin_forgot_to_say_vary() {
    let cdn = one_of_each();
    cdn.origin()
        .on_each(PATH, |request| match request.field("accept-encoding") {
            Some("gzip") => Reply::ok("zipped")
                .field("Content-Encoding", "gzip")
                .field("Vary", "Origin"),
            _ => Reply::ok("plain").field("Vary", "Origin"),
        });
    for nth in 0..3 {
        let zipped = ask(&cdn, nth, &Request::get(PATH).field("Accept-Encoding", "gzip"));
        assert_eq!(
            (&zipped.body[..], zipped.field("Content-Encoding")),
            (&b"zipped"[..], Some("gzip"))
        );
        assert_eq!(ask(&cdn, nth, &Request::get(PATH)).body, "plain");
    }
    assert_eq!(cdn.origin().total(), 2);
}

#[test]
fn media_is_one_for_all_codings() {
    let cdn = one_of_each();
    cdn.origin()
        .on("/demo/1.m4s", Reply::ok("media").field("Vary", "Accept-Encoding"));
    for (nth, codings) in ["gzip", "br, gzip", "identity", "zstd"].into_iter().enumerate() {
        let response = ask(
            &cdn,
            nth,
            &Request::get("/demo/1.m4s").field("Accept-Encoding", codings),
        );
        assert_eq!(
            (&response.body[..], response.field("Content-Encoding")),
            (&b"media"[..], None)
        );
    }
    let requests = cdn.origin().requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].field("accept-encoding"), Some("identity"));
}

#[test]
fn a_crowd_on_a_cold_url_costs_one_request_for_each_variant() {
    let cdn = one_of_each();
    let gate = Gate::closed();
    let held = gate.clone();
    cdn.origin().on_each(PATH, move |request| {
        let language = request.field("accept-language").unwrap_or_default().to_owned();
        Reply::ok(language.repeat(20_000))
            .field("Vary", "Accept-Language")
            .held_at(10_000, &held)
    });
    let languages = ["nl", "en", "de"];
    let clients = [cdn.http(EDGE), cdn.https(EDGE), cdn.http2(EDGE)];
    let opener = gate.clone();
    let outcomes = crowd(91, |index| {
        let (client, gate) = (clients[index % 2].clone(), opener.clone());
        let language = languages[index % 3];
        async move {
            if index == 90 {
                // The last one lets all others go when they have had time to come.
                tokio::time::sleep(Duration::from_millis(300)).await;
                gate.open();
            }
            let response = client.fetch(&in_language(language)).await?;
            Ok::<_, ClientError>(response.body == language.repeat(20_000))
        }
    });
    for outcome in outcomes {
        assert!(outcome.unwrap(), "everyone gets the language they asked for");
    }
    assert_eq!(cdn.origin().total(), 3);
    assert_eq!(results(&cdn, EDGE, "miss"), 3.0);
    assert_eq!(results(&cdn, EDGE, "pass"), 0.0);
}

#[test]
fn each_variant_is_revalidated_by_itself() {
    let cdn = cdn(|_| {});
    speak_languages(&cdn);
    for language in ["nl", "en"] {
        assert_eq!(cdn.http(EDGE).send(&in_language(language)).body, language);
    }
    cdn.origin().forget();
    let wish = in_language("nl").field("Cache-Control", "no-cache");
    let response = ask(&cdn, 2, &wish);
    assert_eq!(response.body, "nl");
    let status = response.head.joined("Cache-Status");
    assert!(status.contains("edge-ams-1; fwd=stale"), "{status}");
    for nth in 0..3 {
        assert_eq!(ask(&cdn, nth, &in_language("en")).body, "en");
        assert_eq!(ask(&cdn, nth, &in_language("nl")).body, "nl");
    }
    let requests = cdn.origin().requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].field("if-none-match"), Some("\"nl\""));
    assert_eq!(requests[0].field("accept-language"), Some("nl"));
}

#[test]
fn conditions_ranges_and_heads_are_answered_from_their_variant() {
    let cdn = one_of_each();
    speak_languages(&cdn);
    for language in ["nl-NL", "en-GB"] {
        assert_eq!(cdn.http(EDGE).send(&in_language(language)).body, language);
    }
    for nth in 0..3 {
        let not_modified = ask(
            &cdn,
            nth,
            &in_language("nl-NL").field("If-None-Match", "\"nl-NL\""),
        );
        assert_eq!(
            (not_modified.status(), not_modified.field("Vary")),
            (304, Some("Accept-Language"))
        );
        let other = ask(
            &cdn,
            nth,
            &in_language("en-GB").field("If-None-Match", "\"nl-NL\""),
        );
        assert_eq!((other.status(), &other.body[..]), (200, &b"en-GB"[..]));
        let part = ask(&cdn, nth, &in_language("en-GB").field("Range", "bytes=3-4"));
        assert_eq!((part.status(), &part.body[..]), (206, &b"GB"[..]));
        let head = ask(&cdn, nth, &Request::head(PATH).field("Accept-Language", "nl-nl"));
        assert_eq!((head.status(), head.field("ETag")), (200, Some("\"nl-NL\"")));
    }
    assert_eq!(cdn.origin().total(), 2);
}

#[test]
fn a_stale_variant_is_served_while_it_is_refreshed_behind() {
    let cdn = cdn(|service| service.ttl = None);
    cdn.origin().on_each(PATH, |request| {
        let language = request.field("accept-language").unwrap_or_default().to_owned();
        let lifetime = if language == "nl" { 0 } else { 3600 };
        Reply::ok(language.clone())
            .field("Vary", "Accept-Language")
            .field("ETag", format!("\"{language}\""))
            .field(
                "Cache-Control",
                format!("max-age={lifetime}, stale-while-revalidate=3600"),
            )
    });
    for language in ["nl", "en"] {
        assert_eq!(cdn.http(EDGE).send(&in_language(language)).body, language);
    }
    let asked = cdn.origin().total();
    assert_eq!(asked, 2);
    assert_eq!(cdn.http2(EDGE).send(&in_language("nl")).body, "nl");
    assert_eq!(results(&cdn, EDGE, "stale"), 1.0);
    eventually(Duration::from_secs(10), || cdn.origin().total() > asked);
    for request in &cdn.origin().requests()[asked..] {
        assert_eq!(request.field("if-none-match"), Some("\"nl\""));
    }
    let before = cdn.origin().total();
    assert_eq!(cdn.http(EDGE).send(&in_language("en")).body, "en");
    assert_eq!(cdn.origin().total(), before);
}

#[test]
fn an_answer_for_everybody_takes_the_place_of_all_variants() {
    let cdn = cdn(|_| {});
    cdn.origin()
        .on_each(PATH, |request| match request.field("accept-language") {
            Some("xx") => Reply::ok("for all"),
            language => Reply::ok(language.unwrap_or_default().to_owned()).field("Vary", "Accept-Language"),
        });
    for language in ["nl", "en"] {
        assert_eq!(cdn.http(EDGE).send(&in_language(language)).body, language);
    }
    assert_eq!(cdn.http(EDGE).send(&in_language("xx")).body, "for all");
    for (nth, language) in ["nl", "en", "xx", "de"].into_iter().enumerate() {
        assert_eq!(ask(&cdn, nth, &in_language(language)).body, "for all");
    }
    assert_eq!(cdn.origin().total(), 3);
    // And back: what lies there is asked for anew by a wish, and varies again.
    cdn.origin().on_each(PATH, |request| {
        let language = request.field("accept-language").unwrap_or_default().to_owned();
        Reply::ok(language).field("Vary", "Accept-Language")
    });
    let wish = in_language("nl").field("Cache-Control", "no-cache");
    assert_eq!(cdn.http(EDGE).send(&wish).body, "nl");
    for nth in 0..3 {
        assert_eq!(ask(&cdn, nth, &in_language("fr")).body, "fr");
        assert_eq!(ask(&cdn, nth, &in_language("nl")).body, "nl");
    }
    assert_eq!(cdn.origin().total(), 5);
}

#[test]
fn an_error_of_one_variant_leaves_the_others_where_they_are() {
    let cdn = cdn(|service| {
        let ttl = service.ttl.as_mut().unwrap();
        ttl.statuses.insert(404, Period(Duration::from_secs(60)));
    });
    cdn.origin()
        .on_each(PATH, |request| match request.field("accept-language") {
            Some("xx") => Reply::status(404).body("no such language"),
            language => Reply::ok(language.unwrap_or_default().to_owned()).field("Vary", "Accept-Language"),
        });
    assert_eq!(cdn.http(EDGE).send(&in_language("nl")).body, "nl");
    for nth in 0..3 {
        assert_eq!(ask(&cdn, nth, &in_language("xx")).status(), 404);
        assert_eq!(ask(&cdn, nth, &in_language("nl")).body, "nl");
    }
    assert_eq!(cdn.origin().total(), 2);
}

#[test]
fn an_answer_that_varies_by_another_field_adds_it() {
    let cdn = one_of_each();
    cdn.origin().on_each(PATH, |request| {
        let device = request.field("x-device").unwrap_or("none").to_owned();
        let language = request.field("accept-language").unwrap_or("none").to_owned();
        // Only who names a device is told that it matters.
        let vary = if device == "none" {
            "Accept-Language"
        } else {
            "X-Device"
        };
        Reply::ok(format!("{language} {device}")).field("Vary", vary)
    });
    assert_eq!(cdn.http(EDGE).send(&in_language("nl")).body, "nl none");
    assert_eq!(
        cdn.http(EDGE)
            .send(&in_language("en").field("X-Device", "tv"))
            .body,
        "en tv"
    );
    for (nth, (language, device)) in [("nl", "tv"), ("en", "tv"), ("en", "phone"), ("nl", "tv")]
        .into_iter()
        .enumerate()
    {
        let response = ask(&cdn, nth, &in_language(language).field("X-Device", device));
        assert_eq!(response.body, format!("{language} {device}"));
    }
    assert_eq!(cdn.origin().total(), 4);
}

#[test]
fn a_304_that_says_another_vary_has_the_answer_fetched_whole() {
    let cdn = cdn(|_| {});
    cdn.origin()
        .on(PATH, Reply::ok("for all").field("ETag", "\"one\""));
    assert_eq!(cdn.http(EDGE).get(PATH).body, "for all");
    cdn.origin().on_each(PATH, |request| {
        let language = request.field("accept-language").unwrap_or("none").to_owned();
        let reply = match request.field("if-none-match") {
            Some(_) => Reply::status(304),
            None => Reply::ok(language),
        };
        reply.field("ETag", "\"one\"").field("Vary", "Accept-Language")
    });
    let wish = in_language("nl").field("Cache-Control", "no-cache");
    assert_eq!(cdn.http(EDGE).send(&wish).body, "nl");
    assert_eq!(ask(&cdn, 1, &in_language("en")).body, "en");
    assert_eq!(ask(&cdn, 2, &in_language("nl")).body, "nl");
    let requests = cdn.origin().requests();
    let whole: Vec<_> = requests
        .iter()
        .filter(|request| request.field("if-none-match").is_none())
        .map(|request| request.field("accept-language"))
        .collect();
    assert_eq!(whole, [None, Some("nl"), Some("en")]);
}

#[test]
fn a_rule_that_takes_a_field_away_leaves_nothing_to_vary_by() {
    let cdn = cdn(|service| {
        service.header_rules.push(HeaderRule {
            tier: None,
            on: Direction::Request,
            action: HeaderAction::Remove,
            name: "User-Agent".to_owned(),
            value: None,
        });
    });
    cdn.origin()
        .on(PATH, Reply::ok("one").field("Vary", "User-Agent"));
    for nth in 0..6 {
        let request = Request::get(PATH).field("User-Agent", format!("player {nth}"));
        assert_eq!(ask(&cdn, nth, &request).body, "one");
    }
    assert_eq!(cdn.origin().total(), 1);
}

#[test]
fn beyond_the_bound_the_oldest_variant_goes_and_a_wish_too_long_for_a_key_is_not_kept() {
    let cdn = one_of_each();
    cdn.origin().on_each(PATH, |request| {
        let agent = request.field("user-agent").unwrap_or_default().to_owned();
        Reply::ok(agent).field("Vary", "User-Agent")
    });
    let get = |agent: &str| {
        cdn.http(EDGE)
            .send(&Request::get(PATH).field("User-Agent", agent))
            .body
    };
    for nth in 0..=cache::variation::VARIANTS_MAX {
        let agent = nth.to_string();
        assert_eq!(get(&agent), agent);
    }
    let asked = cdn.origin().total();
    assert_eq!(asked, cache::variation::VARIANTS_MAX + 1);
    assert_eq!(
        cdn.daemon(EDGE)
            .metric("millrace_cache_variants_displaced_total", &[]),
        1.0
    );
    assert_eq!(get("1"), "1", "the second is there");
    assert_eq!(cdn.origin().total(), asked);
    assert_eq!(get("0"), "0", "the first is not");
    assert_eq!(cdn.origin().total(), asked + 1);

    let long = "x".repeat(3000);
    for nth in 1..=2 {
        assert_eq!(get(&long), long);
        assert_eq!(cdn.origin().total(), asked + 1 + nth);
    }
    assert_eq!(
        cdn.daemon(EDGE)
            .metric("millrace_cache_variants_refused_total", &[]),
        2.0
    );
}

#[test]
fn variants_are_served_from_disk_after_a_restart() {
    let mut cdn = builder()
        .parents("ams", 1)
        .edges("ams", 1)
        .settings(Tier::Edge, |settings| {
            settings.text("cache", "ram", "16MiB").disk("1GiB");
        })
        .start();
    speak_languages(&cdn);
    let languages = ["nl", "en", "de"];
    for language in languages {
        assert_eq!(cdn.http(EDGE).send(&in_language(language)).body, language);
    }
    cdn.daemon(EDGE).terminate();
    assert!(cdn.daemon_mut(EDGE).await_end(Duration::from_secs(20)).success());
    cdn.daemon_mut(EDGE).launch_again();
    cdn.daemon_mut(EDGE).await_ready();
    let asked = cdn.daemon(PARENT).metric("millrace_requests_total", &[]);
    for nth in 0..3 {
        for language in languages {
            let response = ask(&cdn, nth, &in_language(language));
            assert_eq!(
                (&response.body[..], response.field("Vary")),
                (language.as_bytes(), Some("Accept-Language"))
            );
            let status = response.head.joined("Cache-Status");
            assert!(status.contains("edge-ams-1; hit"), "{status}");
        }
    }
    assert_eq!(cdn.daemon(PARENT).metric("millrace_requests_total", &[]), asked);
    // What was not there before is one more of them, not a new beginning.
    assert_eq!(cdn.http(EDGE).send(&in_language("fr")).body, "fr");
    assert_eq!(cdn.http(EDGE).send(&in_language("nl")).body, "nl");
    assert_eq!(
        cdn.daemon(PARENT).metric("millrace_requests_total", &[]),
        asked + 1.0
    );
}

#[test]
fn an_unsafe_request_takes_all_variants_and_their_forms_away_on_both_tiers() {
    let cdn = open_to_all();
    let turn = Arc::new(AtomicUsize::new(0));
    let told = turn.clone();
    cdn.origin().on_each(PATH, move |request| {
        let language = request.field("accept-language").unwrap_or_default().to_owned();
        let number = told.load(Ordering::SeqCst);
        Reply::ok(format!("{language} as of {number}\n").repeat(500))
            .field("Content-Type", "application/json")
            .field("Vary", "Accept-Language")
    });
    let languages = ["nl", "en", "de"];
    let form_of = |nth: usize, language: &str| {
        let request = in_language(language).field("Accept-Encoding", "gzip");
        let response = ask(&cdn, nth, &request);
        assert_eq!(response.field("Content-Encoding"), Some("gzip"));
        response.body
    };
    let mut before = Vec::new();
    for language in languages {
        before.push(form_of(0, language));
    }
    turn.fetch_add(1, Ordering::SeqCst);
    for (nth, language) in languages.into_iter().enumerate() {
        assert_eq!(form_of(nth, language), before[nth], "it is cached");
    }
    assert_eq!(cdn.origin().total(), 3);
    assert_eq!(
        cdn.http(EDGE)
            .send(&Request::new("POST", PATH).body("x"))
            .status(),
        200
    );
    for (nth, language) in languages.into_iter().enumerate() {
        let now = format!("{language} as of 1\n").repeat(500);
        assert_eq!(ask(&cdn, nth, &in_language(language)).body, now);
        assert_ne!(form_of(nth, language), before[nth]);
    }
    assert_eq!(cdn.origin().total(), 7);
}

#[test]
fn tags_for_the_cdn_reach_every_tier_and_no_player() {
    let cdn = one_of_each();
    for (path, lifetime) in [("/demo/kept", "max-age=60"), ("/demo/passed", "no-store")] {
        let reply = Reply::ok("tagged")
            .field("Surrogate-Key", "film-1 season-2")
            .field("Cache-Tag", "film-1")
            .field("Cache-Groups", "\"film-1\"")
            .field("Cache-Control", lifetime);
        cdn.origin().on(path, reply);
        for nth in 0..3 {
            let response = ask(&cdn, nth, &Request::get(path));
            assert_eq!(response.body, "tagged");
            assert_eq!(response.field("Cache-Groups"), Some("\"film-1\""));
            for name in ["Surrogate-Key", "Cache-Tag"] {
                assert_eq!(response.field(name), None, "{path}");
            }
        }
        let for_edges = cdn.http(PARENT).get(path);
        assert_eq!(
            for_edges.field("Surrogate-Key"),
            Some("film-1 season-2"),
            "{path}"
        );
        assert_eq!(for_edges.field("Cache-Tag"), Some("film-1"), "{path}");
    }
}
