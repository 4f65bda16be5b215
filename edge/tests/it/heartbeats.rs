//! Heartbeats: monitors hear every second how a node is, and at once when that changes.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use model::Tier;
use model::health::Beat;
use parking_lot::Mutex;
use testkit::cdn::{Cdn, CdnBuilder, Settings};
use testkit::{eventually, unix_millis};

use crate::{EDGE, builder};

const PATIENCE: Duration = Duration::from_secs(60);

/// What a monitor of a test answers to a stream.
#[derive(Clone, Copy, Debug)]
enum Answer {
    /// It listens to its end.
    Listen,
    /// It listens to so many beats, and then closes the connection.
    Leave(usize),
    /// It has this status and no ear.
    Refuse(&'static str),
}

/// One stream as the monitor got it.
#[derive(Clone, Debug, Default)]
struct Heard {
    head: String,
    beats: Vec<Beat>,
    has_ended: bool,
}

/// A monitor that writes down what it hears.
struct Monitor {
    address: SocketAddr,
    answer: Arc<Mutex<Answer>>,
    streams: Arc<Mutex<Vec<Heard>>>,
}

/// Where one of the streams is written down.
struct Notebook {
    streams: Arc<Mutex<Vec<Heard>>>,
    number: usize,
}

impl Notebook {
    fn open(streams: &Arc<Mutex<Vec<Heard>>>) -> Notebook {
        let mut all = streams.lock();
        all.push(Heard::default());
        Notebook {
            number: all.len() - 1,
            streams: streams.clone(),
        }
    }

    fn note(&self, change: impl FnOnce(&mut Heard)) {
        change(&mut self.streams.lock()[self.number]);
    }
}

impl Monitor {
    fn start(answer: Answer) -> Monitor {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let monitor = Monitor {
            address: listener.local_addr().unwrap(),
            answer: Arc::new(Mutex::new(answer)),
            streams: Arc::default(),
        };
        let (answer, streams) = (monitor.answer.clone(), monitor.streams.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let notebook = Notebook::open(&streams);
                let answer = *answer.lock();
                std::thread::spawn(move || {
                    listen(stream, answer, &notebook);
                    notebook.note(|heard| heard.has_ended = true);
                });
            }
        });
        monitor
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn streams(&self) -> Vec<Heard> {
        self.streams.lock().clone()
    }

    fn answers(&self, answer: Answer) {
        *self.answer.lock() = answer;
    }

    /// Waits for a beat of the newest stream that is as wanted.
    #[track_caller]
    fn await_beat(&self, wanted: impl Fn(&Beat) -> bool) -> Beat {
        eventually(PATIENCE, || {
            let streams = self.streams();
            let beats = streams
                .last()
                .map(|heard| heard.beats.clone())
                .unwrap_or_default();
            let found = beats.iter().find(|beat| wanted(beat)).cloned();
            found.ok_or_else(|| format!("not among {beats:?}"))
        })
    }
}

fn listen(stream: TcpStream, answer: Answer, notebook: &Notebook) {
    let mut lines = BufReader::new(stream.try_clone().unwrap())
        .lines()
        .map_while(Result::ok);
    let head: Vec<String> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
    notebook.note(|heard| heard.head = head.join("\n"));
    let (status, most) = match answer {
        Answer::Listen => ("200 OK", usize::MAX),
        Answer::Leave(beats) => ("200 OK", beats),
        Answer::Refuse(status) => (status, 0),
    };
    let framing = if most == 0 {
        "content-length: 0"
    } else {
        "transfer-encoding: chunked"
    };
    // A node that left meanwhile misses nothing.
    let _ = write!(&stream, "HTTP/1.1 {status}\r\n{framing}\r\n\r\n");
    // Between the lines of JSON are those of the chunks they come in.
    for line in lines.filter(|line| line.starts_with('{')).take(most) {
        let beat: Beat = serde_json::from_str(&line).unwrap();
        notebook.note(|heard| heard.beats.push(beat));
    }
}

fn edge_telling(monitors: &[&Monitor], change: impl FnOnce(&mut Settings) + 'static) -> CdnBuilder {
    let servers: Vec<String> = monitors.iter().map(|monitor| monitor.url()).collect();
    builder()
        .parents("ams", 1)
        .edges("ams", 1)
        .settings(Tier::Edge, move |settings| {
            settings.literal("monitors", "servers", format!("{servers:?}"));
            change(settings);
        })
}

fn metric(cdn: &Cdn, name: &str, monitor: &Monitor) -> f64 {
    cdn.daemon(EDGE).metric(name, &[("monitor", &monitor.url())])
}

/// Lines of the edge's log about a monitor.
fn complaints(cdn: &Cdn, level: &str, says: &str) -> usize {
    let about = |line: &&String| line.contains(&format!("\"level\":\"{level}\"")) && line.contains(says);
    cdn.daemon(EDGE).errors().iter().filter(about).count()
}

#[test]
fn every_monitor_hears_a_beat_at_once_and_then_one_a_second() {
    let monitors = [Monitor::start(Answer::Listen), Monitor::start(Answer::Listen)];
    let began = unix_millis();
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "s3cret\n").unwrap();
    let cdn = edge_telling(&[&monitors[0], &monitors[1]], move |settings| {
        settings
            .disk("256MiB")
            .literal("monitors", "token", format!("{{ file = {token:?} }}"));
    })
    .start();
    for monitor in &monitors {
        let beats = eventually(PATIENCE, || {
            let beats = monitor.streams().first()?.beats.clone();
            (beats.len() >= 4).then_some(beats)
        });
        for pair in beats.windows(2) {
            assert!(pair[0].sequence < pair[1].sequence, "{beats:?}");
        }
        for beat in &beats {
            assert_eq!(
                (beat.node.as_str(), beat.ready, beat.draining),
                (EDGE, true, false)
            );
            assert_eq!((beat.disks.healthy, beat.disks.total()), (1, 1));
            assert!((began..=unix_millis()).contains(&beat.started));
        }
        let streams = monitor.streams();
        assert_eq!(streams.len(), 1, "one stream, that stays: {streams:?}");
        let head = &streams[0].head;
        assert!(head.starts_with("POST /v1/heartbeat HTTP/1.1\n"), "{head}");
        for field in [
            format!("host: {}", monitor.address),
            "content-type: application/x-ndjson".to_owned(),
            "transfer-encoding: chunked".to_owned(),
            "authorization: Bearer s3cret".to_owned(),
        ] {
            assert!(head.lines().any(|line| line == field), "{field}: {head}");
        }
        assert_eq!(metric(&cdn, "millrace_heartbeat_connected", monitor), 1.0);
        assert!(metric(&cdn, "millrace_heartbeats_sent_total", monitor) >= 4.0);
        assert_eq!(metric(&cdn, "millrace_heartbeat_reconnects_total", monitor), 0.0);
    }
    let shown = cdn.daemon(EDGE).admin("/config").unwrap().body;
    assert!(!String::from_utf8_lossy(&shown).contains("s3cret"));
}

#[test]
fn a_node_that_is_told_to_end_says_so_before_it_goes() {
    let monitor = Monitor::start(Answer::Listen);
    let mut cdn = edge_telling(&[&monitor], |_| {}).start();
    monitor.await_beat(|beat| beat.ready);
    // A client that has begun to ask, so that the drain takes a while.
    let mut client = TcpStream::connect(cdn.addresses(EDGE).http).unwrap();
    client.write_all(b"GET / HTTP/1.1\r\n").unwrap();
    eventually(PATIENCE, || {
        cdn.daemon(EDGE).metric("millrace_front_connections", &[]) >= 1.0
    });
    cdn.daemon(EDGE).terminate();
    let first = monitor.await_beat(|beat| beat.draining);
    assert!(!first.ready, "{first:?}");
    monitor.await_beat(|beat| beat.draining && beat.sequence > first.sequence);
    assert!(
        cdn.daemon_mut(EDGE).has_ended().is_none(),
        "it sees its client out"
    );
    client.write_all(b"Host: media.test\r\n\r\n").unwrap();
    assert!(cdn.daemon_mut(EDGE).await_end(PATIENCE).success());
    let heard = eventually(PATIENCE, || {
        monitor.streams().pop().filter(|heard| heard.has_ended)
    });
    let told = heard.beats.iter().skip_while(|beat| !beat.draining);
    assert!(told.clone().count() >= 2 && told.clone().all(|beat| beat.draining && !beat.ready));
    assert_eq!(monitor.streams().len(), 1, "one stream to the end");
}

#[test]
fn a_device_that_is_lost_is_told_on_the_open_stream() {
    let monitor = Monitor::start(Answer::Listen);
    let cdn = edge_telling(&[&monitor], |settings| {
        settings
            .text("cache", "disk_probe_interval", "10m")
            .disk("256MiB")
            .disk("256MiB");
    })
    .start();
    monitor.await_beat(|beat| (beat.disks.healthy, beat.disks.total()) == (2, 2));
    let device = std::fs::File::options()
        .write(true)
        .open(cdn.cache_device(EDGE, 1))
        .unwrap();
    device.set_len(0).unwrap();
    let told = monitor.await_beat(|beat| beat.disks.healthy < 2);
    assert_eq!(
        (told.disks.healthy, told.disks.offline, told.ready),
        (1, 1, true),
        "{told:?}"
    );
    assert_eq!(monitor.streams().len(), 1);
}

#[test]
fn a_monitor_that_leaves_is_told_again_as_soon_as_it_is_back() {
    let monitor = Monitor::start(Answer::Leave(2));
    let cdn = edge_telling(&[&monitor], |_| {}).start();
    eventually(PATIENCE, || monitor.streams().len() >= 3);
    monitor.answers(Answer::Listen);
    eventually(PATIENCE, || {
        let streams = monitor.streams();
        streams.last().is_some_and(|heard| heard.beats.len() >= 3)
    });
    let streams = monitor.streams();
    let sequences: Vec<u64> = streams
        .iter()
        .flat_map(|heard| heard.beats.iter().map(|beat| beat.sequence))
        .collect();
    assert!(
        sequences.is_sorted_by(|one, next| one < next),
        "beats are counted over all streams: {sequences:?}"
    );
    assert!(metric(&cdn, "millrace_heartbeat_reconnects_total", &monitor) >= 2.0);
    assert_eq!(metric(&cdn, "millrace_heartbeat_connected", &monitor), 1.0);
    assert_eq!(complaints(&cdn, "WARN", "does not hear this node"), 1);
    // The end of the trouble is told once the stream has held for a while.
    eventually(PATIENCE, || {
        complaints(&cdn, "INFO", "a monitor hears this node again") == 1
    });
}

#[test]
fn a_refusal_is_tried_again_and_again_and_logged_once() {
    let monitor = Monitor::start(Answer::Refuse("401 Unauthorized"));
    let cdn = edge_telling(&[&monitor], |_| {}).start();
    eventually(PATIENCE, || monitor.streams().len() >= 4);
    assert_eq!(complaints(&cdn, "WARN", "it answers 401"), 1);
    assert!(complaints(&cdn, "WARN", "[monitors] token") == 1);
    assert_eq!(metric(&cdn, "millrace_heartbeat_connected", &monitor), 0.0);
    monitor.answers(Answer::Refuse("404 Not Found"));
    eventually(PATIENCE, || complaints(&cdn, "WARN", "it answers 404") == 1);
    monitor.answers(Answer::Listen);
    monitor.await_beat(|beat| beat.ready);
    eventually(PATIENCE, || {
        metric(&cdn, "millrace_heartbeat_connected", &monitor) == 1.0
    });
    assert_eq!(complaints(&cdn, "WARN", "does not hear this node"), 2);
}

#[test]
fn a_node_whose_monitors_are_all_away_serves_as_well() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let cdn = builder()
        .parents("ams", 1)
        .edges("ams", 1)
        .settings(Tier::Edge, move |settings| {
            settings.literal("monitors", "servers", format!("[\"http://{nobody}\"]"));
        })
        .start();
    cdn.origin().on("/a", testkit::origin::Reply::ok("a"));
    assert_eq!(&cdn.http(EDGE).get("/a").body[..], b"a");
    eventually(PATIENCE, || complaints(&cdn, "WARN", "it cannot be reached") == 1);
}
