//! DNS, redirects and explanations say the same, and it is right.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};
use serde_json::Value;
use testkit::cdn::{Cdn, HOST};
use testkit::client::{Client, Request};
use testkit::{Chance, geography, seed};

use crate::{ROUTER, await_all_well, await_frozen, http, routed};

const CLIENTS: usize = 10_000;

/// A place for each /14 of the addresses from 16.0.0.0 on.
fn place(of: Ipv4Addr) -> (f64, f64) {
    let mut chance = Chance::named(&format!("{}", of.to_bits() >> 18));
    let mut degrees = |span: u64| chance.below(span * 1000) as f64 / 1000.0;
    (degrees(150) - 70.0, degrees(360) - 180.0)
}

fn world() -> Vec<u8> {
    let nets = (0..64_u32 << 6).map(|nth| {
        let net = Ipv4Net::new(Ipv4Addr::from_bits((16 << 24) + (nth << 18)), 14).unwrap();
        let (north, east) = place(net.network());
        (IpNet::V4(net), north, east, "")
    });
    geography::database(&nets.collect::<Vec<_>>())
}

/// The great-circle distance in radians (haversine formula).
fn distance(one: (f64, f64), other: (f64, f64)) -> f64 {
    let (north, east) = ((other.0 - one.0).to_radians(), (other.1 - one.1).to_radians());
    let chord = (north / 2.0).sin().powi(2)
        + one.0.to_radians().cos() * other.0.to_radians().cos() * (east / 2.0).sin().powi(2);
    2.0 * chord.sqrt().min(1.0).asin()
}

fn by_distance(cdn: &Cdn, from: (f64, f64)) -> Vec<&str> {
    let sites = cdn.snapshot().sites.iter();
    let mut sites: Vec<(f64, &str)> = sites
        .map(|(name, site)| (distance(from, (site.latitude, site.longitude)), name.as_str()))
        .collect();
    sites.sort_by(|one, other| one.0.total_cmp(&other.0));
    sites.into_iter().map(|(_, name)| name).collect()
}

#[test]
fn ten_thousand_clients_hear_the_same_by_dns_by_redirect_and_in_explanations() {
    let mut cdn = routed()
        .geography("database", world())
        .edges("ams", 2)
        .edges("iad", 2)
        .edges("fra", 1)
        .start();
    await_all_well(&cdn);
    // What is known of the nodes stays as it is, so that three questions in a row meet the same world.
    for monitor in ["monitor-1", "monitor-2", "monitor-3"] {
        cdn.daemon_mut(monitor).kill9();
    }
    await_frozen(&cdn);
    let mut chance = Chance::new(seed());
    let mut dns = cdn.dns();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut front = runtime.block_on(http(&cdn).connect()).unwrap();
    let admin = Client::plain(cdn.addresses(ROUTER).admin).host("admin");
    for nth in 0..CLIENTS {
        let client = Ipv4Addr::from_bits((16 << 24) + chance.below(64 << 24) as u32);
        let path = format!("/title-{}/v/{nth}.m4s?q={nth}", chance.below(50));
        let redirect = Request::get(&path).field("X-Forwarded-For", client.to_string());
        let redirect = runtime.block_on(front.send(&redirect)).unwrap();
        let heard = dns
            .ask(HOST, "A", Some(IpNet::V4(Ipv4Net::new(client, 32).unwrap())))
            .unwrap();
        let question = format!(
            "/explain?client={client}&host={HOST}&path={}",
            path.replace('?', "%3F").replace('=', "%3D")
        );
        let explained = admin.get(&question);
        let explained: Value = serde_json::from_slice(&explained.body).unwrap();

        let what = format!("{client} {path}: {explained}");
        let addresses: Vec<IpAddr> =
            serde_json::from_value(explained["dns"]["a"]["addresses"].clone()).unwrap();
        assert_eq!(heard.addresses, addresses, "{what}");
        assert_eq!(
            heard.scope.map(u64::from),
            explained["dns"]["a"]["scope"].as_u64(),
            "{what}"
        );
        assert_eq!(redirect.status(), 302);
        assert_eq!(
            redirect.field("Location"),
            explained["http"]["location"].as_str(),
            "{what}"
        );
        assert!(redirect.field("Location").unwrap().ends_with(&path), "{what}");
        let ranking: Vec<&str> = explained["network"]["ranking"]
            .as_array()
            .unwrap()
            .iter()
            .map(|site| site.as_str().unwrap())
            .collect();
        assert_eq!(ranking, by_distance(&cdn, place(client)), "{what}");
        assert_eq!(explained["dns"]["a"]["why"]["site"], ranking[0], "{what}");
        assert_eq!(explained["http"]["why"]["reason"], "geography", "{what}");
    }
    let counted = |protocol| {
        cdn.daemon(ROUTER)
            .metric("millrace_router_routes_total", &[("protocol", protocol)])
    };
    assert_eq!(
        (counted("dns"), counted("redirect")),
        (CLIENTS as f64, CLIENTS as f64)
    );
}

#[test]
fn an_explanation_is_for_people_too_and_says_what_it_was_not_asked_well() {
    let cdn = routed().edges("ams", 1).start();
    await_all_well(&cdn);
    let router = testkit::process::run_to_end(
        cdn.binary(ROUTER),
        &[
            "explain",
            "--config",
            cdn.config(ROUTER).to_str().unwrap(),
            "--client",
            "16.1.2.3",
            "--host",
            HOST,
        ],
        crate::PATIENCE,
    );
    let said = router.output.join("\n");
    assert!(router.status.success(), "{said} {:?}", router.errors);
    for line in [
        "client 16.1.2.3 asks for media.test (service demo)",
        "its network, a /8, is known by geography, in NL: ams",
        "node edge-ams-1: up over IPv4, weight 1.00",
        "decided: geography",
        "=> NOERROR 127.0.1.1",
        "ams: it serves, but not over what was asked for",
        "=> NODATA",
        "=> 302 to http://127.0.1.1:",
    ] {
        assert!(said.contains(line), "{line} in\n{said}");
    }
    for (query, says) in [
        ("", "client and host are needed"),
        ("?client=16.1.2.3", "client and host are needed"),
        ("?client=here&host=media.test", "\"here\" is no address"),
        (
            "?client=16.1.2.3&host=nobody.test",
            "no service answers to \"nobody.test\"",
        ),
        (
            "?client=16.1.2.3&host=media.test&path=x",
            "does not begin with a slash",
        ),
        (
            "?client=16.1.2.3&host=media.test&colour=red",
            "nobody knows colour=red",
        ),
    ] {
        let answer = cdn.daemon(ROUTER).admin(&format!("/explain{query}")).unwrap();
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert_eq!(answer.status(), 400, "{query}: {text}");
        assert!(text.contains(&says.replace('"', "\\\"")), "{query}: {text}");
    }
}
