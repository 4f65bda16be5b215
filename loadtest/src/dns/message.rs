//! DNS messages, as far as a comparison needs them (RFC 1035 §4.1, RFC 7871 §6): a question for addresses, and what an
//! answer says. Pure.

use std::net::Ipv4Addr;

/// Bytes before the question.
const HEAD_BYTES: usize = 12;

/// Types of records.
const A: u16 = 1;
const OPT: u16 = 41;

/// The class of the Internet.
const INTERNET: u16 = 1;

/// The number of the option for the client's network.
const CLIENT_SUBNET: u16 = 8;

/// What the asker can take in one datagram, as it says in OPT.
const PAYLOAD: u16 = 1232;

/// What an answer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// How it went; 0 is NOERROR.
    pub(crate) code: u8,
    /// The addresses, in the order in which they came.
    pub(crate) addresses: Vec<Ipv4Addr>,
    /// For how long a prefix of the client's network it holds, where it says so.
    pub(crate) scope: Option<u8>,
}

/// The data of the option that names the /24 `subnet`.
pub(crate) fn subnet_option(subnet: [u8; 3]) -> [u8; 7] {
    let [a, b, c] = subnet;
    // Family IPv4, source prefix, no scope, address.
    [0, 1, 24, 0, a, b, c]
}

/// Asks for the IPv4 addresses of `name`, for a client in `subnet` where there is one. `id` comes back in the answer.
pub(crate) fn question(id: u16, name: &str, subnet: Option<[u8; 3]>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(64);
    let numbers = |bytes: &mut Vec<u8>, numbers: &[u16]| {
        for number in numbers {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
    };
    // Number, no flags, then the counts of the four sections.
    numbers(&mut bytes, &[id, 0, 1, 0, 0, u16::from(subnet.is_some())]);
    for label in name.split('.') {
        // Ours are short.
        bytes.push(label.len() as u8);
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.push(0);
    numbers(&mut bytes, &[A, INTERNET]);
    if let Some(subnet) = subnet {
        let data = subnet_option(subnet);
        let length = data.len() as u16;
        bytes.push(0);
        numbers(
            &mut bytes,
            &[OPT, PAYLOAD, 0, 0, length + 4, CLIENT_SUBNET, length],
        );
        bytes.extend_from_slice(&data);
    }
    bytes
}

/// Reads an answer to [`question`].
///
/// # Errors
///
/// When it is none, or not whole.
pub(crate) fn read(id: u16, bytes: &[u8]) -> Result<Answer, String> {
    Reader { bytes, at: 0 }.answer(id).ok_or_else(|| {
        format!(
            "{} bytes that are no answer to the question: {bytes:02x?}",
            bytes.len()
        )
    })
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn answer(&mut self, id: u16) -> Option<Answer> {
        let (own, flags) = (self.number()?, self.number()?);
        if own != id || flags & 0x8000 == 0 {
            return None;
        }
        let counts = [self.number()?, self.number()?, self.number()?, self.number()?];
        debug_assert_eq!(self.at, HEAD_BYTES);
        for _ in 0..counts[0] {
            self.name()?;
            self.take(4)?;
        }
        let mut answer = Answer {
            code: (flags & 0xf) as u8,
            addresses: Vec::new(),
            scope: None,
        };
        for number in 0..counts[1] + counts[2] + counts[3] {
            self.name()?;
            let kind = self.number()?;
            self.take(6)?; // class and time to live
            let length = self.number()?;
            let data = self.take(length.into())?;
            match kind {
                A if number < counts[1] => {
                    let address: [u8; 4] = data.try_into().ok()?;
                    answer.addresses.push(address.into());
                }
                OPT => answer.scope = Reader { bytes: data, at: 0 }.scope(),
                _ => {}
            }
        }
        Some(answer)
    }

    /// The scope in the options of an OPT record.
    fn scope(&mut self) -> Option<u8> {
        loop {
            let (option, length) = (self.number()?, self.number()?);
            let data = self.take(length.into())?;
            if option == CLIENT_SUBNET {
                return data.get(3).copied();
            }
        }
    }

    /// Skips a name, which may end in a pointer to another.
    fn name(&mut self) -> Option<()> {
        loop {
            match self.take(1)?[0] {
                0 => return Some(()),
                0xc0.. => return self.take(1).map(drop),
                length => self.take(length.into())?,
            };
        }
    }

    fn number(&mut self) -> Option<u16> {
        self.take(2)?.try_into().ok().map(u16::from_be_bytes)
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..self.at.checked_add(count)?)?;
        self.at += count;
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: u16 = 0x4d52;

    /// `demo.cdn.test`, two addresses, an OPT record with the client's network, scope 12.
    const ANSWER: &[u8] = b"\x4d\x52\x84\0\0\x01\0\x02\0\0\0\x01\x04demo\x03cdn\x04test\0\0\x01\0\x01\
        \xc0\x0c\0\x01\0\x01\0\0\0\x1e\0\x04\xc6\x33\x64\x02\xc0\x0c\0\x01\0\x01\0\0\0\x1e\0\x04\xc6\x33\x64\x01\
        \0\0\x29\x04\xd0\0\0\0\0\0\x0b\0\x08\0\x07\0\x01\x18\x0c\xcb\0\x71";

    #[test]
    fn a_question_is_written_as_it_goes_over_the_wire() {
        let plain = b"\x4d\x52\0\0\0\x01\0\0\0\0\0\0\x04demo\x03cdn\x04test\0\0\x01\0\x01";
        assert_eq!(question(ID, "demo.cdn.test", None), plain);
        let with_subnet = question(ID, "demo.cdn.test", Some([203, 0, 113]));
        assert_eq!(with_subnet[11], 1, "one additional record");
        assert!(with_subnet.ends_with(b"\0\0\x29\x04\xd0\0\0\0\0\0\x0b\0\x08\0\x07\0\x01\x18\0\xcb\0\x71"));
    }

    #[test]
    fn an_answer_is_read_with_its_scope() {
        assert_eq!(
            read(ID, ANSWER),
            Ok(Answer {
                code: 0,
                addresses: vec![[198, 51, 100, 2].into(), [198, 51, 100, 1].into()],
                scope: Some(12),
            })
        );
        let mut refused = b"\x4d\x52\x84\x05\0\x01\0\0\0\0\0\0".to_vec();
        refused.extend_from_slice(&question(ID, "demo.cdn.test", None)[HEAD_BYTES..]);
        let refused = read(ID, &refused).unwrap();
        assert_eq!(
            (refused.code, refused.addresses.len(), refused.scope),
            (5, 0, None)
        );
    }

    #[test]
    fn what_is_cut_or_of_another_question_is_no_answer() {
        for length in 0..ANSWER.len() {
            assert!(read(ID, &ANSWER[..length]).is_err(), "{length}");
        }
        let mut other = ANSWER.to_vec();
        other[0] ^= 1;
        assert!(read(ID, &other).is_err());
        assert!(read(ID, &question(ID, "demo.cdn.test", None)).is_err());
    }
}
