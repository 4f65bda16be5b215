//! A small CDN with zones, a steering of its own, and hickory-proto as the other opinion on every byte.

mod ask;
mod differential;
mod loopback;
mod properties;
mod stories;
mod strictness;

use std::net::IpAddr;
use std::sync::OnceLock;

use model::Snapshot;

use super::authority::{
    Zones,
    outcome::{Outcome, Transport},
    steer::{Addresses, Asked, Family, ServiceId, Steer, Steered, Verdict},
};

/// Services, by their places.
const BROKEN: ServiceId = ServiceId(0);
const CLOSED: ServiceId = ServiceId(1);
const NEWS: ServiceId = ServiceId(3);

/// The zones that all tests here ask about.
fn zones() -> Zones {
    let texts: Vec<_> = (0..20)
        .map(|nth| serde_json::json!({ "name": "big", "type": "TXT", "data": format!("{nth:0>100}") }))
        .collect();
    let mut document = serde_json::json!({
        "cdn": "test",
        "number": 4_294_967_303_u64,
        "sites": {},
        "nodes": {},
        "services": {
            "broken": { "hosts": ["broken.cdn.example"], "origins": [{ "url": "https://origin.example" }] },
            "closed": { "hosts": ["closed.cdn.example"], "origins": [{ "url": "https://origin.example" }] },
            "films": {
                "hosts": ["films.cdn.example", "vip.wild.cdn.example", "192.0.2.9", "elsewhere.example"],
                "origins": [{ "url": "https://origin.example" }]
            },
            "news": { "hosts": ["news.cdn.example"], "origins": [{ "url": "https://origin.example" }] },
            "wild": { "hosts": ["*.wild.cdn.example"], "origins": [{ "url": "https://origin.example" }] }
        },
        "zones": {
            "cdn.example": {
                "ns": ["ns1.cdn.example", "ns.other.example"],
                "ttl": "1h",
                "records": [
                    { "name": "ns1", "type": "A", "data": "192.0.2.53", "ttl": "1d" },
                    { "name": "ns1", "type": "AAAA", "data": "2001:db8::53" },
                    { "name": "@", "type": "CAA", "data": "0 issue \"ca.example\"" },
                    { "name": "films", "type": "HTTPS", "data": "1 . alpn=\"h2,http/1.1\" port=8443" },
                    { "name": "_dmarc", "type": "TXT", "data": "v=DMARC1; p=reject" },
                    { "name": "*.old", "type": "CNAME", "data": "www.other.example" },
                    { "name": "mail", "type": "MX", "data": "10 mx.other.example" },
                    { "name": "mail", "type": "MX", "data": "20 mx.other.example" },
                    { "name": "a.b.deep", "type": "TXT", "data": "deep" },
                    { "name": "lab", "type": "NS", "data": "ns.lab.cdn.example" },
                    { "name": "lab", "type": "NS", "data": "ns.other.example" },
                    { "name": "ns.lab", "type": "A", "data": "192.0.2.99" },
                    { "name": "origin.wild", "type": "A", "data": "192.0.2.80" },
                    { "name": "text.wild", "type": "TXT", "data": "text" },
                    { "name": "*.texts", "type": "TXT", "data": "any" }
                ]
            },
            "low.sub.cdn.example": { "ns": ["ns1.cdn.example"], "soa": { "serial": 5, "negative_ttl": "10s" } }
        }
    });
    document["zones"]["cdn.example"]["records"]
        .as_array_mut()
        .expect("a list")
        .extend(texts);
    let snapshot = Snapshot::from_json(document.to_string().as_bytes()).expect("no complaint");
    Zones::compile(&snapshot)
}

fn shared_zones() -> &'static Zones {
    static ZONES: OnceLock<Zones> = OnceLock::new();
    ZONES.get_or_init(zones)
}

/// Steers by the client's network alone: a /20 or a /40 has the same two addresses.
struct ByNetwork;

impl Steer for ByNetwork {
    fn steer(&self, asked: &Asked<'_>, addresses: &mut Addresses) -> Steered {
        let is_upper = asked.host.iter().any(u8::is_ascii_uppercase);
        assert!(
            !is_upper && asked.host.ends_with(&[0]),
            "the name as it is looked up"
        );
        let (bits, scope) = match asked.client {
            IpAddr::V4(client) => ((u32::from(client) >> 12) as u16, 20),
            IpAddr::V6(client) => ((u128::from(client) >> 88) as u16, 40),
        };
        let verdict = match (asked.service, asked.family) {
            (BROKEN, _) => Verdict::Failed,
            (CLOSED, _) => Verdict::Refused,
            (NEWS, Family::V6) => Verdict::NoData,
            (ServiceId(service), family) => {
                for nth in 0..2 {
                    let [high, low] = bits.to_be_bytes();
                    addresses.push(match family {
                        Family::V4 => [10 + service as u8, high, low, nth].into(),
                        Family::V6 => [0x2001, 0xdb8, service as u16, bits, 0, 0, 0, u16::from(nth)].into(),
                    });
                }
                Verdict::Addresses
            }
        };
        Steered {
            verdict,
            ttl: 30,
            scope,
            reason: "test",
        }
    }
}

/// The outcome and the bytes of the reply, over UDP, to who asks from 198.51.100.7.
fn answered(query: &[u8]) -> (Outcome, Vec<u8>) {
    answered_over(Transport::Udp, query)
}

fn answered_over(transport: Transport, query: &[u8]) -> (Outcome, Vec<u8>) {
    let mut out = Vec::new();
    let source = ([198, 51, 100, 7], 5353).into();
    let outcome = super::authority::answer(query, source, transport, shared_zones(), &ByNetwork, &mut out);
    if let Outcome::Reply(replied) = outcome {
        assert_eq!(replied.bytes, out.len());
    } else {
        assert!(out.is_empty(), "silence has no bytes");
    }
    (outcome, out)
}
