//! Edges that die, drain and come back; sites that are lost; monitors that lie or are gone.

use std::net::{SocketAddr, SocketAddrV6, TcpListener};

use testkit::cdn::{Cdn, HOST};
use testkit::ports::Port;
use testkit::{Chance, seed};

use crate::{
    OF_AMS, OF_IAD, PATIENCE, ROUTER, address, await_all_well, await_answer, await_frozen, redirected,
    request, resolved, routed, shown,
};

/// Where the address of a node appears for `client`: in DNS, or in a redirect.
fn appears(cdn: &Cdn, node: &str, client: &str) -> bool {
    let ip = address(cdn, node);
    let target = redirected(cdn, client, "/title/1.m4s");
    resolved(cdn, client).addresses.contains(&ip) || target.contains(&format!("//{ip}:"))
}

/// Waits until the router sees a node so.
fn await_standing(cdn: &Cdn, node: &str, standing: &str) {
    testkit::eventually(PATIENCE, || {
        let sites = shown(cdn, "/sites");
        let nodes = sites["nodes"].as_array().unwrap();
        let shown = &nodes.iter().find(|shown| shown["node"] == node).unwrap()["standing"];
        if shown == standing {
            Ok(())
        } else {
            Err(format!("{node} is {shown}"))
        }
    });
}

#[test]
fn an_edge_that_is_killed_leaves_all_answers_and_comes_back_with_a_slow_start() {
    let mut chance = Chance::new(seed());
    let mut cdn = routed().edges("ams", 3).edges("iad", 1).start();
    await_all_well(&cdn);
    for _ in 0..3 {
        let victim = format!("edge-ams-{}", 1 + chance.below(3));
        let others: Vec<String> = (1..=3)
            .map(|nth| format!("edge-ams-{nth}"))
            .filter(|name| *name != victim)
            .collect();
        cdn.daemon_mut(&victim).kill9();
        await_standing(&cdn, &victim, "down");
        await_answer(&cdn, OF_AMS, &[&others[0], &others[1]]);
        for nth in 0..50 {
            let target = redirected(&cdn, OF_AMS, &format!("/title-{nth}/1.m4s"));
            assert!(
                !target.contains(&format!("//{}:", address(&cdn, &victim))),
                "{target}"
            );
        }
        cdn.daemon_mut(&victim).launch_again();
        let weight = |cdn: &Cdn| {
            let sites = shown(cdn, "/sites");
            let nodes = sites["nodes"].as_array().unwrap().clone();
            nodes.iter().find(|node| node["node"] == victim.as_str()).unwrap()["weight"]
                .as_f64()
                .unwrap()
        };
        let mut weights = vec![0.0];
        testkit::eventually(PATIENCE, || {
            let seen = weight(&cdn);
            if weights.last() != Some(&seen) {
                weights.push(seen);
            }
            if seen == 1.0 { Ok(()) } else { Err(seen) }
        });
        assert!(weights.is_sorted(), "{weights:?}");
        assert!(weights[1] < 0.6, "it began at {} of its weight", weights[1]);
        await_all_well(&cdn);
    }
}

#[test]
fn a_drained_edge_leaves_at_once_and_a_dead_site_hands_its_viewers_to_the_next() {
    let mut cdn = routed().edges("ams", 2).edges("fra", 1).edges("iad", 1).start();
    await_all_well(&cdn);
    await_answer(&cdn, OF_IAD, &["edge-iad-1"]);
    cdn.daemon("edge-ams-1").terminate();
    assert!(cdn.daemon_mut("edge-ams-1").await_end(PATIENCE).success());
    await_answer(&cdn, OF_AMS, &["edge-ams-2"]);
    cdn.daemon_mut("edge-ams-2").kill9();
    await_answer(&cdn, OF_AMS, &["edge-fra-1"]);
    assert!(!appears(&cdn, "edge-ams-1", OF_AMS));
    await_answer(&cdn, OF_IAD, &["edge-iad-1"]);
    let sites = shown(&cdn, "/sites");
    let names: Vec<_> = sites["sites"]
        .as_array()
        .unwrap()
        .iter()
        .map(|site| site["site"].clone())
        .collect();
    assert_eq!(names, ["ams", "fra", "iad"]);
    let routes = |reason| {
        cdn.daemon(ROUTER)
            .metric("millrace_router_routes_total", &[("reason", reason)])
    };
    assert!(routes("failover") > 0.0);
}

#[test]
fn when_everything_dies_the_monitors_are_not_believed() {
    let mut cdn = routed().edges("ams", 1).edges("iad", 1).start();
    await_all_well(&cdn);
    for edge in ["edge-ams-1", "edge-iad-1"] {
        cdn.daemon_mut(edge).kill9();
    }
    testkit::eventually(PATIENCE, || {
        let shown = shown(&cdn, "/sites");
        if shown["panic"] == true {
            Ok(())
        } else {
            Err(shown)
        }
    });
    await_answer(&cdn, OF_AMS, &["edge-ams-1"]);
    assert!(
        cdn.daemon(ROUTER)
            .metric("millrace_router_routes_total", &[("reason", "panic")])
            > 0.0
    );
}

#[test]
fn a_failure_of_ipv6_alone_removes_only_that_family() {
    let mut cdn = routed().edges("ams", 1).edges("iad", 1).start();
    await_all_well(&cdn);
    // The edge's way in over IPv6: passes everything on to its address of IPv4.
    let port = Port::claim();
    let six: SocketAddrV6 = format!("[::1]:{}", port.number()).parse().unwrap();
    let inside = cdn.addresses("edge-ams-1").http;
    let (way, closed) = relay(six, inside);
    cdn.publish(|snapshot| snapshot.nodes.get_mut("edge-ams-1").unwrap().http6 = Some(six));
    let answer = |kind| cdn.dns().ask(HOST, kind, Some(crate::network(OF_AMS))).unwrap();
    testkit::eventually(PATIENCE, || match answer("AAAA").addresses[..] {
        [ip] if ip == std::net::IpAddr::V6(*six.ip()) => Ok(()),
        _ => Err(format!("{:?}", answer("AAAA"))),
    });
    drop(closed);
    way.join().unwrap();
    // All of it at once: an edge that is out for a moment, on a busy machine, has no AAAA either.
    testkit::eventually(PATIENCE, || {
        let (six, four) = (answer("AAAA"), answer("A"));
        let target = redirected(&cdn, "2001:db8::1", "/x");
        let is_right = six.rcode == "NOERROR"
            && six.addresses.is_empty()
            && four.addresses == [address(&cdn, "edge-ams-1")]
            && target.contains(&format!("//{}:", address(&cdn, "edge-ams-1")));
        match is_right {
            true => Ok(()),
            false => Err(format!("{six:?}, {four:?}, {target}")),
        }
    });
}

/// Passes bytes on from `outside` to `inside`, until what is given is dropped.
fn relay(
    outside: SocketAddrV6,
    inside: SocketAddr,
) -> (std::thread::JoinHandle<()>, tokio::sync::oneshot::Sender<()>) {
    let listener = TcpListener::bind(outside).unwrap();
    listener.set_nonblocking(true).unwrap();
    let (keep, dropped) = tokio::sync::oneshot::channel::<()>();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let passing = async {
                loop {
                    let Ok((mut out, _)) = listener.accept().await else {
                        return;
                    };
                    tokio::spawn(async move {
                        if let Ok(mut within) = tokio::net::TcpStream::connect(inside).await {
                            let _ = tokio::io::copy_bidirectional(&mut out, &mut within).await;
                        }
                    });
                }
            };
            tokio::select! { () = passing => {}, _ = dropped => {} }
        });
    });
    (thread, keep)
}

#[test]
fn monitors_that_are_gone_change_nothing_and_a_router_starts_without_them() {
    let mut cdn = routed().edges("ams", 3).edges("iad", 1).start();
    await_all_well(&cdn);
    cdn.daemon_mut("edge-ams-2").kill9();
    await_answer(&cdn, OF_AMS, &["edge-ams-1", "edge-ams-3"]);
    for monitor in ["monitor-1", "monitor-2", "monitor-3"] {
        cdn.daemon_mut(monitor).kill9();
    }
    await_frozen(&cdn);
    await_answer(&cdn, OF_AMS, &["edge-ams-1", "edge-ams-3"]);
    assert_eq!(
        cdn.daemon(ROUTER).metric("millrace_router_health_frozen", &[]),
        1.0
    );
    cdn.daemon_mut(ROUTER).kill9();
    cdn.daemon_mut(ROUTER).launch_again();
    cdn.daemon_mut(ROUTER).await_ready();
    let mut heard = resolved(&cdn, OF_AMS).addresses;
    heard.sort();
    assert!(
        !heard.contains(&address(&cdn, "edge-ams-2")),
        "what was known is known: {heard:?}"
    );
    let response = crate::http(&cdn).send(&request("GET", OF_AMS, "/title/1.m4s"));
    assert_eq!(response.status(), 302);
}
