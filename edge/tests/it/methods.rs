//! Methods beside GET, HEAD and OPTIONS: answered where the service says so, and then asked of the origin each time.

use std::time::Duration;

use model::Tier;
use testkit::cdn::{Cdn, HOST};
use testkit::client::{Client, Request, crowd};
use testkit::origin::{Gate, Reply};

use crate::{EDGE, PARENT, builder, one_of_each, results};

/// One origin, parent and edge whose service answers every method.
pub(crate) fn open_to_all() -> Cdn {
    builder()
        .parents("ams", 1)
        .edges("ams", 1)
        .service("demo", |service| service.methods = vec!["*".to_owned()])
        .start()
}

/// The three ways to ask an edge.
pub(crate) fn clients(cdn: &Cdn) -> [(&'static str, Client); 3] {
    [
        ("h1", cdn.http(EDGE)),
        ("h1 over TLS", cdn.https(EDGE)),
        ("h2", cdn.http2(EDGE)),
    ]
}

#[test]
fn a_service_answers_what_it_names_and_says_so_to_others() {
    let cdn = builder()
        .parents("ams", 1)
        .edges("ams", 1)
        .service("demo", |service| {
            service.methods = vec!["POST".to_owned(), "BREW".to_owned()]
        })
        .service("closed", |service| {
            service.hosts = vec!["closed.media.test".to_owned()]
        })
        .start();
    cdn.origin()
        .on_prefix("/", |request| Reply::ok(request.method.clone()));
    for (name, client) in clients(&cdn) {
        for (method, status) in [
            ("POST", 200),
            ("BREW", 200),
            ("PUT", 405),
            ("TRACE", 405),
            ("brew", 405),
        ] {
            let response = client.send(&Request::new(method, "/a"));
            assert_eq!(response.status(), status, "{method} over {name}");
            if status == 405 {
                assert_eq!(response.field("Allow"), Some("GET, HEAD, OPTIONS, POST, BREW"));
            }
        }
        let closed = client.host("closed.media.test").server_name(HOST);
        let response = closed.send(&Request::new("POST", "/a"));
        assert_eq!(response.status(), 405);
        assert_eq!(response.field("Allow"), Some("GET, HEAD, OPTIONS"));
    }
    assert_eq!(cdn.origin().total(), 6, "what was refused reached nobody");
}

#[test]
fn what_an_unsafe_method_brings_is_never_stored_and_asked_for_each_time() {
    let cdn = open_to_all();
    cdn.origin().on_prefix("/", |request| {
        Reply::ok(format!("{} {}", request.method, request.target)).field("Cache-Control", "max-age=600")
    });
    for (name, client) in clients(&cdn) {
        for method in ["POST", "PUT", "PATCH", "DELETE", "BREW"] {
            cdn.origin().forget();
            let path = format!("/{}/{}", method, name.replace(' ', "-"));
            for _ in 0..2 {
                let response = client.send(&Request::new(method, &path));
                response
                    .expect(200)
                    .field("Cache-Control", "max-age=600")
                    .field_with("Cache-Status", &[PARENT, "fwd=method", EDGE, "fwd=method"])
                    .field_with("Via", &["1.1 parent-ams-1", "1.1 edge-ams-1"])
                    .field("X-Region", "ams")
                    .without("Age")
                    .body(format!("{method} {path}").as_bytes())
                    .and_no_other_field();
            }
            assert_eq!(client.get(&path).body, format!("GET {path}"));
            let asked: Vec<String> = cdn
                .origin()
                .requests()
                .into_iter()
                .map(|request| request.method)
                .collect();
            assert_eq!(asked, [method, method, "GET"], "over {name}");
        }
    }
    assert_eq!(results(&cdn, EDGE, "pass"), 30.0);
    assert_eq!(results(&cdn, EDGE, "miss"), 15.0);
}

#[test]
fn posts_for_one_url_do_not_wait_for_each_other() {
    let cdn = open_to_all();
    let gate = Gate::closed();
    cdn.origin().on("/a", Reply::ok("done").held_at(0, &gate));
    let client = cdn.http(EDGE);
    std::thread::scope(|threads| {
        let crowd = threads.spawn(|| {
            crowd(10, |_| {
                let client = client.clone();
                async move {
                    client
                        .fetch(&Request::new("POST", "/a"))
                        .await
                        .map(|response| response.status())
                }
            })
        });
        testkit::eventually(Duration::from_secs(20), || {
            (cdn.origin().count("/a") == 10).then_some(())
        });
        gate.open();
        for status in crowd.join().unwrap() {
            assert_eq!(status.unwrap(), 200);
        }
    });
}

#[test]
fn only_what_does_no_harm_twice_is_asked_twice() {
    let cdn = builder()
        .parents("ams", 1)
        .edges("ams", 1)
        .origins(2)
        .service("demo", |service| service.methods = vec!["*".to_owned()])
        .settings(Tier::Parent, |settings| {
            settings
                .text("upstream", "mark_down_first", "100ms")
                .text("upstream", "mark_down_longest", "1s");
        })
        .start();
    let mut cdn = cdn;
    for origin in cdn.origins() {
        origin.on_prefix("/", |_| Reply::close());
    }
    for (method, body, asked) in [
        ("POST", None, 1),
        ("POST", Some("body"), 1),
        ("BREW", None, 1),
        ("PATCH", Some("body"), 1),
        ("PUT", Some("body"), 1),
        ("PUT", None, 2),
        ("DELETE", None, 2),
    ] {
        let mut request = Request::new(method, "/a");
        if let Some(body) = body {
            request = request.body(body);
        }
        // Both origins must be up, or nobody could be asked twice.
        testkit::eventually(Duration::from_secs(20), || {
            for origin in cdn.origins() {
                origin.forget();
            }
            let status = cdn.http(EDGE).send(&request).status();
            let total: usize = cdn.origins().iter().map(|origin| origin.total()).sum();
            assert!(
                status >= 500 && total <= asked,
                "{method} {body:?}: {status}, asked {total} times"
            );
            (total == asked).then_some(())
        });
    }
}

#[test]
fn an_expectation_other_than_100_continue_is_refused() {
    let cdn = open_to_all();
    cdn.origin().on("/a", Reply::ok("a"));
    for (name, client) in clients(&cdn) {
        let request = Request::new("POST", "/a").field("expect", "200-ok").body("x");
        assert_eq!(client.send(&request).status(), 417, "{name}");
    }
    assert_eq!(cdn.origin().total(), 0);
}

#[test]
fn options_goes_as_far_as_it_says() {
    let cdn = open_to_all();
    cdn.origin().on("/a", Reply::status(204).field("Allow", "BREW"));
    let all = "GET, HEAD, OPTIONS, POST, PUT, PATCH, DELETE";
    for (name, client) in clients(&cdn) {
        for (forwards, allow, reaches) in [
            ("0", all, None),
            ("1", all, None),
            ("2", "BREW", Some("0")),
            ("x", "BREW", Some("x")),
        ] {
            cdn.origin().forget();
            let response = client.send(&Request::new("OPTIONS", "/a").field("max-forwards", forwards));
            assert_eq!(
                (response.status(), response.field("Allow")),
                (204, Some(allow)),
                "{forwards} over {name}"
            );
            let seen = cdn.origin().requests();
            let told: Vec<_> = seen
                .iter()
                .filter_map(|request| request.field("max-forwards"))
                .collect();
            assert_eq!(
                told,
                reaches.into_iter().collect::<Vec<_>>(),
                "{forwards} over {name}"
            );
        }
    }
}

#[test]
fn connect_is_refused_whatever_a_service_answers() {
    let cdn = open_to_all();
    let bytes = format!("CONNECT {HOST}:443 HTTP/1.1\r\nHost: {HOST}:443\r\n\r\n");
    assert_eq!(cdn.http(EDGE).try_raw(bytes.as_bytes()).unwrap().status(), 405);
    assert_eq!(cdn.origin().total(), 0);
}

#[test]
fn a_default_service_stays_closed() {
    let cdn = one_of_each();
    for (name, client) in clients(&cdn) {
        for method in ["POST", "PUT", "PATCH", "DELETE", "BREW"] {
            let response = client.send(&Request::new(method, "/a").body("x"));
            assert_eq!(response.status(), 405, "{method} over {name}");
        }
    }
    assert_eq!(cdn.origin().total(), 0);
}
