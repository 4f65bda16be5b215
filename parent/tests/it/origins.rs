//! Origins: chosen by weight and health, used within their limits, never where they must not be.

use std::time::Duration;

use testkit::client::{ClientError, Request, crowd};
use testkit::eventually;
use testkit::origin::{Gate, Reply};

use crate::{PARENT, builder};

const SOON: Duration = Duration::from_secs(15);

#[test]
fn origins_get_their_share_by_weight() {
    let mut cdn = builder()
        .parents("ams", 1)
        .origins(2)
        .service("demo", |service| {
            service.origins[0].weight = 1.0;
            service.origins[1].weight = 3.0;
        })
        .start();
    for origin in cdn.origins() {
        origin.on_prefix("/", |_| Reply::ok("content"));
    }
    for number in 0..400 {
        assert_eq!(cdn.http(PARENT).get(&format!("/{number}")).status(), 200);
    }
    let totals: Vec<usize> = cdn.origins().iter().map(|origin| origin.total()).collect();
    assert_eq!(totals.iter().sum::<usize>(), 400);
    // A quarter of 400 with a standard deviation of 8.7: six of them to either side.
    assert!((48..=152).contains(&totals[0]), "{totals:?}");
}

#[test]
fn an_origin_that_fails_is_replaced_by_the_other_until_it_is_back() {
    let mut cdn = builder().parents("ams", 1).origins(2).start();
    for origin in cdn.origins() {
        origin.on_prefix("/", |_| Reply::ok("content"));
    }
    cdn.origins()[0].stop();
    for number in 0..40 {
        assert_eq!(cdn.http(PARENT).get(&format!("/down/{number}")).status(), 200);
    }
    assert_eq!(cdn.origins()[1].total(), 40);
    cdn.origins()[0].start_again();
    let mut number = 0;
    eventually(SOON, || {
        number += 1;
        assert_eq!(cdn.http(PARENT).get(&format!("/back/{number}")).status(), 200);
        cdn.origins()[0].total() > 0
    });
}

#[test]
fn an_origin_never_has_more_requests_to_answer_than_it_allows() {
    const LIMIT: u32 = 4;
    let cdn = builder()
        .parents("ams", 1)
        .service("demo", |service| service.origins[0].max_connections = LIMIT)
        .start();
    cdn.origin().on_prefix("/", |request| {
        Reply::ok(request.target.clone()).after(Duration::from_millis(50))
    });
    let client = cdn.http(PARENT);
    let outcomes = crowd(60, |index| {
        let client = client.clone();
        async move {
            let response = client.fetch(&Request::get(&format!("/{index}"))).await?;
            Ok::<_, ClientError>((response.status(), response.head.joined("Proxy-Status")))
        }
    });
    for outcome in outcomes {
        let (status, why) = outcome.unwrap();
        assert!(
            status == 200 || (status == 503 && why.contains("connection_limit_reached")),
            "{status} {why}"
        );
    }
    let at_once = cdn.origin().most_requests_at_once();
    assert!(at_once <= u64::from(LIMIT), "{at_once}");
    // Each of the two threads may keep as many unused connections as it had in use.
    let open = cdn.origin().most_open_connections();
    assert!(open <= 2 * u64::from(LIMIT), "{open}");
    assert!(cdn.origin().total() >= LIMIT as usize);
    assert_eq!(
        client.get("/afterwards").status(),
        200,
        "whoever waited has left no place taken"
    );
}

#[test]
fn connections_to_an_origin_are_used_again() {
    let cdn = builder().parents("ams", 1).start();
    cdn.origin().on_prefix("/", |_| Reply::ok("content"));
    for number in 0..50 {
        assert_eq!(cdn.http(PARENT).get(&format!("/{number}")).status(), 200);
    }
    assert_eq!(cdn.origin().total(), 50);
    // One for each of its two threads.
    assert!(cdn.origin().connections() <= 4, "{}", cdn.origin().connections());
}

#[test]
fn a_connection_that_the_origin_closed_meanwhile_costs_no_request() {
    let cdn = builder().parents("ams", 1).start();
    cdn.origin()
        .on_prefix("/", |_| Reply::ok("content").field("Connection", "close"));
    for number in 0..20 {
        assert_eq!(cdn.http(PARENT).get(&format!("/{number}")).status(), 200);
    }
    assert_eq!(cdn.origin().total(), 20);
}

#[test]
fn a_private_origin_is_not_asked_unless_the_service_allows_it() {
    for origin_host in ["127.0.0.1", "localhost"] {
        let mut cdn = builder().parents("ams", 1).start();
        cdn.origin().on("/a", Reply::ok("internal"));
        let port = cdn.origin().address().port();
        cdn.publish(|snapshot| {
            let service = snapshot.services.get_mut("demo").unwrap();
            service.allow_private_origins = false;
            service.origins[0].url = format!("http://{origin_host}:{port}");
            service.hosts.push("changed.media.test".to_owned());
        });
        let client = cdn.http(PARENT).host("changed.media.test");
        // An address that is private on its face may be refused with the snapshot; a name, once it is resolved.
        let refused = eventually(SOON, || {
            let complained = cdn
                .daemon(PARENT)
                .errors()
                .iter()
                .any(|line| line.contains("allow_private_origins"));
            let response = client.get("/a");
            if complained {
                Some(None)
            } else {
                (response.status() != 421).then_some(Some(response))
            }
        });
        if let Some(response) = refused {
            assert_eq!(response.status(), 502, "{}", response.head);
            assert!(
                response
                    .head
                    .joined("Proxy-Status")
                    .contains("destination_ip_prohibited"),
                "{}",
                response.head
            );
        }
        assert_eq!(
            (cdn.origin().total(), cdn.origin().connections()),
            (0, 0),
            "{origin_host}"
        );
    }
}

#[test]
fn an_origin_is_asked_by_the_name_the_service_gives_it() {
    let cdn = builder()
        .parents("ams", 1)
        .service("demo", |service| {
            service.origins[0].host_header = Some("vhost.origin.test".to_owned())
        })
        .start();
    cdn.origin().on("/a", Reply::ok("a"));
    assert_eq!(cdn.http(PARENT).get("/a").status(), 200);
    assert_eq!(
        cdn.origin().requests()[0].field("host"),
        Some("vhost.origin.test")
    );
}

#[test]
fn a_slow_origin_holds_its_own_objects_up_and_no_others() {
    let mut cdn = builder()
        .parents("ams", 1)
        .origins(2)
        .service("slow", |service| {
            service.hosts = vec!["slow.media.test".to_owned()];
            service.origins.truncate(1);
        })
        .service("quick", |service| {
            service.hosts = vec!["quick.media.test".to_owned()];
            service.origins.remove(0);
        })
        .start();
    let gate = Gate::closed();
    cdn.origins()[0].on_prefix("/", {
        let gate = gate.clone();
        move |_| Reply::generated("slow", 2000).held_at(1000, &gate)
    });
    cdn.origins()[1].on_prefix("/", |_| Reply::ok("quick"));
    let slow = cdn.http(PARENT).host("slow.media.test");
    let waiting = std::thread::spawn(move || {
        crowd(100, |index| {
            let client = slow.clone();
            async move {
                client
                    .fetch(&Request::get(&format!("/{index}")))
                    .await
                    .map(|response| response.status())
            }
        })
    });
    eventually(SOON, || cdn.origins()[0].total() == 100);
    for number in 0..20 {
        assert_eq!(
            cdn.http(PARENT)
                .host("quick.media.test")
                .get(&format!("/{number}"))
                .status(),
            200
        );
    }
    gate.open();
    assert!(
        waiting
            .join()
            .unwrap()
            .into_iter()
            .all(|outcome| outcome.unwrap() == 200)
    );
}
