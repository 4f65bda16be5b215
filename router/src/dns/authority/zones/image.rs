//! Records as they are sent (RFC 1035 §3.2.1, §4.1.3), made once when a snapshot comes.

use model::zone::{Data, DomainName};

use super::super::{code, query::HEADER};

/// Parameters of an HTTPS record (RFC 9460 §14.3.2).
const ALPN: u16 = 1;
const NO_DEFAULT_ALPN: u16 = 2;
const PORT: u16 = 3;

/// A record without its owner: type, class, time to live, length and data.
pub(super) fn behind_owner(kind: u16, ttl: u32, data: &[u8]) -> Vec<u8> {
    let mut image = Vec::with_capacity(10 + data.len());
    image.extend_from_slice(&kind.to_be_bytes());
    image.extend_from_slice(&code::CLASS_IN.to_be_bytes());
    image.extend_from_slice(&ttl.to_be_bytes());
    image.extend_from_slice(&length(data));
    image.extend_from_slice(data);
    image
}

/// A record of the name in the question.
pub(super) fn behind_question(kind: u16, ttl: u32, data: &[u8]) -> Vec<u8> {
    [&[0xc0, HEADER as u8], &behind_owner(kind, ttl, data)[..]].concat()
}

/// A record with its owner.
pub(super) fn whole(owner: &DomainName, kind: u16, ttl: u32, data: &[u8]) -> Vec<u8> {
    [owner.wire(), &behind_owner(kind, ttl, data)].concat()
}

/// The data of a start of authority (RFC 1035 §3.3.13).
pub(super) fn start_of_authority(mname: &DomainName, rname: &DomainName, numbers: [u32; 5]) -> Vec<u8> {
    let mut data = [mname.wire(), rname.wire()].concat();
    for number in numbers {
        data.extend_from_slice(&number.to_be_bytes());
    }
    data
}

/// The data of a fixed record. Names in it are not compressed, as RFC 3597 §4 wants it of newer types.
pub(super) fn data_of(data: &Data) -> Vec<u8> {
    match data {
        Data::A(address) => address.octets().to_vec(),
        Data::Aaaa(address) => address.octets().to_vec(),
        Data::Cname(name) | Data::Ns(name) => name.wire().to_vec(),
        Data::Mx { preference, exchange } => [&preference.to_be_bytes(), exchange.wire()].concat(),
        Data::Txt(strings) => strings.iter().flat_map(|string| counted(string)).collect(),
        Data::Caa { flags, tag, value } => [&[*flags], &counted(tag.as_bytes())[..], value].concat(),
        Data::Https {
            priority,
            target,
            alpn,
            no_default_alpn,
            port,
        } => {
            let mut bytes = [&priority.to_be_bytes(), target.wire()].concat();
            if !alpn.is_empty() {
                let protocols: Vec<u8> = alpn.iter().flat_map(|name| counted(name.as_bytes())).collect();
                parameter(ALPN, &protocols, &mut bytes);
            }
            if *no_default_alpn {
                parameter(NO_DEFAULT_ALPN, &[], &mut bytes);
            }
            if let Some(port) = port {
                parameter(PORT, &port.to_be_bytes(), &mut bytes);
            }
            bytes
        }
    }
}

fn parameter(key: u16, value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&key.to_be_bytes());
    out.extend_from_slice(&length(value));
    out.extend_from_slice(value);
}

/// A string behind its length; those of the model have 255 bytes at most.
fn counted(string: &[u8]) -> Vec<u8> {
    [&[string.len() as u8], string].concat()
}

/// The length of data; that of the model has 2 KiB and a little at most.
fn length(data: &[u8]) -> [u8; 2] {
    (data.len() as u16).to_be_bytes()
}
