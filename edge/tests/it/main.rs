//! Stories of an edge, told through real processes: origins that a test scripts, parents, edges, strict clients.
//!
//! Each story checks the answer with every header of it, the counters, and what upstream was asked.
#![allow(clippy::unwrap_used, reason = "a test fails where it unwraps")]

mod bad_input;
mod cases;
mod collapse;
mod compression;
mod delivery;
mod disks;
mod drain;
mod early;
mod failure;
mod hand_over;
mod health;
mod heartbeats;
mod interim;
mod invalidation;
mod log;
mod methods;
mod metrics;
mod restart;
mod sharing;
mod smuggling;
mod smuggling_h2;
mod snapshot;
mod tls;
mod upgrades;
mod uploads;
mod variants;
mod wishes;
mod wrong_requests;

use model::Tier;
use testkit::cdn::{Cdn, CdnBuilder};
use testkit::client::{Expectation, Response};

/// The edge that most stories ask.
const EDGE: &str = "edge-ams-1";

/// The parent behind it.
const PARENT: &str = "parent-ams-1";

/// A CDN whose edges are the ones under test.
fn builder() -> CdnBuilder {
    Cdn::builder().binary(Tier::Edge, env!("CARGO_BIN_EXE_millrace-edge"))
}

/// One origin, one parent, one edge.
fn one_of_each() -> Cdn {
    builder().parents("ams", 1).edges("ams", 1).start()
}

/// Begins the assertion about an answer of `status` that the cache of [`EDGE`] gave through [`PARENT`], and names what
/// every such answer has. `edge_says` is what `Cache-Status` has after the edge's name.
#[track_caller]
fn from_cache<'a>(response: &'a Response, status: u16, edge_says: &[&str]) -> Expectation<'a> {
    let cache_status: Vec<&str> = [PARENT, EDGE].iter().chain(edge_says).copied().collect();
    response
        .expect(status)
        .number("Age", 0, 2)
        .field_with("Cache-Status", &cache_status)
        .field_with("Via", &["1.1 parent-ams-1", "1.1 edge-ams-1"])
        .field("X-Region", "ams")
        .any("Accept-Ranges")
}

/// How many answers of a node had the cache take part in this way.
#[track_caller]
fn results(cdn: &Cdn, node: &str, result: &str) -> f64 {
    cdn.daemon(node)
        .metric("millrace_cache_results_total", &[("result", result)])
}
