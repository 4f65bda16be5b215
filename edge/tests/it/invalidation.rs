//! What an unsafe request changes at the origin is not served from the cache any more (RFC 9111 §4.4).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use model::Tier;
use testkit::cdn::{Cdn, HOST};
use testkit::client::Request;
use testkit::origin::{Gate, Reply};

use crate::methods::{clients, open_to_all};
use crate::{EDGE, PARENT, builder};

/// An origin whose content has a number that every GET tells, and that only `turn` changes.
fn numbered(cdn: &Cdn) -> Arc<AtomicUsize> {
    let number = Arc::new(AtomicUsize::new(0));
    let told = Arc::clone(&number);
    cdn.origin().on_prefix("/", move |request| {
        let number = told.load(Ordering::SeqCst);
        let reply =
            Reply::ok(format!("{} as of {number}", request.path())).field("Cache-Control", "max-age=600");
        match request.path().strip_prefix("/grouped/") {
            Some(group) => reply.field("Cache-Groups", format!("\"{group}\"")),
            None => reply,
        }
    });
    number
}

#[test]
fn an_unsafe_request_that_succeeds_invalidates_its_target_on_both_tiers() {
    let cdn = open_to_all();
    let number = numbered(&cdn);
    for (name, client) in clients(&cdn) {
        for method in ["POST", "PUT", "PATCH", "DELETE", "BREW"] {
            let path = format!("/{method}/{}", name.len());
            let before = client.get(&path).body;
            number.fetch_add(1, Ordering::SeqCst);
            assert_eq!(client.get(&path).body, before, "it is cached");
            assert_eq!(client.send(&Request::new(method, &path).body("x")).status(), 200);
            let now = number.load(Ordering::SeqCst);
            assert_eq!(
                client.get(&path).body,
                format!("{path} as of {now}"),
                "{method} over {name}"
            );
        }
    }
    for node in [EDGE, PARENT] {
        assert_eq!(
            cdn.daemon(node).metric("millrace_invalidations_total", &[]),
            15.0,
            "{node}"
        );
    }
}

#[test]
fn what_is_safe_or_failed_invalidates_nothing() {
    let cdn = open_to_all();
    let number = numbered(&cdn);
    for (method, status, stays) in [
        ("POST", 200, false),
        ("POST", 204, false),
        ("POST", 303, false),
        ("POST", 400, true),
        ("POST", 404, true),
        ("POST", 500, true),
        ("OPTIONS", 200, true),
        ("HEAD", 200, true),
    ] {
        let path = format!("/{method}/{status}");
        let cached = cdn.http(EDGE).get(&path).body;
        number.fetch_add(1, Ordering::SeqCst);
        cdn.origin().on_each(&path, move |_| Reply::status(status));
        assert_eq!(cdn.http(EDGE).send(&Request::new(method, &path)).status(), status);
        let told = number.load(Ordering::SeqCst);
        let path_told = path.clone();
        cdn.origin()
            .on_each(&path, move |_| Reply::ok(format!("{path_told} as of {told}")));
        let found = cdn.http(EDGE).get(&path).body;
        assert_eq!(found == cached, stays, "{method} answered {status}");
    }
}

#[test]
fn location_and_content_location_on_the_same_host_go_with_it() {
    let cdn = builder()
        .parents("ams", 1)
        .edges("ams", 1)
        .service("demo", |service| {
            service.methods = vec!["POST".to_owned()];
            service.hosts.push("other.media.test".to_owned());
        })
        .start();
    let number = numbered(&cdn);
    for (at, field, value, target, stays) in [
        (0, "Location", "/a/1".to_owned(), "/a/1", false),
        (1, "Content-Location", "/a/2".to_owned(), "/a/2", false),
        (2, "Location", "../a/x/../3".to_owned(), "/a/3", false),
        (3, "Location", format!("http://{HOST}/a/4"), "/a/4", false),
        (4, "Content-Location", format!("//{HOST}/a/5#top"), "/a/5", false),
        (
            5,
            "Location",
            "http://other.media.test/a/6".to_owned(),
            "/a/6",
            true,
        ),
        (
            6,
            "Location",
            "https://elsewhere.test/a/7".to_owned(),
            "/a/7",
            true,
        ),
        (7, "Location", "/a/9".to_owned(), "/a/8", true),
        (8, "Link", "</a/10>".to_owned(), "/a/10", true),
    ] {
        let client = cdn.http(EDGE);
        let cached = client.get(target).body;
        number.fetch_add(1, Ordering::SeqCst);
        let post = format!("/post/{at}");
        cdn.origin()
            .on(&post, Reply::status(201).field(field, value.clone()));
        assert_eq!(client.send(&Request::new("POST", &post)).status(), 201);
        assert_eq!(
            client.get(target).body == cached,
            stays,
            "{field}: {value} and {target}"
        );
    }
}

#[test]
fn groups_that_an_answer_names_go_with_it() {
    let cdn = open_to_all();
    let number = numbered(&cdn);
    let client = cdn.http(EDGE);
    let get_all = || ["/grouped/a", "/grouped/b", "/grouped/c"].map(|path| client.get(path).body);
    let before = get_all();
    number.fetch_add(1, Ordering::SeqCst);
    cdn.origin().on(
        "/save",
        Reply::status(204).field("Cache-Group-Invalidation", "\"a\", \"b\";x, c"),
    );
    assert_eq!(client.send(&Request::get("/save")).status(), 204);
    assert_eq!(get_all(), before, "a safe method invalidates no group");
    assert_eq!(client.send(&Request::new("POST", "/save")).status(), 204);
    let after = get_all();
    assert_eq!(after[2], before[2], "a token is no group");
    assert_eq!(
        (&after[0][..], &after[1][..]),
        (&b"/grouped/a as of 1"[..], &b"/grouped/b as of 1"[..])
    );
}

#[test]
fn an_invalidation_holds_after_a_restart() {
    let mut cdn = builder()
        .parents("ams", 1)
        .edges("ams", 1)
        .service("demo", |service| service.methods = vec!["POST".to_owned()])
        .settings(Tier::Edge, |settings| {
            settings.disk("256MiB");
        })
        .start();
    let number = numbered(&cdn);
    let paths: Vec<String> = (0..10).map(|number| format!("/title/{number}.m4s")).collect();
    for path in &paths {
        assert_eq!(cdn.http(EDGE).get(path).body, format!("{path} as of 0"));
    }
    // On disk and in order before anything is invalidated.
    cdn.daemon(EDGE).terminate();
    assert!(cdn.daemon_mut(EDGE).await_end(Duration::from_secs(20)).success());
    cdn.daemon_mut(EDGE).launch_again();
    cdn.daemon_mut(EDGE).await_ready();
    number.store(1, Ordering::SeqCst);
    for path in &paths[..5] {
        assert_eq!(cdn.http(EDGE).send(&Request::new("POST", path)).status(), 200);
    }
    cdn.daemon_mut(EDGE).kill9();
    cdn.daemon_mut(EDGE).launch_again();
    cdn.daemon_mut(EDGE).await_ready();
    for (at, path) in paths.iter().enumerate() {
        let expected = format!("{path} as of {}", usize::from(at < 5));
        assert_eq!(cdn.http(EDGE).get(path).body, expected, "{path}");
    }
}

#[test]
fn a_fill_that_was_under_way_does_not_bring_the_old_state_back() {
    let cdn = open_to_all();
    let gate = Gate::closed();
    cdn.origin().on("/a", Reply::ok("old content").held_at(3, &gate));
    std::thread::scope(|threads| {
        let early = threads.spawn(|| cdn.http(EDGE).get("/a").body);
        testkit::eventually(Duration::from_secs(10), || {
            (cdn.origin().count("/a") == 1).then_some(())
        });
        cdn.origin().on("/a", Reply::ok("new content"));
        assert_eq!(
            cdn.http(EDGE)
                .send(&Request::new("PUT", "/a").body("new content"))
                .status(),
            200
        );
        gate.open();
        assert_eq!(
            early.join().unwrap(),
            "old content",
            "who asked before gets what was promised"
        );
    });
    assert_eq!(cdn.http(EDGE).get("/a").body, "new content");
}
