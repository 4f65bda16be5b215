//! A query of DNS: whatever the bytes, there is silence or one whole reply, which is small and repeats what was asked.

use std::net::{IpAddr, SocketAddr};
use std::sync::OnceLock;

use super::authority::outcome::{Outcome, Silence, Transport};
use super::authority::steer::{Addresses, Asked, Family, Steer, Steered, Verdict};
use super::authority::{Rcode, UDP_BYTES_MAX, Zones, answer};

/// Zones with something of everything.
const SNAPSHOT: &[u8] = br#"{
    "cdn": "test", "number": 7, "sites": {}, "nodes": {},
    "services": {
        "a": { "hosts": ["a.c.d", "*.w.c.d"], "origins": [{ "url": "https://origin.example" }] },
        "b": { "hosts": ["c.d"], "origins": [{ "url": "https://origin.example" }] }
    },
    "zones": {
        "c.d": {
            "ns": ["n.c.d", "n.other.example"],
            "records": [
                { "name": "n", "type": "A", "data": "192.0.2.1" },
                { "name": "n", "type": "AAAA", "data": "2001:db8::1" },
                { "name": "a", "type": "HTTPS", "data": "1 . alpn=h2 port=8443" },
                { "name": "*.o", "type": "CNAME", "data": "www.other.example" },
                { "name": "x.y", "type": "TXT", "data": "text" },
                { "name": "y", "type": "MX", "data": "10 mx.other.example" },
                { "name": "l", "type": "NS", "data": "n.l.c.d" },
                { "name": "n.l", "type": "A", "data": "192.0.2.2" }
            ]
        },
        "e.c.d": { "ns": ["n.c.d"] }
    }
}"#;

/// Who asks.
const SOURCE: ([u8; 4], u16) = ([198, 51, 100, 7], 5353);

/// Bytes of a header.
const HEADER: usize = 12;

/// Bytes of an OPT record without options.
const OPT: usize = 11;

/// Eight addresses that only hinge on the viewer's /20 or /40.
struct ByNetwork;

impl Steer for ByNetwork {
    fn steer(&self, asked: &Asked<'_>, addresses: &mut Addresses) -> Steered {
        let (network, scope) = match asked.client {
            IpAddr::V4(client) => (u32::from(client) >> 12, 20),
            IpAddr::V6(client) => ((u128::from(client) >> 88) as u32, 40),
        };
        let [_, _, high, low] = network.to_be_bytes();
        for nth in 0..8 {
            addresses.push(match asked.family {
                Family::V4 => [10, high, low, nth].into(),
                Family::V6 => [0x2001, 0xdb8, network as u16, 0, 0, 0, 0, u16::from(nth)].into(),
            });
        }
        Steered {
            verdict: if asked.service.0 == 0 {
                Verdict::Addresses
            } else {
                Verdict::NoData
            },
            ttl: 30,
            scope,
            reason: "test",
        }
    }
}

fn zones() -> &'static Zones {
    static ZONES: OnceLock<Zones> = OnceLock::new();
    ZONES.get_or_init(|| {
        let snapshot = model::Snapshot::from_json(SNAPSHOT).expect("no complaint");
        Zones::compile(&snapshot)
    })
}

fn answered(query: &[u8], transport: Transport) -> (Outcome, Vec<u8>) {
    let mut out = Vec::new();
    let source = SocketAddr::from(SOURCE);
    let outcome = answer(query, source, transport, zones(), &ByNetwork, &mut out);
    (outcome, out)
}

/// What must hold of the replies to any bytes.
pub fn holds(bytes: &[u8]) {
    let (outcome, datagram) = answered(bytes, Transport::Udp);
    assert_eq!(
        answered(bytes, Transport::Udp),
        (outcome, datagram.clone()),
        "the same again"
    );
    let replied = match outcome {
        Outcome::Silence(Silence::Short) => return assert!(bytes.len() < HEADER && datagram.is_empty()),
        Outcome::Silence(silence) => {
            assert!(silence == Silence::Response && bytes[2] & 0x80 != 0 && datagram.is_empty());
            return;
        }
        Outcome::Reply(replied) => replied,
    };
    assert!(bytes.len() >= HEADER && bytes[2] & 0x80 == 0);
    assert_eq!(replied.bytes, datagram.len());
    assert!(datagram.len() <= UDP_BYTES_MAX);
    is_whole(bytes, &datagram);
    if replied.rcode != Rcode::NoError && replied.rcode != Rcode::NxDomain {
        assert!(
            datagram.len() <= bytes.len() + OPT,
            "an error is no longer than what met it"
        );
    }
    let (_, on_connection) = answered(bytes, Transport::Tcp);
    is_whole(bytes, &on_connection);
    if replied.truncated {
        assert!(datagram[6..10] == [0; 4] && datagram[2] & 2 != 0);
        assert!(datagram.len() < on_connection.len());
    } else {
        // Addresses of name servers may be left out of a datagram; what answers the question may not.
        assert_eq!(datagram[2..10], on_connection[2..10]);
    }
    let (again, _) = answered(&datagram, Transport::Udp);
    assert_eq!(again, Outcome::Silence(Silence::Response), "a reply is no query");
    other_case(bytes, &datagram);
}

/// A name in other letters has the same reply, but for the letters.
fn other_case(bytes: &[u8], reply: &[u8]) {
    let end = question_end(reply);
    let mut other = bytes.to_vec();
    if end > HEADER {
        other[HEADER..end - 4]
            .iter_mut()
            .filter(|byte| byte.is_ascii_alphabetic())
            .for_each(|letter| *letter ^= 0x20);
    }
    let (_, other) = answered(&other, Transport::Udp);
    assert_eq!(other.len(), reply.len());
    assert_eq!(
        (&other[..HEADER], &other[end..]),
        (&reply[..HEADER], &reply[end..])
    );
}

/// Where the question of a reply ends.
fn question_end(reply: &[u8]) -> usize {
    if reply[5] == 0 {
        HEADER
    } else {
        name_end(reply, HEADER) + 4
    }
}

/// The reply has what its header says, not a byte more, and goes back to who asked.
fn is_whole(query: &[u8], reply: &[u8]) {
    assert_eq!(reply[..2], query[..2], "the id");
    assert_eq!(reply[2] & 0xf9, 0x80 | query[2] & 0x79, "QR, operation and RD");
    assert_eq!(reply[3] & 0xf0, 0, "RA, Z, AD, CD");
    let count = |at: usize| usize::from(u16::from_be_bytes([reply[at], reply[at + 1]]));
    assert!(count(4) <= 1);
    let mut at = question_end(reply);
    assert_eq!(reply[HEADER..at], query[HEADER..at], "the question");
    let mut opts = 0;
    for _ in 0..count(6) + count(8) + count(10) {
        at = name_end(reply, at);
        opts += usize::from(reply[at..at + 2] == [0, 41]);
        let length = usize::from(u16::from_be_bytes([reply[at + 8], reply[at + 9]]));
        at += 10 + length;
    }
    assert_eq!(at, reply.len());
    assert!(opts <= 1);
}

/// Where the name ends that stands at `at`; a pointer in it leads back.
fn name_end(reply: &[u8], mut at: usize) -> usize {
    loop {
        match reply[at] {
            0 => return at + 1,
            length @ 1..=63 => at += 1 + usize::from(length),
            high @ 0xc0.. => {
                let to = usize::from(high & 0x3f) << 8 | usize::from(reply[at + 1]);
                assert!(to >= HEADER && to < at, "a pointer leads back to a name");
                return at + 2;
            }
            other => panic!("{other} begins no label"),
        }
    }
}
