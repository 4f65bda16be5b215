//! A player that knows nothing of the router but its address plays through the redirect.

use std::fs;
use std::path::Path;
use std::process::Command;

use testkit::origin::Reply;

use crate::{ROUTER, await_all_well, routed};

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
