//! Stories of the router, told through real processes: a CDN whose edges fail, monitors that watch them, and clients of
//! DNS and HTTP.
#![allow(clippy::unwrap_used, reason = "a test fails where it unwraps")]

mod agreement;
mod failures;
mod measured;
mod play;
mod redirects;
mod reload;

use std::net::IpAddr;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net};
use serde_json::Value;
use testkit::cdn::{Cdn, CdnBuilder, HOST};
use testkit::client::{Client, Request};
use testkit::dns::Reply;
use testkit::geography;

const ROUTER: &str = "router-1";

/// Debug builds on a busy machine take their time.
const PATIENCE: Duration = Duration::from_secs(60);

/// A client near Amsterdam, one near Washington, one in a country of its own and one of whom nothing is known.
const OF_AMS: &str = "16.1.2.3";
const OF_IAD: &str = "17.1.2.3";
const OF_NOWHERE: &str = "203.0.113.1";

/// A CDN that three monitors watch and a router sends clients to; it knows where networks are.
fn routed() -> CdnBuilder {
    Cdn::builder()
        .router_binary(env!("CARGO_BIN_EXE_millrace-router"))
        .geography("database", database(&[]))
        .monitors(3)
        .parents("ams", 1)
}

/// Networks near the sites, and `more`.
fn database(more: &[(IpNet, f64, f64, &str)]) -> Vec<u8> {
    let usual = [("16.0.0.0/8", 52.0, 5.0, "NL"), ("17.0.0.0/8", 39.0, -77.0, "US")];
    let usual = usual.map(|(net, north, east, country)| (net.parse().unwrap(), north, east, country));
    geography::database(&[&usual[..], more].concat())
}

/// The network of a client, as resolvers name it.
fn network(client: &str) -> IpNet {
    match client.parse().unwrap() {
        IpAddr::V4(ip) => IpNet::V4(Ipv4Net::new(ip, 24).unwrap().trunc()),
        IpAddr::V6(_) => panic!("clients of these stories have IPv4"),
    }
}

/// What DNS says to a resolver that speaks for `client`.
#[track_caller]
fn resolved(cdn: &Cdn, client: &str) -> Reply {
    cdn.dns().ask(HOST, "A", Some(network(client))).unwrap()
}

/// A client of the router over plain HTTP.
fn http(cdn: &Cdn) -> Client {
    Client::plain(cdn.addresses(ROUTER).http).host(HOST)
}

/// A request that comes for `client`, by a proxy that the router trusts.
fn request(method: &str, client: &str, target: &str) -> Request {
    Request::new(method, target).field("X-Forwarded-For", client)
}

/// Whereto the router redirects `client`.
#[track_caller]
fn redirected(cdn: &Cdn, client: &str, target: &str) -> String {
    let response = http(cdn).send(&request("GET", client, target));
    assert_eq!(response.status(), 302, "{response:?}");
    response.field("Location").unwrap().to_owned()
}

/// The address of a node.
fn address(cdn: &Cdn, node: &str) -> IpAddr {
    cdn.addresses(node).http.ip()
}

/// What the admin port of the router shows at `path`.
#[track_caller]
fn shown(cdn: &Cdn, path: &str) -> Value {
    let response = cdn.daemon(ROUTER).admin(path).unwrap();
    assert_eq!(response.status(), 200, "{path}: {response:?}");
    serde_json::from_slice(&response.body).unwrap()
}

/// Waits until the router counts all three monitors and sends clients to every node.
#[track_caller]
fn await_all_well(cdn: &Cdn) {
    testkit::eventually(PATIENCE, || {
        let counting = cdn
            .daemon(ROUTER)
            .metric("millrace_router_monitors_counting", &[]);
        let sites = shown(cdn, "/sites");
        let nodes = sites["nodes"].as_array().unwrap();
        let well = nodes
            .iter()
            .all(|node| node["standing"] == "up" && node["weight"] == 1.0);
        if counting == 3.0 && well && sites["health"] == "fresh" {
            Ok(())
        } else {
            Err(format!("{counting} monitors count; {sites}"))
        }
    });
}

/// Waits until no majority of monitors is heard.
#[track_caller]
fn await_frozen(cdn: &Cdn) {
    testkit::eventually(PATIENCE, || {
        let sites = shown(cdn, "/sites");
        if sites["health"] == "frozen" {
            Ok(())
        } else {
            Err(sites)
        }
    });
}

/// Waits until DNS answers `client` with these nodes, in any order.
#[track_caller]
fn await_answer(cdn: &Cdn, client: &str, nodes: &[&str]) {
    let mut wanted: Vec<IpAddr> = nodes.iter().map(|node| address(cdn, node)).collect();
    wanted.sort();
    testkit::eventually(PATIENCE, || {
        let mut reply = resolved(cdn, client);
        reply.addresses.sort();
        if reply.addresses == wanted {
            Ok(())
        } else {
            Err(format!("{reply:?}, not {wanted:?}"))
        }
    });
}
