//! `millrace-loadtest up`: a whole CDN starts, serves, and leaves nothing behind, however it ends.

use std::net::TcpListener;

use rustix::process::{Pid, Signal, kill_process};

use crate::running::{DEADLINE, Described};

const SERVING: &str = "Ctrl-C stops everything.";

#[test]
fn a_whole_cdn_starts_serves_and_stops_without_a_trace() {
    let described = Described::new();
    let mut up = described.up();
    up.await_text(SERVING);
    for name in ["edge-ams-1", "parent-ams-1", "origin"] {
        assert!(up.output().contains(name), "{}", up.output());
    }
    let client = described.cdn.http("edge-ams-1");
    let [first, second] = [client.get("/hello.txt"), client.get("/hello.txt")];
    assert_eq!((first.status(), second.status()), (200, 200));
    assert!(second.head.joined("cache-status").contains("hit"), "{second:?}");
    up.await_text("2 requests, 1 at the origin");
    up.signal(Signal::TERM);
    assert_eq!(up.await_end().code(), Some(0), "{}", up.output());
    described.expect_free_ports();
}

#[test]
fn a_daemon_that_dies_is_named_and_the_others_go_on() {
    let described = Described::new();
    let mut up = described.up();
    up.await_text(SERVING);
    kill_process(process_of(&described, "parent-ams-1"), Signal::KILL).unwrap();
    up.await_text("The others go on.");
    let output = up.output();
    assert!(
        output.contains("parent-ams-1 ended by itself: signal: 9"),
        "{output}"
    );
    assert_eq!(described.cdn.http("edge-ams-1").get("/hello.txt").status(), 502);
    kill_process(process_of(&described, "edge-ams-1"), Signal::KILL).unwrap();
    up.await_text("edge-ams-1 ended by itself: signal: 9");
    up.signal(Signal::TERM);
    assert_eq!(up.await_end().code(), Some(0), "{}", up.output());
    described.expect_free_ports();
}

#[test]
fn even_a_killed_one_leaves_no_process_behind() {
    let described = Described::new();
    let mut up = described.up();
    up.await_text(SERVING);
    up.signal(Signal::KILL);
    up.await_end();
    described.expect_free_ports();
}

#[test]
fn a_port_in_use_is_one_clear_line() {
    let described = Described::new();
    let address = described.cdn.addresses("edge-ams-1").admin;
    let _taken = TcpListener::bind(address).unwrap();
    let mut up = described.up();
    assert_eq!(up.await_end().code(), Some(1));
    let output = up.output();
    assert_eq!(output.lines().count(), 1, "{output}");
    let expected = format!(
        "port {} is in use, and edge-ams-1 (admin) wants it",
        address.port()
    );
    assert!(output.contains(&expected), "{output}");
}

#[test]
fn a_daemon_that_refuses_its_configuration_is_shown_with_its_reason() {
    let described = Described::new();
    let path = described.folder.path().join("edge-ams-1.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("speling = 1\n{text}")).unwrap();
    let mut up = described.up();
    assert_eq!(up.await_end().code(), Some(1));
    let output = up.output();
    assert!(
        output.contains("edge-ams-1 ended by itself: exit status: 2"),
        "{output}"
    );
    assert!(output.contains("speling"), "{output}");
    described.expect_free_ports();
}

/// The process whose command line names the node's configuration.
fn process_of(described: &Described, node: &str) -> Pid {
    let config = described.folder.path().join(format!("{node}.toml"));
    let config = config.to_str().unwrap().to_owned();
    testkit::eventually(DEADLINE, || {
        std::fs::read_dir("/proc").unwrap().flatten().find_map(|entry| {
            let id: i32 = entry.file_name().to_str()?.parse().ok()?;
            let arguments = std::fs::read(entry.path().join("cmdline")).ok()?;
            let found = arguments
                .split(|byte| *byte == 0)
                .any(|argument| argument == config.as_bytes());
            found.then(|| Pid::from_raw(id))?
        })
    })
}
