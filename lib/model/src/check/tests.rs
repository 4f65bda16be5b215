//! Each class of mistake, made once in a document that is otherwise right.

use serde_json::{Value, json};

use super::*;

/// A document with something of everything, and nothing wrong.
fn right() -> Value {
    json!({
        "cdn": "test",
        "number": 7,
        "sites": {
            "ams": { "region": "eu-west", "latitude": 52.3, "longitude": 4.8, "capacity_bytes_per_second": 50_000_000_000_u64 },
            "iad": { "region": "us-east", "latitude": 38.9, "longitude": -77.5 }
        },
        "nodes": {
            "edge-1": { "tier": "edge", "site": "ams", "http": "192.0.2.1:80", "https": "192.0.2.1:443", "weight": 2.0 },
            "parent-1": { "tier": "parent", "site": "iad", "http": "[2001:db8::1]:8180", "status": "ADMIN_DOWN" }
        },
        "services": {
            "films": {
                "hosts": ["films.example", "*.films.example", "192.0.2.9", "[2001:db8::9]"],
                "origins": [
                    { "url": "https://origin.example", "weight": 1.5, "max_connections": 8, "host_header": "films:81" },
                    { "url": "http://198.51.100.1:8090" }
                ],
                "ttl": {
                    "override": true,
                    "paths": [{ "prefix": "/live/", "ttl": "2s" }],
                    "manifest": "15s",
                    "segment": "365d",
                    "default": "0s"
                },
                "stale_while_revalidate": "5s",
                "stale_if_error": "10m",
                "query": { "all-but": ["token", "%C3%B6"] },
                "compression": { "types": ["text/*", "image/svg+xml"], "min_size": "500B", "max_size": "16MiB" },
                "content_id": { "path_segment": 0 },
                "methods": ["POST", "BREW", "*"],
                "request_body_max": "1GiB",
                "pass_get_bodies": true,
                "upgrades": ["websocket"],
                "routing": {
                    "ttl": "20s",
                    "answers": 4,
                    "dispersion": 2,
                    "key_prefix_segments": 2,
                    "countries": { "allow": ["NL", "BE"] },
                    "elsewhere": { "CH": { "url": "https://ch.example/films" } },
                    "bypass": { "url": "http://[2001:db8::8]:81", "addresses": ["192.0.2.8", "2001:db8::8"] }
                },
                "header_rules": [
                    { "tier": "edge", "on": "response", "action": "set", "name": "X-Region", "value": "{site} {\"a\":1}" },
                    { "on": "request", "action": "add", "name": "X-Node", "value": "{node}, {region}" },
                    { "on": "request", "action": "remove", "name": "Pragma" }
                ]
            },
            "news": { "hosts": ["news.example"], "origins": [{ "url": "https://news-origin.example" }] }
        }
    })
}

fn complaints_of(document: &Value) -> Vec<Complaint> {
    Snapshot::from_json(document.to_string().as_bytes())
        .err()
        .unwrap_or_default()
}

#[test]
fn a_right_document_meets_no_complaint() {
    assert_eq!(complaints_of(&right()), []);
}

/// Where to change the document, to what, where the complaint points, and a part of what it says. Both places are
/// those of the service `films` unless the JSON pointer begins with a `/`; so may the place of the complaint.
#[test]
fn each_mistake_meets_its_complaint() {
    let far = "199.0.2.1:80";
    let rule = |name: &str| json!({ "on": "request", "action": "remove", "name": name });
    let set = |value: &str| json!({ "on": "request", "action": "set", "name": "X-A", "value": value });
    let table = [
        ("/cdn", json!("Test CDN"), "cdn", "not a name"),
        (
            "methods",
            json!(["PO ST"]),
            "methods[0]",
            "not the name of a method",
        ),
        ("methods", json!(["GET"]), "methods[0]", "answered anyway"),
        (
            "methods",
            json!(["PUT", "TRACE"]),
            "methods[1]",
            "never let through",
        ),
        ("methods", json!(["post"]), "methods[0]", "told apart by case"),
        ("methods", json!(["PUT", "PUT"]), "methods[1]", "listed twice"),
        (
            "methods",
            json!((0..65).map(|nth| format!("M{nth}")).collect::<Vec<_>>()),
            "methods",
            "more than 64",
        ),
        (
            "upgrades",
            json!(["WebSocket"]),
            "upgrades[0]",
            "not the name of a protocol",
        ),
        ("upgrades", json!(["h2c"]), "upgrades[0]", "never switched"),
        ("upgrades", json!(["a", "a"]), "upgrades[1]", "listed twice"),
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
        (
            "/services/a~1b",
            json!({ "hosts": ["b.example"], "origins": [{ "url": "http://b.example" }] }),
            "services.a/b",
            "not a name",
        ),
        ("hosts", json!([]), "hosts", "no host name leads"),
        ("hosts/0", json!("Films.example"), "hosts[0]", "not a host name"),
        (
            "hosts/0",
            json!("films.example:443"),
            "hosts[0]",
            "not a host name",
        ),
        (
            "hosts/0",
            json!("https://films.example"),
            "hosts[0]",
            "not a host name",
        ),
        ("hosts/0", json!("films.example."), "hosts[0]", "not a host name"),
        ("hosts/0", json!("films.*.example"), "hosts[0]", "not a host name"),
        ("hosts/0", json!("*"), "hosts[0]", "not a host name"),
        ("hosts/0", json!("*."), "hosts[0]", "not a host name"),
        ("hosts/0", json!("*.[2001:db8::9]"), "hosts[0]", "not a host name"),
        ("hosts/0", json!(""), "hosts[0]", "not a host name"),
        (
            "hosts/0",
            json!("*.films.example"),
            "hosts[1]",
            "stands at services.films.hosts[0] too",
        ),
        (
            "hosts/0",
            json!("news.example"),
            "/services.news.hosts[0]",
            "stands at services.films.hosts[0] too",
        ),
        ("origins", json!([]), "origins", "no origin"),
        (
            "origins/0/url",
            json!("ftp://origin.example"),
            "origins[0].url",
            "scheme",
        ),
        (
            "origins/0/url",
            json!("https://origin.example/path"),
            "origins[0].url",
            "path or query",
        ),
        (
            "origins/0/url",
            json!("https://origin.example?query"),
            "origins[0].url",
            "path or query",
        ),
        (
            "origins/0/url",
            json!("https://user@origin.example"),
            "origins[0].url",
            "user",
        ),
        (
            "origins/0/url",
            json!("https://origin example"),
            "origins[0].url",
            "host or port",
        ),
        (
            "origins/0/url",
            json!("http://10.0.0.5"),
            "origins[0].url",
            "private",
        ),
        (
            "origins/0/url",
            json!("http://[::1]:80"),
            "origins[0].url",
            "private",
        ),
        (
            "origins/0/url",
            json!("http://169.254.169.254"),
            "origins[0].url",
            "private",
        ),
        (
            "origins/0/url",
            json!("http://localhost"),
            "origins[0].url",
            "private",
        ),
        (
            "origins/1/url",
            json!("https://ORIGIN.example:443"),
            "origins[1].url",
            "listed twice",
        ),
        ("origins/0/weight", json!(0), "origins[0].weight", "not above 0"),
        (
            "origins/0/max_connections",
            json!(0),
            "origins[0].max_connections",
            "no connection",
        ),
        (
            "origins/0/host_header",
            json!("a/b"),
            "origins[0].host_header",
            "not a host",
        ),
        (
            "ttl/manifest",
            json!("366d"),
            "ttl.manifest",
            "longer than a year",
        ),
        ("ttl/segment", json!("8761h"), "ttl.segment", "longer than a year"),
        ("ttl/default", json!("400d"), "ttl.default", "longer than a year"),
        (
            "ttl/paths/0/ttl",
            json!("366d"),
            "ttl.paths[0].ttl",
            "longer than a year",
        ),
        (
            "ttl/paths/0/prefix",
            json!("live/"),
            "ttl.paths[0].prefix",
            "beginning of no path",
        ),
        (
            "ttl/paths/-",
            json!({ "prefix": "/live/", "ttl": "3s" }),
            "ttl.paths[1].prefix",
            "has a rule already",
        ),
        (
            "stale_while_revalidate",
            json!("366d"),
            "stale_while_revalidate",
            "longer than a year",
        ),
        (
            "stale_if_error",
            json!("366d"),
            "stale_if_error",
            "longer than a year",
        ),
        (
            "compression/types/1",
            json!("video/mp4"),
            "compression.types[1]",
            "no type of text",
        ),
        (
            "compression/types/0",
            json!("Text/HTML"),
            "compression.types[0]",
            "no type of text",
        ),
        (
            "compression/max_size",
            json!("17MiB"),
            "compression.max_size",
            "more than may be compressed",
        ),
        (
            "compression/max_size",
            json!("400"),
            "compression.max_size",
            "nothing is at least",
        ),
        (
            "query",
            json!({ "only": ["a[]"] }),
            "query.only[0]",
            "not the name of a query parameter",
        ),
        (
            "query",
            json!({ "only": ["a=b"] }),
            "query.only[0]",
            "not the name of a query parameter",
        ),
        (
            "query",
            json!({ "all-but": ["token", ""] }),
            "query.all-but[1]",
            "not the name of a query parameter",
        ),
        (
            "query",
            json!({ "all-but": ["token", "token"] }),
            "query.all-but[1]",
            "listed twice",
        ),
        (
            "content_id/path_segment",
            json!(64),
            "content_id.path_segment",
            "so many segments",
        ),
        (
            "header_rules/0/name",
            json!(""),
            "header_rules[0].name",
            "not the name of a header field",
        ),
        (
            "header_rules/0/name",
            json!("X Region"),
            "header_rules[0].name",
            "not the name of a header field",
        ),
        (
            "header_rules/0/name",
            json!("X-Region:"),
            "header_rules[0].name",
            "not the name of a header field",
        ),
        (
            "header_rules/2",
            rule("Connection"),
            "header_rules[2].name",
            "framing",
        ),
        (
            "header_rules/2",
            rule("transfer-encoding"),
            "header_rules[2].name",
            "framing",
        ),
        (
            "header_rules/2",
            rule("Content-Length"),
            "header_rules[2].name",
            "framing",
        ),
        ("header_rules/2", rule("HOST"), "header_rules[2].name", "framing"),
        (
            "header_rules/2",
            rule("Age"),
            "header_rules[2].name",
            "the CDN's own",
        ),
        (
            "header_rules/2",
            rule("via"),
            "header_rules[2].name",
            "the CDN's own",
        ),
        (
            "header_rules/2",
            rule("Cache-Status"),
            "header_rules[2].name",
            "the CDN's own",
        ),
        (
            "header_rules/2",
            rule("CDN-Loop"),
            "header_rules[2].name",
            "the CDN's own",
        ),
        (
            "header_rules/0/value",
            Value::Null,
            "header_rules[0].value",
            "no value to set",
        ),
        (
            "header_rules/1/value",
            Value::Null,
            "header_rules[1].value",
            "no value to set",
        ),
        (
            "header_rules/2/value",
            json!("x"),
            "header_rules[2].value",
            "no use for a value",
        ),
        (
            "header_rules/0",
            set("a\r\nb"),
            "header_rules[0].value",
            "not the value of a header field",
        ),
        (
            "header_rules/0",
            set(" a"),
            "header_rules[0].value",
            "not the value of a header field",
        ),
        (
            "header_rules/0",
            set("a\u{f6}"),
            "header_rules[0].value",
            "not the value of a header field",
        ),
        (
            "header_rules/0",
            set("{site}{planet}"),
            "header_rules[0].value",
            "nothing is known as {planet}",
        ),
        ("routing/ttl", json!("4s"), "routing.ttl", "cannot live for 4s"),
        ("routing/ttl", json!("2h"), "routing.ttl", "cannot live for 2h"),
        ("routing/answers", json!(0), "routing.answers", "out of range"),
        ("routing/answers", json!(9), "routing.answers", "out of range"),
        (
            "routing/dispersion",
            json!(0),
            "routing.dispersion",
            "out of range",
        ),
        (
            "routing/dispersion",
            json!(17),
            "routing.dispersion",
            "out of range",
        ),
        (
            "routing/key_prefix_segments",
            json!(0),
            "routing.key_prefix_segments",
            "no beginning of a path",
        ),
        (
            "routing/key_prefix_segments",
            json!(65),
            "routing.key_prefix_segments",
            "no beginning of a path",
        ),
        (
            "routing/node_host",
            json!("{node}.{region}.films.example"),
            "routing.node_host",
            "{region} stands for no part of a host name",
        ),
        (
            "routing/node_host",
            json!("{planet}.{node}.films.example"),
            "routing.node_host",
            "{planet} stands for no part",
        ),
        (
            "routing/node_host",
            json!("{site}.films.example"),
            "routing.node_host",
            "all nodes would have the same name",
        ),
        (
            "routing/node_host",
            json!("{node}..films.example"),
            "routing.node_host",
            "\"edge-1..films.example\" is no host name",
        ),
        (
            "routing/node_host",
            json!("{node}.example"),
            "routing.node_host",
            "\"edge-1.example\" is no host of this service",
        ),
        (
            "routing/countries",
            json!({ "block": [] }),
            "routing.countries.block",
            "no country is named",
        ),
        (
            "routing/countries",
            json!({ "block": ["DE", "UK"] }),
            "routing.countries.block[1]",
            "\"UK\" is the code of no country",
        ),
        (
            "routing/countries",
            json!({ "allow": ["nl"] }),
            "routing.countries.allow[0]",
            "the code of no country",
        ),
        (
            "routing/countries",
            json!({ "allow": ["NL", "NL"] }),
            "routing.countries.allow[1]",
            "listed twice",
        ),
        (
            "routing/elsewhere",
            json!({ "QQ": { "url": "https://a.example" } }),
            "routing.elsewhere.QQ",
            "the code of no country",
        ),
        (
            "routing/elsewhere/CH",
            json!({}),
            "routing.elsewhere.CH",
            "leads nowhere",
        ),
        (
            "routing/elsewhere/CH/url",
            json!("https://ch.example/a?b"),
            "routing.elsewhere.CH.url",
            "no place",
        ),
        (
            "routing/bypass/url",
            json!("other.example"),
            "routing.bypass.url",
            "no place",
        ),
        (
            "routing/bypass/url",
            json!("https://a@other.example"),
            "routing.bypass.url",
            "no place",
        ),
        (
            "routing/bypass/url",
            json!("https://other.example/\r\n"),
            "routing.bypass.url",
            "no place",
        ),
        (
            "routing/bypass/addresses/0",
            json!("0.0.0.0"),
            "routing.bypass.addresses[0]",
            "nobody can connect",
        ),
        (
            "routing/bypass/addresses/0",
            json!("2001:db8::8"),
            "routing.bypass.addresses[1]",
            "listed twice",
        ),
        (
            "routing/bypass/addresses",
            json!((0..17).map(|nth| format!("192.0.2.{nth}")).collect::<Vec<_>>()),
            "routing.bypass.addresses",
            "more than answers can carry",
        ),
    ];
    for (path, change, at, what) in table {
        let mut document = right();
        let pointer = if path.starts_with('/') {
            path.to_owned()
        } else {
            format!("/services/films/{path}")
        };
        put(&mut document, &pointer, change.clone());
        let found = complaints_of(&document);
        let at = match at.strip_prefix('/') {
            Some(elsewhere) => elsewhere.to_owned(),
            None if path.starts_with('/') => at.to_owned(),
            None => format!("services.films.{at}"),
        };
        assert_eq!(found.len(), 1, "{pointer} = {change}: {found:?}");
        assert_eq!(found[0].at, at, "{pointer} = {change}: {found:?}");
        assert!(found[0].what.contains(what), "{pointer} = {change}: {found:?}");
        assert!(!found[0].advice.is_empty());
    }
}

#[test]
fn names_of_nodes_are_right_where_a_host_of_the_service_covers_them() {
    let mut document = right();
    let name = json!("{node}.{site}.films.example");
    put(&mut document, "/services/films/routing/node_host", name);
    assert_eq!(complaints_of(&document), []);
}

/// Puts `value` at a JSON pointer; `-` appends to a list.
fn put(document: &mut Value, pointer: &str, value: Value) {
    let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
    let key = key.replace("~1", "/");
    match document.pointer_mut(parent).expect(pointer) {
        Value::Object(object) => {
            object.insert(key, value);
        }
        Value::Array(list) if key == "-" => list.push(value),
        Value::Array(list) => list[key.parse::<usize>().expect(pointer)] = value,
        other => panic!("{pointer}: {other} has nothing below it"),
    }
}

#[test]
fn a_private_origin_is_right_where_the_service_allows_it() {
    let mut document = right();
    put(
        &mut document,
        "/services/films/allow_private_origins",
        json!(true),
    );
    for url in ["http://10.0.0.5", "http://localhost:8090"] {
        put(&mut document, "/services/films/origins/0/url", json!(url));
        assert_eq!(complaints_of(&document), []);
    }
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
fn all_mistakes_are_told_at_once() {
    let mut document = right();
    put(&mut document, "/cdn", json!(""));
    put(&mut document, "/nodes/edge-1/site", json!("fra"));
    put(&mut document, "/services/films/origins/0/url", json!("ftp://a"));
    put(&mut document, "/services/news/hosts", json!([]));
    let places: Vec<String> = complaints_of(&document)
        .into_iter()
        .map(|complaint| complaint.at)
        .collect();
    assert_eq!(
        places,
        [
            "cdn",
            "nodes.edge-1.site",
            "services.films.origins[0].url",
            "services.news.hosts"
        ]
    );
}

#[test]
fn what_is_no_snapshot_is_told_with_line_and_column() {
    for (text, at, what) in [
        ("{", "line 1 column 1", "EOF while parsing"),
        ("{\n \"cdn\": 5 }", "line 2 column 9", "invalid type: integer `5`"),
        (
            "{\n \"cdm\": \"test\" }",
            "line 2 column 6",
            "unknown field `cdm`",
        ),
    ] {
        let complaints = Snapshot::from_json(text.as_bytes()).expect_err(text);
        assert_eq!(complaints.len(), 1);
        assert_eq!(complaints[0].at, at, "{complaints:?}");
        assert!(
            complaints[0].what.contains(what) && !complaints[0].what.contains("column"),
            "{complaints:?}"
        );
    }
}

#[test]
fn the_service_of_a_host_is_found_by_name_and_by_wildcard() {
    let snapshot = Snapshot::from_json(right().to_string().as_bytes()).expect("right");
    for (host, service) in [
        ("films.example", Some("films")),
        ("a.films.example", Some("films")),
        ("[2001:db8::9]", Some("films")),
        ("news.example", Some("news")),
        ("a.news.example", None),
    ] {
        assert_eq!(
            snapshot.service_for_host(host).map(|(name, _)| name),
            service,
            "{host}"
        );
    }
}

#[test]
fn a_code_that_people_mistake_for_a_country_is_answered_with_the_right_one() {
    for (written, right_one) in [("UK", "\"GB\""), ("el", "\"GR\""), ("nl", "\"NL\"")] {
        let mut document = right();
        put(
            &mut document,
            "/services/films/routing/countries",
            json!({ "block": [written] }),
        );
        let found = complaints_of(&document);
        assert!(found[0].advice.contains(right_one), "{found:?}");
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
