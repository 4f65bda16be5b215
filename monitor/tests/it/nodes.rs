//! What can happen to a node, and what the monitors say of it.

use std::fs::File;
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6, TcpListener, TcpStream};

use model::{Status, Tier};
use testkit::cdn::Cdn;
use testkit::origin::Reply;
use testkit::ports::Port;

use crate::{EDGE, MONITORS, await_all_well, await_merged, await_state, json, transitions, watched};

#[test]
fn a_killed_node_is_down_everywhere_and_comes_back_with_a_slow_start() {
    let mut cdn = watched()
        .edges("ams", 2)
        .monitor_settings(|settings| {
            // Long enough for every monitor to be seen in it.
            settings.text("judge", "hold_down", "10s");
        })
        .start();
    await_all_well(&cdn);
    cdn.daemon_mut(EDGE).kill9();
    await_merged(&cdn, EDGE, "down", Some("refused"));
    let other = json(&cdn, "monitor-1", "/v1/state");
    assert_eq!(other["merged"]["nodes"]["edge-ams-2"]["state"], "up");
    assert_eq!(other["merged"]["nodes"][EDGE]["available"], false);

    cdn.daemon_mut(EDGE).launch_again();
    cdn.daemon_mut(EDGE).await_ready();
    await_merged(&cdn, EDGE, "down", Some("flapping"));
    await_merged(&cdn, EDGE, "up", None);
    await_state(&cdn, "monitor-1", |shown| {
        let node = &shown["merged"]["nodes"][EDGE];
        node["weight"] == 1.0 && node["cause"].is_null()
    });
    for monitor in MONITORS {
        assert_eq!(
            transitions(&cdn, monitor, EDGE),
            ["unknown → up", "up → down", "down → up"]
        );
    }
    let metric = |name: &str, labels: &[(&str, &str)]| -> f64 {
        let counts = MONITORS.map(|monitor| cdn.daemon(monitor).metric(name, labels));
        counts.iter().sum()
    };
    let fell = [("scope", "merged"), ("from", "up"), ("to", "down")];
    assert_eq!(metric("millrace_monitor_transitions_total", &fell), 3.0);
    // Two of three are enough, and a stream that broke off speaks for itself.
    let refused = metric("millrace_monitor_probes_total", &[("outcome", "refused")]);
    assert!(refused >= 2.0, "{refused} probes were refused");
}

#[test]
fn a_frozen_node_is_down_for_want_of_an_answer() {
    let cdn = watched().edges("ams", 1).start();
    await_all_well(&cdn);
    cdn.daemon(EDGE).freeze();
    await_merged(&cdn, EDGE, "down", Some("timeout"));
    cdn.daemon(EDGE).thaw();
    await_merged(&cdn, EDGE, "up", None);
}

#[test]
fn a_node_that_drains_says_so_itself_and_its_successor_is_not_held_down() {
    let mut cdn = watched()
        .edges("ams", 1)
        .monitor_settings(|settings| {
            settings
                .text("judge", "hold_down", "1h")
                .text("judge", "longest_hold_down", "1h");
        })
        .start();
    await_all_well(&cdn);
    cdn.daemon(EDGE).terminate();
    cdn.daemon_mut(EDGE).await_end(crate::PATIENCE);
    await_merged(&cdn, EDGE, "down", Some("refused"));
    assert_eq!(
        transitions(&cdn, "monitor-1", EDGE),
        ["unknown → up", "up → draining", "draining → down"]
    );
    cdn.daemon_mut(EDGE).launch_again();
    await_merged(&cdn, EDGE, "up", None);
}

#[test]
fn a_node_that_loses_a_device_gets_less_and_says_why() {
    let cdn = watched()
        .edges("ams", 1)
        .settings(Tier::Edge, |settings| {
            settings
                .text("cache", "disk_probe_interval", "10m")
                .disk("256MiB")
                .disk("256MiB");
        })
        .start();
    await_all_well(&cdn);
    let device = File::options()
        .write(true)
        .open(cdn.cache_device(EDGE, 1))
        .unwrap();
    device.set_len(0).unwrap();
    await_merged(&cdn, EDGE, "degraded", Some("disks"));
    let shown = json(&cdn, "monitor-2", "/v1/state");
    let node = &shown["merged"]["nodes"][EDGE];
    assert_eq!((&node["weight"], &node["available"]), (&0.5.into(), &true.into()));
    assert_eq!(node["cause"]["detail"], "of 2 cache devices 1 offline");
}

/// Somewhere that answers no connection: its queue is full, so that the kernel drops what comes, as a dead network does.
struct BlackHole {
    listener: TcpListener,
    _fill: Vec<TcpStream>,
}

impl BlackHole {
    fn new() -> BlackHole {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket
            .bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())
            .unwrap();
        socket.listen(0).unwrap();
        let listener = TcpListener::from(socket);
        let address = listener.local_addr().unwrap();
        let patience = std::time::Duration::from_millis(100);
        let fill = (0..3).map_while(|_| TcpStream::connect_timeout(&address, patience).ok());
        BlackHole {
            _fill: fill.collect(),
            listener,
        }
    }
}

#[test]
fn a_node_behind_a_dead_network_is_down_for_want_of_a_connection() {
    let mut cdn = watched().edges("ams", 1).start();
    await_all_well(&cdn);
    let hole = BlackHole::new();
    let address = hole.listener.local_addr().unwrap();
    cdn.publish(|snapshot| {
        let node = snapshot.nodes.get_mut(EDGE).unwrap();
        (node.http, node.https) = (Some(address), None);
    });
    await_merged(&cdn, EDGE, "down", Some("timeout"));
    let shown = json(&cdn, "monitor-1", "/v1/state");
    let detail = shown["merged"]["nodes"][EDGE]["cause"]["detail"]
        .as_str()
        .unwrap();
    assert!(detail.starts_with("connect 127.0.0.1:"), "{detail}");
}

#[test]
fn a_node_that_is_not_reached_over_ipv6_keeps_its_ipv4() {
    let mut cdn = watched().edges("ams", 1).start();
    await_all_well(&cdn);
    let nobody = Port::claim();
    cdn.publish(|snapshot| {
        let node = snapshot.nodes.get_mut(EDGE).unwrap();
        let address = SocketAddrV6::new(Ipv6Addr::LOCALHOST, nobody.address().port(), 0, 0);
        node.https6 = Some(address);
    });
    await_merged(&cdn, EDGE, "degraded", Some("refused"));
    let shown = json(&cdn, "monitor-3", "/v1/state");
    let node = &shown["merged"]["nodes"][EDGE];
    assert_eq!((&node["ipv4"], &node["ipv6"]), (&"up".into(), &"down".into()));
    assert_eq!((&node["available"], &node["weight"]), (&true.into(), &1.0.into()));
    assert!(
        node["cause"]["detail"]
            .as_str()
            .unwrap()
            .starts_with("not over IPv6: connect [::1]")
    );
}

#[test]
fn a_node_whose_certificate_is_not_trusted_is_down() {
    let cdn = watched().edges("ams", 1).start();
    await_all_well(&cdn);
    let stranger = testkit::certificates::Authority::new().issue(&[testkit::cdn::HOST]);
    let config = cdn.config(EDGE).parent().unwrap().parent().unwrap();
    let _in_place_of_the_old_one = stranger.write(config, "certificate");
    cdn.daemon(EDGE).hang_up();
    await_merged(&cdn, EDGE, "down", Some("tls"));
}

/// A CDN whose monitors know what the bytes of `/canary.bin` should be, and ask for them often.
fn with_known_object(right: &[u8]) -> Cdn {
    use sha2::Digest;
    let digest = sha2::Sha256::digest(right);
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let host = testkit::cdn::HOST;
    let object = format!("[[probe.objects]]\nhost = {host:?}\npath = \"/canary.bin\"\nsha256 = {digest:?}\n");
    watched()
        .edges("ams", 1)
        .service("demo", |service| {
            service.ttl.as_mut().unwrap().default = Some(model::Period(std::time::Duration::from_secs(1)));
        })
        .monitor_settings(|settings| {
            settings.text("probe", "interval", "300ms");
        })
        .monitor_tables(&object)
        .start()
}

#[test]
fn wrong_bytes_of_a_known_object_take_a_node_down_until_they_are_right_again() {
    let right = testkit::body("canary", 5000);
    let cdn = with_known_object(&right);
    cdn.origin()
        .on("/canary.bin", Reply::ok(testkit::body("another", 5000)));
    await_merged(&cdn, EDGE, "down", Some("wrong-content"));
    cdn.origin().on("/canary.bin", Reply::ok(right));
    await_merged(&cdn, EDGE, "up", None);
}

#[test]
fn an_origin_that_fails_takes_no_node_down() {
    let right = testkit::body("canary", 5000);
    let cdn = with_known_object(&right);
    for status in [404, 503] {
        cdn.origin().on("/canary.bin", Reply::status(status));
        let refused = |monitor| {
            cdn.daemon(monitor)
                .metric("millrace_monitor_probes_total", &[("outcome", "no-object")])
        };
        for monitor in MONITORS {
            let before = refused(monitor);
            // As many as would bring it down, if they were failures.
            testkit::eventually(crate::PATIENCE, || {
                let count = refused(monitor) - before;
                if count >= 4.0 {
                    Ok(())
                } else {
                    Err(format!("{monitor} was refused the object {count} times"))
                }
            });
        }
    }
    await_all_well(&cdn);
    assert_eq!(transitions(&cdn, "monitor-1", EDGE), ["unknown → up"]);
    cdn.origin()
        .on("/canary.bin", Reply::ok(testkit::body("another", 5000)));
    await_merged(&cdn, EDGE, "down", Some("wrong-content"));
}

#[test]
fn the_snapshot_has_the_last_word_on_who_is_used() {
    let mut cdn = watched().edges("ams", 2).start();
    await_all_well(&cdn);
    cdn.publish(|snapshot| {
        snapshot.nodes.get_mut(EDGE).unwrap().status = Status::AdminDown;
        snapshot.nodes.get_mut("edge-ams-2").unwrap().status = Status::Online;
    });
    await_state(&cdn, "monitor-1", |shown| {
        shown["merged"]["nodes"][EDGE]["status"] == "ADMIN_DOWN"
    });
    cdn.daemon_mut("edge-ams-2").kill9();
    await_merged(&cdn, "edge-ams-2", "down", Some("refused"));
    let shown = json(&cdn, "monitor-1", "/v1/state");
    let node = |name: &str| shown["merged"]["nodes"][name].clone();
    assert_eq!(
        (&node(EDGE)["state"], &node(EDGE)["available"]),
        (&"up".into(), &false.into())
    );
    assert_eq!(
        node("edge-ams-2")["available"],
        true,
        "ONLINE is used whatever is seen"
    );
    cdn.publish(|snapshot| snapshot.nodes.get_mut(EDGE).unwrap().status = Status::Offline);
    await_state(&cdn, "monitor-1", |shown| {
        shown["merged"]["nodes"][EDGE].is_null()
    });
}

#[test]
fn what_a_node_does_is_read_from_its_metrics() {
    let cdn: Cdn = watched().edges("ams", 1).start();
    await_all_well(&cdn);
    cdn.origin().on("/title/1.m4s", Reply::generated("1", 100_000));
    for _ in 0..5 {
        assert_eq!(cdn.http(EDGE).get("/title/1.m4s").status(), 200);
    }
    testkit::eventually(crate::PATIENCE, || {
        let stats = json(&cdn, "monitor-1", "/v1/stats");
        let node = &stats["nodes"][EDGE];
        let ratio = node["hit_ratio"].as_f64();
        match ratio {
            Some(ratio) if node["hit_ratio_requests"] == 5 => {
                assert!((ratio - 0.8).abs() < 1e-9, "{node:#}");
                assert!(
                    (node["byte_hit_ratio"].as_f64().unwrap() - 0.8).abs() < 1e-9,
                    "{node:#}"
                );
                Ok(())
            }
            _ => Err(format!("{node:#}")),
        }
    });
}
