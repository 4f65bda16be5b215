//! Stories about the log as a whole: real files, real pipes, real threads.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use model::{Moment, Tier};
use prometheus::Registry;
use tempfile::TempDir;

use super::*;
use crate::headers::traceparent::Hex128;

/// Far longer than anything here takes, for machines that are busy with something else.
const PATIENCE: Duration = Duration::from_secs(60);

fn record(request: u128) -> Record<'static> {
    Record {
        time: Moment(1_767_225_600_250),
        request_id: Hex128::new(request),
        trace_id: Hex128::new(0xabc),
        tier: Tier::Edge,
        node: "edge-ams-1",
        service: Some("demo"),
        content_id: Some(b"demo"),
        client: "2001:db8::7".parse().expect("an address"),
        protocol: Protocol::Http2,
        tls_version: Some("TLSv1.3"),
        tls_cipher: Some("TLS13_AES_128_GCM_SHA256"),
        method: b"GET",
        host: b"vod.example.com",
        path: b"/demo/v0/segment-1.m4s?token=secret&x=1",
        range: Some(b"bytes=0-99"),
        status: 206,
        bytes_sent: 100,
        complete: true,
        cache: "hit",
        upstream: None,
        error: None,
        first_byte_us: Some(180),
        total_us: 220,
        user_agent: Some(b"player/1.0 \"beta\""),
        referer: Some(b"https://example.com/watch?token=secret"),
    }
}

/// A log in a folder of its own.
fn open(queue_bytes: usize) -> (AccessLog, Metrics, TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("access.log");
    let (log, metrics) = open_at(&path, queue_bytes);
    (log, metrics, folder, path)
}

fn open_at(path: &Path, queue_bytes: usize) -> (AccessLog, Metrics) {
    let metrics = Metrics::register(&Registry::new()).expect("unregistered names");
    let config = AccessLogConfig {
        path: path.to_owned(),
        queue_bytes,
    };
    (AccessLog::open(config, metrics.clone()).expect("opens"), metrics)
}

fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "{what} did not happen");
        std::thread::yield_now();
    }
}

/// The request numbers in a file, each line being whole JSON.
fn requests_in(path: &Path) -> Vec<u128> {
    let text = fs::read_to_string(path).expect("reads");
    assert!(text.is_empty() || text.ends_with('\n'), "the last line is torn");
    text.lines().map(request_of).collect()
}

fn request_of(line: &str) -> u128 {
    let line: serde_json::Value = serde_json::from_str(line).expect("a line is JSON");
    u128::from_str_radix(line["request_id"].as_str().expect("text"), 16).expect("hexadecimal")
}

#[test]
fn a_line_says_everything_about_a_request_but_its_secrets() {
    let (log, metrics, _folder, path) = open(QUEUE_BYTES_MIN);
    log.core_writer().write(&record(0x2a));
    assert!(log.close(PATIENCE));
    let expected = concat!(
        r#"{"time":"2026-01-01T00:00:00.250Z","request_id":"0000000000000000000000000000002a","#,
        r#""trace_id":"00000000000000000000000000000abc","tier":"edge","node":"edge-ams-1","service":"demo","#,
        r#""content_id":"demo","client":"2001:db8::7","protocol":"h2","tls_version":"TLSv1.3","#,
        r#""tls_cipher":"TLS13_AES_128_GCM_SHA256","method":"GET","host":"vod.example.com","#,
        r#""path":"/demo/v0/segment-1.m4s?token=***&x=1","range":"bytes=0-99","status":206,"bytes_sent":100,"#,
        r#""complete":true,"cache":"hit","upstream":null,"error":null,"first_byte_us":180,"total_us":220,"#,
        r#""user_agent":"player/1.0 \"beta\"","referer":"https://example.com/watch?token=***"}"#,
        "\n"
    );
    assert_eq!(fs::read_to_string(path).expect("reads"), expected);
    assert_eq!(metrics.lines.get(), 1);
    assert_eq!(metrics.queue_bytes.get(), 0);
}

#[test]
fn a_tick_hands_over_what_is_buffered_and_a_full_buffer_needs_none() {
    let (log, metrics, _folder, path) = open(1 << 20);
    let core = log.core_writer();
    core.write(&record(0));
    assert_eq!(metrics.queue_bytes.get(), 0, "a single line waits for the tick");
    core.tick();
    eventually("the line is written", || metrics.lines.get() == 1);
    let mut written = 1;
    while metrics.lines.get() == 1 {
        core.write(&record(written));
        written += 1;
        assert!(written < 1_000_000, "no buffer was handed over");
    }
    assert!(log.close(PATIENCE));
    assert_eq!(requests_in(&path), (0..written).collect::<Vec<_>>());
}

#[test]
fn rotation_under_load_loses_no_line() {
    const CORES: u128 = 4;
    const LINES: u128 = 3_000;
    let (log, metrics, folder, path) = open(64 << 20);
    let rotated = |number: usize| folder.path().join(format!("access.log.{number}"));
    let mut rotations = 0;
    std::thread::scope(|threads| {
        let cores: Vec<_> = (0..CORES)
            .map(|core| {
                let writer = log.core_writer();
                threads.spawn(move || {
                    for line in 0..LINES {
                        writer.write(&record(core * LINES + line));
                        if line % 10 == 0 {
                            writer.tick();
                        }
                    }
                })
            })
            .collect();
        while !cores.iter().all(|core| core.is_finished()) {
            fs::rename(&path, rotated(rotations)).expect("the file is there");
            rotations += 1;
            log.reopen();
            eventually("the file is there again", || path.exists());
        }
    });
    assert!(log.close(PATIENCE));
    let mut requests: Vec<u128> = (0..rotations)
        .map(rotated)
        .chain([path])
        .flat_map(|path| requests_in(&path))
        .collect();
    requests.sort_unstable();
    assert_eq!(requests, (0..CORES * LINES).collect::<Vec<_>>());
    assert!(rotations > 0);
    assert_eq!(u128::from(metrics.lines.get()), CORES * LINES);
    assert_eq!(metrics.dropped_queue_full.get(), 0);
}

#[test]
fn a_log_nobody_takes_drops_whole_lines_counts_them_and_holds_up_no_request() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("pipe");
    assert!(
        Command::new("mkfifo")
            .arg(&path)
            .status()
            .expect("mkfifo runs")
            .success()
    );
    let (log, metrics) = open_at(&path, QUEUE_BYTES_MIN);
    let core = log.core_writer();
    let mut written = 0;
    while metrics.dropped_queue_full.get() == 0 {
        core.write(&record(written.into()));
        written += 1;
        assert!(written < 1_000_000, "no line was dropped");
    }
    assert!(metrics.queue_bytes.get() <= i64::try_from(QUEUE_BYTES_MIN).expect("small"));
    assert!(
        !log.close(Duration::from_millis(10)),
        "nobody reads the pipe, so there is no end"
    );

    // Now somebody reads it: what was queued arrives, whole and in order, and the log ends.
    let expected = written - metrics.dropped_queue_full.get();
    let lines = BufReader::new(File::open(&path).expect("opens")).lines();
    let requests: Vec<u128> = lines
        .take(usize::try_from(expected).expect("few"))
        .map(|line| request_of(&line.expect("reads")))
        .collect();
    assert!(requests.is_sorted());
    assert!(log.close(PATIENCE));
    assert_eq!(metrics.lines.get(), expected);

    core.write(&record(0));
    core.tick();
    assert_eq!(metrics.dropped_closed.get(), 1);
}

#[test]
fn a_log_that_cannot_be_opened_says_which_and_why() {
    let metrics = Metrics::register(&Registry::new()).expect("unregistered names");
    for (path, queue_bytes, expected) in [
        (
            "/nowhere/access.log",
            QUEUE_BYTES_MIN,
            "the access log /nowhere/access.log cannot be opened: No such file",
        ),
        (
            "/dev/null",
            QUEUE_BYTES_MIN - 1,
            "the access log /dev/null cannot be opened: a queue of 262143 bytes is too",
        ),
    ] {
        let config = AccessLogConfig {
            path: path.into(),
            queue_bytes,
        };
        let Err(error) = AccessLog::open(config, metrics.clone()) else {
            panic!("{path} opened")
        };
        assert!(error.to_string().starts_with(expected), "{error}");
    }
}
