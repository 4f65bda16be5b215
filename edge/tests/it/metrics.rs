//! The admin port: alive, ready, counted, and what the daemon was told.

use testkit::origin::Reply;

use crate::{EDGE, one_of_each, results};

#[test]
fn the_counters_say_what_the_answers_were() {
    let cdn = one_of_each();
    cdn.origin().on("/a", Reply::generated("a", 1000));
    let client = cdn.http(EDGE);
    for _ in 0..4 {
        assert_eq!(client.get("/a").status(), 200);
    }
    assert_eq!(client.get("/missing").status(), 404);
    assert_eq!(client.clone().host("other.test").get("/a").status(), 421);
    let daemon = cdn.daemon(EDGE);
    let of_demo = |class: &str| {
        daemon.metric(
            "millrace_requests_total",
            &[("service", "demo"), ("class", class)],
        )
    };
    assert_eq!((of_demo("2xx"), of_demo("4xx"), of_demo("5xx")), (4.0, 1.0, 0.0));
    assert_eq!(
        ["hit", "miss", "pass", "local"].map(|result| results(&cdn, EDGE, result)),
        [3.0, 1.0, 1.0, 0.0]
    );
    let bytes = |result: &str| {
        let labels = [("service", "demo"), ("tier", "edge"), ("result", result)];
        daemon.metric("millrace_response_body_bytes_total", &labels)
    };
    assert_eq!(
        ["hit", "miss", "collapsed", "local"].map(bytes),
        [3000.0, 1000.0, 0.0, 0.0]
    );
    assert_eq!(
        daemon.metric("millrace_response_body_bytes_total", &[("service", "demo")]),
        4000.0
    );
    assert_eq!(daemon.metric("millrace_misdirected_requests_total", &[]), 1.0);
    assert_eq!(
        daemon.metric("millrace_front_accepted_total", &[("listener", "http")]),
        6.0
    );
    testkit::eventually(std::time::Duration::from_secs(5), || {
        daemon.metric("millrace_front_connections", &[]) == 0.0
    });
}

#[test]
fn every_name_begins_with_the_name_of_the_product_or_of_what_prometheus_knows_of_any_process() {
    let cdn = one_of_each();
    let metrics = cdn.daemon(EDGE).metrics();
    let ours = |name: &&str| name.starts_with("millrace_") || name.starts_with("process_");
    let strangers: Vec<&str> = metrics.names().into_iter().filter(|name| !ours(name)).collect();
    assert!(strangers.is_empty(), "{strangers:?}");
}

#[test]
fn the_admin_port_tells_life_readiness_and_configuration() {
    let cdn = one_of_each();
    let daemon = cdn.daemon(EDGE);
    for path in ["/healthz", "/ready", "/metrics", "/config"] {
        assert_eq!(daemon.admin(path).unwrap().status(), 200, "{path}");
    }
    assert_eq!(daemon.admin("/nothing").unwrap().status(), 404);
    let config = daemon.admin("/config").unwrap().body;
    let config: serde_json::Value = serde_json::from_slice(&config).unwrap();
    assert!(config.to_string().contains(EDGE), "{config}");
    let readings = daemon.readings();
    assert!(
        readings.resident_bytes < 200 << 20,
        "an idle edge is small: {readings:?}"
    );
}
