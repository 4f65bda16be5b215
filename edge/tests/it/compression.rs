//! Text that an edge compresses: once for each object and coding, for those who take it, and nothing else.

use std::io::Read;
use std::time::Duration;

use model::service::Service;
use model::{Period, Size, Tier};
use testkit::cdn::Cdn;
use testkit::client::{ClientError, Request, Response, crowd};
use testkit::origin::{Gate, Reply};

use crate::{EDGE, PARENT, builder, one_of_each, results};

const PATH: &str = "/demo/master.m3u8";
const MANIFEST: &str = "application/vnd.apple.mpegurl";

/// A manifest of some 60 kB.
fn manifest() -> String {
    let segments = (0..3000).map(|number| format!("#EXTINF:4.0,\nv{number}.m4s\n"));
    format!("#EXTM3U\n{}", segments.collect::<String>())
}

fn cdn(change: impl FnOnce(&mut Service) + 'static) -> Cdn {
    builder()
        .parents("ams", 1)
        .edges("ams", 1)
        .service("demo", change)
        .start()
}

fn serve(cdn: &Cdn) {
    let reply = Reply::ok(manifest())
        .field("Content-Type", MANIFEST)
        .field("ETag", "\"one\"");
    cdn.origin().on(PATH, reply);
}

/// Asks over each protocol in turn, so that no form depends on one.
fn ask(cdn: &Cdn, nth: usize, request: &Request) -> Response {
    let client = match nth % 3 {
        0 => cdn.http(EDGE),
        1 => cdn.https(EDGE),
        _ => cdn.http2(EDGE),
    };
    client.send(request)
}

fn taking(codings: &str) -> Request {
    Request::get(PATH).field("Accept-Encoding", codings)
}

/// The body of a response without its coding.
fn plain(response: &Response) -> String {
    let mut plain = String::new();
    let body = &response.body[..];
    match response.field("Content-Encoding") {
        None => plain.push_str(std::str::from_utf8(body).unwrap()),
        Some("gzip") => drop(
            flate2::read::GzDecoder::new(body)
                .read_to_string(&mut plain)
                .unwrap(),
        ),
        Some("br") => drop(
            brotli::Decompressor::new(body, 4096)
                .read_to_string(&mut plain)
                .unwrap(),
        ),
        Some("zstd") => plain = String::from_utf8(zstd::stream::decode_all(body).unwrap()).unwrap(),
        Some(other) => panic!("nobody knows {other}"),
    }
    plain
}

fn compressed(cdn: &Cdn, side: &str) -> f64 {
    cdn.daemon(EDGE)
        .metric("millrace_compression_bytes_total", &[("side", side)])
}

#[test]
fn a_manifest_is_compressed_once_for_each_coding_in_the_one_that_the_player_likes_best() {
    let cdn = one_of_each();
    serve(&cdn);
    let text = manifest();
    for nth in 0..3 {
        for (codings, coding) in [
            ("gzip, deflate, br, zstd", Some("br")),
            ("gzip, deflate", Some("gzip")),
            ("zstd;q=0.9, gzip;q=0.8", Some("zstd")),
            ("br;q=0.1, gzip", Some("gzip")),
            ("*", Some("br")),
            ("identity", None),
            ("deflate", None),
            ("identity, gzip;q=0.5", None),
            ("gzip;q=0, br;q=0, *;q=0, identity", None),
            // Nothing that is acceptable is there: better the plain bytes than none.
            ("identity;q=0", None),
        ] {
            let response = ask(&cdn, nth, &taking(codings));
            let expectation = response
                .expect(200)
                .number("Age", 0, 2)
                .field_with("Cache-Status", &[PARENT, EDGE])
                .field_with("Via", &[PARENT, EDGE])
                .field("X-Region", "ams")
                .field("Cache-Control", "max-age=15")
                .field("Content-Type", MANIFEST)
                .field("Vary", "Accept-Encoding");
            match coding {
                Some(coding) => {
                    assert!(response.body.len() < text.len() / 4, "{codings}");
                    expectation
                        .field("Content-Encoding", coding)
                        .field("ETag", "W/\"one\"")
                }
                None => expectation
                    .field("ETag", "\"one\"")
                    .field("Accept-Ranges", "bytes"),
            }
            .and_no_other_field();
            assert_eq!(plain(&response), text, "{codings}");
        }
        assert_eq!(plain(&ask(&cdn, nth, &Request::get(PATH))), text);
    }
    assert_eq!(compressed(&cdn, "in"), 3.0 * text.len() as f64);
    assert!(compressed(&cdn, "out") < text.len() as f64);
    // The origin had nothing encoded, and was asked once: its answer does not vary.
    assert_eq!(cdn.origin().total(), 1);
    assert_eq!(results(&cdn, EDGE, "miss"), 1.0);
}

#[test]
fn what_a_coding_does_not_help_or_nobody_may_change_is_sent_as_it_is() {
    let cdn = cdn(|service| service.compression.max_size = Size(100_000));
    let text = manifest();
    let long = text.repeat(2);
    let short = "#EXTM3U\n".repeat(100);
    let noise = testkit::body("noise", 50_000);
    for (path, kind, body, extra, says_vary) in [
        ("/demo/1.m4s", "text/plain", text.as_bytes(), None, false),
        ("/demo/1.bin", "video/mp4", text.as_bytes(), None, false),
        ("/demo/2.bin", "audio/mp4", text.as_bytes(), None, false),
        ("/demo/a.png", "image/png", text.as_bytes(), None, false),
        ("/demo/short.txt", "text/plain", short.as_bytes(), None, false),
        ("/demo/long.txt", "text/plain", long.as_bytes(), None, false),
        (
            "/demo/as-is.txt",
            "text/plain",
            text.as_bytes(),
            Some(("Cache-Control", "public, no-transform")),
            false,
        ),
        (
            "/demo/coded.txt",
            "text/plain",
            text.as_bytes(),
            Some(("Content-Encoding", "x-own")),
            false,
        ),
        ("/demo/noise.txt", "text/plain", &noise[..], None, true),
    ] {
        let mut reply = Reply::ok(body.to_vec()).field("Content-Type", kind);
        if let Some((name, value)) = extra {
            reply = reply.field(name, value);
        }
        cdn.origin().on(path, reply);
        for nth in 0..3 {
            let response = ask(
                &cdn,
                nth,
                &Request::get(path).field("Accept-Encoding", "br, gzip"),
            );
            assert_eq!((response.status(), &response.body[..]), (200, body), "{path}");
            let own = extra.filter(|(name, _)| *name == "Content-Encoding");
            assert_eq!(
                response.field("Content-Encoding"),
                own.map(|(_, value)| value),
                "{path}"
            );
            assert_eq!(response.field("Vary").is_some(), says_vary, "{path}");
        }
        assert_eq!(cdn.origin().count(path), 1, "{path}");
    }
    // Noise was tried once, and that is remembered.
    assert_eq!(compressed(&cdn, "in"), 50_000.0);
}

#[test]
fn a_service_says_what_is_compressed_and_may_say_nothing() {
    let only_json = cdn(|service| service.compression.types = vec!["application/json".to_owned()]);
    let none = cdn(|service| service.compression.enabled = false);
    for (cdn, path, kind, coding) in [
        (
            &only_json,
            "/a.json",
            "application/json; charset=utf-8",
            Some("gzip"),
        ),
        (&only_json, "/a.txt", "text/plain", None),
        (&none, "/a.json", "application/json", None),
    ] {
        cdn.origin()
            .on(path, Reply::ok(manifest()).field("Content-Type", kind));
        let response = ask(cdn, 0, &Request::get(path).field("Accept-Encoding", "gzip"));
        assert_eq!(response.field("Content-Encoding"), coding, "{path}");
        assert_eq!(plain(&response), manifest());
    }
}

#[test]
fn conditions_heads_and_ranges_meet_the_form_that_they_speak_of() {
    let cdn = one_of_each();
    serve(&cdn);
    let text = manifest();
    for nth in 0..3 {
        let whole = ask(&cdn, nth, &taking("gzip"));
        assert_eq!(plain(&whole), text);
        for tag in ["W/\"one\"", "\"one\"", "\"two\", W/\"one\"", "*"] {
            let response = ask(&cdn, nth, &taking("gzip").field("If-None-Match", tag));
            assert_eq!((response.status(), response.body.len()), (304, 0), "{tag}");
            assert_eq!(response.field("ETag"), Some("W/\"one\""), "{tag}");
            assert_eq!(response.field("Vary"), Some("Accept-Encoding"), "{tag}");
        }
        let other = ask(&cdn, nth, &taking("gzip").field("If-None-Match", "\"two\""));
        assert_eq!((other.status(), &other.body), (200, &whole.body));

        let head = ask(&cdn, nth, &Request::head(PATH).field("Accept-Encoding", "gzip"));
        assert_eq!(
            (head.status(), head.field("Content-Encoding")),
            (200, Some("gzip"))
        );
        assert_eq!(
            head.field("Content-Length"),
            Some(whole.body.len().to_string().as_str())
        );

        let part = ask(&cdn, nth, &taking("gzip").field("Range", "bytes=0-6"));
        part.expect(206)
            .any("Age")
            .any("Cache-Status")
            .any("Via")
            .any("X-Region")
            .any("Cache-Control")
            .any("Content-Type")
            .field("Accept-Ranges", "bytes")
            .field("ETag", "\"one\"")
            .field("Vary", "Accept-Encoding")
            .field("Content-Range", &format!("bytes 0-6/{}", text.len()))
            .body(b"#EXTM3U")
            .and_no_other_field();
        // A weak tag does not say that the bytes are those (RFC 9110 §13.1.5).
        let weak = taking("gzip")
            .field("Range", "bytes=0-6")
            .field("If-Range", "W/\"one\"");
        let weak = ask(&cdn, nth, &weak);
        assert_eq!((weak.status(), plain(&weak)), (200, text.clone()));
    }
    assert_eq!(compressed(&cdn, "in"), text.len() as f64);
    assert_eq!(cdn.origin().total(), 1);
}

#[test]
fn a_crowd_on_a_cold_manifest_has_it_fetched_and_compressed_once() {
    let cdn = one_of_each();
    let gate = Gate::closed();
    let reply = Reply::ok(manifest()).field("Content-Type", MANIFEST);
    cdn.origin().on(PATH, reply.held_at(1000, &gate));
    let (clients, opener) = ([cdn.http(EDGE), cdn.http2(EDGE)], gate.clone());
    let outcomes = crowd(61, |index| {
        let (client, gate) = (clients[index % 2].clone(), opener.clone());
        async move {
            if index == 60 {
                // The last one lets all others go when they have had time to come.
                tokio::time::sleep(Duration::from_millis(300)).await;
                gate.open();
            }
            let response = client.fetch(&taking("br, gzip")).await?;
            Ok::<_, ClientError>((plain(&response) == manifest(), response.body.len()))
        }
    });
    for outcome in outcomes {
        let (right, length) = outcome.unwrap();
        assert!(right && length < manifest().len() / 4);
    }
    assert_eq!(cdn.origin().total(), 1);
    assert_eq!(compressed(&cdn, "in"), manifest().len() as f64);
}

#[test]
fn a_form_is_as_new_as_what_it_was_made_of() {
    let cdn = cdn(|service| service.revalidation_floor = Period(Duration::ZERO));
    let serve = |text: &'static str, tag: &'static str, note: &'static str| {
        cdn.origin().on_each(PATH, move |request| {
            let reply = match request.field("if-none-match") {
                Some(own) if own == tag => Reply::status(304),
                _ => Reply::ok(text.repeat(200)).field("Content-Type", MANIFEST),
            };
            reply.field("ETag", tag).field("X-Note", note)
        });
    };
    let wish = || taking("gzip").field("Cache-Control", "no-cache");
    let text = |response: &Response| {
        (
            plain(response).chars().next(),
            response.field("X-Note").map(str::to_owned),
        )
    };
    let says = |first: char, note: &str| (Some(first), Some(note.to_owned()));

    serve("first line\n", "\"one\"", "at first");
    assert_eq!(text(&ask(&cdn, 0, &taking("gzip"))), says('f', "at first"));
    // Confirmed: the bytes hold, with what is said of them now.
    serve("first line\n", "\"one\"", "confirmed");
    for nth in 0..3 {
        let request = if nth == 0 { wish() } else { taking("gzip") };
        let response = ask(&cdn, nth, &request);
        assert_eq!(text(&response), says('f', "confirmed"));
        assert_eq!(response.field("Content-Encoding"), Some("gzip"));
    }
    assert_eq!(compressed(&cdn, "in"), 2200.0);
    // Replaced: made anew.
    serve("second line\n", "\"two\"", "replaced");
    for nth in 0..3 {
        let request = if nth == 0 { wish() } else { taking("gzip") };
        let response = ask(&cdn, nth, &request);
        assert_eq!(text(&response), says('s', "replaced"));
        assert_eq!(response.field("ETag"), Some("W/\"two\""));
    }
    assert_eq!(compressed(&cdn, "in"), 2200.0 + 2400.0);
}

#[test]
fn variants_of_an_origin_that_does_not_compress_are_compressed_each() {
    let cdn = one_of_each();
    cdn.origin().on_each("/a.json", |request| {
        let language = request.field("accept-language").unwrap_or_default().to_owned();
        Reply::ok(language.repeat(1000))
            .field("Content-Type", "application/json")
            .field("Vary", "Accept-Language")
    });
    for nth in 0..3 {
        for language in ["nl", "en"] {
            let request = Request::get("/a.json").field("Accept-Language", language);
            let response = ask(&cdn, nth, &request.clone().field("Accept-Encoding", "br"));
            assert_eq!(response.field("Content-Encoding"), Some("br"));
            assert_eq!(response.head.joined("Vary"), "Accept-Language, Accept-Encoding");
            assert_eq!(plain(&response), language.repeat(1000));
            assert_eq!(plain(&ask(&cdn, nth, &request)), language.repeat(1000));
        }
    }
    assert_eq!(cdn.origin().total(), 2);
    assert_eq!(compressed(&cdn, "in"), 4000.0);
}

#[test]
fn a_body_of_unknown_length_is_passed_on_as_it_comes_and_compressed_for_the_next() {
    let cdn = one_of_each();
    let reply = Reply::ok(manifest())
        .field("Content-Type", MANIFEST)
        .chunked(10_000);
    cdn.origin().on(PATH, reply);
    let first = ask(&cdn, 0, &taking("gzip"));
    assert_eq!(
        (plain(&first), first.field("Vary")),
        (manifest(), Some("Accept-Encoding"))
    );
    testkit::eventually(Duration::from_secs(10), || {
        let next = ask(&cdn, 1, &taking("gzip"));
        assert_eq!(plain(&next), manifest());
        next.field("Content-Encoding") == Some("gzip")
    });
    assert_eq!(cdn.origin().total(), 1);
}

#[test]
fn a_form_is_served_from_disk_after_a_restart() {
    let mut cdn = builder()
        .parents("ams", 1)
        .edges("ams", 1)
        .settings(Tier::Edge, |settings| {
            settings.text("cache", "ram", "16MiB").disk("1GiB");
        })
        .start();
    let reply = Reply::ok(manifest())
        .field("Content-Type", "text/plain")
        .field("ETag", "\"one\"");
    cdn.origin().on("/a.txt", reply);
    let request = Request::get("/a.txt").field("Accept-Encoding", "zstd");
    assert_eq!(plain(&ask(&cdn, 0, &request)), manifest());
    cdn.daemon(EDGE).terminate();
    assert!(cdn.daemon_mut(EDGE).await_end(Duration::from_secs(20)).success());
    cdn.daemon_mut(EDGE).launch_again();
    cdn.daemon_mut(EDGE).await_ready();
    for nth in 0..3 {
        let response = ask(&cdn, nth, &request);
        assert_eq!(response.field("Content-Encoding"), Some("zstd"));
        assert_eq!(plain(&response), manifest());
    }
    assert_eq!(compressed(&cdn, "in"), 0.0);
    assert_eq!(cdn.origin().total(), 1);
}
