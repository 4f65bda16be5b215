//! Processes under test, with shell scripts in the place of daemons.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use testkit::eventually;
use testkit::ports::Port;
use testkit::process::{Binary, Daemon, Readings, run_to_end};

const SOON: Duration = Duration::from_secs(10);

/// Ends with 7 when it is told to, and says so.
const OBEDIENT: &str =
    "#!/bin/sh\ntrap 'echo ending >&2; exit 7' TERM\necho \"$@\" >&2\nwhile :; do sleep 0.02; done\n";

fn script(folder: &Path, text: &str) -> PathBuf {
    let path = folder.join("daemon.sh");
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn shell() -> Binary {
    Binary::of("none", "sh").at("/bin/sh")
}

fn launch(folder: &Path, text: &str, port: &Port) -> Daemon {
    let binary = Binary::of("none", "daemon").at(script(folder, text));
    Daemon::launch("daemon", &binary, &folder.join("config.toml"), port.address())
}

#[test]
fn a_run_to_the_end_gives_status_and_both_outputs() {
    let ended = run_to_end(
        &shell(),
        &["-c", "echo one; echo two; echo three >&2; exit 3"],
        SOON,
    );
    assert_eq!(ended.status.code(), Some(3));
    assert_eq!(
        (ended.output, ended.errors),
        (vec!["one".to_owned(), "two".to_owned()], vec!["three".to_owned()])
    );
}

#[test]
#[should_panic(expected = "still runs after")]
fn a_run_that_does_not_end_is_killed_and_fails() {
    let _ = run_to_end(&shell(), &["-c", "exec sleep 100"], Duration::from_millis(200));
}

#[test]
fn a_daemon_is_given_its_config_told_to_end_and_started_again() {
    let folder = tempfile::tempdir().unwrap();
    let port = Port::claim();
    let mut daemon = launch(folder.path(), OBEDIENT, &port);
    eventually(SOON, || {
        daemon.errors().iter().any(|line| line.starts_with("--config "))
    });
    assert!(daemon.readings().resident_bytes > 0);
    let first = daemon.process_id();
    daemon.terminate();
    assert_eq!(daemon.await_end(SOON).code(), Some(7));
    assert!(daemon.errors().contains(&"ending".to_owned()));
    assert_eq!(Readings::of(first), None);
    daemon.launch_again();
    assert_ne!(daemon.process_id(), first);
    daemon.kill9();
}

#[test]
fn a_dropped_daemon_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let port = Port::claim();
    let daemon = launch(folder.path(), OBEDIENT, &port);
    let id = daemon.process_id();
    drop(daemon);
    assert_eq!(Readings::of(id), None);
}

#[test]
#[should_panic(expected = "ended unasked")]
fn a_daemon_that_ends_unasked_fails_its_test() {
    let folder = tempfile::tempdir().unwrap();
    let port = Port::claim();
    let mut daemon = launch(folder.path(), "#!/bin/sh\nexit 0\n", &port);
    eventually(SOON, || daemon.has_ended().is_some());
}

#[test]
#[should_panic(expected = "a daemon panicked")]
fn a_daemon_that_panicked_fails_its_test() {
    let folder = tempfile::tempdir().unwrap();
    let port = Port::claim();
    let text = "#!/bin/sh\necho \"thread 'x' panicked at y\" >&2\nexec sleep 100\n";
    let daemon = launch(folder.path(), text, &port);
    eventually(SOON, || !daemon.errors().is_empty());
}
