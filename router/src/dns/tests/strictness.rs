//! What breaks the rules: what is refused, how, and what gets no reply at all.

use hickory_proto::op::{Edns, OpCode};
use hickory_proto::rr::{DNSClass, RecordType};

use super::answered;
use super::ask::{bytes, line, query, with_edns};
use crate::dns::authority::answer;
use crate::dns::authority::outcome::{Outcome, Silence, Transport};

/// A plain query for an address.
fn plain() -> Vec<u8> {
    bytes(&query("films.cdn.example.", RecordType::A))
}

/// The same with an OPT record that has `options`.
fn with_options(options: &[u8]) -> Vec<u8> {
    let mut message = plain();
    message[11] = 1;
    message.extend_from_slice(&[0, 0, 41, 4, 0xd0, 0, 0, 0, 0, 0, options.len() as u8]);
    message.extend_from_slice(options);
    message
}

fn silence(query: &[u8], port: u16) -> Silence {
    let mut out = Vec::new();
    let source = ([198, 51, 100, 7], port).into();
    match answer(
        query,
        source,
        Transport::Udp,
        &super::zones(),
        &super::ByNetwork,
        &mut out,
    ) {
        Outcome::Silence(silence) => silence,
        Outcome::Reply(replied) => panic!("{replied:?}"),
    }
}

#[test]
fn what_could_serve_a_forger_gets_no_reply() {
    for short in 0..12 {
        assert_eq!(silence(&plain()[..short], 53), Silence::Short);
    }
    let mut response = plain();
    response[2] |= 0x80;
    assert_eq!(silence(&response, 53), Silence::Response);
    assert_eq!(silence(&plain(), 0), Silence::Port);
    // Malformed as it may be: a reply is never answered.
    response.truncate(14);
    response[4..12].fill(0xff);
    assert_eq!(silence(&response, 53), Silence::Response);
}

#[test]
fn other_operations_are_not_implemented_and_come_back_as_a_header() {
    for operation in [OpCode::Notify, OpCode::Update, OpCode::Status] {
        let mut message = query("films.cdn.example.", RecordType::SOA);
        message.metadata.op_code = operation;
        let (_, reply) = answered(&bytes(&message));
        assert_eq!(
            (line(&reply).as_str(), reply.len()),
            ("NotImp", 12),
            "{operation:?}"
        );
        assert_eq!(reply[2] >> 3 & 0xf, u8::from(operation));
    }
}

#[test]
fn other_classes_are_refused() {
    for class in [DNSClass::CH, DNSClass::HS, DNSClass::NONE, DNSClass::ANY] {
        let mut message = query("films.cdn.example.", RecordType::TXT);
        message.queries[0].set_query_class(class);
        assert_eq!(line(&answered(&bytes(&message)).1), "Refused", "{class}");
    }
}

/// A message that breaks the format, and the reply in a line.
#[test]
fn a_malformed_query_is_told_so_with_an_opt_record_where_it_had_one() {
    let subnet = |data: &[u8]| [&[0, 8, 0, data.len() as u8], data].concat();
    let two_questions = {
        let mut message = plain();
        let question = message[12..].to_vec();
        message.extend(question);
        message[5] = 2;
        message
    };
    let no_question = {
        let mut message = plain();
        message.truncate(12);
        message[5] = 0;
        message
    };
    let pointer = {
        let mut message = plain()[..12].to_vec();
        message.extend_from_slice(b"\x01a\xc0\x0c\0\x01\0\x01");
        message
    };
    let two_opts = {
        let mut message = with_options(&[]);
        message.extend_from_slice(&[0, 0, 41, 4, 0xd0, 0, 0, 0, 0, 0, 0]);
        message[11] = 2;
        message
    };
    let opt_elsewhere = {
        let mut message = with_options(&[]);
        (message[7], message[11]) = (1, 0);
        message
    };
    let opt_with_a_name = {
        let mut message = plain();
        message.extend_from_slice(&[1, b'a', 0, 0, 41, 4, 0xd0, 0, 0, 0, 0, 0, 0]);
        message[11] = 1;
        message
    };
    let something_left = [&plain()[..], b"x"].concat();
    let missing_record = {
        let mut message = plain();
        message[11] = 1;
        message
    };
    let good = subnet(&[0, 1, 24, 0, 192, 0, 2]);
    for (message, expected, what) in [
        (two_questions, "FormErr", "two questions"),
        (no_question, "FormErr", "no question"),
        (pointer, "FormErr", "a pointer in the question"),
        (plain()[..20].to_vec(), "FormErr", "a name without an end"),
        (plain()[..32].to_vec(), "FormErr", "a question without its class"),
        (something_left, "FormErr", "something left over"),
        (missing_record, "FormErr", "a record that is not there"),
        (opt_elsewhere, "FormErr", "OPT among the answers"),
        (opt_with_a_name, "FormErr", "OPT with a name"),
        (two_opts, "FormErr opt", "two OPT records"),
        (
            with_options(&[0, 8]),
            "FormErr opt",
            "an option without its length",
        ),
        (
            with_options(&[0, 3, 0, 9, 0]),
            "FormErr opt",
            "an option without its end",
        ),
        (
            with_options(&subnet(&[0, 1, 24, 0, 192, 0, 2, 0])),
            "FormErr opt",
            "an address too long",
        ),
        (
            with_options(&subnet(&[0, 1, 24, 0, 192, 0])),
            "FormErr opt",
            "an address too short",
        ),
        (
            with_options(&subnet(&[0, 1, 20, 0, 192, 0, 0x1f])),
            "FormErr opt",
            "bits beyond the prefix",
        ),
        (
            with_options(&subnet(&[0, 1, 24, 8, 192, 0, 2])),
            "FormErr opt",
            "a scope",
        ),
        (
            with_options(&subnet(&[0, 9, 0, 0])),
            "FormErr opt",
            "an unknown family",
        ),
        (
            with_options(&[good.clone(), good].concat()),
            "FormErr opt",
            "two networks",
        ),
    ] {
        let (_, reply) = answered(&message);
        assert_eq!(line(&reply), expected, "{what}");
        assert!(reply.len() <= message.len() + 11, "{what}");
    }
}

#[test]
fn a_withheld_network_comes_back_as_it_was() {
    for data in [[0, 0, 0, 0], [0, 1, 0, 0], [0, 2, 0, 0]] {
        let (_, reply) = answered(&with_options(&[&[0, 8, 0, 4][..], &data].concat()));
        assert_eq!(reply[reply.len() - 8..], [&[0, 8, 0, 4][..], &data].concat());
        assert_eq!(reply[3] & 0xf, 0);
    }
}

#[test]
fn options_that_are_not_known_are_passed_over() {
    let (_, reply) = answered(&with_options(&[
        0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0xff, 0xff, 0, 0,
    ]));
    assert!(line(&reply).ends_with("A 12.99.54.1 opt"), "{}", line(&reply));
}

#[test]
fn another_version_of_edns_is_told_so_before_its_options_are_read() {
    let mut message = with_options(&[0xff]);
    message[41] = 1;
    let (_, reply) = answered(&message);
    // 16 is BADVERS in an OPT record and BADSIG elsewhere; hickory has one name for both.
    assert_eq!(line(&reply), "BADSIG opt");
    let mut edns = Edns::new();
    edns.set_version(1);
    let mut message = query("elsewhere.example.", RecordType::A);
    message.set_edns(edns);
    assert_eq!(line(&answered(&bytes(&message)).1), "BADSIG opt");
}

#[test]
fn other_records_in_a_query_do_no_harm() {
    let mut message = query("films.cdn.example.", RecordType::A);
    let record = |name: &str| {
        use hickory_proto::rr::{Name, RData, Record, rdata::A};
        Record::from_rdata(
            name.parse::<Name>().expect("a name"),
            1,
            RData::A(A::new(192, 0, 2, 1)),
        )
    };
    message.add_additional(record("films.cdn.example."));
    message.add_authority(record("a.example."));
    let message = with_edns(message, 1232, None);
    assert!(line(&answered(&bytes(&message)).1).starts_with("NoError aa = films 30 A"));
}
