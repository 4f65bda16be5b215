//! The access log: one line for every request, with what an operator asks of it, in a file that may be rotated.

use std::time::Duration;

use serde_json::Value;
use testkit::client::{Request, run};
use testkit::origin::{Gate, Reply};
use testkit::{Look, eventually, unix_millis};

use crate::{EDGE, PARENT, one_of_each};

/// Lines are written off the hot path.
const WRITTEN_WITHIN: Duration = Duration::from_secs(10);

/// Every key of a line, in order.
const KEYS: [&str; 25] = [
    "time",
    "request_id",
    "trace_id",
    "tier",
    "node",
    "service",
    "content_id",
    "client",
    "protocol",
    "tls_version",
    "tls_cipher",
    "method",
    "host",
    "path",
    "range",
    "status",
    "bytes_sent",
    "complete",
    "cache",
    "upstream",
    "error",
    "first_byte_us",
    "total_us",
    "user_agent",
    "referer",
];

#[track_caller]
fn lines(cdn: &testkit::cdn::Cdn, node: &str, count: usize) -> Vec<Value> {
    eventually(WRITTEN_WITHIN, || {
        let lines = cdn.access_log(node);
        assert!(lines.len() <= count, "one line a request: {lines:#?}");
        if lines.len() == count {
            Ok(lines)
        } else {
            Err(format!("{} of {count} lines", lines.len()))
        }
    })
}

#[test]
fn a_line_says_who_asked_for_what_and_how_it_was_answered() {
    let cdn = one_of_each();
    cdn.origin().on("/demo/1.m4s", Reply::generated("1", 1000));
    let request = |target: &str| {
        Request::get(target)
            .field("User-Agent", "player/1.0 \"x\"")
            .field("Referer", "https://site.test/?token=secret")
    };
    let began = unix_millis();
    let first = cdn.https(EDGE).send(&request("/demo/1.m4s?token=secret&a=1"));
    assert_eq!(first.status(), 200);
    let second = cdn
        .http2(EDGE)
        .send(&request("/demo/1.m4s?a=1").field("Range", "bytes=0-99"));
    assert_eq!(second.status(), 206);
    assert_eq!(cdn.http(EDGE).get("/demo/%zz").status(), 400);
    assert_eq!(cdn.http(EDGE).host("other.test").get("/x").status(), 421);

    let edge = lines(&cdn, EDGE, 4);
    for line in &edge {
        let keys: Vec<&String> = line.as_object().unwrap().keys().collect();
        let mut expected = KEYS;
        expected.sort_unstable();
        assert_eq!(keys, expected, "{line}");
        let numbers = ["status", "bytes_sent", "total_us", "first_byte_us"];
        assert!(numbers.iter().all(|key| line[key].is_u64()), "{line}");
    }
    // Each core writes its own lines, so that those of different connections may come in another order.
    let of_status = |status: u64| edge.iter().find(|line| line["status"] == status).unwrap();
    let (miss, hit, bad, stray) = (of_status(200), of_status(206), of_status(400), of_status(421));
    for (key, value) in [
        ("tier", "edge"),
        ("node", EDGE),
        ("service", "demo"),
        ("content_id", "demo"),
        ("client", "127.0.0.1"),
        ("protocol", "h1"),
        ("tls_version", "TLSv1.3"),
        ("method", "GET"),
        ("host", testkit::cdn::HOST),
        ("cache", "miss"),
        ("upstream", PARENT),
        ("user_agent", "player/1.0 \"x\""),
    ] {
        assert_eq!(miss[key], value, "{key} of {miss}");
    }
    assert_eq!(
        (&miss["status"], &miss["bytes_sent"], &miss["complete"]),
        (&200.into(), &1000.into(), &true.into())
    );
    assert!(!miss.to_string().contains("secret"), "{miss}");
    assert!(
        miss["path"].as_str().unwrap().starts_with("/demo/1.m4s?token="),
        "{miss}"
    );
    assert_eq!(
        (&hit["protocol"], &hit["cache"], &hit["upstream"]),
        (&"h2".into(), &"hit".into(), &Value::Null)
    );
    assert_eq!(
        (&hit["status"], &hit["bytes_sent"], &hit["range"]),
        (&206.into(), &100.into(), &"bytes=0-99".into())
    );
    assert_eq!(
        (&bad["status"], &bad["cache"], &bad["service"]),
        (&400.into(), &"local".into(), &"demo".into())
    );
    assert_eq!((&stray["status"], &stray["service"]), (&421.into(), &Value::Null));
    let ids: std::collections::BTreeSet<_> = edge.iter().map(|line| line["request_id"].to_string()).collect();
    assert_eq!(ids.len(), 4, "every request has a name of its own");

    let parent = lines(&cdn, PARENT, 1);
    assert_eq!(
        parent[0]["trace_id"], miss["trace_id"],
        "the same trace on both tiers"
    );
    assert_eq!(parent[0]["upstream"], cdn.origin().address().to_string());
    let seen = cdn.origin().requests();
    assert!(
        seen[0]
            .field("traceparent")
            .unwrap()
            .contains(miss["trace_id"].as_str().unwrap())
    );
    let time = miss["time"].as_str().unwrap();
    assert!(time.starts_with("20") && time.ends_with('Z'), "{time}");
    assert!(began > 0);
}

#[test]
fn a_player_that_left_is_logged_with_what_it_got() {
    let cdn = one_of_each();
    let gate = Gate::closed();
    cdn.origin()
        .on("/demo/1.m4s", Reply::generated("1", 100_000).held_at(1000, &gate));
    run(async {
        let mut connection = cdn.http(EDGE).connect().await.unwrap();
        connection
            .begin(&Request::get("/demo/1.m4s"))
            .await
            .unwrap()
            .at_least(1000)
            .await
            .unwrap();
        connection.abort();
    });
    gate.open();
    let line = &lines(&cdn, EDGE, 1)[0];
    assert_eq!(
        (&line["status"], &line["complete"]),
        (&200.into(), &false.into()),
        "{line}"
    );
}

#[test]
fn a_rotated_log_is_opened_anew_on_sighup_and_no_line_is_lost() {
    let cdn = one_of_each();
    cdn.origin().on("/a", Reply::ok("a"));
    let path = cdn.access_log_path(EDGE);
    let rotated = path.with_extension("log.1");
    for _ in 0..5 {
        assert_eq!(cdn.http(EDGE).get("/a").status(), 200);
    }
    lines(&cdn, EDGE, 5);
    std::fs::rename(&path, &rotated).unwrap();
    cdn.daemon(EDGE).hang_up();
    eventually(WRITTEN_WITHIN, || path.exists());
    for _ in 0..7 {
        assert_eq!(cdn.http(EDGE).get("/a").status(), 200);
    }
    let of = |path: &std::path::Path| std::fs::read_to_string(path).unwrap_or_default().lines().count();
    eventually(WRITTEN_WITHIN, || (of(&rotated) + of(&path) == 12).look());
    assert_eq!(
        of(&rotated),
        5,
        "after the signal nothing is written to the old file"
    );
    assert_eq!(
        cdn.daemon(EDGE).metric("millrace_access_log_dropped_total", &[]),
        0.0
    );
}
