//! The answer to a query, whoever brought it.

use std::net::SocketAddr;

use super::{
    Kind, Rcode, Zones, code,
    outcome::{Outcome, Replied, Transport, Why},
    query::{Fault, Query, Refusal},
    reply::{Reply, Section},
    steer::{Addresses, Asked, Family, ServiceId, Steer, Verdict},
    zones::{Apex, Cut, Entry, Found, Set},
};

/// What is said of a name that is asked for anything: too little to be worth an attacker's while (RFC 8482 §4.2).
const ANYTHING: [u8; 21] = *b"\xc0\x0c\x00\x0d\x00\x01\x00\x00\x0e\x10\x00\x09\x07RFC8482\x00";

/// The name in the question, as a record begins with it.
const QUESTION: [u8; 2] = [0xc0, 0x0c];

/// Writes the reply to `query`, which came from `source`, behind what `out` has, and says what became of it.
///
/// The reply has [`super::UDP_BYTES_MAX`] bytes at most over UDP and [`super::reply::TCP_BYTES_MAX`] over TCP; where `out` has
/// room for that, nothing is allocated.
pub(crate) fn answer(
    query: &[u8],
    source: SocketAddr,
    transport: Transport,
    zones: &Zones,
    steer: &(impl Steer + ?Sized),
    out: &mut Vec<u8>,
) -> Outcome {
    let query = match Query::read(query, source.port()) {
        Ok(query) => query,
        Err(Fault::Silent(silence)) => return Outcome::Silence(silence),
        Err(Fault::Told(refusal)) => return refuse(&refusal, transport, out),
    };
    let mut reply = Reply::begin(query.asked, query.edns, transport, out);
    let said = say(&query, source, zones, steer, &mut reply);
    let truncated = reply.is_truncated();
    Outcome::Reply(Replied {
        bytes: reply.end(said.rcode, said.scope),
        rcode: said.rcode,
        kind: Kind::of(query.kind),
        truncated,
        subnet: query
            .edns
            .and_then(|edns| edns.subnet)
            .map(|subnet| subnet.family),
        why: said.why,
    })
}

/// What the reply came to.
struct Said {
    rcode: Rcode,
    /// For which network around the viewer's it holds; 0 where it is the same for everybody (RFC 7871 §7.2.1).
    scope: u8,
    why: Why,
}

impl Said {
    fn to_everybody(rcode: Rcode, why: Why) -> Said {
        Said { rcode, scope: 0, why }
    }
}

fn refuse(refusal: &Refusal<'_>, transport: Transport, out: &mut Vec<u8>) -> Outcome {
    let reply = Reply::begin(refusal.asked, refusal.edns, transport, out);
    Outcome::Reply(Replied {
        bytes: reply.end(refusal.rcode, 0),
        rcode: refusal.rcode,
        kind: refusal.kind.map_or(Kind::Unread, Kind::of),
        truncated: false,
        subnet: None,
        why: refusal.why,
    })
}

fn say(
    query: &Query<'_>,
    source: SocketAddr,
    zones: &Zones,
    steer: &(impl Steer + ?Sized),
    reply: &mut Reply<'_, '_>,
) -> Said {
    if query.class != code::CLASS_IN {
        return Said::to_everybody(Rcode::Refused, Why::Class);
    }
    if matches!(query.kind, code::TYPE_AXFR | code::TYPE_IXFR) {
        return Said::to_everybody(Rcode::Refused, Why::Transfer);
    }
    match zones.find(&query.name, query.kind) {
        Found::Outside => Said::to_everybody(Rcode::Refused, Why::Outside),
        Found::Delegated(cut) => refer(cut, reply),
        Found::Absent(apex) => say_no(apex, Rcode::NxDomain, Why::NoName, reply),
        Found::Name(apex, entry) => of_name(query, source, (apex, entry), steer, reply),
    }
}

/// What there is of a name that exists.
fn of_name(
    query: &Query<'_>,
    source: SocketAddr,
    (apex, entry): (&Apex, &Entry),
    steer: &(impl Steer + ?Sized),
    reply: &mut Reply<'_, '_>,
) -> Said {
    let fixed = |kind: u16| entry.sets.iter().find(|set| set.kind == kind);
    if let Some(set) = fixed(query.kind) {
        return say_fixed(set, Why::Fixed, reply);
    }
    if let Some(alias) = fixed(code::TYPE_CNAME) {
        return say_fixed(alias, Why::Alias, reply);
    }
    let family = match query.kind {
        code::TYPE_A => Some(Family::V4),
        code::TYPE_AAAA => Some(Family::V6),
        _ => None,
    };
    match (family, entry.steered) {
        (Some(family), Some(service)) => steered(query, source, (apex, service, family), steer, reply),
        (None, steered) if query.kind == code::TYPE_ANY && (steered.is_some() || !entry.sets.is_empty()) => {
            reply.authoritative();
            reply.records(Section::Answer, 1, &ANYTHING);
            Said::to_everybody(Rcode::NoError, Why::Anything)
        }
        _ => say_no(apex, Rcode::NoError, Why::NoData, reply),
    }
}

fn say_fixed(set: &Set, why: Why, reply: &mut Reply<'_, '_>) -> Said {
    reply.authoritative();
    reply.records(Section::Answer, set.count, &set.image);
    reply.records_if_room(Section::Additional, set.glue.count, &set.glue.image);
    Said::to_everybody(Rcode::NoError, why)
}

/// The name, or what it was asked for, is absent; the start of authority says for how long that may be remembered.
fn say_no(apex: &Apex, rcode: Rcode, why: Why, reply: &mut Reply<'_, '_>) -> Said {
    reply.authoritative();
    reply.record_of_ancestor(Section::Authority, apex.name_bytes, &apex.negative);
    // A resolver treats what is absent as absent for everybody (RFC 7871 §7.4).
    Said::to_everybody(rcode, why)
}

fn refer(cut: &Cut, reply: &mut Reply<'_, '_>) -> Said {
    for server in &cut.servers {
        reply.record_of_ancestor(Section::Authority, cut.name_bytes, server);
    }
    // Without its addresses a server could not be asked (RFC 9471 §2.1).
    reply.records(Section::Additional, cut.glue.count, &cut.glue.image);
    Said::to_everybody(Rcode::NoError, Why::Delegated)
}

/// The addresses that the decision has for the viewer.
fn steered(
    query: &Query<'_>,
    source: SocketAddr,
    (apex, service, family): (&Apex, ServiceId, Family),
    steer: &(impl Steer + ?Sized),
    reply: &mut Reply<'_, '_>,
) -> Said {
    let network = query
        .edns
        .and_then(|edns| edns.subnet)
        .and_then(|subnet| subnet.network());
    let asked = Asked {
        service,
        host: query.name.wire(),
        client: network.unwrap_or_else(|| source.ip().to_canonical()),
        family,
    };
    let mut addresses = Addresses::default();
    let decided = steer.steer(&asked, &mut addresses);
    let why = Why::Steered(decided.reason);
    match decided.verdict {
        Verdict::Addresses => {
            let mut image = [0; 28];
            let mut any = false;
            for address in addresses.as_slice() {
                let data = match address {
                    std::net::IpAddr::V4(address) if family == Family::V4 => &address.octets()[..],
                    std::net::IpAddr::V6(address) if family == Family::V6 => &address.octets()[..],
                    _ => continue,
                };
                let end = 12 + data.len();
                image[..2].copy_from_slice(&QUESTION);
                image[2..4].copy_from_slice(&query.kind.to_be_bytes());
                image[4..6].copy_from_slice(&code::CLASS_IN.to_be_bytes());
                image[6..10].copy_from_slice(&decided.ttl.to_be_bytes());
                image[11] = data.len() as u8;
                image[12..end].copy_from_slice(data);
                reply.records(Section::Answer, 1, &image[..end]);
                any = true;
            }
            if !any {
                return say_no(apex, Rcode::NoError, why, reply);
            }
            reply.authoritative();
            Said {
                rcode: Rcode::NoError,
                scope: decided.scope,
                why,
            }
        }
        Verdict::NoData => say_no(apex, Rcode::NoError, why, reply),
        Verdict::Refused => Said::to_everybody(Rcode::Refused, why),
        Verdict::Failed => Said::to_everybody(Rcode::ServFail, why),
    }
}
