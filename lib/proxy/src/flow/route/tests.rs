//! Which service a request is for, and which requests are refused.

use std::time::Instant;

use http::{HeaderMap, HeaderName, HeaderValue};
use model::{Moment, Snapshot};
use prometheus::Registry;

use super::*;
use crate::metrics::Metrics;

const SNAPSHOT: &str = r#"{
    "cdn": "test", "number": 1,
    "sites": { "ams": { "region": "eu", "latitude": 52.4, "longitude": 4.9 } },
    "nodes": {
        "edge-1": { "tier": "edge", "site": "ams", "http": "127.0.0.1:8080" },
        "parent-1": { "tier": "parent", "site": "ams", "http": "127.0.0.1:8180" }
    },
    "services": {
        "plain": {
            "hosts": ["plain.example", "edge-1"], "origins": [{ "url": "http://origin.example" }], "plain_http": "serve"
        },
        "redirected": { "hosts": ["*.tls.example"], "origins": [{ "url": "http://origin.example" }] },
        "refused": {
            "hosts": ["tls-only.example"], "origins": [{ "url": "http://origin.example" }], "plain_http": "refuse"
        }
    }
}"#;

fn world(node: &str, tier: Tier) -> World {
    let snapshot = Snapshot::from_json(SNAPSHOT.as_bytes()).expect("a good snapshot");
    let metrics = Metrics::register(&Registry::new()).expect("an empty registry");
    World::compile(&snapshot, node, tier, 1, &metrics).unwrap_or_else(|complaints| panic!("{complaints:?}"))
}

/// What becomes of a request: the service's name and the target, or the refusal.
fn outcome(world: &World, method: &str, authority: Option<&str>, target: &str, fields: &HeaderMap) -> String {
    let method = Method::from_bytes(method.as_bytes()).expect("a method");
    let request = Request {
        method: &method,
        version: Version::HTTP_11,
        authority,
        target,
        fields,
        client: ([192, 0, 2, 1], 1024).into(),
        body: RequestBody::None,
        awaits_continue: false,
        tls: None,
        now: Moment(0),
        started: Instant::now(),
    };
    match route(world, &request) {
        Ok(Routed::Content { service, target }) => format!("{} {}", service.name, target.as_str()),
        Ok(Routed::Health) => "health".to_owned(),
        Err((refusal, _)) => {
            let field = refusal.field().map(|(_, value)| value);
            format!(
                "{} {}",
                refusal.status().as_u16(),
                field.as_ref().map_or("", |value| value.to_str().unwrap())
            )
        }
    }
}

#[test]
fn a_request_finds_its_service_or_its_refusal() {
    let world = world("edge-1", Tier::Edge);
    let none = HeaderMap::new();
    for (method, authority, target, expected) in [
        (
            "GET",
            Some("plain.example"),
            "/a/b?token=1&z=2&y=1",
            "plain /a/b?y=1&z=2",
        ),
        ("HEAD", Some("PLAIN.example:8080"), "/", "plain /"),
        ("OPTIONS", Some("plain.example"), "/a", "plain /a"),
        ("OPTIONS", Some("plain.example"), "*", "204 GET, HEAD, OPTIONS"),
        ("GET", Some("plain.example"), "*", "400 "),
        ("GET", Some("plain.example"), "", "400 "),
        ("POST", Some("plain.example"), "/", "405 GET, HEAD, OPTIONS"),
        ("BREW", Some("plain.example"), "/", "405 GET, HEAD, OPTIONS"),
        ("CONNECT", Some("plain.example:443"), "", "405 GET, HEAD, OPTIONS"),
        ("GET", Some("elsewhere.example"), "/", "421 "),
        ("GET", Some("plain.example.evil"), "/", "421 "),
        ("GET", None, "/", "400 "),
        ("GET", Some("user@plain.example"), "/", "400 "),
        ("GET", Some("plain.example"), "/a/../b", "400 "),
        ("GET", Some("plain.example"), "/a/%2e%2E/b", "400 "),
        ("GET", Some("plain.example"), "/a%2f..%2Fb", "400 "),
        ("GET", Some("plain.example"), "/a%2Fb", "plain /a%2Fb"),
        ("GET", Some("plain.example"), "/a%zz", "400 "),
        (
            "GET",
            Some("x.tls.example"),
            "/a?token=1",
            "308 https://x.tls.example/a?token=1",
        ),
        ("GET", Some("tls-only.example"), "/a", "403 "),
    ] {
        assert_eq!(
            outcome(&world, method, authority, target, &none),
            expected,
            "{method} {authority:?} {target}"
        );
    }
}

#[test]
fn a_node_that_is_asked_by_its_own_name_says_how_it_is() {
    let world = world("edge-1", Tier::Edge);
    let none = HeaderMap::new();
    for (method, authority, target, expected) in [
        ("GET", Some("edge-1"), "/healthz", "health"),
        ("HEAD", Some("Edge-1:8443"), "/healthz", "health"),
        ("POST", Some("edge-1"), "/healthz", "405 GET, HEAD"),
        ("OPTIONS", Some("edge-1"), "/healthz", "405 GET, HEAD"),
        // A service of the same name keeps the rest of its paths, and every other service this one.
        ("GET", Some("edge-1"), "/healthz/", "plain /healthz/"),
        ("GET", Some("edge-1"), "/a", "plain /a"),
        ("GET", Some("plain.example"), "/healthz", "plain /healthz"),
        ("GET", Some("tls-only.example"), "/healthz", "403 "),
        ("GET", Some("parent-1"), "/healthz", "421 "),
        ("GET", Some("edge-1@plain.example"), "/healthz", "400 "),
        ("GET", Some("edge-1:1@plain.example"), "/healthz", "400 "),
        ("GET", None, "/healthz", "400 "),
    ] {
        assert_eq!(
            outcome(&world, method, authority, target, &none),
            expected,
            "{method} {authority:?} {target}"
        );
    }
}

#[test]
fn a_parent_does_not_care_whether_its_edges_came_over_tls() {
    let world = world("parent-1", Tier::Parent);
    assert_eq!(
        outcome(&world, "GET", Some("x.tls.example"), "/a", &HeaderMap::new()),
        "redirected /a"
    );
}

#[test]
fn a_request_that_has_been_here_is_refused() {
    let world = world("edge-1", Tier::Edge);
    let name = HeaderName::from_static("cdn-loop");
    for (line, expected) in [
        ("other-cdn", "plain /"),
        ("test; node=\"parent-1\"", "plain /"),
        ("other-cdn, test; node=\"edge-1\"", "508 "),
        ("\"unfinished", "400 "),
    ] {
        let fields = HeaderMap::from_iter([(name.clone(), HeaderValue::from_str(line).unwrap())]);
        assert_eq!(
            outcome(&world, "GET", Some("plain.example"), "/", &fields),
            expected,
            "{line}"
        );
    }
}

#[test]
fn a_snapshot_that_does_not_place_the_node_is_refused() {
    let snapshot = Snapshot::from_json(SNAPSHOT.as_bytes()).expect("a good snapshot");
    let metrics = Metrics::register(&Registry::new()).expect("an empty registry");
    for (node, tier, says) in [
        ("edge-9", Tier::Edge, "knows no node"),
        ("edge-1", Tier::Parent, "start the other daemon"),
    ] {
        let Err(complaints) = World::compile(&snapshot, node, tier, 1, &metrics) else {
            panic!("{node} was placed")
        };
        assert!(complaints[0].contains(says), "{complaints:?}");
    }
}
