//! What a fixed record says, read from the text of a zone file.

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
};

use super::{DomainName, RecordKind};

/// The longest text of one record: the longest in use, keys of 4096 bits in `TXT`, have some 800 characters. It keeps
/// whatever the records of a name amount to within one message.
const TEXT_BYTES_MAX: usize = 2048;

/// The longest of the strings that text is made of (RFC 1035 §3.3).
const STRING_BYTES_MAX: usize = 255;

/// What a record says. Names in it are whole, whether or not they end in a dot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// `192.0.2.1`
    A(Ipv4Addr),
    /// `2001:db8::1`
    Aaaa(Ipv6Addr),
    /// `0 issue "ca.example"` (RFC 8659 §4.1).
    Caa {
        /// 128: who does not understand the tag may not issue.
        flags: u8,
        /// `issue`, `issuewild`, `iodef` …
        tag: String,
        /// What it says of the tag.
        value: Vec<u8>,
    },
    /// `other.example`
    Cname(DomainName),
    /// `1 . alpn="h2,http/1.1" port=8443`, or `0 other.example` for an alias (RFC 9460 §2.1).
    Https {
        /// 0 is an alias; otherwise the lower is tried first.
        priority: u16,
        /// The root stands for the owner.
        target: DomainName,
        /// The protocols spoken there.
        alpn: Vec<String>,
        /// Whether HTTP/1.1 is not spoken where `alpn` leaves it out.
        no_default_alpn: bool,
        /// Where it is not 443.
        port: Option<u16>,
    },
    /// `10 mail.example`; `0 .` where no mail is taken (RFC 7505).
    Mx {
        /// The lower is tried first.
        preference: u16,
        /// Who takes the mail.
        exchange: DomainName,
    },
    /// `ns1.example`
    Ns(DomainName),
    /// `"one string" "another"`, with `\"`, `\\` and `\000` in them; or any text without quotes, which is one, cut where
    /// it is longer than 255 bytes.
    Txt(Vec<Vec<u8>>),
}

/// Why a text does not suit its type, and how it should be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataError {
    /// What is wrong.
    pub what: String,
    /// How such a record is written.
    pub advice: &'static str,
}

impl Data {
    /// Reads the text of a record of type `kind`.
    ///
    /// # Errors
    /// [`DataError`] where the text does not suit the type.
    pub fn read(kind: RecordKind, text: &str) -> Result<Data, DataError> {
        let read = if text.len() > TEXT_BYTES_MAX {
            Err(format!("{} bytes are more than {TEXT_BYTES_MAX}", text.len()))
        } else {
            match kind {
                RecordKind::A => text.parse().map(Data::A).map_err(|_| no(text, "IPv4 address")),
                RecordKind::Aaaa => text.parse().map(Data::Aaaa).map_err(|_| no(text, "IPv6 address")),
                RecordKind::Caa => caa(text),
                RecordKind::Cname => name(text).map(Data::Cname),
                RecordKind::Https => https(text),
                RecordKind::Mx => mx(text),
                RecordKind::Ns => name(text).map(Data::Ns),
                RecordKind::Txt => txt(text).map(Data::Txt),
            }
        };
        read.map_err(|what| DataError {
            what,
            advice: advice(kind),
        })
    }
}

fn advice(kind: RecordKind) -> &'static str {
    match kind {
        RecordKind::A => "write an address such as 192.0.2.1",
        RecordKind::Aaaa => "write an address such as 2001:db8::1",
        RecordKind::Caa => "write flags, tag and value, such as: 0 issue \"ca.example\"",
        RecordKind::Cname | RecordKind::Ns => "write a whole name in lower case, such as ns1.example",
        RecordKind::Https => "write it as: 1 . alpn=\"h2,http/1.1\" port=8443",
        RecordKind::Mx => "write a preference and a whole name, such as: 10 mail.example",
        RecordKind::Txt => "write plain text, or strings in quotes, each of 255 bytes or less",
    }
}

fn no(text: &str, what: &str) -> String {
    format!("{text:?} is no {what}")
}

/// A whole name. A wildcard leads nowhere.
fn name(text: &str) -> Result<DomainName, String> {
    let name = DomainName::read(text).map_err(|error| error.to_string())?;
    if name.is_wildcard() {
        return Err(format!("the wildcard {name} leads nowhere"));
    }
    Ok(name)
}

fn mx(text: &str) -> Result<Data, String> {
    let (preference, exchange) = text.split_once(' ').ok_or_else(|| no(text, "mail exchanger"))?;
    Ok(Data::Mx {
        preference: preference.parse().map_err(|_| no(preference, "preference"))?,
        exchange: name(exchange)?,
    })
}

fn caa(text: &str) -> Result<Data, String> {
    let mut parts = text.splitn(3, ' ');
    let (Some(flags), Some(tag), Some(value)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(no(text, "authorization of a certificate's issuer"));
    };
    let sound = (1..=15).contains(&tag.len())
        && tag
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    if !sound {
        return Err(no(tag, "tag: it has 1 to 15 lower-case letters and digits"));
    }
    Ok(Data::Caa {
        flags: flags.parse().map_err(|_| no(flags, "number of flags"))?,
        tag: tag.to_owned(),
        value: txt(value)?.concat(),
    })
}

/// Text without quotes is one string, cut into pieces where it is too long for one.
fn txt(text: &str) -> Result<Vec<Vec<u8>>, String> {
    if text.is_empty() {
        return Err("there is no text".to_owned());
    }
    if !text.starts_with('"') {
        return Ok(text
            .as_bytes()
            .chunks(STRING_BYTES_MAX)
            .map(<[u8]>::to_vec)
            .collect());
    }
    let mut strings = Vec::new();
    let mut rest = text;
    while let Some(quoted) = rest.strip_prefix('"') {
        let (string, after) = quoted_string(quoted)?;
        strings.push(string);
        rest = after.trim_start_matches(' ');
    }
    if !rest.is_empty() {
        return Err(format!("{rest:?} stands outside the quotes"));
    }
    Ok(strings)
}

/// The string that ends at the next quote, and what follows it (RFC 1035 §5.1).
fn quoted_string(text: &str) -> Result<(Vec<u8>, &str), String> {
    let mut string = Vec::new();
    let mut bytes = text.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        let byte = match byte {
            b'"' => return Ok((string, &text[at + 1..])),
            b'\\' => match bytes.next() {
                Some((_, hundreds @ b'0'..=b'9')) => {
                    let digits = [Some((at, hundreds)), bytes.next(), bytes.next()];
                    let number = digits.iter().try_fold(0_u32, |number, digit| {
                        let (_, digit) = digit.filter(|(_, digit)| digit.is_ascii_digit())?;
                        Some(number * 10 + u32::from(digit - b'0'))
                    });
                    number
                        .and_then(|number| u8::try_from(number).ok())
                        .ok_or("a backslash and a digit begin three digits, at most \\255")?
                }
                Some((_, escaped)) => escaped,
                None => break,
            },
            plain => plain,
        };
        if string.len() == STRING_BYTES_MAX {
            return Err(format!("a string has more than {STRING_BYTES_MAX} bytes"));
        }
        string.push(byte);
    }
    Err("a quote is not closed".to_owned())
}

fn https(text: &str) -> Result<Data, String> {
    let mut parts = text.split(' ').filter(|part| !part.is_empty());
    let (Some(priority), Some(target)) = (parts.next(), parts.next()) else {
        return Err(no(text, "binding of a service"));
    };
    let priority: u16 = priority.parse().map_err(|_| no(priority, "priority"))?;
    let target = name(target)?;
    let (mut alpn, mut no_default_alpn, mut port) = (None, false, None);
    for part in parts {
        if priority == 0 {
            return Err(format!("an alias (priority 0) has no parameters such as {part}"));
        }
        let (key, value) = part.split_once('=').map_or((part, None), |(k, v)| (k, Some(v)));
        let value = value.map(|value| {
            let inside = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
            inside.unwrap_or(value)
        });
        let twice = match (key, value) {
            ("alpn", Some(value)) => alpn.replace(protocols(value)?).is_some(),
            ("no-default-alpn", None) => std::mem::replace(&mut no_default_alpn, true),
            ("port", Some(value)) => {
                let number = value.parse().map_err(|_| no(value, "port"))?;
                port.replace(number).is_some()
            }
            ("ipv4hint" | "ipv6hint", _) => {
                return Err(format!("{key} would be the same for every viewer; leave it out"));
            }
            _ => return Err(format!("{part:?} is not one of alpn=, no-default-alpn and port=")),
        };
        if twice {
            return Err(format!("{key} is said twice"));
        }
    }
    if no_default_alpn && alpn.is_none() {
        return Err("no-default-alpn leaves no protocol without alpn= (RFC 9460 §7.1.1)".to_owned());
    }
    Ok(Data::Https {
        priority,
        target,
        alpn: alpn.unwrap_or_default(),
        no_default_alpn,
        port,
    })
}

fn protocols(list: &str) -> Result<Vec<String>, String> {
    let legal = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
    list.split(',')
        .map(|protocol| {
            let sound = (1..=STRING_BYTES_MAX).contains(&protocol.len()) && protocol.bytes().all(legal);
            sound
                .then(|| protocol.to_owned())
                .ok_or_else(|| no(protocol, "protocol, such as h2 or http/1.1"))
        })
        .collect()
}

impl fmt::Display for DataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.what, self.advice)
    }
}

impl std::error::Error for DataError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(text: &str) -> DomainName {
        DomainName::read(text).expect(text)
    }

    #[test]
    fn each_type_is_read_as_a_zone_file_has_it() {
        let https = |priority, target, alpn: &[&str], no_default_alpn, port| Data::Https {
            priority,
            target: whole(target),
            alpn: alpn.iter().map(|&protocol| protocol.to_owned()).collect(),
            no_default_alpn,
            port,
        };
        let caa = |flags, tag: &str, value: &[u8]| Data::Caa {
            flags,
            tag: tag.to_owned(),
            value: value.to_vec(),
        };
        let strings = |strings: &[&[u8]]| Data::Txt(strings.iter().map(|string| string.to_vec()).collect());
        let long = "x".repeat(300);
        for (kind, text, data) in [
            (RecordKind::A, "192.0.2.1", Data::A([192, 0, 2, 1].into())),
            (RecordKind::Aaaa, "::1", Data::Aaaa(Ipv6Addr::LOCALHOST)),
            (RecordKind::Ns, "ns1.example.", Data::Ns(whole("ns1.example"))),
            (RecordKind::Cname, "a.example", Data::Cname(whole("a.example"))),
            (
                RecordKind::Mx,
                "0 .",
                Data::Mx {
                    preference: 0,
                    exchange: whole("."),
                },
            ),
            (
                RecordKind::Caa,
                "0 issue \"ca.example; a=b\"",
                caa(0, "issue", b"ca.example; a=b"),
            ),
            (RecordKind::Caa, "128 issuewild ;", caa(128, "issuewild", b";")),
            (RecordKind::Txt, "v=spf1 -all", strings(&[b"v=spf1 -all"])),
            (
                RecordKind::Txt,
                "\"a\" \"\" \"b\\\"\\\\\\007\"",
                strings(&[b"a", b"", b"b\"\\\x07"]),
            ),
            (RecordKind::Txt, &long, strings(&[&[b'x'; 255], &[b'x'; 45]])),
            (
                RecordKind::Https,
                "0 a.example",
                https(0, "a.example", &[], false, None),
            ),
            (
                RecordKind::Https,
                "1 . alpn=\"h2,http/1.1\" port=8443",
                https(1, ".", &["h2", "http/1.1"], false, Some(8443)),
            ),
            (
                RecordKind::Https,
                "16 . no-default-alpn alpn=h2",
                https(16, ".", &["h2"], true, None),
            ),
        ] {
            assert_eq!(Data::read(kind, text), Ok(data), "{kind:?} {text}");
        }
    }

    #[test]
    fn what_does_not_suit_its_type_is_refused_with_its_reason() {
        let too_long = "x".repeat(2049);
        let string_too_long = format!("\"{}\"", "x".repeat(256));
        for (kind, text, why) in [
            (RecordKind::A, "::1", "no IPv4 address"),
            (RecordKind::A, "192.0.2.01", "no IPv4 address"),
            (RecordKind::Aaaa, "192.0.2.1", "no IPv6 address"),
            (RecordKind::Ns, "ns1..example", "empty"),
            (RecordKind::Cname, "*.example", "leads nowhere"),
            (RecordKind::Mx, "mail.example", "no mail exchanger"),
            (RecordKind::Mx, "70000 mail.example", "no preference"),
            (RecordKind::Caa, "0 issue", "no authorization"),
            (RecordKind::Caa, "0 Issue x", "no tag"),
            (RecordKind::Caa, "256 issue x", "no number of flags"),
            (RecordKind::Txt, "", "no text"),
            (RecordKind::Txt, "\"a", "not closed"),
            (RecordKind::Txt, "\"a\\", "not closed"),
            (RecordKind::Txt, "\"a\" b", "outside the quotes"),
            (RecordKind::Txt, "\"\\256\"", "three digits"),
            (RecordKind::Txt, "\"\\1\"", "three digits"),
            (RecordKind::Txt, &string_too_long, "more than 255"),
            (RecordKind::Txt, &too_long, "more than 2048"),
            (RecordKind::Https, "1", "no binding"),
            (RecordKind::Https, "x .", "no priority"),
            (RecordKind::Https, "0 a.example port=1", "an alias"),
            (RecordKind::Https, "1 . alpn=", "no protocol"),
            (RecordKind::Https, "1 . port=h", "no port"),
            (RecordKind::Https, "1 . port=1 port=1", "said twice"),
            (RecordKind::Https, "1 . no-default-alpn", "leaves no protocol"),
            (
                RecordKind::Https,
                "1 . ipv4hint=192.0.2.1",
                "the same for every viewer",
            ),
            (RecordKind::Https, "1 . ech=x", "not one of"),
        ] {
            let error = Data::read(kind, text).expect_err(text);
            assert!(error.what.contains(why), "{kind:?} {text}: {error}");
            assert!(!error.advice.is_empty());
        }
    }
}
