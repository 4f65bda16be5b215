//! Random queries, and the same replies read by hickory-proto: what was asked comes back, what was decided is what it
//! reads, and no reply is one it cannot read.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::opt::{ClientSubnet, EdnsCode, EdnsOption};
use hickory_proto::rr::{RData, RecordType};
use testkit::chance::{Chance, seed};

use super::ask::{bytes, query, with_edns};
use super::{ByNetwork, answered};
use crate::dns::authority::outcome::Outcome;
use crate::dns::authority::steer::{Addresses, Asked, Family, ServiceId, Steer};

/// Random queries of each test.
const QUERIES: usize = 5_000;

const NAMES: [&str; 18] = [
    "films",
    "news",
    "closed",
    "broken",
    "x.wild",
    "a.b.wild",
    "vip.wild",
    "origin.wild",
    "wild",
    "nothing",
    "deep",
    "a.b.deep",
    "big",
    "x.old",
    "lab",
    "www.lab",
    "mail",
    "low.sub",
];

const KINDS: [RecordType; 10] = [
    RecordType::A,
    RecordType::AAAA,
    RecordType::HTTPS,
    RecordType::TXT,
    RecordType::NS,
    RecordType::SOA,
    RecordType::MX,
    RecordType::CAA,
    RecordType::DS,
    RecordType::ANY,
];

fn pick<'a, T>(chance: &mut Chance, list: &'a [T]) -> &'a T {
    &list[chance.below(list.len() as u64) as usize]
}

fn subnet(chance: &mut Chance) -> ClientSubnet {
    if chance.below(2) == 0 {
        let source = chance.below(33) as u8;
        let mask = u32::MAX.checked_shl(32 - u32::from(source)).unwrap_or(0);
        let address = Ipv4Addr::from(chance.next_u64() as u32 & mask);
        ClientSubnet::new(address.into(), source, 0)
    } else {
        let source = chance.below(129) as u8;
        let mask = u128::MAX.checked_shl(128 - u32::from(source)).unwrap_or(0);
        let bits = u128::from(chance.next_u64()) << 64 | u128::from(chance.next_u64());
        ClientSubnet::new(Ipv6Addr::from(bits & mask).into(), source, 0)
    }
}

fn asked(chance: &mut Chance) -> (&'static str, RecordType, Option<ClientSubnet>, Message) {
    let (name, kind) = (*pick(chance, &NAMES), *pick(chance, &KINDS));
    let mut message = query(&format!("{name}.cdn.example."), kind);
    message.metadata.recursion_desired = chance.below(2) == 0;
    let mut named = None;
    if chance.below(4) > 0 {
        message = with_edns(message, chance.below(5000) as u16, None);
        if chance.below(3) > 0 {
            let subnet = subnet(chance);
            named = Some(subnet);
            let edns = message.edns.as_mut().expect("it has one");
            edns.options_mut().insert(EdnsOption::Subnet(subnet));
        }
    }
    (name, kind, named, message)
}

fn subnet_of(message: &Message) -> Option<ClientSubnet> {
    match message.edns.as_ref()?.option(EdnsCode::Subnet)? {
        EdnsOption::Subnet(subnet) => Some(*subnet),
        _ => None,
    }
}

#[test]
fn what_was_asked_comes_back_and_what_was_decided_is_read() {
    let mut chance = Chance::new(seed());
    for _ in 0..QUERIES {
        let (name, kind, subnet, message) = asked(&mut chance);
        let (outcome, reply) = answered(&bytes(&message));
        let Outcome::Reply(replied) = outcome else {
            panic!("{message}: silence")
        };
        let read = Message::from_vec(&reply).expect("hickory reads it");
        assert_eq!(read.queries, message.queries);
        assert_eq!(
            read.metadata.recursion_desired,
            message.metadata.recursion_desired
        );
        assert_eq!(read.edns.is_some(), message.edns.is_some());
        let expected_code = match (name, kind) {
            ("nothing", _) => ResponseCode::NXDomain,
            ("closed", RecordType::A | RecordType::AAAA) => ResponseCode::Refused,
            ("broken", RecordType::A | RecordType::AAAA) => ResponseCode::ServFail,
            _ => ResponseCode::NoError,
        };
        assert_eq!(read.metadata.response_code, expected_code, "{message}");

        let service = match name {
            "films" | "vip.wild" => Some(ServiceId(2)),
            "news" if kind == RecordType::A => Some(ServiceId(3)),
            "x.wild" | "a.b.wild" => Some(ServiceId(4)),
            _ => None,
        };
        let family = match kind {
            RecordType::A => Some(Family::V4),
            RecordType::AAAA => Some(Family::V6),
            _ => None,
        };
        let mut scope = 0;
        if let (Some(service), Some(family)) = (service, family) {
            let network = subnet.filter(|subnet| subnet.source_prefix() > 0);
            let mut addresses = Addresses::default();
            let decided = ByNetwork.steer(
                &Asked {
                    service,
                    host: b"\0",
                    client: network.map_or([198, 51, 100, 7].into(), |subnet| subnet.addr()),
                    family,
                },
                &mut addresses,
            );
            scope = network.map_or(0, |_| decided.scope);
            let answers: Vec<IpAddr> = read
                .answers
                .iter()
                .map(|record| match &record.data {
                    RData::A(address) => address.0.into(),
                    RData::AAAA(address) => address.0.into(),
                    other => panic!("{other}"),
                })
                .collect();
            assert_eq!(answers, addresses.as_slice());
            assert!(read.answers.iter().all(|record| record.ttl == 30));
        }
        let expected = subnet.map(|subnet| ClientSubnet::new(subnet.addr(), subnet.source_prefix(), scope));
        assert_eq!(subnet_of(&read), expected, "{message}");
        assert_eq!(replied.truncated, read.metadata.truncation);
    }
}

#[test]
fn no_mutation_of_a_query_has_a_reply_that_hickory_cannot_read() {
    let mut chance = Chance::new(seed());
    let mut replies = 0;
    for _ in 0..QUERIES {
        let (_, _, _, message) = asked(&mut chance);
        let mut message = bytes(&message);
        for _ in 0..=chance.below(4) {
            let at = chance.below(message.len() as u64) as usize;
            match chance.below(4) {
                0 => message[at] = chance.next_u64() as u8,
                1 => message[at] ^= 1 << chance.below(8),
                2 => message.insert(at, chance.next_u64() as u8),
                _ => drop(message.remove(at)),
            }
        }
        let (outcome, reply) = answered(&message);
        if let Outcome::Reply(replied) = outcome {
            replies += 1;
            assert!(message[2] & 0x80 == 0 && reply.len() <= 1232);
            let read = Message::from_vec(&reply).expect("hickory reads it");
            assert_eq!(u16::from(read.metadata.response_code), replied.rcode.number());
        }
    }
    assert!(replies > QUERIES / 2, "{replies} replies");
}
