//! `/healthz` on the ports that clients use: a node that is asked by its own name says how it is.

use std::time::Duration;

use model::Tier;
use model::service::PlainHttp;
use serde_json::Value;
use testkit::cdn::{Cdn, HOST};
use testkit::client::{Request, Response, run};
use testkit::origin::Reply;
use testkit::{eventually, eventually_async, unix_millis};

use crate::{EDGE, PARENT, builder, one_of_each};

const SOON: Duration = Duration::from_secs(10);

/// What a node says, once everything around it is as it has to be.
#[track_caller]
fn statement(response: &Response, status: u16) -> Value {
    let text = std::str::from_utf8(&response.body).unwrap();
    assert!(
        text.ends_with('\n') && text.lines().count() == 1,
        "one line: {text:?}"
    );
    response
        .expect(status)
        .field("Content-Type", "application/json")
        .field("Cache-Control", "no-store")
        .any("Date")
        .body(text.as_bytes())
        .and_no_other_field();
    serde_json::from_str(text).unwrap()
}

fn checks(cdn: &Cdn, node: &str, state: &str) -> f64 {
    cdn.daemon(node)
        .metric("millrace_health_checks_total", &[("state", state)])
}

#[test]
fn a_node_says_how_it_is_over_every_protocol_and_on_any_port() {
    let began = unix_millis();
    let cdn = builder()
        .parents("ams", 1)
        .edges("ams", 1)
        .settings(Tier::Edge, |settings| {
            settings.disk("256MiB").disk("256MiB");
        })
        .start();
    let port = cdn.addresses(EDGE).http.port();
    let edge = [
        cdn.http(EDGE).host(EDGE),
        cdn.http(EDGE).host(&format!("Edge-AMS-1:{port}")),
        cdn.https(EDGE).host(EDGE).server_name(HOST),
        cdn.http2(EDGE).host(EDGE).server_name(HOST),
    ];
    for client in &edge {
        let said = statement(&client.get("/healthz"), 200);
        let started = said["started"].as_u64().unwrap();
        assert!((began..=unix_millis()).contains(&started), "{said}");
        assert_eq!((&said["node"], &said["tier"]), (&EDGE.into(), &"edge".into()));
        assert_eq!(said["state"], "serving");
        let disks = serde_json::json!({ "healthy": 2, "suspect": 0, "read_only": 0, "offline": 0 });
        assert_eq!(said["disks"], disks);
        assert_eq!(said.as_object().unwrap().len(), 5, "{said}");
    }
    let said = statement(&cdn.http(PARENT).host(PARENT).get("/healthz"), 200);
    assert_eq!((&said["node"], &said["tier"]), (&PARENT.into(), &"parent".into()));
    assert_eq!(
        (checks(&cdn, EDGE, "serving"), checks(&cdn, PARENT, "serving")),
        (4.0, 1.0)
    );
    assert_eq!(checks(&cdn, EDGE, "draining"), 0.0);
}

#[test]
fn who_asks_by_another_method_is_told_which_there_are() {
    let cdn = one_of_each();
    let client = cdn.http(EDGE).host(EDGE);
    let head = client.send(&Request::new("HEAD", "/healthz"));
    let length = client.get("/healthz").body.len() as u64;
    head.expect(200)
        .field("Content-Type", "application/json")
        .field("Cache-Control", "no-store")
        .number("Content-Length", length, length)
        .any("Date")
        .body(b"")
        .and_no_other_field();
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let refused = client.send(&Request::new(method, "/healthz"));
        assert_eq!(
            (refused.status(), refused.field("Allow")),
            (405, Some("GET, HEAD")),
            "{method}"
        );
    }
    assert_eq!(checks(&cdn, EDGE, "serving"), 2.0);
}

#[test]
fn a_health_check_is_no_service_s_request_and_no_line_of_the_log() {
    let cdn = one_of_each();
    cdn.origin().on("/a", Reply::ok("a"));
    // On one connection, so that lines have an order.
    run(async {
        let mut connection = cdn.http(EDGE).host(EDGE).connect().await.unwrap();
        for _ in 0..3 {
            let response = connection.send(&Request::get("/healthz")).await.unwrap();
            assert_eq!(response.status(), 200);
        }
        // Nobody else's host, and no line that could be missed.
        assert_eq!(connection.send(&Request::get("/a")).await.unwrap().status(), 421);
    });
    let lines = eventually(SOON, || {
        let lines = cdn.access_log(EDGE);
        (!lines.is_empty()).then_some(lines)
    });
    assert_eq!((lines.len(), &lines[0]["status"]), (1, &421.into()), "{lines:?}");
    let daemon = cdn.daemon(EDGE);
    assert_eq!(daemon.metric("millrace_requests_total", &[]), 0.0);
    assert_eq!(daemon.metric("millrace_cache_results_total", &[]), 0.0);
    assert_eq!(daemon.metric("millrace_response_body_bytes_total", &[]), 0.0);
    assert_eq!(checks(&cdn, EDGE, "serving"), 3.0);
    assert_eq!(cdn.origin().total(), 0);
}

#[test]
fn no_service_loses_a_path_to_its_node_and_none_hides_how_the_node_is() {
    let cdn = builder()
        .parents("ams", 1)
        .edges("ams", 1)
        .service("demo", |_| {})
        // Of the node's own name, and for TLS alone.
        .service("named", |service| {
            service.hosts = vec![EDGE.to_owned()];
            service.plain_http = PlainHttp::Refuse;
        })
        .start();
    cdn.origin().on("/healthz", Reply::ok("the service's own"));
    cdn.origin().on("/a", Reply::ok("a"));
    assert_eq!(&cdn.http(EDGE).get("/healthz").body[..], b"the service's own");
    assert_eq!(&cdn.https(EDGE).get("/healthz").body[..], b"the service's own");
    let named = cdn.http(EDGE).host(EDGE);
    assert_eq!(statement(&named.get("/healthz"), 200)["state"], "serving");
    assert_eq!(named.get("/a").status(), 403);
    let named = cdn.https(EDGE).host(EDGE).server_name(HOST);
    assert_eq!(statement(&named.get("/healthz"), 200)["state"], "serving");
    assert_eq!(&named.get("/a").body[..], b"a");
    assert_eq!(cdn.http(EDGE).host(PARENT).get("/healthz").status(), 421);
}

#[test]
fn a_draining_node_says_so_on_a_connection_that_is_still_open() {
    let mut cdn = one_of_each();
    run(async {
        let mut plain = cdn.http(EDGE).host(EDGE).connect().await.unwrap();
        let mut secure = cdn
            .https(EDGE)
            .host(EDGE)
            .server_name(HOST)
            .connect()
            .await
            .unwrap();
        for connection in [&mut plain, &mut secure] {
            // Has begun to ask, so that the drain waits for it.
            connection.write(b"GET /healthz HTTP/1.1\r\n").await.unwrap();
        }
        cdn.daemon(EDGE).terminate();
        // The door closes after the node has begun to say that it drains.
        let door = cdn.addresses(EDGE).http;
        eventually_async(SOON, || std::net::TcpStream::connect(door).is_err()).await;
        for mut connection in [plain, secure] {
            let rest = format!("Host: {EDGE}\r\n\r\n");
            connection.write(rest.as_bytes()).await.unwrap();
            let response = connection.receive("GET").await.unwrap().rest().await.unwrap();
            assert_eq!((response.status(), response.field("Retry-After")), (503, None));
            let said: Value = serde_json::from_slice(&response.body).unwrap();
            assert_eq!(said["state"], "draining", "{said}");
        }
    });
    assert!(cdn.daemon_mut(EDGE).await_end(SOON).success());
}

#[test]
fn a_node_says_which_devices_it_has_lost() {
    let mut cdn = builder()
        .parents("ams", 1)
        .edges("ams", 1)
        .settings(Tier::Edge, |settings| {
            settings.disk("256MiB");
        })
        .start();
    let before = statement(&cdn.http(EDGE).host(EDGE).get("/healthz"), 200);
    assert_eq!(before["disks"]["healthy"], 1);
    cdn.daemon(EDGE).terminate();
    assert!(cdn.daemon_mut(EDGE).await_end(SOON).success());
    // Its path leads nowhere, as that of a drive which is not mounted.
    let path = cdn.cache_device(EDGE, 0);
    std::fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("nowhere/device", &path).unwrap();
    cdn.daemon_mut(EDGE).launch_again();
    cdn.daemon_mut(EDGE).await_ready();
    let after = statement(&cdn.http(EDGE).host(EDGE).get("/healthz"), 200);
    assert_eq!(
        (&after["state"], &after["disks"]["offline"]),
        (&"serving".into(), &1.into())
    );
    assert!(
        after["started"].as_u64() > before["started"].as_u64(),
        "another process: {before} {after}"
    );
}
