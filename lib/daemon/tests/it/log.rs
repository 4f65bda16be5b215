//! The log of a real process: one JSON object a line.

use std::process::{Command, Stdio};

use daemon::log::{self, Level};
use serde_json::Value;

/// Set for the copy of this test program that is to log.
const CHILD: &str = "MILLRACE_TEST_LOG_CHILD";

/// As a test of its own this does nothing: it is the program whose log the other test reads.
#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "how a test program learns that it is the one under test"
)]
fn the_process_that_logs() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    log::start(Level::Info);
    tracing::info!(node = "edge-1", count = 3, "started\nserving");
    tracing::debug!("not to be seen");
    ::log::warn!(target: "library", "from a library");
    ::log::debug!("not to be seen");
    let _ = std::thread::Builder::new()
        .name("worker".into())
        .spawn(|| panic!("broken: {}", 7))
        .unwrap()
        .join();
}

#[test]
fn every_line_is_an_object_a_machine_can_read_panics_included() {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "log::the_process_that_logs", "--nocapture"])
        .env(CHILD, "1")
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect(line))
        .collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert_eq!(lines[0]["message"], "started\nserving");
    assert_eq!(
        (&lines[0]["node"], &lines[0]["count"]),
        (&"edge-1".into(), &3.into())
    );
    assert_eq!(
        (&lines[0]["level"], &lines[0]["target"]),
        (&"INFO".into(), &"it::log".into())
    );
    assert!(
        lines[0]["timestamp"]
            .as_str()
            .is_some_and(|time| time.ends_with('Z')),
        "{text}"
    );
    assert_eq!(
        (&lines[2]["level"], &lines[2]["message"]),
        (&"ERROR".into(), &"panic: broken: 7".into())
    );
    assert_eq!(lines[2]["thread"], "worker");
    assert!(
        lines[2]["place"]
            .as_str()
            .is_some_and(|place| place.contains("log.rs:")),
        "{text}"
    );
}
