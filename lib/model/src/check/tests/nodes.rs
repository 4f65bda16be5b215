//! The CDN itself, its sites and nodes.

use serde_json::{Value, json};

use super::*;

#[test]
fn each_mistake_meets_its_complaint() {
    let far = "199.0.2.1:80";
    each_meets_its_complaint([
        ("/cdn", json!("Test CDN"), "cdn", "not a name"),
        ("/cdn", json!(""), "cdn", "not a name"),
        (
            "/sites/Ams 2",
            right()["sites"]["ams"].clone(),
            "sites.Ams 2",
            "not a name",
        ),
        (
            "/sites/ams/latitude",
            json!(90.1),
            "sites.ams.latitude",
            "no latitude",
        ),
        (
            "/sites/ams/longitude",
            json!(-180.5),
            "sites.ams.longitude",
            "no longitude",
        ),
        (
            "/sites/ams/region",
            json!("eu\nwest"),
            "sites.ams.region",
            "header field",
        ),
        ("/sites/ams/region", json!(""), "sites.ams.region", "header field"),
        (
            "/nodes/edge-1/site",
            json!("fra"),
            "nodes.edge-1.site",
            "no site \"fra\"",
        ),
        (
            "/nodes/edge-1/weight",
            json!(0.0),
            "nodes.edge-1.weight",
            "not above 0",
        ),
        (
            "/nodes/edge-1/weight",
            json!(-1),
            "nodes.edge-1.weight",
            "not above 0",
        ),
        (
            "/nodes/edge-1/https",
            json!("192.0.2.1:80"),
            "nodes.edge-1.https",
            "also the address of nodes.edge-1.http",
        ),
        (
            "/nodes/parent-1/http",
            json!("192.0.2.1:443"),
            "nodes.parent-1.http",
            "also the address of nodes.edge-1.https",
        ),
        (
            "/nodes/edge-1/http",
            json!("0.0.0.0:80"),
            "nodes.edge-1.http",
            "nobody can connect",
        ),
        (
            "/nodes/edge-1/http",
            json!("192.0.2.1:0"),
            "nodes.edge-1.http",
            "nobody can connect",
        ),
        (
            "/nodes/parent-1/http",
            Value::Null,
            "nodes.parent-1",
            "neither HTTP nor HTTPS",
        ),
        (
            "/nodes/edge 2",
            json!({ "tier": "edge", "site": "ams", "http": far }),
            "nodes.edge 2",
            "not a name",
        ),
    ]);
}

#[test]
fn a_weight_that_is_no_number_is_refused() {
    let mut snapshot = Snapshot::from_json(right().to_string().as_bytes()).expect("right");
    for weight in [f64::NAN, f64::INFINITY] {
        snapshot.nodes.get_mut("edge-1").expect("it is there").weight = weight;
        assert_eq!(snapshot.check().len(), 1, "{weight}");
    }
}

#[test]
fn a_site_may_have_sixty_four_edges_beside_those_that_are_offline() {
    let mut document = right();
    let edge = |nth: usize, status: &str| json!({ "tier": "edge", "site": "ams", "http": format!("192.0.2.100:{}", nth + 1), "status": status });
    for nth in 0..63 {
        put(
            &mut document,
            &format!("/nodes/more-{nth}"),
            edge(nth, "REPORTED"),
        );
    }
    put(&mut document, "/nodes/old", edge(63, "OFFLINE"));
    assert_eq!(complaints_of(&document), []);
    put(&mut document, "/nodes/old", edge(63, "ADMIN_DOWN"));
    let found = complaints_of(&document);
    assert_eq!((found.len(), found[0].at.as_str()), (1, "sites.ams"), "{found:?}");
}

#[test]
fn a_cdn_has_at_most_as_many_sites_as_routers_keep() {
    let mut document = right();
    for nth in 0..1023 {
        put(
            &mut document,
            &format!("/sites/s{nth}"),
            json!({ "region": "r", "latitude": 0, "longitude": 0 }),
        );
    }
    let found = complaints_of(&document);
    assert_eq!((found.len(), found[0].at.as_str()), (1, "sites"), "{found:?}");
}
