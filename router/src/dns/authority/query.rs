//! A query, read in place and strictly: one question, no more than one OPT record, nothing left over.

use super::{
    Rcode, code,
    name::{self, QueryName},
    outcome::{Silence, Why},
    subnet::{self, Subnet},
};

/// Bytes of a header (RFC 1035 §4.1.1).
pub(super) const HEADER: usize = 12;

/// Bytes of a record after its name and before its data: type, class, time to live, length.
const RECORD_HEAD: usize = 10;

/// A query that obeys its format.
pub(super) struct Query<'a> {
    /// The header and the question, as they go back.
    pub(super) asked: &'a [u8],
    /// The name, in lower case.
    pub(super) name: QueryName,
    /// The type that is asked for.
    pub(super) kind: u16,
    /// The class.
    pub(super) class: u16,
    /// What the OPT record says, where there is one.
    pub(super) edns: Option<Edns<'a>>,
}

/// What the OPT record says (RFC 6891 §6.1).
#[derive(Clone, Copy, Debug)]
pub(super) struct Edns<'a> {
    /// The largest datagram that the client takes.
    pub(super) payload: u16,
    /// Whether it takes signatures (RFC 3225); the bit goes back as it came.
    pub(super) dnssec_ok: bool,
    /// The viewer's network.
    pub(super) subnet: Option<Subnet<'a>>,
}

/// Why there is no query.
pub(super) enum Fault<'a> {
    /// Nothing may be said.
    Silent(Silence),
    /// Something is said.
    Told(Refusal<'a>),
}

/// What is said of a message that is no query.
pub(super) struct Refusal<'a> {
    pub(super) rcode: Rcode,
    pub(super) why: Why,
    /// The header, with the question where it could be read.
    pub(super) asked: &'a [u8],
    /// The type that is asked for, where it could be read.
    pub(super) kind: Option<u16>,
    /// What goes into the OPT record of the reply; `None` where no such record was seen.
    pub(super) edns: Option<Edns<'a>>,
}

impl<'a> Query<'a> {
    /// Reads `message`, which came from `port`.
    pub(super) fn read(message: &'a [u8], port: u16) -> Result<Query<'a>, Fault<'a>> {
        let Some((header, _)) = message.split_first_chunk::<HEADER>() else {
            return Err(Fault::Silent(Silence::Short));
        };
        if header[2] & 0x80 != 0 {
            return Err(Fault::Silent(Silence::Response));
        }
        if port == 0 {
            return Err(Fault::Silent(Silence::Port));
        }
        let refusal = |rcode, why| Refusal {
            rcode,
            why,
            asked: &message[..HEADER],
            kind: None,
            edns: None,
        };
        if header[2] & 0x78 != 0 {
            return Err(Fault::Told(refusal(Rcode::NotImp, Why::Operation)));
        }
        let malformed = refusal(Rcode::FormErr, Why::Malformed);
        let counts = [4, 6, 8, 10].map(|at| u16::from_be_bytes([header[at], header[at + 1]]));
        // RFC 9619: one question, whatever RFC 1035 once meant.
        if counts[0] != 1 {
            return Err(Fault::Told(malformed));
        }
        let Some(name) = QueryName::read(&message[HEADER..]) else {
            return Err(Fault::Told(malformed));
        };
        let end = HEADER + name.wire().len();
        let Some(([kind, kind_low, class, class_low], _)) = message[end..].split_first_chunk::<4>() else {
            return Err(Fault::Told(malformed));
        };
        let kind = u16::from_be_bytes([*kind, *kind_low]);
        let asked = &message[..end + 4];
        let malformed = |edns| {
            Err(Fault::Told(Refusal {
                asked,
                kind: Some(kind),
                edns,
                ..refusal(Rcode::FormErr, Why::Malformed)
            }))
        };
        let opt = match find_opt(message, end + 4, [counts[1], counts[2], counts[3]]) {
            Found::Nothing => None,
            Found::One(opt) => Some(opt),
            Found::Several(first) => return malformed(Some(first.without_options())),
            Found::Fault => return malformed(None),
        };
        let edns = match opt {
            None => None,
            Some(opt) if opt.version != 0 => {
                return Err(Fault::Told(Refusal {
                    asked,
                    kind: Some(kind),
                    edns: Some(opt.without_options()),
                    ..refusal(Rcode::BadVers, Why::Version)
                }));
            }
            Some(opt) => match opt.read() {
                Some(edns) => Some(edns),
                None => return malformed(Some(opt.without_options())),
            },
        };
        Ok(Query {
            asked,
            name,
            kind,
            class: u16::from_be_bytes([*class, *class_low]),
            edns,
        })
    }
}

/// An OPT record before its options are read.
///
/// ```text
/// 0   1      3         5                7         8       10        12
/// | 0 | type | payload | extended rcode | version | flags | length  | options
/// ```
#[derive(Clone, Copy)]
struct Opt<'a> {
    payload: u16,
    version: u8,
    dnssec_ok: bool,
    options: &'a [u8],
}

impl<'a> Opt<'a> {
    fn without_options(&self) -> Edns<'a> {
        Edns {
            payload: self.payload,
            dnssec_ok: self.dnssec_ok,
            subnet: None,
        }
    }

    /// `None` where an option has no end, or the viewer's network is named wrongly or twice. Options that are not
    /// known are passed over (RFC 6891 §6.1.2).
    fn read(&self) -> Option<Edns<'a>> {
        let mut edns = self.without_options();
        let mut rest = self.options;
        while !rest.is_empty() {
            let (&[number, number_low, length, length_low], after) =
                rest.split_first_chunk::<{ subnet::OPTION_HEAD }>()?;
            let length = usize::from(u16::from_be_bytes([length, length_low]));
            let (data, after) = after.split_at_checked(length)?;
            if u16::from_be_bytes([number, number_low]) == subnet::OPTION
                && edns.subnet.replace(Subnet::read(data)?).is_some()
            {
                return None;
            }
            rest = after;
        }
        Some(edns)
    }
}

/// What there is of OPT records in a message.
enum Found<'a> {
    Nothing,
    One(Opt<'a>),
    Several(Opt<'a>),
    /// A record has no end, the last is followed by something, or an OPT record stands where none may.
    Fault,
}

/// Goes over the records behind the question, as many as each section should have.
fn find_opt(message: &[u8], mut at: usize, counts: [u16; 3]) -> Found<'_> {
    let mut found = None;
    let mut several = false;
    for (section, count) in counts.into_iter().enumerate() {
        for _ in 0..count {
            let owner = at;
            let Some(end) = name::end_of_any(message, owner) else {
                return Found::Fault;
            };
            let Some((head, rest)) = message[end..].split_first_chunk::<RECORD_HEAD>() else {
                return Found::Fault;
            };
            let length = usize::from(u16::from_be_bytes([head[8], head[9]]));
            let Some(data) = rest.get(..length) else {
                return Found::Fault;
            };
            at = end + RECORD_HEAD + length;
            if u16::from_be_bytes([head[0], head[1]]) != code::TYPE_OPT {
                continue;
            }
            const ADDITIONAL: usize = 2;
            if section != ADDITIONAL || message[owner] != 0 {
                return Found::Fault;
            }
            several |= found.is_some();
            found.get_or_insert(Opt {
                payload: u16::from_be_bytes([head[2], head[3]]),
                version: head[5],
                dnssec_ok: head[6] & 0x80 != 0,
                options: data,
            });
        }
    }
    match found {
        _ if at != message.len() => Found::Fault,
        None => Found::Nothing,
        Some(opt) if several => Found::Several(opt),
        Some(opt) => Found::One(opt),
    }
}
