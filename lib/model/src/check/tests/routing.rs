//! How players are sent to a service's nodes.

use serde_json::json;

use super::*;

#[test]
fn each_mistake_meets_its_complaint() {
    each_meets_its_complaint([
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
    ]);
}

#[test]
fn names_of_nodes_are_right_where_a_host_of_the_service_covers_them() {
    let mut document = right();
    let name = json!("{node}.{site}.films.example");
    put(&mut document, "/services/films/routing/node_host", name);
    assert_eq!(complaints_of(&document), []);
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
