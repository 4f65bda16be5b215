//! Each class of mistake, made once in a document that is otherwise right.

mod header_rules;
mod methods;
mod nodes;
mod routing;
mod services;

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

/// Each mistake: where it is put (below the service where it begins with no slash), what is put there, and the place
/// and a part of the one complaint that it meets.
type Mistake = (&'static str, Value, &'static str, &'static str);

#[track_caller]
fn each_meets_its_complaint(mistakes: impl IntoIterator<Item = Mistake>) {
    for (path, change, at, what) in mistakes {
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
fn a_right_document_meets_no_complaint() {
    assert_eq!(complaints_of(&right()), []);
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
