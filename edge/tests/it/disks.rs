//! Several cache devices under one edge: one is lost under load.
//!
//! Every answer is whole. One whose device is lost while it is being sent goes on from upstream, since the origin names what
//! it serves by a strong entity tag.

use std::collections::BTreeSet;
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use model::Tier;
use testkit::cdn::Cdn;
use testkit::client::Request;
use testkit::origin::Reply;
use testkit::{Chance, body, seed};

use crate::{EDGE, PARENT, builder};

const OBJECTS: u64 = 150;
const PATIENCE: Duration = Duration::from_secs(60);

fn with_two_devices() -> Cdn {
    let cdn = builder()
        .parents("ams", 1)
        .edges("ams", 1)
        .settings(Tier::Edge, |settings| {
            settings
                .text("cache", "ram", "16MiB")
                .text("cache", "disk_probe_interval", "1s")
                .disk("256MiB")
                .disk("256MiB");
        })
        .start();
    cdn.origin().on_prefix("/", |request| {
        Reply::ok(body(request.path(), length_of(request.path())))
            .field("Content-Type", "video/mp4")
            .field("ETag", format!("\"{}\"", request.path()))
    });
    cdn
}

fn path_of(number: u64) -> String {
    format!("/title/{number}.m4s")
}

/// Together far more than the RAM holds; some of one chunk, some of more.
fn length_of(path: &str) -> usize {
    let mut chance = Chance::named(path);
    [160_000, 320_000][chance.below(2) as usize] + chance.below(80_000) as usize
}

/// The sum of a metric of one device, or of all.
fn of_device(cdn: &Cdn, name: &str, device: Option<usize>, label: (&str, &str)) -> f64 {
    let path = device.map(|number| cdn.cache_device(EDGE, number).display().to_string());
    let mut labels = vec![label];
    labels.extend(path.as_deref().map(|path| ("device", path)));
    cdn.daemon(EDGE).metric(name, &labels)
}

fn heads_written(cdn: &Cdn, device: Option<usize>) -> f64 {
    of_device(
        cdn,
        "millrace_cache_disk_records_written_total",
        device,
        ("kind", "head"),
    )
}

/// Players that ask for one object after the other and compare every byte.
struct Players {
    running: Arc<AtomicBool>,
    answers: Arc<AtomicU64>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Players {
    fn start(cdn: &Cdn, count: u64) -> Players {
        let mut chance = Chance::new(seed());
        let (running, answers) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicU64::new(0)));
        let play = |_| {
            let (client, running, answers) = (cdn.http(EDGE), running.clone(), answers.clone());
            let mut chance = Chance::new(chance.next_u64());
            std::thread::spawn(move || {
                while running.load(Ordering::Relaxed) {
                    let path = path_of(chance.below(OBJECTS));
                    let response = client.send(&Request::get(&path));
                    assert_eq!(response.status(), 200, "{path}");
                    assert!(response.body == body(&path, length_of(&path)), "{path}");
                    answers.fetch_add(1, Ordering::Relaxed);
                }
            })
        };
        let threads = (0..count).map(play).collect();
        Players {
            running,
            answers,
            threads,
        }
    }

    fn await_answers(&self, more: u64) {
        let goal = self.answers.load(Ordering::Relaxed) + more;
        testkit::eventually(PATIENCE, || {
            (self.answers.load(Ordering::Relaxed) >= goal).then_some(())
        });
    }

    /// Fails when any answer was wrong or broken off.
    fn end(self) {
        self.running.store(false, Ordering::Relaxed);
        self.threads.into_iter().for_each(|player| player.join().unwrap());
    }
}

#[test]
fn a_device_that_loses_its_contents_under_load_costs_its_share_of_hits_and_comes_back_empty() {
    let cdn = with_two_devices();
    for number in 0..OBJECTS {
        assert_eq!(cdn.http(EDGE).get(&path_of(number)).status(), 200);
    }
    testkit::eventually(PATIENCE, || {
        (heads_written(&cdn, None) >= OBJECTS as f64).then_some(())
    });
    let lost = heads_written(&cdn, Some(1));
    assert!(
        lost > 30.0 && lost < 120.0,
        "{lost} of {OBJECTS} objects on the second device"
    );
    let asked = || cdn.daemon(PARENT).metric("millrace_requests_total", &[]);
    let players = Players::start(&cdn, 3);
    players.await_answers(100);
    let asked_before = asked();

    let device = File::options()
        .write(true)
        .open(cdn.cache_device(EDGE, 1))
        .unwrap();
    device.set_len(0).unwrap();
    let transitions = |state| {
        let name = "millrace_cache_disk_transitions_total";
        of_device(&cdn, name, Some(1), ("state", state))
    };
    testkit::eventually(PATIENCE, || (transitions("offline") >= 1.0).then_some(()));
    testkit::eventually(PATIENCE, || (transitions("healthy") >= 1.0).then_some(()));
    players.await_answers(300);
    players.end();

    let state = |device, state| of_device(&cdn, "millrace_cache_disk_state", Some(device), ("state", state));
    assert_eq!((state(0, "healthy"), state(1, "healthy")), (1.0, 1.0));
    assert_eq!(
        of_device(
            &cdn,
            "millrace_cache_disk_transitions_total",
            Some(0),
            ("state", "offline")
        ),
        0.0
    );
    // One that was lost may be asked for more than once: its new copy is lost as well when it goes to the emptied file
    // before that is noticed. One that was on the other device is not asked for again at all.
    let lines = testkit::eventually(PATIENCE, || {
        let lines = cdn.access_log(PARENT);
        (lines.len() as f64 >= asked()).then_some(lines)
    });
    let again: BTreeSet<String> = lines[asked_before as usize..]
        .iter()
        .map(|line| line["path"].as_str().unwrap().to_owned())
        .collect();
    assert!(
        !again.is_empty() && again.len() as f64 <= lost,
        "{} objects were asked for again, {lost} were lost",
        again.len()
    );
    let errors = cdn.daemon(EDGE).errors();
    for (to, cause) in [
        ("offline", "it is gone, or shorter than it was"),
        ("healthy", "wiped, because"),
    ] {
        let told = |line: &String| line.contains(&format!("\"to\":\"{to}\"")) && line.contains(cause);
        assert!(
            errors.iter().any(told),
            "no line tells that it is {to}: {errors:?}"
        );
    }
}

#[test]
fn an_edge_starts_without_a_device_that_is_missing_and_takes_it_in_when_it_comes() {
    let mut cdn = with_two_devices();
    cdn.daemon(EDGE).terminate();
    assert!(cdn.daemon_mut(EDGE).await_end(PATIENCE).success());
    // Its path leads nowhere, as that of a drive which is not mounted.
    let path = cdn.cache_device(EDGE, 1);
    let away = path.with_extension("away");
    std::fs::rename(&path, &away).unwrap();
    std::os::unix::fs::symlink("nowhere/device", &path).unwrap();
    cdn.daemon_mut(EDGE).launch_again();
    cdn.daemon_mut(EDGE).await_ready();
    let state = |cdn: &Cdn, state| of_device(cdn, "millrace_cache_disk_state", Some(1), ("state", state));
    assert_eq!(state(&cdn, "offline"), 1.0);
    let serve = |range: std::ops::Range<u64>| {
        for path in range.map(path_of) {
            assert_eq!(cdn.http(EDGE).get(&path).body, body(&path, length_of(&path)));
        }
    };
    serve(0..10);
    std::fs::remove_file(&path).unwrap();
    std::fs::rename(&away, &path).unwrap();
    testkit::eventually(PATIENCE, || (state(&cdn, "healthy") == 1.0).then_some(()));
    serve(10..50);
    testkit::eventually(PATIENCE, || (heads_written(&cdn, Some(1)) > 5.0).then_some(()));
}
