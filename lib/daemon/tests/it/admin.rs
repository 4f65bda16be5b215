//! The admin port over a real socket.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use daemon::admin::{Admin, PageAnswer, Readiness};
use daemon::metrics;
use serde_json::json;

fn start() -> (SocketAddr, Readiness) {
    let admin = Admin::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = admin.address().unwrap();
    let readiness = Readiness::starting();
    admin
        .page("/sum", |query| match query.map(str::parse::<u8>) {
            Some(Ok(number)) => PageAnswer::Json(json!({ "double": 2 * u16::from(number) })),
            Some(Err(error)) => PageAnswer::Wrong(format!("{error}; ask for /sum?7")),
            None => PageAnswer::Text("for people\n".to_owned()),
        })
        .serve(
            metrics::registry("1.2.3").unwrap(),
            &json!({ "node": "edge-1" }),
            readiness.clone(),
        )
        .unwrap();
    (address, readiness)
}

/// The whole answer to one request on a connection of its own.
fn ask(address: SocketAddr, head: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(
        stream,
        "{head} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn ready_follows_what_the_daemon_says_of_itself() {
    let (address, readiness) = start();
    let answer = ask(address, "GET /ready");
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(
        answer.ends_with("{\"ready\":false,\"reason\":\"starting\"}\n"),
        "{answer}"
    );
    readiness.set(true, "serving");
    let answer = ask(address, "GET /ready");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains("cache-control: no-store\r\n"), "{answer}");
    readiness.set(false, "draining");
    let answer = ask(address, "GET /ready");
    assert!(
        answer.starts_with("HTTP/1.1 503 ") && answer.contains("draining"),
        "{answer}"
    );
}

#[test]
fn each_page_answers_and_nothing_else_does() {
    let (address, _readiness) = start();
    for (head, status, says) in [
        ("GET /healthz", 200, "{\"alive\":true}"),
        ("GET /metrics", 200, "millrace_build_info{version=\"1.2.3\"} 1"),
        ("GET /config", 200, "\"node\": \"edge-1\""),
        ("GET /config?pretty", 200, "\"node\": \"edge-1\""),
        (
            "GET /nothing",
            404,
            "there are only /healthz, /ready, /metrics, /config, /sum",
        ),
        ("GET /sum?200", 200, "\"double\": 400"),
        ("GET /sum?x", 400, "ask for /sum?7"),
        ("GET /sum", 200, "content-type: text/plain; charset=utf-8"),
        ("POST /sum", 405, "allow: GET, HEAD\r\n"),
        ("POST /healthz", 405, "allow: GET, HEAD\r\n"),
    ] {
        let answer = ask(address, head);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{head}: {answer}"
        );
        assert!(answer.contains(says), "{head}: {answer}");
    }
    let answer = ask(address, "HEAD /healthz");
    assert!(
        answer.contains("content-length: 15\r\n") && answer.ends_with("\r\n\r\n"),
        "{answer}"
    );
}

#[test]
fn a_port_in_use_is_an_error_before_anything_runs() {
    let (address, _readiness) = start();
    let error = Admin::bind(address).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
}

#[test]
fn connections_that_say_nothing_lock_nobody_out_for_long() {
    let (address, _readiness) = start();
    let silent: Vec<TcpStream> = (0..64).map(|_| TcpStream::connect(address).unwrap()).collect();
    let answer = ask(address, "GET /healthz");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    drop(silent);
}
