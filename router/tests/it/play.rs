//! Players: one that knows nothing of the router but its address, and one that looks the name up again when it has to.

use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::process::Command;

use testkit::cdn::{Cdn, HOST};
use testkit::client::{Client, Request};
use testkit::origin::Reply;

use crate::{OF_AMS, PATIENCE, ROUTER, address, await_all_well, resolved, routed, shown};

/// The demo stream of the local CDN.
const MEDIA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../conf/local/media");

#[test]
fn ffmpeg_plays_through_the_redirect() {
    let cdn = routed()
        .service("demo", |service| {
            let addresses = (1..=3).map(|nth| format!("127.0.1.{nth}"));
            service.hosts.extend(addresses.chain(["127.0.0.1".to_owned()]));
        })
        .edges("ams", 2)
        .start();
    await_all_well(&cdn);
    cdn.origin().on_prefix("/demo/", |request| {
        let path = request.target.split('?').next().unwrap_or_default();
        match fs::read(Path::new(MEDIA).join(path.trim_start_matches('/'))) {
            Ok(bytes) => Reply::ok(bytes),
            Err(_) => Reply::status(404),
        }
    });
    let url = format!("http://{}/demo/master.m3u8", cdn.addresses(ROUTER).http);
    let played = Command::new("ffmpeg")
        .args([
            "-nostdin", "-v", "error", "-i", &url, "-t", "10", "-f", "null", "-",
        ])
        .output()
        .unwrap();
    let complaints = String::from_utf8_lossy(&played.stderr);
    assert!(played.status.success() && complaints.is_empty(), "{complaints}");
    let redirects = cdn
        .daemon(ROUTER)
        .metric("millrace_router_routes_total", &[("protocol", "redirect")]);
    assert!(redirects >= 1.0, "{redirects}");
    assert!(
        cdn.origin().total() > 5,
        "{} requests reached the origin",
        cdn.origin().total()
    );
}

/// A player near Amsterdam that stays with an address for as long as it is served there.
struct Player<'a> {
    cdn: &'a Cdn,
    /// Every address it was given, the one it asks last.
    given: Vec<IpAddr>,
}

impl Player<'_> {
    /// Fetches a segment, wherever it takes.
    #[track_caller]
    fn fetch(&mut self, target: &str) {
        testkit::eventually(PATIENCE, || {
            let (Some(ip), client) = (self.given.last(), Request::get(target)) else {
                return Err(self.look_up());
            };
            let nodes = ["edge-ams-1", "edge-ams-2", "edge-iad-1"].map(|node| self.cdn.addresses(node).http);
            let server = *nodes.iter().find(|node| node.ip() == *ip).unwrap();
            match Client::plain(server).host(HOST).try_send(&client) {
                Ok(response) => {
                    assert_eq!(response.status(), 200, "{target}: {response:?}");
                    assert!(
                        response.body == testkit::body(target, SEGMENT_BYTES),
                        "{target} has other bytes"
                    );
                    Ok(())
                }
                Err(error) => Err(format!("{server}: {error}; {}", self.look_up())),
            }
        });
    }

    /// Asks DNS, as one does whose connection failed; it takes the first address.
    fn look_up(&mut self) -> String {
        let reply = resolved(self.cdn, OF_AMS);
        self.given.extend(reply.addresses.first());
        format!("then it was given {reply:?}")
    }
}

const SEGMENT_BYTES: usize = 200_000;

#[test]
fn a_player_that_looks_the_name_up_again_goes_on_when_its_whole_site_dies() {
    let mut cdn = routed().edges("ams", 2).edges("iad", 1).start();
    await_all_well(&cdn);
    cdn.origin().on_prefix("/live/", |request| {
        Reply::ok(testkit::body(&request.target, SEGMENT_BYTES))
    });
    let accepts = |cdn: &Cdn| -> Vec<(String, f64)> {
        let sites = shown(cdn, "/sites");
        let sites = sites["sites"].as_array().unwrap().iter();
        sites
            .map(|site| {
                (
                    site["site"].as_str().unwrap().to_owned(),
                    site["accept"].as_f64().unwrap(),
                )
            })
            .collect()
    };
    assert_eq!(
        accepts(&cdn),
        [("ams".to_owned(), 1.0), ("iad".to_owned(), 1.0)],
        "there is room"
    );
    let (of_ams, of_iad) = (
        ["edge-ams-1", "edge-ams-2"].map(|node| address(&cdn, node)),
        address(&cdn, "edge-iad-1"),
    );
    let play = |cdn: &Cdn, given: Vec<IpAddr>, segments: std::ops::Range<u32>| {
        let mut player = Player { cdn, given };
        for nth in segments {
            player.fetch(&format!("/live/{nth}.m4s"));
        }
        player.given
    };
    let given = play(&cdn, Vec::new(), 0..10);
    assert!(
        given.iter().all(|ip| of_ams.contains(ip)),
        "it was given {given:?} while all was well"
    );
    for edge in ["edge-ams-1", "edge-ams-2"] {
        cdn.daemon_mut(edge).kill9();
    }
    let given = play(&cdn, given, 10..20);
    assert_eq!(
        given.last(),
        Some(&of_iad),
        "it plays from the next nearest: {given:?}"
    );
    let failovers = cdn.daemon(ROUTER).metric(
        "millrace_router_routes_total",
        &[("protocol", "dns"), ("reason", "failover")],
    );
    assert!(failovers >= 1.0, "{failovers}");
}
