//! What is said of each kind of name.

use hickory_proto::rr::RecordType;

use super::ask::{bytes, line, query, with_edns};
use super::{answered, answered_over};
use crate::dns::authority::outcome::{Outcome, Transport, Why};
use crate::dns::authority::{Kind, Rcode, SubnetFamily};

/// The start of authority, as it goes with what is absent.
const SOA: &str = "ns cdn.example. 30 SOA ns1 hostmaster 7 3600 900 1209600 30";

/// A question, and the reply in a line.
#[test]
fn each_kind_of_name_has_its_answer() {
    let table: &[(&str, RecordType, &str)] = &[
        // 198.51.100.7 is in the /20 of number 0xc633_6000 >> 12 = 0xc6336.
        (
            "films",
            RecordType::A,
            "NoError aa = films 30 A 12.99.54.0, films 30 A 12.99.54.1",
        ),
        (
            "films",
            RecordType::AAAA,
            "NoError aa = films 30 AAAA 2001:db8:2:6336::, films 30 AAAA 2001:db8:2:6336::1",
        ),
        (
            "films",
            RecordType::HTTPS,
            "NoError aa = films 3600 HTTPS 1 . alpn=h2,http/1.1, port=8443",
        ),
        ("films", RecordType::TXT, "NoError aa SOA"),
        ("news", RecordType::AAAA, "NoError aa SOA"),
        ("news", RecordType::HTTPS, "NoError aa SOA"),
        ("closed", RecordType::A, "Refused"),
        ("broken", RecordType::A, "ServFail"),
        // A wildcard of a service holds wherever an edge would answer, but not for the name above it.
        (
            "x.wild",
            RecordType::A,
            "NoError aa = x.wild 30 A 14.99.54.0, x.wild 30 A 14.99.54.1",
        ),
        (
            "x.y.wild",
            RecordType::A,
            "NoError aa = x.y.wild 30 A 14.99.54.0, x.y.wild 30 A 14.99.54.1",
        ),
        ("x.wild", RecordType::TXT, "NoError aa SOA"),
        ("wild", RecordType::A, "NoError aa SOA"),
        (
            "vip.wild",
            RecordType::A,
            "NoError aa = vip.wild 30 A 12.99.54.0, vip.wild 30 A 12.99.54.1",
        ),
        (
            "x.vip.wild",
            RecordType::A,
            "NoError aa = x.vip.wild 30 A 14.99.54.0, x.vip.wild 30 A 14.99.54.1",
        ),
        (
            "origin.wild",
            RecordType::A,
            "NoError aa = origin.wild 3600 A 192.0.2.80",
        ),
        ("origin.wild", RecordType::AAAA, "NoError aa SOA"),
        (
            "x.origin.wild",
            RecordType::A,
            "NoError aa = x.origin.wild 30 A 14.99.54.0, x.origin.wild 30 A 14.99.54.1",
        ),
        (
            "text.wild",
            RecordType::TXT,
            "NoError aa = text.wild 3600 TXT text",
        ),
        (
            "text.wild",
            RecordType::A,
            "NoError aa = text.wild 30 A 14.99.54.0, text.wild 30 A 14.99.54.1",
        ),
        // Wildcards of fixed records are those of RFC 4592.
        (
            "x.old",
            RecordType::A,
            "NoError aa = x.old 3600 CNAME www.other.example.",
        ),
        (
            "x.old",
            RecordType::CNAME,
            "NoError aa = x.old 3600 CNAME www.other.example.",
        ),
        ("old", RecordType::A, "NoError aa SOA"),
        (
            "x.y.texts",
            RecordType::TXT,
            "NoError aa = x.y.texts 3600 TXT any",
        ),
        ("x.texts", RecordType::A, "NoError aa SOA"),
        (
            "mail",
            RecordType::MX,
            "NoError aa = mail 3600 MX 10 mx.other.example., mail 3600 MX 20 mx.other.example.",
        ),
        ("a.b.deep", RecordType::TXT, "NoError aa = a.b.deep 3600 TXT deep"),
        ("b.deep", RecordType::TXT, "NoError aa SOA"),
        ("deep", RecordType::A, "NoError aa SOA"),
        ("x.deep", RecordType::A, "NXDomain aa SOA"),
        ("nothing", RecordType::A, "NXDomain aa SOA"),
        ("nothing", RecordType::ANY, "NXDomain aa SOA"),
        ("films", RecordType::ANY, "NoError aa = films 3600 HINFO RFC8482 "),
        ("mail", RecordType::ANY, "NoError aa = mail 3600 HINFO RFC8482 "),
        (
            "x.old",
            RecordType::ANY,
            "NoError aa = x.old 3600 CNAME www.other.example.",
        ),
        ("deep", RecordType::ANY, "NoError aa SOA"),
        // Others answer for the lab, for its key excepted.
        ("lab", RecordType::A, "LAB"),
        ("lab", RecordType::NS, "LAB"),
        ("x.y.lab", RecordType::TXT, "LAB"),
        ("ns.lab", RecordType::A, "LAB"),
        ("lab", RecordType::DS, "NoError aa SOA"),
        ("x.lab", RecordType::DS, "LAB"),
        // A zone in a zone.
        (
            "low.sub",
            RecordType::SOA,
            "NoError aa = low.sub 3600 SOA ns1 hostmaster.low.sub 5 3600 900 1209600 10",
        ),
        ("low.sub", RecordType::DS, "NoError aa SOA"),
        (
            "x.low.sub",
            RecordType::A,
            "NXDomain aa ns low.sub 10 SOA ns1 hostmaster.low.sub 5 3600 900 1209600 10",
        ),
        ("sub", RecordType::A, "NoError aa SOA"),
        ("x.sub", RecordType::A, "NXDomain aa SOA"),
        (
            "low.sub",
            RecordType::NS,
            "NoError aa = low.sub 3600 NS ns1 + ns1 86400 A 192.0.2.53, ns1 3600 AAAA 2001:db8::53",
        ),
        ("films", RecordType::AXFR, "Refused"),
        ("films", RecordType::IXFR, "Refused"),
    ];
    for (name, kind, expected) in table {
        let (outcome, reply) = answered(&bytes(&query(&format!("{name}.cdn.example."), *kind)));
        let expected = expected.replace("aa SOA", &format!("aa {SOA}")).replace(
            "LAB",
            "NoError ns lab 3600 NS ns.lab, lab 3600 NS ns.other.example. + ns.lab 3600 A 192.0.2.99",
        );
        assert_eq!(line(&reply), expected, "{name} {kind}: {outcome:?}");
    }
}

#[test]
fn the_zone_itself_has_its_start_and_servers() {
    let (_, reply) = answered(&bytes(&query("cdn.example.", RecordType::SOA)));
    assert_eq!(
        line(&reply),
        "NoError aa = cdn.example. 3600 SOA ns1 hostmaster 7 3600 900 1209600 30"
    );
    let (_, reply) = answered(&bytes(&query("cdn.example.", RecordType::NS)));
    assert_eq!(
        line(&reply),
        "NoError aa = cdn.example. 3600 NS ns1, cdn.example. 3600 NS ns.other.example. + ns1 86400 A 192.0.2.53, \
         ns1 3600 AAAA 2001:db8::53"
    );
    let (_, reply) = answered(&bytes(&query("cdn.example.", RecordType::CAA)));
    assert_eq!(
        line(&reply),
        "NoError aa = cdn.example. 3600 CAA 0 issue \"ca.example\""
    );
}

#[test]
fn a_name_outside_all_zones_is_refused() {
    for name in [
        ".",
        "example.",
        "com.",
        "elsewhere.example.",
        "xcdn.example.",
        "cdn.example.com.",
    ] {
        let (outcome, reply) = answered(&bytes(&query(name, RecordType::A)));
        assert_eq!(line(&reply), "Refused", "{name}");
        let Outcome::Reply(replied) = outcome else {
            panic!("{name}: silence")
        };
        assert_eq!(replied.why, Why::Outside);
    }
}

/// The network in a query, and what comes of it.
#[test]
fn the_viewers_network_decides_and_goes_back_with_its_scope() {
    for (name, subnet, expected, family) in [
        (
            "films",
            "203.0.113.0/24",
            "NoError aa = films 30 A 12.176.7.0, films 30 A 12.176.7.1 opt 203.0.113.0/24 for /20",
            SubnetFamily::V4,
        ),
        (
            "films",
            "203.0.0.0/8",
            "NoError aa = films 30 A 12.176.0.0, films 30 A 12.176.0.1 opt 203.0.0.0/8 for /20",
            SubnetFamily::V4,
        ),
        (
            "films",
            "2001:db8:7700::/40",
            "NoError aa = films 30 A 12.184.119.0, films 30 A 12.184.119.1 opt 2001:db8:7700::/40 for /40",
            SubnetFamily::V6,
        ),
        (
            "films",
            "0.0.0.0/0",
            "NoError aa = films 30 A 12.99.54.0, films 30 A 12.99.54.1 opt 0.0.0.0/0 for /0",
            SubnetFamily::Withheld,
        ),
        (
            "nothing",
            "203.0.113.0/24",
            "NXDomain aa SOA opt 203.0.113.0/24 for /0",
            SubnetFamily::V4,
        ),
        (
            "mail",
            "203.0.113.0/24",
            "NoError aa SOA opt 203.0.113.0/24 for /0",
            SubnetFamily::V4,
        ),
        (
            "origin.wild",
            "203.0.113.0/24",
            "NoError aa = origin.wild 3600 A 192.0.2.80 opt 203.0.113.0/24 for /0",
            SubnetFamily::V4,
        ),
        (
            "closed",
            "203.0.113.0/24",
            "Refused opt 203.0.113.0/24 for /0",
            SubnetFamily::V4,
        ),
    ] {
        let name = format!("{name}.cdn.example.");
        let message = with_edns(query(&name, RecordType::A), 4096, Some(subnet));
        let (outcome, reply) = answered(&bytes(&message));
        let expected = expected.replace("aa SOA", &format!("aa {SOA}"));
        assert_eq!(line(&reply), expected, "{name} {subnet}");
        let Outcome::Reply(replied) = outcome else {
            panic!("{name}: silence")
        };
        assert_eq!((replied.subnet, replied.kind), (Some(family), Kind::A));
    }
    let message = with_edns(
        query("elsewhere.example.", RecordType::A),
        4096,
        Some("203.0.113.0/24"),
    );
    assert_eq!(
        line(&answered(&bytes(&message)).1),
        "Refused opt 203.0.113.0/24 for /0"
    );
    let message = with_edns(
        query("x.lab.cdn.example.", RecordType::A),
        4096,
        Some("203.0.113.0/24"),
    );
    assert!(line(&answered(&bytes(&message)).1).ends_with("opt 203.0.113.0/24 for /0"));
}

#[test]
fn the_case_of_a_question_is_kept_and_does_not_matter() {
    let mut asked = bytes(&query("films.cdn.example.", RecordType::A));
    asked[12..31].copy_from_slice(b"\x05fILms\x03CDN\x07exAMPLe\0");
    let (_, reply) = answered(&asked);
    assert_eq!(&reply[12..31], b"\x05fILms\x03CDN\x07exAMPLe\0");
    assert!(line(&reply).contains("A 12.99.54.0"));
}

#[test]
fn flags_are_copied_or_cleared_as_the_rfcs_have_it() {
    let mut message = query("films.cdn.example.", RecordType::A);
    message.metadata.recursion_desired = false;
    message.metadata.checking_disabled = true;
    message.metadata.authentic_data = true;
    message.metadata.truncation = true;
    let mut message = with_edns(message, 4096, None);
    message.edns.as_mut().expect("it has one").set_dnssec_ok(true);
    let (_, reply) = answered(&bytes(&message));
    assert_eq!(reply[2..4], [0x84, 0], "QR and AA alone");
    let edns = hickory_proto::op::Message::from_vec(&reply)
        .expect("hickory reads it")
        .edns;
    assert!(edns.expect("an OPT record").flags().dnssec_ok, "RFC 3225");
}

/// What the client takes, and whether the large answer comes, over UDP.
#[test]
fn what_does_not_fit_is_cut_down_to_the_question() {
    let plain = query("big.cdn.example.", RecordType::TXT);
    let mut replies = vec![answered(&bytes(&plain))];
    for payload in [0, 512, 1232, 4096, 65_535] {
        replies.push(answered(&bytes(&with_edns(
            plain.clone(),
            payload,
            Some("203.0.113.0/24"),
        ))));
    }
    for (outcome, reply) in replies {
        let Outcome::Reply(replied) = outcome else {
            panic!("silence")
        };
        assert!(replied.truncated && replied.rcode == Rcode::NoError);
        let told = line(&reply);
        assert!(told.starts_with("NoError aa tc"), "{told}");
        assert!(!told.contains('='), "{told}");
        assert!(reply.len() < 80);
    }
    let message = with_edns(plain, 512, Some("203.0.113.0/24"));
    let (outcome, reply) = answered_over(Transport::Tcp, &bytes(&message));
    let Outcome::Reply(replied) = outcome else {
        panic!("silence")
    };
    assert!(!replied.truncated && reply.len() > 2000);
    assert_eq!(line(&reply).matches("big 3600 TXT").count(), 20);
}
