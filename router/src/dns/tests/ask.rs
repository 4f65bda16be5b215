//! Queries as hickory-proto writes them, and replies as it reads them, in a line.

use std::str::FromStr;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query};
use hickory_proto::rr::rdata::opt::{ClientSubnet, EdnsCode, EdnsOption};
use hickory_proto::rr::{Name, Record, RecordType};

/// A query for `name`.
pub(super) fn query(name: &str, kind: RecordType) -> Message {
    let mut message = Message::new(0x1234, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    let name = Name::from_str(name).expect("a name");
    message.add_query(Query::query(name, kind));
    message
}

/// The same with an OPT record, and the viewer's network in it where `subnet` is one.
pub(super) fn with_edns(mut message: Message, payload: u16, subnet: Option<&str>) -> Message {
    let mut edns = Edns::new();
    edns.set_max_payload(payload).set_version(0);
    if let Some(subnet) = subnet {
        let subnet = ClientSubnet::from_str(subnet).expect("a network");
        edns.options_mut().insert(EdnsOption::Subnet(subnet));
    }
    message.set_edns(edns);
    message
}

pub(super) fn bytes(message: &Message) -> Vec<u8> {
    message.to_vec().expect("it can be written")
}

/// A reply in a line: how it went, `aa` and `tc` where they are set, then answers, authority and additional records,
/// and the OPT record with the viewer's network and the scope.
pub(super) fn line(reply: &[u8]) -> String {
    let message = Message::from_vec(reply).expect("hickory reads it");
    let metadata = &message.metadata;
    assert_eq!(metadata.message_type, MessageType::Response);
    assert_eq!(metadata.id, 0x1234);
    assert!(!metadata.recursion_available && !metadata.authentic_data);
    let mut line = format!("{:?}", metadata.response_code);
    for (flag, name) in [(metadata.authoritative, " aa"), (metadata.truncation, " tc")] {
        line.push_str(if flag { name } else { "" });
    }
    for (section, records) in [
        ("=", &message.answers),
        ("ns", &message.authorities),
        ("+", &message.additionals),
    ] {
        if !records.is_empty() {
            let records: Vec<String> = records.iter().map(record).collect();
            line.push_str(&format!(" {section} {}", records.join(", ")));
        }
    }
    if let Some(edns) = &message.edns {
        assert_eq!((edns.max_payload(), edns.version()), (1232, 0));
        line.push_str(" opt");
        if let Some(EdnsOption::Subnet(subnet)) = edns.option(EdnsCode::Subnet) {
            let (address, source, scope) = (subnet.addr(), subnet.source_prefix(), subnet.scope_prefix());
            line.push_str(&format!(" {address}/{source} for /{scope}"));
        }
    }
    line
}

/// A record without its class, which is always that of the Internet.
fn record(record: &Record) -> String {
    record
        .to_string()
        .replace(" IN ", " ")
        .replace(".cdn.example.", "")
}
