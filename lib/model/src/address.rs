//! Where origins are: the strict form of their URLs, and which addresses are nobody's but ours.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use crate::hosts::{host_of, is_host_name};

/// Scheme, host and port of an origin; of an URL nothing else is allowed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OriginAddress {
    /// `https`.
    pub tls: bool,
    /// A name or IPv4 address in lower case, or an IPv6 address in brackets.
    pub host: String,
    /// As it is written, or the scheme's own: 80 or 443.
    pub port: u16,
}

/// Why a text is not the URL of an origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressError(String);

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for AddressError {}

impl FromStr for OriginAddress {
    type Err = AddressError;

    fn from_str(url: &str) -> Result<OriginAddress, AddressError> {
        let wrong = |why: &str| AddressError(format!("{url:?} is not the URL of an origin: {why}"));
        let (tls, authority) = match url.split_once("://") {
            Some(("http", authority)) => (false, authority),
            Some(("https", authority)) => (true, authority),
            _ => return Err(wrong("its scheme is neither http nor https")),
        };
        if authority.contains('@') {
            return Err(wrong("a user has no place in it"));
        }
        if authority.contains(['/', '?', '#', '\\']) {
            return Err(wrong("a path or query has no place in it"));
        }
        let host = host_of(authority).ok_or_else(|| wrong("its host or port cannot be read"))?;
        if looks_like_a_number(&host) && host.parse::<Ipv4Addr>().is_err() {
            return Err(wrong("its host is neither a name nor an address"));
        }
        let port = match authority.rsplit_once(':') {
            Some((_, port)) if !port.is_empty() && !port.ends_with(']') => {
                port.parse().map_err(|_| wrong("its port cannot be read"))?
            }
            _ => default_port(tls),
        };
        if port == 0 {
            return Err(wrong("nobody can connect to port 0"));
        }
        Ok(OriginAddress {
            tls,
            host: host.into_owned(),
            port,
        })
    }
}

impl OriginAddress {
    /// The address that the host is, where it is no name.
    #[must_use]
    pub fn literal(&self) -> Option<IpAddr> {
        self.host.trim_matches(['[', ']']).parse().ok()
    }

    /// Whether the host is a name that never leaves the machine: `localhost` and what is below it (RFC 6761 §6.3).
    #[must_use]
    pub fn is_local_name(&self) -> bool {
        self.host == "localhost" || self.host.ends_with(".localhost")
    }

    /// What stands in `Host`: the port only where it is not the scheme's own.
    #[must_use]
    pub fn authority(&self) -> String {
        if self.port == default_port(self.tls) {
            self.host.clone()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for OriginAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}://{}",
            if self.tls { "https" } else { "http" },
            self.authority()
        )
    }
}

fn default_port(tls: bool) -> u16 {
    if tls { 443 } else { 80 }
}

/// Whether `text` is a host with or without a port, as `Host` carries it.
pub(crate) fn is_authority(text: &str) -> bool {
    host_of(text).is_some_and(|host| host.starts_with('[') || is_host_name(&host))
}

/// Whether resolvers of some systems would take a host for an address: its last label is a number (`127.1`, `0x7f.1`).
fn looks_like_a_number(host: &str) -> bool {
    let last = host.rsplit('.').next().unwrap_or(host);
    let hexadecimal = last
        .strip_prefix("0x")
        .is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
    hexadecimal || last.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether an address is not one of the public Internet (IANA special-purpose registries, RFC 6890): an origin there
/// is on our own machines or networks, which a service must be allowed to reach. IPv6 addresses that carry an IPv4
/// address are judged by it.
#[must_use]
pub fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_private_v4(address),
        IpAddr::V6(address) => is_private_v6(address),
    }
}

fn is_private_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        // "This network" (RFC 791), and what is reserved with the broadcast address (RFC 1112).
        || a == 0
        || a >= 240
        // Shared by carriers (RFC 6598), IETF protocols (RFC 6890), benchmarks (RFC 2544).
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (18..20).contains(&b))
}

fn is_private_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let carried = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_private_v4(Ipv4Addr::new(a, b, c, d))
    };
    match segments {
        // Unspecified, loopback, and IPv4 in its old and mapped forms (RFC 4291 §2.5).
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] => {
            (segments[5] == 0 && high == 0 && low <= 1) || carried(high, low)
        }
        // NAT64 (RFC 6052, RFC 8215) and 6to4 (RFC 3056).
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => carried(high, low),
        [0x64, 0xff9b, 1, ..] => true,
        [0x2002, high, low, ..] => carried(high, low),
        // Unique local (RFC 4193), link-local and the old site-local (RFC 4291), multicast.
        [first, ..] => {
            first & 0xfe00 == 0xfc00
                || first & 0xffc0 == 0xfe80
                || first & 0xffc0 == 0xfec0
                || first & 0xff00 == 0xff00
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_origin_is_a_scheme_a_host_and_a_port() {
        for (url, tls, host, port, shown) in [
            (
                "http://127.0.0.1:8090",
                false,
                "127.0.0.1",
                8090,
                "http://127.0.0.1:8090",
            ),
            (
                "https://Origin.Example.com",
                true,
                "origin.example.com",
                443,
                "https://origin.example.com",
            ),
            (
                "http://origin.example.com:80",
                false,
                "origin.example.com",
                80,
                "http://origin.example.com",
            ),
            (
                "https://origin.example.com:80",
                true,
                "origin.example.com",
                80,
                "https://origin.example.com:80",
            ),
            (
                "http://[2001:db8::1]:8090",
                false,
                "[2001:db8::1]",
                8090,
                "http://[2001:db8::1]:8090",
            ),
            (
                "https://[2001:db8::1]",
                true,
                "[2001:db8::1]",
                443,
                "https://[2001:db8::1]",
            ),
        ] {
            let address: OriginAddress = url.parse().expect(url);
            assert_eq!(
                address,
                OriginAddress {
                    tls,
                    host: host.to_owned(),
                    port
                },
                "{url}"
            );
            assert_eq!(address.to_string(), shown, "{url}");
        }
    }

    #[test]
    fn anything_more_or_less_is_refused_with_the_reason() {
        for (url, why) in [
            ("", "scheme"),
            ("origin.example.com", "scheme"),
            ("ftp://origin.example.com", "scheme"),
            ("HTTP://origin.example.com", "scheme"),
            ("http://", "host or port"),
            ("http://:80", "host or port"),
            ("http://a b", "host or port"),
            ("http://*.example.com", "host or port"),
            ("http://origin.example.com:http", "host or port"),
            ("http://origin.example.com:65536", "host or port"),
            ("http://origin.example.com:0", "port 0"),
            ("http://user:secret@origin.example.com", "user"),
            ("http://origin.example.com/", "path or query"),
            ("http://origin.example.com/path", "path or query"),
            ("http://origin.example.com?query", "path or query"),
            ("http://origin.example.com#fragment", "path or query"),
            ("http://2130706433", "neither a name nor an address"),
            ("http://127.1", "neither a name nor an address"),
            ("http://0x7f.0x1", "neither a name nor an address"),
            ("http://[::1", "host or port"),
        ] {
            let error = url.parse::<OriginAddress>().expect_err(url).to_string();
            assert!(error.contains(why), "{url}: {error}");
        }
    }

    #[test]
    fn addresses_that_are_not_public_are_told_from_those_that_are() {
        for private in [
            "0.0.0.0",
            "10.0.0.5",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.168.1.1",
            "198.18.0.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::10.0.0.5",
            "64:ff9b::10.0.0.5",
            "64:ff9b:1::1",
            "2002:a00:5::1",
            "fc00::1",
            "fd12:3456::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(is_private(private.parse().expect("an address")), "{private}");
        }
        for public in [
            "1.1.1.1",
            "100.63.255.255",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "198.17.0.1",
            "198.20.0.1",
            "223.255.255.255",
            "2001:db8::1",
            "2606:4700::1111",
            "::ffff:1.1.1.1",
            "64:ff9b::1.1.1.1",
            "2002:101:101::1",
        ] {
            assert!(!is_private(public.parse().expect("an address")), "{public}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic_and_what_it_reads_is_shown_as_it_reads(url in "https?://[ -~]{0,30}") {
            if let Ok(address) = url.parse::<OriginAddress>() {
                prop_assert_eq!(address.to_string().parse(), Ok(address));
            }
        }
    }
}
