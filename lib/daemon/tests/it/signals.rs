//! Signals, sent by the kernel to a process of its own.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use daemon::signals::{Signal, Signals};

use crate::wait;

/// Set for the copy of this test program that is to receive the signals.
const CHILD: &str = "MILLRACE_TEST_SIGNALS_CHILD";

/// As a test of its own this does nothing: it is the program that the other tests start and send signals to.
#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "how a test program learns that it is the one under test"
)]
fn the_process_that_is_told() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let signals = Signals::install().unwrap();
    // Not `println!`: the test harness would keep it.
    let mut out = std::io::stdout();
    writeln!(out, "ready").unwrap();
    loop {
        writeln!(
            out,
            "{}",
            if signals.wait() == Signal::Drain {
                "drain"
            } else {
                "reload"
            }
        )
        .unwrap();
    }
}

fn start() -> (Child, impl Iterator<Item = String>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "signals::the_process_that_is_told", "--nocapture"])
        .env(CHILD, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap);
    // The harness has a word of its own first, and may leave its line open before ours begins.
    assert!(lines.by_ref().any(|line| line.ends_with("ready")));
    (child, lines)
}

fn send(child: &Child, signal: &str) {
    let sent = Command::new("kill")
        .args([format!("-{signal}"), child.id().to_string()])
        .status()
        .unwrap();
    assert!(sent.success());
}

#[test]
fn term_and_int_drain_and_hup_reloads() {
    for end in ["TERM", "INT"] {
        let (mut child, mut lines) = start();
        send(&child, "HUP");
        assert_eq!(lines.next().as_deref(), Some("reload"));
        send(&child, "HUP");
        assert_eq!(lines.next().as_deref(), Some("reload"));
        send(&child, end);
        assert_eq!(lines.next().as_deref(), Some("drain"));
        assert!(
            child.try_wait().unwrap().is_none(),
            "one {end} leaves the process to finish its work"
        );
        send(&child, "TERM");
        wait::until("the second signal ends it", || {
            child.try_wait().unwrap().is_some()
        });
        assert_eq!(child.wait().unwrap().code(), Some(1));
    }
}
