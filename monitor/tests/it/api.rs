//! What the API answers, and what it refuses.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use model::health::{Bulletin, Diff, View};
use serde_json::{Value, json};
use testkit::cdn::Cdn;
use testkit::client::Request;

use crate::{EDGE, PATIENCE, api, await_all_well, json as get, watched};

#[test]
fn every_answer_says_what_it_is() {
    let cdn = watched().edges("ams", 1).start();
    await_all_well(&cdn);
    let api = api(&cdn, "monitor-1");
    let state = api.get("/v1/state");
    state
        .expect(200)
        .field("Content-Type", "application/json")
        .field("Cache-Control", "no-cache")
        .any("ETag")
        .any("Content-Length")
        .any("Date")
        .body(&state.body)
        .and_no_other_field();
    let page = api.get("/");
    page.expect(200)
        .field("Content-Type", "text/html; charset=utf-8")
        .field("Cache-Control", "no-store")
        .any("Content-Security-Policy")
        .any("Content-Length")
        .any("Date")
        .body(&page.body)
        .and_no_other_field();
    let text = String::from_utf8(page.body.to_vec()).unwrap();
    for part in [EDGE, "parent-ams-1", "monitor-3", "counts", "<svg", "Events"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(
        api.get("/style.css").field("Content-Type"),
        Some("text/css; charset=utf-8")
    );
    let described = get(&cdn, "monitor-1", "/v1/openapi.json");
    let mut paths: Vec<&String> = described["paths"].as_object().unwrap().keys().collect();
    paths.sort();
    assert_eq!(
        paths,
        [
            "/v1/events",
            "/v1/heartbeat",
            "/v1/state",
            "/v1/stats",
            "/v1/stats/nodes/{node}",
            "/v1/stats/sites/{site}",
            "/v1/stream"
        ]
    );
    assert!(described["components"]["schemas"]["NodeView"]["properties"]["state"].is_object());
    for (path, method, refusals) in [
        ("/v1/events", "get", &["400"][..]),
        ("/v1/heartbeat", "post", &["401", "503"]),
        ("/v1/stats/nodes/{node}", "get", &["400", "404", "500"]),
        ("/v1/stats/sites/{site}", "get", &["400", "404", "500"]),
        ("/v1/stream", "get", &["400"]),
    ] {
        let responses = described["paths"][path][method]["responses"].as_object().unwrap();
        let described: Vec<&String> = responses.keys().filter(|status| *status != "200").collect();
        assert_eq!(described, refusals, "{path}");
    }
}

#[test]
fn what_cannot_be_answered_is_a_problem_that_says_so() {
    let cdn = watched().edges("ams", 1).start();
    let api = api(&cdn, "monitor-1");
    for (path, status, says) in [
        ("/v2", 404, "there is no /v2"),
        ("/v1/events?limit=0", 400, "limit is 0"),
        ("/v1/events?limit=many", 400, "limit"),
        ("/v1/events?colour=red", 400, "colour"),
        ("/v1/stream?colour=red", 400, "colour"),
        ("/v1/stats/nodes/edge-x", 404, "no node \"edge-x\" is watched"),
        (
            "/v1/stats/nodes/edge-ams-1?from=9&to=8",
            400,
            "from is later than to",
        ),
        ("/v1/stats/sites/nowhere", 404, "knows no site"),
    ] {
        let response = api.get(path);
        assert_eq!(response.status(), status, "{path}");
        assert_eq!(
            response.field("Content-Type"),
            Some("application/problem+json"),
            "{path}"
        );
        let problem: Value = serde_json::from_slice(&response.body).unwrap();
        assert_eq!(problem["status"], status);
        assert!(problem["detail"].as_str().unwrap().contains(says), "{problem}");
    }
    assert_eq!(api.send(&Request::new("DELETE", "/v1/state")).status(), 405);
}

/// One that follows a stream.
struct Follower {
    lines: BufReader<TcpStream>,
}

impl Follower {
    fn start(cdn: &Cdn, from: &str) -> Follower {
        let mut stream = TcpStream::connect(cdn.addresses("monitor-1").http).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET /v1/stream{from} HTTP/1.0\r\nHost: localhost\r\n\r\n").unwrap();
        let mut lines = BufReader::new(stream);
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            lines.read_line(&mut line).unwrap();
        }
        Follower { lines }
    }

    /// The next event: its id, and what it says.
    fn next(&mut self) -> (String, Bulletin) {
        let (mut id, mut kind, mut data) = (String::new(), String::new(), String::new());
        loop {
            let mut line = String::new();
            assert!(self.lines.read_line(&mut line).unwrap() > 0, "the stream ended");
            match line.trim_end().split_once(": ") {
                Some(("id", value)) => id = value.to_owned(),
                Some(("event", value)) => kind = value.to_owned(),
                Some(("data", value)) => data = value.to_owned(),
                _ if !kind.is_empty() => break,
                _ => {}
            }
        }
        let bulletin = match kind.as_str() {
            "snapshot" => Bulletin::Snapshot(serde_json::from_str::<View>(&data).unwrap()),
            "diff" => Bulletin::Diff(serde_json::from_str::<Diff>(&data).unwrap()),
            "hb" => Bulletin::Heartbeat(
                serde_json::from_str::<Value>(&data).unwrap()["sequence"]
                    .as_u64()
                    .unwrap(),
            ),
            other => panic!("an event of the kind {other:?}"),
        };
        (id, bulletin)
    }
}

#[test]
fn the_stream_leads_from_a_snapshot_through_differences_and_can_be_resumed() {
    let mut cdn = watched().edges("ams", 2).start();
    await_all_well(&cdn);
    let mut follower = Follower::start(&cdn, "");
    let (first, bulletin) = follower.next();
    let Bulletin::Snapshot(mut view) = bulletin else {
        panic!("a stream begins with everything")
    };
    assert_eq!(view.nodes.len(), 3);
    cdn.daemon_mut(EDGE).kill9();
    let mut last = first.clone();
    while view.nodes[EDGE].state != model::health::State::Down {
        let (id, bulletin) = follower.next();
        view.apply(bulletin).expect("nothing is left out");
        last = id;
    }
    assert_eq!(last, format!("{}-{}", view.epoch, view.sequence));

    let mut again = Follower::start(&cdn, &format!("?from={first}"));
    let mut resumed = view.clone();
    resumed.sequence = first.split_once('-').unwrap().1.parse().unwrap();
    while resumed.sequence < view.sequence {
        let (_, bulletin) = again.next();
        assert!(
            !matches!(bulletin, Bulletin::Snapshot(_)),
            "what was missed is enough"
        );
        resumed.apply(bulletin).unwrap();
    }
    let mut stranger = Follower::start(&cdn, "?from=1-1");
    assert!(matches!(stranger.next().1, Bulletin::Snapshot(_)));
    testkit::eventually(PATIENCE, || {
        let followers = cdn
            .daemon("monitor-1")
            .metric("millrace_monitor_stream_followers", &[]);
        match followers {
            5.0 => Ok("two of them peers"),
            other => Err(other),
        }
    });
}

#[test]
fn heartbeats_without_the_token_are_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "open sesame\n").unwrap();
    let cdn = watched()
        .edges("ams", 1)
        .monitor_tables(&format!("[heartbeats]\ntoken = {{ file = {token:?} }}\n"))
        .start();
    await_all_well(&cdn);
    assert_eq!(
        cdn.daemon("monitor-1")
            .metric("millrace_monitor_heartbeat_streams", &[]),
        0.0
    );
    let beat = json!({ "node": EDGE, "started": 1, "sequence": 0, "ready": false, "draining": true });
    let post = |field: Option<&str>| {
        let request = Request::new("POST", "/v1/heartbeat").body(format!("{beat}\n"));
        let request = match field {
            Some(value) => request.field("Authorization", value),
            None => request,
        };
        api(&cdn, "monitor-1").send(&request).status()
    };
    assert_eq!(
        (post(None), post(Some("Bearer open")), post(Some("open sesame"))),
        (401, 401, 401)
    );
    assert_eq!(
        get(&cdn, "monitor-1", "/v1/state")["views"]["monitor-1"]["view"]["nodes"][EDGE]["state"],
        "up"
    );
    // Who has it is heard. The next probe contradicts what it says, so it says it until that was seen.
    testkit::eventually(PATIENCE, || {
        assert_eq!(post(Some("Bearer open sesame")), 200);
        cdn.daemon("monitor-1").metric(
            "millrace_monitor_transitions_total",
            &[("scope", "own"), ("from", "up"), ("to", "draining")],
        ) >= 1.0
    });
}

#[test]
fn nonsense_for_a_heartbeat_ends_the_stream_and_harms_nobody() {
    let cdn = watched().edges("ams", 1).start();
    await_all_well(&cdn);
    for nonsense in [
        "\n",
        "{}\n",
        "[1,2]\n",
        "{\"node\":\"nobody\",\"started\":1,\"sequence\":1,\"ready\":true,\"draining\":true}\n",
    ] {
        let request = Request::new("POST", "/v1/heartbeat").body(nonsense);
        assert_eq!(api(&cdn, "monitor-1").send(&request).status(), 200);
    }
    let endless = Request::new("POST", "/v1/heartbeat").body("x".repeat(100_000));
    let _ = api(&cdn, "monitor-1").try_send(&endless);
    await_all_well(&cdn);
}
