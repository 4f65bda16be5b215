//! Each class of mistake in a zone, made once in a document that is otherwise right.

use serde_json::{Value, json};

use crate::{Complaint, Snapshot};

/// Zones with something of everything, and nothing wrong.
fn right() -> Value {
    json!({
        "cdn": "test",
        "number": 7,
        "sites": {},
        "nodes": {},
        "services": {
            "films": {
                "hosts": ["films.cdn.example", "*.films.cdn.example", "cdn.example", "192.0.2.9", "[2001:db8::9]"],
                "origins": [{ "url": "https://origin.example" }]
            },
            "news": { "hosts": ["news.elsewhere.example"], "origins": [{ "url": "https://origin.example" }] }
        },
        "zones": {
            "cdn.example": {
                "ns": ["ns1.cdn.example", "ns.other.example."],
                "soa": { "rname": "dns.cdn.example", "serial": 5, "negative_ttl": "10s" },
                "ttl": "5m",
                "records": [
                    { "name": "ns1", "type": "A", "data": "192.0.2.53", "ttl": "1d" },
                    { "name": "ns1", "type": "AAAA", "data": "2001:db8::53" },
                    { "name": "@", "type": "CAA", "data": "0 issue \"ca.example\"" },
                    { "name": "films", "type": "HTTPS", "data": "1 . alpn=\"h2,http/1.1\"" },
                    { "name": "_dmarc", "type": "TXT", "data": "v=DMARC1; p=reject" },
                    { "name": "*.old", "type": "CNAME", "data": "www.other.example" },
                    { "name": "lab", "type": "NS", "data": "ns.lab.cdn.example" },
                    { "name": "ns.lab", "type": "A", "data": "192.0.2.99" },
                    { "name": "into-lab", "type": "CNAME", "data": "www.lab.cdn.example" },
                    { "name": "mail", "type": "MX", "data": "10 mx.other.example" },
                    { "name": "mail", "type": "MX", "data": "20 mx.other.example" }
                ]
            },
            "sub.cdn.example": { "ns": ["ns1.cdn.example"] }
        }
    })
}

fn complaints_of(document: &Value) -> Vec<Complaint> {
    Snapshot::from_json(document.to_string().as_bytes())
        .err()
        .unwrap_or_default()
}

#[test]
fn right_zones_meet_no_complaint_and_say_the_same_when_written_and_read_again() {
    assert_eq!(complaints_of(&right()), []);
    let snapshot = Snapshot::from_json(right().to_string().as_bytes()).expect("right");
    let written = serde_json::to_vec(&snapshot).expect("it can be written");
    assert_eq!(Snapshot::from_json(&written), Ok(snapshot));
}

#[test]
fn a_document_without_zones_is_right_and_stays_without() {
    let mut document = right();
    document
        .as_object_mut()
        .expect("an object")
        .remove("zones")
        .expect("they were there");
    let snapshot = Snapshot::from_json(document.to_string().as_bytes()).expect("right");
    assert!(snapshot.zones.is_empty());
    assert!(
        !serde_json::to_string(&snapshot)
            .expect("written")
            .contains("zones")
    );
}

/// A record added to the zone, where the complaint points below the zone, and a part of what it says. A place that
/// begins with a `/` is one from the top of the document.
#[test]
fn each_wrong_record_meets_its_complaint() {
    let record = |name: &str, kind: &str, data: &str| json!({ "name": name, "type": kind, "data": data });
    let new = "records[11]";
    let at = |field: &str| format!("{new}.{field}");
    let table = [
        (
            record("www.cdn.example", "A", "192.0.2.1"),
            at("name"),
            "already ends in the name",
        ),
        (
            record("cdn.example", "A", "192.0.2.1"),
            at("name"),
            "already ends in the name",
        ),
        (record("WWW", "A", "192.0.2.1"), at("name"), "lower-case"),
        (record("www.", "A", "192.0.2.1"), at("name"), "empty"),
        (
            record("a.*", "A", "192.0.2.1"),
            at("name"),
            "'*' stands alone and first",
        ),
        (record("www", "A", "192.0.2"), at("data"), "no IPv4 address"),
        (
            record("www", "HTTPS", "1 . ipv4hint=192.0.2.1"),
            at("data"),
            "the same for every viewer",
        ),
        (
            json!({ "name": "www", "type": "A", "data": "192.0.2.1", "ttl": "8d" }),
            at("ttl"),
            "too long",
        ),
        (
            json!({ "name": "www", "type": "A", "data": "192.0.2.1", "ttl": "1500ms" }),
            at("ttl"),
            "whole seconds",
        ),
        (
            record("ns1", "AAAA", "2001:db8:0::53"),
            new.to_owned(),
            "says the same",
        ),
        (record("ns1", "A", "192.0.2.54"), at("ttl"), "differs from the 1d"),
        (
            record("@", "CNAME", "a.other.example"),
            new.to_owned(),
            "cannot be an alias",
        ),
        (
            record("mail", "CNAME", "a.other.example"),
            new.to_owned(),
            "stands alone",
        ),
        (
            record("www", "CNAME", "ns1.cdn.example"),
            at("data"),
            "a name of these zones",
        ),
        (
            record("www", "CNAME", "a.sub.cdn.example"),
            at("data"),
            "a name of these zones",
        ),
        (
            record("films", "A", "192.0.2.1"),
            new.to_owned(),
            "services.films.hosts[0]",
        ),
        (
            record("@", "AAAA", "::1"),
            new.to_owned(),
            "services.films.hosts[2]",
        ),
        (
            record("*.films", "CNAME", "a.other.example"),
            new.to_owned(),
            "services.films.hosts[1]",
        ),
        (
            record("@", "NS", "ns2.other.example"),
            new.to_owned(),
            "stand elsewhere",
        ),
        (
            record("a.sub", "A", "192.0.2.1"),
            at("name"),
            "belongs to the zone sub.cdn.example",
        ),
        (
            record("*.lab2", "NS", "ns.other.example"),
            at("name"),
            "cannot be left to others",
        ),
        (
            record("lab2", "NS", "ns.lab2.cdn.example"),
            at("data"),
            "has no address here",
        ),
        (
            record("www.lab", "A", "192.0.2.1"),
            new.to_owned(),
            "left to the servers of lab.cdn.example",
        ),
        (
            record("lab", "TXT", "x"),
            new.to_owned(),
            "left to the servers of lab.cdn.example",
        ),
        (
            record("films", "NS", "ns.other.example"),
            new.to_owned(),
            "services.films.hosts[0]",
        ),
    ];
    for (record, at, what) in table {
        let mut document = right();
        let records = document["zones"]["cdn.example"]["records"].as_array_mut();
        records.expect("a list").push(record.clone());
        let found = complaints_of(&document);
        let at = format!("zones.cdn.example.{at}");
        assert!(!found.is_empty(), "{record} meets no complaint");
        assert_eq!(found[0].at, at, "{record}: {found:?}");
        assert!(found[0].what.contains(what), "{record}: {found:?}");
        assert!(found.iter().all(|complaint| !complaint.advice.is_empty()));
        // The delegation of a host takes away its record, its wildcard and itself; the zone itself is a host here.
        let many = matches!(
            (record["name"].as_str(), record["type"].as_str()),
            (Some("films"), Some("NS")) | (Some("@"), Some("CNAME" | "NS"))
        );
        assert!(found.len() == 1 || many, "{record}: {found:?}");
    }
}

/// Where to change the zone, to what, where the complaint points, and a part of what it says.
#[test]
fn each_mistake_of_a_zone_meets_its_complaint() {
    let many: Vec<Value> = (0..25)
        .map(|nth| json!({ "name": "many", "type": "A", "data": format!("192.0.2.{nth}") }))
        .collect();
    let cuts: Vec<Value> = (0..102)
        .map(|nth| json!({ "name": format!("lab{nth}"), "type": "NS", "data": "ns.other.example" }))
        .collect();
    let servers: Vec<String> = (0..14).map(|nth| format!("ns{nth}.other.example")).collect();
    let table = [
        ("/ns", json!([]), "ns", "0 name servers"),
        ("/ns", json!(servers), "ns", "14 name servers"),
        ("/ns", json!(["NS1.other.example"]), "ns[0]", "lower-case"),
        ("/ns", json!(["*.other.example"]), "ns[0]", "no name of a server"),
        (
            "/ns",
            json!(["a.other.example", "a.other.example."]),
            "ns[1]",
            "listed twice",
        ),
        (
            "/ns",
            json!(["ns9.cdn.example"]),
            "ns[0]",
            "no address among the records of cdn.example",
        ),
        (
            "/ns",
            json!(["films.cdn.example"]),
            "ns[0]",
            "no address among the records",
        ),
        (
            "/soa/mname",
            json!("."),
            "soa.mname",
            "no name of a server or mailbox",
        ),
        ("/soa/rname", json!("me@cdn.example"), "soa.rname", "lower-case"),
        ("/soa/negative_ttl", json!("25h"), "soa.negative_ttl", "too long"),
        ("/soa/retry", json!("1ms"), "soa.retry", "whole seconds"),
        ("/ttl", json!("8d"), "ttl", "too long"),
        ("/records/8", many[0].clone(), "", ""),
        ("/records", json!(many), "records[24]", "more than 24"),
        ("/records", json!(cuts), "records", "102 delegations"),
        (
            "/records",
            json!(vec![json!({ "name": "a", "type": "A", "data": "::" }); 10_001]),
            "records",
            "10001 records",
        ),
    ];
    for (path, change, at, what) in table {
        let mut document = right();
        let zone = document["zones"]["cdn.example"].as_object_mut().expect("a zone");
        if path == "/records" {
            zone.insert("ns".to_owned(), json!(["ns.other.example"]));
        }
        let zone = &mut document["zones"]["cdn.example"];
        match zone.pointer_mut(path) {
            Some(value) => *value = change.clone(),
            None => zone["soa"][path.trim_start_matches("/soa/")] = change.clone(),
        }
        if path == "/records" {
            document["zones"]["sub.cdn.example"]["ns"] = json!(["ns.other.example"]);
        }
        let found = complaints_of(&document);
        if what.is_empty() {
            assert_eq!(found, [], "{path}");
            continue;
        }
        assert_eq!(found.len(), 1, "{path} = {change}: {found:?}");
        assert_eq!(
            found[0].at,
            format!("zones.cdn.example.{at}"),
            "{path}: {found:?}"
        );
        assert!(found[0].what.contains(what), "{path}: {found:?}");
        assert!(!found[0].advice.is_empty());
    }
}

#[test]
fn a_zone_has_a_name_in_lower_case_without_a_final_dot() {
    for name in ["", ".", "CDN.example", "cdn.example.", "*.example", "a b"] {
        let mut document = right();
        document["zones"] = json!({ name: { "ns": ["ns.other.example"] } });
        let found = complaints_of(&document);
        assert_eq!(found.len(), 1, "{name:?}: {found:?}");
        assert_eq!(found[0].at, format!("zones.{name}"));
    }
    let zones: serde_json::Map<String, Value> = (0..1001)
        .map(|nth| (format!("z{nth}.example"), json!({ "ns": ["ns.other.example"] })))
        .collect();
    let mut document = right();
    document["zones"] = json!(zones);
    let found = complaints_of(&document);
    assert_eq!((found.len(), found[0].at.as_str()), (1, "zones"), "{found:?}");
}

#[test]
fn the_hosts_of_a_service_that_others_answer_for_meet_a_complaint() {
    let mut document = right();
    document["services"]["news"]["hosts"] = json!(["news.lab.cdn.example"]);
    let found = complaints_of(&document);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].at, "services.news.hosts[0]");
}

#[test]
fn a_stray_key_anywhere_in_a_zone_is_refused() {
    for pointer in ["", "/soa", "/records/0"] {
        let mut document = right();
        let object = document.pointer_mut(&format!("/zones/cdn.example{pointer}"));
        object.expect(pointer)["stray"] = json!(true);
        let found = complaints_of(&document);
        assert_eq!(found.len(), 1, "{pointer}");
        assert!(found[0].what.contains("unknown field `stray`"), "{found:?}");
    }
}
