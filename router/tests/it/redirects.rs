//! What the router says over HTTP: redirects, JSON, steering, refusals; and who is asked for.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use model::routing::{Bypass, Countries};
use serde_json::Value;
use testkit::cdn::{Cdn, HOST};
use testkit::client::{Client, Request};

use crate::{OF_AMS, OF_IAD, OF_NOWHERE, ROUTER, await_all_well, http, redirected, request, routed};

fn cdn() -> Cdn {
    let cdn = routed().edges("ams", 2).edges("iad", 1).start();
    await_all_well(&cdn);
    cdn
}

fn json(response: &testkit::client::Response) -> Value {
    serde_json::from_slice(&response.body).unwrap()
}

#[test]
fn a_redirect_keeps_path_and_query_method_and_scheme() {
    let cdn = cdn();
    let iad = cdn.addresses("edge-iad-1");
    for (target, rest) in [
        ("/a/b.m4s", "/a/b.m4s"),
        ("/a/b.m4s?x=1&y=%20z", "/a/b.m4s?x=1&y=%20z"),
        ("/a//b%2Fc?", "/a//b%2Fc?"),
        ("/?format=xml", "/?format=xml"),
    ] {
        assert_eq!(
            redirected(&cdn, OF_IAD, target),
            format!("http://{}{rest}", iad.http)
        );
    }
    let response = http(&cdn).send(&request("GET", OF_IAD, "/a"));
    response
        .expect(302)
        .field("Cache-Control", "no-store")
        .field("Access-Control-Allow-Origin", "*")
        .field("Location", &format!("http://{}/a", iad.http))
        .any("Access-Control-Expose-Headers")
        .any("Date")
        .any("Content-Length")
        .body(b"")
        .and_no_other_field();
    assert_eq!(http(&cdn).send(&request("HEAD", OF_IAD, "/a")).status(), 302);
    let posted = http(&cdn).send(&request("POST", OF_IAD, "/a").body("x"));
    assert_eq!((posted.status(), posted.field("Location").is_some()), (307, true));
    let secure = Client::tls(cdn.https_address(ROUTER), cdn.authority()).host(HOST);
    let secure = secure.send(&request("GET", OF_IAD, "/a"));
    assert_eq!(
        secure.field("Location"),
        Some(format!("https://{}/a", iad.https.unwrap()).as_str())
    );
}

#[test]
fn json_names_all_places_and_for_how_long() {
    let cdn = cdn();
    let response = http(&cdn).send(&request("GET", OF_AMS, "/t/1.m4s?a=1&format=json&b=2"));
    assert_eq!(response.field("Content-Type"), Some("application/json"));
    assert_eq!(response.field("Access-Control-Allow-Origin"), Some("*"));
    let said = json(&response);
    assert_eq!(said["ttl"], 30);
    let mut locations: Vec<&str> = said["locations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|l| l.as_str().unwrap())
        .collect();
    let redirect = redirected(&cdn, OF_AMS, "/t/1.m4s?a=1&b=2");
    assert_eq!(locations[0], redirect, "the first is where a redirect leads");
    locations.sort_unstable();
    let wanted = ["edge-ams-1", "edge-ams-2"]
        .map(|edge| format!("http://{}/t/1.m4s?a=1&b=2", cdn.addresses(edge).http));
    assert_eq!(locations, wanted);
    let posted = http(&cdn).send(&request("POST", OF_AMS, "/t?format=json"));
    assert_eq!(
        (posted.status(), posted.field("Allow")),
        (405, Some("GET, HEAD, OPTIONS"))
    );
}

#[test]
fn steering_orders_the_sites_and_follows_a_drain() {
    let mut cdn = cdn();
    let steer = |cdn: &Cdn| {
        http(cdn).send(&request(
            "GET",
            OF_AMS,
            "/steer/t/master.m3u8?sid=7&_HLS_pathway=%22ams%22&_HLS_throughput=5",
        ))
    };
    let response = steer(&cdn);
    assert_eq!(
        response.field("Content-Type"),
        Some("application/vnd.apple.steering-list")
    );
    let said = json(&response);
    assert_eq!((&said["VERSION"], &said["TTL"]), (&1.into(), &30.into()));
    assert_eq!(said["RELOAD-URI"], "/steer/t/master.m3u8?sid=7");
    let clones = said["PATHWAY-CLONES"].as_array().unwrap();
    let hosts: Vec<(&str, &str)> = clones
        .iter()
        .map(|clone| {
            assert_eq!(clone["BASE-ID"], ".");
            let host = &clone["URI-REPLACEMENT"]["HOST"];
            (clone["ID"].as_str().unwrap(), host.as_str().unwrap())
        })
        .collect();
    assert_eq!(hosts.len(), 3, "two nodes of the own site, and one of the other");
    assert_eq!(hosts[2], ("iad.edge-iad-1", "127.0.1.3"));
    let mut own = hosts[..2].to_vec();
    own.sort_unstable();
    assert_eq!(
        own,
        [("ams.edge-ams-1", "127.0.1.1"), ("ams.edge-ams-2", "127.0.1.2")]
    );
    let priority = [hosts[0].0, hosts[1].0, "ams", "iad.edge-iad-1", "iad"];
    assert_eq!(said["PATHWAY-PRIORITY"], serde_json::json!(priority));
    let question = format!("/explain?client={OF_AMS}&host={HOST}&path=/steer/t/master.m3u8");
    let explained = cdn.daemon(ROUTER).admin(&question).unwrap();
    let explained = json(&explained);
    let first = explained["http"]["why"]["nodes"][0].as_str().unwrap();
    assert_eq!(hosts[0].0, format!("ams.{first}"));
    assert_eq!(
        explained["http"]["steering"]["PATHWAY-PRIORITY"],
        said["PATHWAY-PRIORITY"]
    );
    let dash = http(&cdn).send(&request("GET", OF_AMS, "/steer/t/m.mpd?_DASH_pathway=%22ams%22"));
    assert_eq!(dash.field("Content-Type"), Some("application/json"));
    for edge in ["edge-ams-1", "edge-ams-2"] {
        cdn.daemon(edge).terminate();
        assert!(cdn.daemon_mut(edge).await_end(crate::PATIENCE).success());
    }
    testkit::eventually(crate::PATIENCE, || {
        let said = json(&steer(&cdn));
        if said["PATHWAY-PRIORITY"] == serde_json::json!(["iad.edge-iad-1", "iad"]) {
            Ok(())
        } else {
            Err(said)
        }
    });
}

#[test]
fn an_answer_does_not_wait_for_the_next_question_and_nobody_is_answered_who_does_not_listen() {
    let cdn = cdn();
    let connect = || TcpStream::connect(cdn.addresses(ROUTER).http).unwrap();
    let request = format!("GET /a HTTP/1.1\r\nHost: {HOST}\r\n\r\n");

    // An empty line too many (RFC 9112, 2.2) is no question.
    let mut stream = connect();
    stream.set_read_timeout(Some(crate::PATIENCE)).unwrap();
    stream.write_all(format!("{request}\r\n").as_bytes()).unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 302");

    // Whoever only asks is soon not read any more, as there is no room for more answers.
    let mut stream = connect();
    stream.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    let many = request.repeat(1000);
    let written = (0..1000).map(|_| stream.write_all(many.as_bytes()));
    let refused = written.into_iter().find_map(Result::err);
    assert_eq!(refused.unwrap().kind(), ErrorKind::WouldBlock);
}

#[test]
fn browsers_may_ask_from_any_page() {
    let cdn = cdn();
    let asked = Request::new("OPTIONS", "/t/1.m4s")
        .field("Origin", "https://player.example")
        .field("Access-Control-Request-Method", "GET")
        .field("Access-Control-Request-Headers", "range");
    let response = http(&cdn).send(&asked);
    assert_eq!(response.status(), 204);
    assert_eq!(response.field("Access-Control-Allow-Origin"), Some("*"));
    assert_eq!(response.field("Access-Control-Allow-Headers"), Some("*"));
}

#[test]
fn what_cannot_be_answered_is_refused_with_its_reason() {
    let cdn = cdn();
    let client = Client::plain(cdn.addresses(ROUTER).http);
    for (host, status) in [
        ("nobody.test", 404),
        ("..", 400),
        ("media.test:80", 302),
        ("MEDIA.test", 302),
    ] {
        let response = client.clone().host(host).send(&request("GET", OF_AMS, "/a"));
        assert_eq!(response.status(), status, "{host}");
    }
    let none = client
        .try_raw(b"GET /a HTTP/1.1\r\nConnection: close\r\n\r\n")
        .unwrap();
    assert_eq!(none.status(), 400);
    let counted = |code| {
        cdn.daemon(ROUTER)
            .metric("millrace_router_http_requests_total", &[("code", code)])
    };
    assert_eq!((counted("404"), counted("400"), counted("302")), (1.0, 2.0, 2.0));
}

#[test]
fn countries_are_blocked_or_sent_elsewhere_and_what_nothing_serves_goes_past() {
    let mut cdn = cdn();
    cdn.publish(|snapshot| {
        let routing = &mut snapshot.services.get_mut("demo").unwrap().routing;
        routing.countries = Some(Countries::Allow(vec!["NL".to_owned()]));
        let american = Bypass {
            url: Some("https://us.example/cdn".to_owned()),
            addresses: vec!["192.0.2.77".parse().unwrap()],
        };
        routing.elsewhere.insert("US".to_owned(), american);
        let by_redirect_alone = Bypass {
            url: Some("https://nl.example".to_owned()),
            addresses: Vec::new(),
        };
        routing.elsewhere.insert("NL".to_owned(), by_redirect_alone);
    });
    testkit::eventually(crate::PATIENCE, || {
        let response = http(&cdn).send(&request("GET", OF_NOWHERE, "/a"));
        if response.status() == 403 {
            Ok(())
        } else {
            Err(response.status())
        }
    });
    assert_eq!(crate::resolved(&cdn, OF_NOWHERE).rcode, "REFUSED");
    assert_eq!(redirected(&cdn, OF_IAD, "/a?b=1"), "https://us.example/cdn/a?b=1");
    assert_eq!(
        crate::resolved(&cdn, OF_IAD).addresses,
        ["192.0.2.77".parse::<std::net::IpAddr>().unwrap()]
    );
    assert_eq!(redirected(&cdn, OF_AMS, "/a"), "https://nl.example/a");
    let nowhere = crate::resolved(&cdn, OF_AMS);
    assert_eq!((nowhere.rcode.as_str(), nowhere.addresses.len()), ("REFUSED", 0));
    cdn.publish(|snapshot| snapshot.services.get_mut("demo").unwrap().routing.enabled = false);
    testkit::eventually(crate::PATIENCE, || {
        let response = http(&cdn).send(&request("GET", OF_AMS, "/a"));
        if response.status() == 503 {
            Ok(())
        } else {
            Err(response.status())
        }
    });
    assert_eq!(crate::resolved(&cdn, OF_AMS).rcode, "NOERROR");
    assert!(crate::resolved(&cdn, OF_AMS).addresses.is_empty());
}

#[test]
fn only_a_trusted_peer_speaks_for_others_by_field_or_by_preamble() {
    let mut cdn = cdn();
    let iad = cdn.addresses("edge-iad-1").http.to_string();
    let asked = |cdn: &Cdn, preamble: &str| {
        let request = format!("{preamble}GET /a HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n");
        Client::plain(cdn.addresses(ROUTER).http).try_raw(request.as_bytes())
    };
    let by_preamble = asked(&cdn, "PROXY TCP4 17.9.9.9 192.0.2.1 4711 80\r\n").unwrap();
    assert!(by_preamble.field("Location").unwrap().contains(&iad));
    assert!(asked(&cdn, "PROXY nonsense\r\n").is_err());
    let config = cdn.config(ROUTER).to_owned();
    let text = std::fs::read_to_string(&config)
        .unwrap()
        .replace("127.0.0.0/8", "10.0.0.0/8");
    std::fs::write(&config, text).unwrap();
    cdn.daemon_mut(ROUTER).kill9();
    cdn.daemon_mut(ROUTER).launch_again();
    cdn.daemon_mut(ROUTER).await_ready();
    await_all_well(&cdn);
    // Nothing is known of 127.0.0.1, whatever it says of itself.
    assert!(!redirected(&cdn, OF_IAD, "/a").contains(&iad));
    let no_request = asked(&cdn, "PROXY TCP4 17.9.9.9 192.0.2.1 4711 80\r\n").unwrap();
    assert_eq!(no_request.status(), 400);
}

#[test]
fn nodes_have_names_of_their_own_where_the_service_says_so() {
    let mut cdn = cdn();
    cdn.publish(|snapshot| {
        let service = snapshot.services.get_mut("demo").unwrap();
        service.hosts.push("*.media.test".to_owned());
        service.routing.node_host = Some("{node}.{site}.media.test".to_owned());
    });
    let port = cdn.addresses("edge-iad-1").http.port();
    let wanted = format!("http://edge-iad-1.iad.media.test:{port}/a");
    testkit::eventually(crate::PATIENCE, || {
        let target = redirected(&cdn, OF_IAD, "/a");
        if target == wanted { Ok(()) } else { Err(target) }
    });
    let of_node = |name: &str, kind| cdn.dns().ask(name, kind, Some(crate::network(OF_AMS))).unwrap();
    let answer = of_node("edge-iad-1.iad.media.test", "A");
    assert_eq!(
        answer.addresses,
        [crate::address(&cdn, "edge-iad-1")],
        "whoever asks, it is that node"
    );
    assert_eq!(of_node("edge-iad-1.iad.media.test", "AAAA").rcode, "NOERROR");
    assert_eq!(
        of_node("other.media.test", "A").addresses.len(),
        2,
        "other names under the wildcard are steered"
    );
    let node = Client::plain(cdn.addresses("edge-iad-1").http).host("edge-iad-1.iad.media.test");
    cdn.origin().on("/a", testkit::origin::Reply::ok("film"));
    // It reads the new snapshot when it comes to it.
    testkit::eventually(crate::PATIENCE, || match node.get("/a").status() {
        200 => Ok(()),
        status => Err(format!("the node does not know the service by it: {status}")),
    });
}
