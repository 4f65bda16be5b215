//! Documents followed from files and from a real server.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use daemon::config::Secret;
use daemon::follow::{Follow, Follower, Opened, Pace, Source};
use daemon::metrics::{Registry, encode};
use daemon::process::Failure;

use crate::server::{Manner, Server};
use crate::wait;

/// A consumer that takes any text that begins with "good", and remembers what it was offered.
#[derive(Clone, Default)]
struct Consumer {
    accepted: Arc<Mutex<Vec<String>>>,
    refused: Arc<Mutex<Vec<String>>>,
    registry: Registry,
}

impl Consumer {
    fn open(&self, follow: Follow) -> Result<Opened, Failure> {
        let (accepted, refused) = (Arc::clone(&self.accepted), Arc::clone(&self.refused));
        follow.open(&self.registry, move |bytes| {
            let text = String::from_utf8_lossy(bytes).into_owned();
            if text.starts_with("good") {
                accepted.lock().unwrap().push(text);
                Ok(())
            } else {
                refused.lock().unwrap().push(text);
                Err(vec!["first complaint".to_owned(), "second complaint".to_owned()])
            }
        })
    }

    fn start(&self, follow: Follow) -> Follower {
        self.open(follow).unwrap().start().unwrap()
    }

    fn last(&self) -> Option<String> {
        self.accepted.lock().unwrap().last().cloned()
    }

    fn accepted(&self) -> usize {
        self.accepted.lock().unwrap().len()
    }

    fn refused(&self) -> usize {
        self.refused.lock().unwrap().len()
    }

    fn metric(&self, name: &str) -> i64 {
        let text = String::from_utf8(encode(&self.registry).unwrap()).unwrap();
        let line = text
            .lines()
            .find(|line| line.starts_with(name))
            .unwrap_or_else(|| panic!("{name} in {text}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }

    fn looks(&self, outcome: &str) -> i64 {
        self.metric(&format!(
            "millrace_document_reads_total{{document=\"snapshot\",outcome=\"{outcome}\"}}"
        ))
    }
}

fn follow(source: &str, state: &Path) -> Follow {
    let pace = Pace {
        poll: Duration::from_millis(20),
        first_pause: Duration::from_millis(20),
        longest_pause: Duration::from_millis(40),
        timeout: Duration::from_millis(500),
    };
    Follow {
        name: "snapshot",
        source: source.parse().unwrap(),
        token: None,
        state: state.to_owned(),
        pace,
    }
}

fn write(path: &Path, text: &str) {
    let next = path.with_extension("next");
    std::fs::write(&next, text).unwrap();
    std::fs::rename(&next, path).unwrap();
}

#[test]
fn a_file_is_followed_and_a_bad_version_leaves_the_old_one_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cdn.json");
    write(&path, "good 1");
    let consumer = Consumer::default();
    let follower = consumer.start(follow(path.to_str().unwrap(), folder.path()));
    assert_eq!(consumer.last().as_deref(), Some("good 1"));

    write(&path, "good 2");
    wait::until("the second version", || {
        consumer.last().as_deref() == Some("good 2")
    });
    write(&path, "bad 3");
    wait::until("the refusal is counted", || consumer.looks("refused") == 1);
    assert_eq!(consumer.metric("millrace_document_refused{"), 1);
    wait::until("three more looks", || consumer.looks("unchanged") >= 3);
    assert_eq!(
        (consumer.last().as_deref(), consumer.refused()),
        (Some("good 2"), 1),
        "refused once, not at every look"
    );

    std::fs::remove_file(&path).unwrap();
    wait::until("the loss is counted", || consumer.looks("failed") >= 1);
    write(&path, "good 4");
    wait::until("the file is back", || {
        consumer.last().as_deref() == Some("good 4")
    });
    wait::until("nothing is refused any more", || {
        consumer.metric("millrace_document_refused{") == 0
    });
    drop(follower);
}

#[test]
fn look_again_offers_a_file_that_did_not_change() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cdn.json");
    write(&path, "good 1");
    let consumer = Consumer::default();
    let mut follow = follow(path.to_str().unwrap(), folder.path());
    follow.pace.poll = Duration::from_secs(3600);
    let follower = consumer.start(follow);
    assert_eq!(consumer.accepted(), 1);
    follower.look_again();
    wait::until("it is offered again", || consumer.accepted() == 2);
}

#[test]
fn a_daemon_does_not_start_with_a_file_that_is_missing_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cdn.json");
    let open = || {
        Consumer::default()
            .open(follow(path.to_str().unwrap(), folder.path()))
            .err()
    };
    let Some(Failure::Configuration(says)) = open() else {
        panic!("a missing file is a mistake of configuration")
    };
    assert!(says.contains("cdn.json: No such file"), "{says}");
    write(&path, "bad");
    let Some(Failure::Configuration(says)) = open() else {
        panic!("a refused file is a mistake of configuration")
    };
    assert!(
        says.ends_with("cdn.json is refused:\nfirst complaint\nsecond complaint"),
        "{says}"
    );
}

#[test]
fn an_unchanged_document_at_a_url_is_sent_once() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(Manner::Tagged("\"1\"", "good 1"));
    let consumer = Consumer::default();
    let _follower = consumer.start(follow(&server.url(), folder.path()));
    wait::until("five looks", || server.statuses().len() >= 5);
    assert_eq!(server.statuses()[..5], [200, 304, 304, 304, 304]);
    assert_eq!(consumer.accepted(), 1);
    server.behave(Manner::Tagged("\"2\"", "good 2"));
    wait::until("the second version", || {
        consumer.last().as_deref() == Some("good 2")
    });
    assert_eq!(consumer.accepted(), 2);
    assert!(consumer.metric("millrace_document_confirmed_timestamp_seconds{") > 1_577_836_800);
}

#[test]
fn a_server_without_etags_changes_a_document_only_with_other_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(Manner::Untagged("good 1"));
    let consumer = Consumer::default();
    let _follower = consumer.start(follow(&server.url(), folder.path()));
    wait::until("five looks", || server.statuses().len() >= 5);
    assert_eq!(consumer.accepted(), 1);
    server.behave(Manner::Untagged("good 2"));
    wait::until("the second version", || {
        consumer.last().as_deref() == Some("good 2")
    });
}

#[test]
fn errors_garbage_and_silence_leave_the_old_version_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(Manner::Tagged("\"1\"", "good 1"));
    let consumer = Consumer::default();
    let _follower = consumer.start(follow(&server.url(), folder.path()));

    server.behave(Manner::Status(500));
    wait::until("two errors", || consumer.looks("failed") >= 2);
    server.behave(Manner::Tagged("\"2\"", "\u{0}garbage"));
    wait::until("a refusal", || consumer.looks("refused") == 1);
    let unchanged = consumer.looks("unchanged");
    wait::until("three more looks", || {
        consumer.looks("unchanged") >= unchanged + 3
    });
    assert_eq!(consumer.refused(), 1, "the refused version is not fetched again");
    let failed = consumer.looks("failed");
    server.behave(Manner::Silent);
    wait::until("a timeout", || consumer.looks("failed") > failed);
    assert_eq!(consumer.last().as_deref(), Some("good 1"));

    server.behave(Manner::Tagged("\"3\"", "good 3"));
    wait::until("the third version", || {
        consumer.last().as_deref() == Some("good 3")
    });
    let copy = || std::fs::read_to_string(folder.path().join("snapshot.last-good")).unwrap_or_default();
    wait::until("the copy on disk", || copy() == "good 3");
}

#[test]
fn a_daemon_starts_from_the_last_good_copy_while_the_server_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(Manner::Tagged("\"1\"", "good 1"));
    {
        let consumer = Consumer::default();
        let _follower = consumer.start(follow(&server.url(), folder.path()));
        wait::until("the copy on disk", || {
            folder.path().join("snapshot.last-good").exists()
        });
    }
    server.behave(Manner::Status(503));
    let consumer = Consumer::default();
    let _follower = consumer.start(follow(&server.url(), folder.path()));
    assert_eq!(consumer.last().as_deref(), Some("good 1"));
    wait::until("a failed look", || consumer.looks("failed") >= 1);
    assert_eq!(
        consumer.metric("millrace_document_confirmed_timestamp_seconds{"),
        0
    );
    server.behave(Manner::Tagged("\"2\"", "good 2"));
    wait::until("the server is back", || {
        consumer.last().as_deref() == Some("good 2")
    });
}

#[test]
fn a_newer_version_follows_at_once_on_a_start_from_the_copy() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("snapshot.last-good"), "good 1").unwrap();
    let server = Server::start(Manner::Tagged("\"2\"", "good 2"));
    let consumer = Consumer::default();
    let mut follow = follow(&server.url(), folder.path());
    follow.pace.poll = Duration::from_secs(3600);
    let _follower = consumer.start(follow);
    wait::until("the newer version", || {
        consumer.last().as_deref() == Some("good 2")
    });
}

#[test]
fn a_spoilt_copy_is_passed_over_for_the_server() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("snapshot.last-good"), "spoilt").unwrap();
    let server = Server::start(Manner::Untagged("good 1"));
    let consumer = Consumer::default();
    let _follower = consumer.start(follow(&server.url(), folder.path()));
    assert_eq!(consumer.last().as_deref(), Some("good 1"));
}

#[test]
fn without_server_and_copy_the_start_fails_and_says_both() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(Manner::Status(404));
    let Some(Failure::Running(says)) = Consumer::default()
        .open(follow(&server.url(), folder.path()))
        .err()
    else {
        panic!("a server that does not have it is a failure at run time")
    };
    assert!(says.contains("404") && says.contains("no good copy"), "{says}");
}

#[test]
fn a_check_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let server = Server::start(Manner::Untagged("good 1"));
    let opened = Consumer::default().open(follow(&server.url(), &state)).unwrap();
    drop(opened);
    assert!(!state.exists());
}

#[test]
fn a_body_that_ends_early_is_no_document() {
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/snapshot", listener.local_addr().unwrap());
    let serving = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]).unwrap();
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\ngood but short")
            .unwrap();
    });
    let consumer = Consumer::default();
    assert!(matches!(
        consumer.open(follow(&url, folder.path())).err(),
        Some(Failure::Running(_))
    ));
    assert_eq!(consumer.accepted(), 0);
    serving.join().unwrap();
}

#[test]
fn the_token_is_sent_and_a_replaced_one_counts_from_the_next_look() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "first\n").unwrap();
    let server = Server::start(Manner::Untagged("good 1"));
    let consumer = Consumer::default();
    let follow = Follow {
        token: Some(Secret::File(token.clone())),
        ..follow(&server.url(), folder.path())
    };
    let _follower = consumer.start(follow);
    assert_eq!(server.authorization().as_deref(), Some("Bearer first"));
    write(&token, "second\n");
    wait::until("the second token", || {
        server.authorization().as_deref() == Some("Bearer second")
    });
}

#[test]
fn the_pace_suits_the_kind_of_source() {
    let url: Source = "http://127.0.0.1/a".parse().unwrap();
    assert!(Pace::of(&url).poll > Pace::of(&Source::File("a".into())).poll);
}
