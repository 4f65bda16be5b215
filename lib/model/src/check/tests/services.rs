//! Services: their names, hosts, origins, times and keys.

use serde_json::json;

use super::*;

#[test]
fn each_mistake_meets_its_complaint() {
    each_meets_its_complaint([
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
    ]);
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
