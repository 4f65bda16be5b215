//! Who asks: the peer, or whom a trusted proxy speaks for, by `X-Forwarded-For` or the PROXY protocol.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use ipnet::IpNet;

/// The longest preamble that is read; a header of version 2 may carry more, but none does beside addresses and a few
/// type-length-values.
pub(super) const PREAMBLE_BYTES_MAX: usize = 1024;

/// Networks whose word on a client's address is taken.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trusted(Vec<IpNet>);

/// What the first bytes of a connection are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Preamble {
    /// No preamble: what comes is HTTP or TLS.
    None,
    /// So many bytes of preamble. The client, unless the proxy speaks for itself.
    Whole { bytes: usize, client: Option<IpAddr> },
    /// It begins as one, and more has to come.
    Partial,
    /// It begins as one and is none.
    Broken,
}

impl Trusted {
    pub(crate) fn new(networks: Vec<IpNet>) -> Trusted {
        Trusted(networks)
    }

    /// Whether `address` may speak for others.
    pub(super) fn includes(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The client of a request that came from `peer`: the last in `X-Forwarded-For` that is not itself trusted. What
    /// stands before it anybody may have written.
    pub(super) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        if !self.includes(peer) {
            return peer;
        }
        // What a client wrote may be any bytes; what a proxy added to it counts all the same.
        let lines = headers.get_all("x-forwarded-for").iter().rev();
        let hops = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
        let mut client = peer;
        for hop in hops {
            let address = str::from_utf8(hop).ok().and_then(|hop| address(hop.trim()));
            let Some(address) = address else { break };
            client = address;
            if !self.includes(address) {
                break;
            }
        }
        client
    }
}

/// An address as proxies write it, with a port or without.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
        .unwrap_or(text);
    bare.parse()
        .ok()
        .or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

/// Reads a preamble of the PROXY protocol, version 1 or 2 (haproxy.org, proxy-protocol.txt).
pub(super) fn preamble(bytes: &[u8]) -> Preamble {
    use ppp::{HeaderResult, PartialResult};
    const SIGNATURES: [&[u8]; 2] = [b"PROXY ", b"\r\n\r\n\0\r\nQUIT\n"];
    let begins = |signature: &&&[u8]| {
        let common = signature.len().min(bytes.len());
        signature[..common] == bytes[..common]
    };
    if !SIGNATURES.iter().any(|signature| begins(&signature)) {
        return Preamble::None;
    }
    let header = HeaderResult::parse(bytes);
    if header.is_incomplete() {
        return Preamble::Partial;
    }
    match header {
        HeaderResult::V1(Ok(header)) => {
            let client = match header.addresses {
                ppp::v1::Addresses::Tcp4(pair) => Some(IpAddr::V4(pair.source_address)),
                ppp::v1::Addresses::Tcp6(pair) => Some(IpAddr::V6(pair.source_address)),
                ppp::v1::Addresses::Unknown => None,
            };
            Preamble::Whole {
                bytes: header.header.len(),
                client,
            }
        }
        HeaderResult::V2(Ok(header)) => {
            let client = match header.addresses {
                ppp::v2::Addresses::IPv4(pair) => Some(IpAddr::V4(pair.source_address)),
                ppp::v2::Addresses::IPv6(pair) => Some(IpAddr::V6(pair.source_address)),
                ppp::v2::Addresses::Unix(_) | ppp::v2::Addresses::Unspecified => None,
            };
            // LOCAL: the proxy checks whether we live.
            let client = client.filter(|_| header.command == ppp::v2::Command::Proxy);
            Preamble::Whole {
                bytes: header.header.len(),
                client,
            }
        }
        HeaderResult::V1(Err(_)) | HeaderResult::V2(Err(_)) => Preamble::Broken,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn trusted() -> Trusted {
        Trusted::new(vec![
            "10.0.0.0/8".parse().unwrap(),
            "2001:db8::/32".parse().unwrap(),
        ])
    }

    #[test]
    fn only_trusted_peers_speak_for_others_and_only_their_last_word_counts() {
        for (peer, lines, client) in [
            ("192.0.2.1", &["198.51.100.1"][..], "192.0.2.1"),
            ("10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["6.6.6.6, 198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["6.6.6.6", "198.51.100.1, 10.0.0.7"], "198.51.100.1"),
            ("10.0.0.1", &["10.0.0.9, 10.0.0.7"], "10.0.0.9"),
            ("10.0.0.1", &["198.51.100.1:4711"], "198.51.100.1"),
            ("2001:db8::1", &["[2001:db9::2]:4711"], "2001:db9::2"),
            ("2001:db8::1", &["[2001:db9::2]"], "2001:db9::2"),
            ("::ffff:10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["198.51.100.1, unknown"], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.1, nonsense, 10.0.0.7"], "10.0.0.7"),
            ("10.0.0.1", &["\u{ff}, 198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["198.51.100.1", "\u{ff}"], "10.0.0.1"),
            ("10.0.0.1", &[""], "10.0.0.1"),
            ("10.0.0.1", &[], "10.0.0.1"),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                let line = HeaderValue::from_bytes(line.as_bytes()).unwrap();
                headers.append("x-forwarded-for", line);
            }
            let told = trusted().client(peer.parse().unwrap(), &headers);
            assert_eq!(told, client.parse::<IpAddr>().unwrap(), "{peer} {lines:?}");
        }
    }

    #[test]
    fn a_preamble_is_told_from_a_request_whole_or_in_part() {
        let second = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc6\x33\x64\x01\xc0\0\x02\x01\0\x50\x01\xbb";
        let local = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
        let client = |text: &str| Some(text.parse().unwrap());
        for (bytes, told) in [
            (&b""[..], Preamble::Partial),
            (b"GET / HTTP/1.1\r\n", Preamble::None),
            (b"P", Preamble::Partial),
            (b"POST / HTTP/1.1\r\n", Preamble::None),
            (b"\x16\x03\x01", Preamble::None),
            (b"PROXY TCP4 198.51.100.1", Preamble::Partial),
            (
                b"PROXY TCP4 198.51.100.1 192.0.2.1 4711 80\r\nGET",
                Preamble::Whole {
                    bytes: 43,
                    client: client("198.51.100.1"),
                },
            ),
            (
                b"PROXY TCP6 2001:db8::7 2001:db8::1 4711 80\r\n",
                Preamble::Whole {
                    bytes: 44,
                    client: client("2001:db8::7"),
                },
            ),
            (
                b"PROXY UNKNOWN\r\n",
                Preamble::Whole {
                    bytes: 15,
                    client: None,
                },
            ),
            (b"PROXY nonsense\r\n", Preamble::Broken),
            (
                second,
                Preamble::Whole {
                    bytes: 28,
                    client: client("198.51.100.1"),
                },
            ),
            (&second[..20], Preamble::Partial),
            (
                local,
                Preamble::Whole {
                    bytes: 16,
                    client: None,
                },
            ),
        ] {
            assert_eq!(preamble(bytes), told, "{:?}", String::from_utf8_lossy(bytes));
        }
    }
}
