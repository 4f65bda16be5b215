//! What a player gets: content through both tiers, then from the edge, whole, in parts, or "not modified".

use std::time::Duration;

use model::Tier;
use model::service::PlainHttp;
use testkit::client::Request;
use testkit::origin::Reply;
use testkit::{body, eventually};

use crate::{EDGE, PARENT, builder, from_cache, one_of_each, results};

const MANIFEST: &str = "#EXTM3U\n#EXT-X-VERSION:7\n";

/// A manifest as an origin serves it, with fields that the CDN has to change or remove.
fn manifest() -> Reply {
    Reply::ok(MANIFEST)
        .field("Content-Type", "application/vnd.apple.mpegurl")
        .field("ETag", "\"v1\"")
        .field("Cache-Control", "max-age=600")
        .field("Pragma", "no-cache")
}

#[test]
fn a_miss_goes_through_both_tiers_and_the_next_request_is_a_hit_on_the_edge() {
    let cdn = one_of_each();
    cdn.origin().on("/demo/master.m3u8", manifest());
    let client = cdn.https(EDGE);

    for says in [["fwd=uri-miss", "stored"], ["hit", "ttl="]] {
        from_cache(&client.get("/demo/master.m3u8"), 200, &says)
            .field("Content-Type", "application/vnd.apple.mpegurl")
            .field("ETag", "\"v1\"")
            .field("Cache-Control", "max-age=15")
            .without("Pragma")
            .body(MANIFEST.as_bytes())
            .and_no_other_field();
    }

    assert_eq!(cdn.origin().total(), 1);
    assert_eq!(
        (results(&cdn, EDGE, "miss"), results(&cdn, EDGE, "hit")),
        (1.0, 1.0)
    );
    assert_eq!(
        (results(&cdn, PARENT, "miss"), results(&cdn, PARENT, "hit")),
        (1.0, 0.0)
    );
}

#[test]
fn the_origin_is_asked_for_the_whole_object_by_a_cdn_that_says_who_it_is() {
    let cdn = one_of_each();
    cdn.origin()
        .on("/demo/1.m4s", Reply::generated("1", 1000).field("ETag", "\"v1\""));
    let request = Request::get("/demo/1.m4s")
        .field("Range", "bytes=0-9")
        .field("If-None-Match", "\"other\"")
        .field("Accept-Encoding", "gzip, br")
        .field("Pragma", "no-cache")
        .field("Connection", "X-Private")
        .field("X-Private", "for this hop")
        .field(
            "traceparent",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        );
    assert_eq!(cdn.http(EDGE).send(&request).status(), 206);

    let seen = cdn.origin().requests();
    assert_eq!(seen.len(), 1);
    let seen = &seen[0];
    assert_eq!(
        (seen.method.as_str(), seen.target.as_str()),
        ("GET", "/demo/1.m4s")
    );
    let mut names: Vec<String> = seen
        .fields
        .iter()
        .map(|(name, _)| name.to_ascii_lowercase())
        .collect();
    names.sort();
    names.dedup();
    assert_eq!(
        names,
        [
            "accept-encoding",
            "cdn-loop",
            "host",
            "traceparent",
            "via",
            "x-forwarded-for"
        ]
    );
    assert_eq!(seen.field("host").unwrap(), cdn.origin().address().to_string());
    assert_eq!(seen.field("accept-encoding"), Some("identity"));
    assert_eq!(seen.values("via").join(", "), "1.1 edge-ams-1, 1.1 parent-ams-1");
    assert!(
        seen.values("cdn-loop").join(", ").contains("test"),
        "{:?}",
        seen.values("cdn-loop")
    );
    let trace = seen.field("traceparent").unwrap();
    assert!(
        trace.starts_with("00-0af7651916cd43dd8448eb211c80319c-"),
        "the player's trace goes on: {trace}"
    );
    assert!(
        !trace.contains("b7ad6b7169203331"),
        "under a span of our own: {trace}"
    );
}

#[test]
fn a_segment_is_fresh_for_an_hour_and_the_same_over_every_protocol() {
    let cdn = one_of_each();
    let expected = body("1", 3_000_000);
    cdn.origin().on(
        "/demo/1.m4s",
        Reply::generated("1", 3_000_000).field("Content-Type", "video/mp4"),
    );
    for client in [cdn.http(EDGE), cdn.https(EDGE), cdn.http2(EDGE)] {
        client
            .get("/demo/1.m4s")
            .expect(200)
            .number("Age", 0, 5)
            .field_with("Cache-Status", &[PARENT, EDGE])
            .field_with("Via", &["1.1 parent-ams-1", "1.1 edge-ams-1"])
            .field("X-Region", "ams")
            .field("Accept-Ranges", "bytes")
            .field("Content-Type", "video/mp4")
            .field("Cache-Control", "max-age=3600")
            .body(&expected)
            .and_no_other_field();
    }
    assert_eq!(cdn.origin().total(), 1);
}

#[test]
fn a_token_is_no_part_of_what_an_object_is_and_the_order_of_parameters_neither() {
    let cdn = one_of_each();
    cdn.origin().on("/demo/1.m4s", Reply::generated("1", 1000));
    let client = cdn.http(EDGE);
    for target in [
        "/demo/1.m4s?b=2&token=a&a=1",
        "/demo/1.m4s?a=1&b=2&token=b",
        "/demo/%31.m4s?a=1&CMCD=br%3D1&b=2",
    ] {
        assert_eq!(client.get(target).status(), 200, "{target}");
    }
    let targets: Vec<String> = cdn
        .origin()
        .requests()
        .into_iter()
        .map(|request| request.target)
        .collect();
    assert_eq!(targets, ["/demo/1.m4s?a=1&b=2"]);
    assert_eq!(client.get("/demo/1.m4s?a=1&b=3").status(), 200);
    assert_eq!(
        cdn.origin().total(),
        2,
        "another value of a parameter that counts is another object"
    );
}

#[test]
fn ranges_of_a_hit_are_served_from_the_cache() {
    let cdn = one_of_each();
    let length = 200_000;
    let expected = body("1", length);
    cdn.origin().on(
        "/demo/1.m4s",
        Reply::generated("1", length).field("ETag", "\"v1\""),
    );
    let client = cdn.http(EDGE);
    assert_eq!(client.get("/demo/1.m4s").body, expected);

    let table = [
        ("bytes=0-0", 0..1),
        ("bytes=100-199", 100..200),
        ("bytes=65530-65545", 65_530..65_546),
        ("bytes=199990-", 199_990..200_000),
        ("bytes=-7", 199_993..200_000),
        ("bytes=150000-999999", 150_000..200_000),
    ];
    for (range, part) in table {
        let response = client.send(&Request::get("/demo/1.m4s").field("Range", range));
        from_cache(&response, 206, &["hit"])
            .field(
                "Content-Range",
                &format!("bytes {}-{}/{length}", part.start, part.end - 1),
            )
            .field("ETag", "\"v1\"")
            .field("Cache-Control", "max-age=3600")
            .body(&expected[part])
            .and_no_other_field();
    }
    let beyond = client.send(&Request::get("/demo/1.m4s").field("Range", "bytes=200000-"));
    from_cache(&beyond, 416, &["hit"])
        .field("Content-Range", "bytes */200000")
        .any("ETag")
        .any("Cache-Control")
        .body(b"")
        .and_no_other_field();
    let ask = |name: &str, value: &str| {
        client
            .send(
                &Request::get("/demo/1.m4s")
                    .field("Range", "bytes=0-9")
                    .field(name, value),
            )
            .status()
    };
    assert_eq!(ask("If-Range", "\"v1\""), 206);
    assert_eq!(
        ask("If-Range", "\"v0\""),
        200,
        "of another version nobody wants a part"
    );
    assert_eq!(cdn.origin().total(), 1);
}

#[test]
fn a_player_that_has_it_already_is_told_so_by_the_edge() {
    let cdn = one_of_each();
    let modified = "Mon, 01 Jan 2024 00:00:00 GMT";
    cdn.origin().on(
        "/demo/1.m4s",
        Reply::generated("1", 1000)
            .field("ETag", "\"v1\"")
            .field("Last-Modified", modified),
    );
    let client = cdn.http(EDGE);
    assert_eq!(client.get("/demo/1.m4s").status(), 200);
    let ask = |name: &str, value: &str| client.send(&Request::get("/demo/1.m4s").field(name, value));
    for (name, value) in [
        ("If-None-Match", "\"v0\", W/\"v1\""),
        ("If-None-Match", "*"),
        ("If-Modified-Since", modified),
    ] {
        from_cache(&ask(name, value), 304, &["hit"])
            .field("ETag", "\"v1\"")
            .any("Last-Modified")
            .field("Cache-Control", "max-age=3600")
            .body(b"")
            .and_no_other_field();
    }
    assert_eq!(ask("If-None-Match", "\"v2\"").status(), 200);
    assert_eq!(
        ask("If-Modified-Since", "Sun, 31 Dec 2023 00:00:00 GMT").status(),
        200
    );
    assert_eq!(cdn.origin().total(), 1);
}

#[test]
fn head_tells_what_get_would() {
    let cdn = one_of_each();
    cdn.origin()
        .on("/demo/1.m4s", Reply::generated("1", 1000).field("ETag", "\"v1\""));
    let client = cdn.http(EDGE);
    let on_a_miss = client.send(&Request::head("/demo/1.m4s"));
    from_cache(&on_a_miss, 200, &["fwd=uri-miss"])
        .field("Content-Length", "1000")
        .field("ETag", "\"v1\"")
        .field("Cache-Control", "max-age=3600")
        .body(b"")
        .and_no_other_field();
    eventually(Duration::from_secs(5), || {
        client
            .get("/demo/1.m4s")
            .head
            .joined("Cache-Status")
            .contains("edge-ams-1; hit")
    });
    let on_a_hit = client.send(&Request::head("/demo/1.m4s"));
    from_cache(&on_a_hit, 200, &["hit"])
        .field("Content-Length", "1000")
        .any("ETag")
        .any("Cache-Control")
        .body(b"")
        .and_no_other_field();
    let methods: Vec<String> = cdn
        .origin()
        .requests()
        .into_iter()
        .map(|request| request.method)
        .collect();
    assert_eq!(methods, ["GET"], "what a HEAD misses is fetched for everybody");
}

#[test]
fn a_body_without_an_announced_length_gets_one_once_it_is_known() {
    let cdn = one_of_each();
    let expected = body("1", 300_000);
    cdn.origin()
        .on("/demo/1.m4s", Reply::generated("1", 300_000).chunked(7000));
    let client = cdn.http(EDGE);
    assert_eq!(client.get("/demo/1.m4s").body, expected);
    let hit = client.get("/demo/1.m4s");
    from_cache(&hit, 200, &["hit"])
        .field("Content-Length", "300000")
        .field("Cache-Control", "max-age=3600")
        .body(&expected)
        .and_no_other_field();
    assert_eq!(cdn.origin().total(), 1);
}

#[test]
fn age_grows_from_the_moment_the_origin_answered() {
    let cdn = one_of_each();
    cdn.origin().on(
        "/demo/1.m4s",
        Reply::generated("1", 1000)
            .field("Age", "100")
            .field("Cache-Control", "max-age=50"),
    );
    let client = cdn.http(EDGE);
    let age = || {
        client
            .get("/demo/1.m4s")
            .field("Age")
            .unwrap()
            .parse::<u64>()
            .unwrap()
    };
    let first = age();
    assert!(
        (100..=102).contains(&first),
        "an age that upstream tells is continued: {first}"
    );
    let grown = eventually(Duration::from_secs(10), || {
        Some(age()).filter(|age| *age > first + 1)
    });
    assert!(grown <= first + 12);
    assert_eq!(
        cdn.origin().total(),
        1,
        "the rule of an hour holds, not the origin's max-age"
    );
}

#[test]
fn what_is_not_for_all_is_asked_for_each() {
    let cdn = one_of_each();
    for (path, field, value) in [
        ("/demo/no-store", "Cache-Control", "no-store"),
        ("/demo/private", "Cache-Control", "private, max-age=60"),
        ("/demo/vary", "Vary", "*"),
    ] {
        cdn.origin().on_each(path, move |request| {
            Reply::ok(request.field("accept-language").unwrap_or("none").to_owned()).field(field, value)
        });
        for (number, language) in ["en", "nl", "en"].into_iter().enumerate() {
            let response = cdn
                .http(EDGE)
                .send(&Request::get(path).field("Accept-Language", language));
            response
                .expect(200)
                .any("Age")
                .field_with("Cache-Status", &[PARENT, "fwd=", EDGE, "fwd="])
                .field_with("Via", &[PARENT, EDGE])
                .field("X-Region", "ams")
                .any("Accept-Ranges")
                .field(field, value)
                .body(language.as_bytes())
                .and_no_other_field();
            assert_eq!(cdn.origin().count(path), number + 1, "{path}");
        }
    }
    assert_eq!(results(&cdn, EDGE, "hit"), 0.0);
    assert_eq!(results(&cdn, PARENT, "hit"), 0.0);
}

#[test]
fn an_error_of_the_origin_reaches_the_player_and_is_not_kept() {
    let cdn = one_of_each();
    cdn.origin().on("/demo/1.m4s", Reply::status(500).body("broken"));
    let client = cdn.http(EDGE);
    for asked in 1..=2 {
        let response = client.get("/demo/1.m4s");
        assert_eq!((response.status(), &response.body[..]), (500, &b"broken"[..]));
        assert_eq!(cdn.origin().count("/demo/1.m4s"), asked);
    }
    cdn.origin().on("/demo/1.m4s", Reply::ok("mended"));
    assert_eq!(&client.get("/demo/1.m4s").body[..], b"mended");
}

#[test]
fn a_service_says_what_becomes_of_plain_http() {
    let cdn = builder()
        .parents("ams", 1)
        .edges("ams", 1)
        .service("redirected", |service| {
            service.hosts = vec!["redirected.media.test".to_owned()];
            service.plain_http = PlainHttp::Redirect;
        })
        .service("refused", |service| {
            service.hosts = vec!["refused.media.test".to_owned()];
            service.plain_http = PlainHttp::Refuse;
        })
        .settings(Tier::Edge, |settings| {
            settings.text("tls", "hsts", "180d");
        })
        .start();
    cdn.origin().on("/a", Reply::ok("a"));
    let of = |host: &str| (cdn.http(EDGE).host(host), cdn.https(EDGE).host(host));

    let (plain, encrypted) = of("redirected.media.test");
    plain
        .get("/a?b=c")
        .expect(308)
        .field("Location", "https://redirected.media.test/a?b=c")
        .field("Cache-Control", "no-store")
        .any("Content-Type")
        .and_no_other_field();
    encrypted
        .get("/a")
        .expect(200)
        .field("Strict-Transport-Security", "max-age=15552000")
        .any("Age")
        .any("Via")
        .any("Cache-Status")
        .any("Cache-Control")
        .any("X-Region")
        .any("Accept-Ranges")
        .body(b"a")
        .and_no_other_field();

    let (plain, encrypted) = of("refused.media.test");
    plain
        .get("/a")
        .expect(403)
        .field("Cache-Control", "no-store")
        .any("Content-Type")
        .and_no_other_field();
    assert_eq!(encrypted.get("/a").status(), 200);
    assert_eq!(cdn.origin().total(), 2);
}

#[test]
fn a_connection_is_used_again_and_requests_may_be_pipelined() {
    let cdn = one_of_each();
    cdn.origin().on("/a", Reply::ok("aa"));
    cdn.origin().on("/b", Reply::ok("bbb"));
    assert_eq!(cdn.http(EDGE).get("/a").status(), 200);
    assert_eq!(cdn.http(EDGE).get("/b").status(), 200);
    testkit::client::run(async {
        let mut connection = cdn.http(EDGE).connect().await.unwrap();
        let two = format!(
            "GET /a HTTP/1.1\r\nHost: {0}\r\n\r\nGET /b HTTP/1.1\r\nHost: {0}\r\n\r\n",
            testkit::cdn::HOST
        );
        connection.write(two.as_bytes()).await.unwrap();
        for expected in ["aa", "bbb"] {
            let response = connection.receive("GET").await.unwrap().rest().await.unwrap();
            assert_eq!(
                (response.status(), &response.body[..]),
                (200, expected.as_bytes())
            );
        }
        let again = connection.send(&Request::get("/a")).await.unwrap();
        assert_eq!(again.status(), 200);
        connection.end().await.unwrap();
    });
    assert_eq!(cdn.origin().total(), 2);
}
