//! A device handed over between two processes: the old one drains and only reads, the new one writes beside it.

use std::sync::mpsc::channel;
use std::time::Duration;

use model::Tier;
use testkit::body;
use testkit::cdn::Cdn;
use testkit::client::{Request, run};
use testkit::origin::Reply;
use testkit::ports::Port;
use testkit::process::Daemon;

use crate::{EDGE, PARENT, builder};

const PATIENCE: Duration = Duration::from_secs(60);

/// What is being read from disk throughout: far more than the sockets between hold.
const LONG_BYTES: usize = 24_000_000;
/// Enough of these displace it from RAM.
const OTHER_BYTES: usize = 3_000_000;

fn with_small_disk() -> Cdn {
    let cdn = builder()
        .parents("ams", 1)
        .edges("ams", 1)
        .settings(Tier::Edge, |settings| {
            // Three regions: one that the old process fills, one for the new one, and one that is kept free.
            settings
                .text("cache", "ram", "16MiB")
                .text("listen", "drain_timeout", "60s")
                .disk("256MiB");
        })
        .start();
    cdn.origin().on_prefix("/", |request| {
        Reply::generated(request.path(), length_of(request.path())).field("Content-Type", "video/mp4")
    });
    cdn
}

fn length_of(path: &str) -> usize {
    if path == "/long" { LONG_BYTES } else { OTHER_BYTES }
}

fn serve(cdn: &Cdn, name: &str, numbers: std::ops::Range<u32>) {
    for number in numbers {
        let path = format!("/{name}/{number}");
        assert!(
            cdn.http(EDGE).get(&path).body == body(&path, OTHER_BYTES),
            "{path}"
        );
    }
}

/// The same node, as the unit that replaces it starts it: its own process with an admin port of its own.
fn successor(cdn: &Cdn, port: &Port) -> Daemon {
    let (old, new) = (cdn.addresses(EDGE).admin, port.address());
    let text = std::fs::read_to_string(cdn.config(EDGE)).unwrap();
    assert!(text.contains(&old.to_string()), "{text}");
    let config = cdn.config(EDGE).with_extension("successor.toml");
    std::fs::write(&config, text.replace(&old.to_string(), &new.to_string())).unwrap();
    let mut daemon = Daemon::launch("edge-successor", cdn.binary(EDGE), &config, new);
    daemon.await_ready();
    daemon
}

#[test]
fn a_successor_serves_and_writes_beside_the_one_that_drains_and_gives_up_nothing_that_one_may_read() {
    let mut cdn = with_small_disk();
    assert!(cdn.http(EDGE).get("/long").body == body("/long", LONG_BYTES));
    serve(&cdn, "old", 0..10);
    let heads = [("kind", "head")];
    let written = "millrace_cache_disk_records_written_total";
    testkit::eventually(PATIENCE, || {
        (cdn.daemon(EDGE).metric(written, &heads) >= 11.0).then_some(())
    });

    // Somebody watches slowly.
    let (begun, has_begun) = channel();
    let (go_on, may_go_on) = channel();
    let client = cdn.http(EDGE).patience(PATIENCE);
    let watching = std::thread::spawn(move || {
        run(async {
            let mut connection = client.connect().await?;
            let mut exchange = connection.begin(&Request::get("/long")).await?;
            let expected = body("/long", LONG_BYTES);
            let first = exchange.at_least(100_000).await?;
            assert!(expected.starts_with(&first));
            begun.send(()).unwrap();
            may_go_on.recv().unwrap();
            exchange.compare(&expected[first.len()..]).await
        })
        .unwrap()
    });
    has_begun.recv().unwrap();
    cdn.daemon(EDGE).terminate();
    let address = cdn.addresses(EDGE).http;
    testkit::eventually(PATIENCE, || {
        std::net::TcpStream::connect(address).is_err().then_some(())
    });

    let port = Port::claim();
    let new = successor(&cdn, &port);
    assert!(
        cdn.daemon_mut(EDGE).has_ended().is_none(),
        "the old one serves its last client"
    );
    let asked = cdn.daemon(PARENT).metric("millrace_requests_total", &[]);
    serve(&cdn, "old", 0..10);
    assert_eq!(
        cdn.daemon(PARENT).metric("millrace_requests_total", &[]),
        asked,
        "what the old one stored is served"
    );
    // More than the one region that it may fill.
    serve(&cdn, "new", 0..40);
    let dropped = [("reason", "handing_over")];
    testkit::eventually(PATIENCE, || {
        let dropped = new.metric("millrace_cache_disk_records_dropped_total", &dropped);
        (dropped > 0.0).then_some(())
    });
    let given_up = "millrace_cache_disk_regions_reclaimed_total";
    assert_eq!(new.metric(given_up, &[]), 0.0);

    go_on.send(()).unwrap();
    watching.join().unwrap();
    assert!(cdn.daemon_mut(EDGE).await_end(PATIENCE).success());
    // Nobody else reads any more: room is made again.
    let mut next = 100;
    testkit::eventually(PATIENCE, || {
        serve(&cdn, "newer", next..next + 10);
        next += 10;
        (new.metric(given_up, &[]) > 0.0).then_some(())
    });
}
