//! Which service a host name belongs to: exact names first, then the longest wildcard.

use std::{
    borrow::Cow,
    collections::{HashMap, hash_map::Entry},
};

use crate::{Service, Snapshot};

/// The longest host name DNS can carry, in its text form (RFC 1035 §2.3.4).
pub const HOST_BYTES: usize = 253;

/// Host names and wildcards, compiled for look-ups: one hash look-up for an exact name, and one more for each label
/// of a name that only a wildcard can match.
///
/// `T` is whatever the owner keeps for each name, such as the compiled form of a service.
#[derive(Clone, Debug)]
pub struct HostTable<T> {
    exact: HashMap<Box<str>, T>,
    /// By what follows the `*.`.
    wildcards: HashMap<Box<str>, T>,
}

impl<T> Default for HostTable<T> {
    fn default() -> Self {
        HostTable {
            exact: HashMap::new(),
            wildcards: HashMap::new(),
        }
    }
}

impl<T> HostTable<T> {
    /// Adds a name or a wildcard (`*.example.com`).
    ///
    /// # Errors
    ///
    /// Gives back `value` when the table already has that very name; it keeps the first.
    pub fn insert(&mut self, host: &str, value: T) -> Result<(), T> {
        let (table, name) = match host.strip_prefix("*.") {
            Some(suffix) => (&mut self.wildcards, suffix),
            None => (&mut self.exact, host),
        };
        match table.entry(name.into()) {
            Entry::Occupied(_) => Err(value),
            Entry::Vacant(vacant) => {
                vacant.insert(value);
                Ok(())
            }
        }
    }

    /// What was kept for `host`, which is lower case and without port (see [`host_of`]).
    #[must_use]
    pub fn find(&self, host: &str) -> Option<&T> {
        if let Some(value) = self.exact.get(host) {
            return Some(value);
        }
        if self.wildcards.is_empty() || host.len() > HOST_BYTES {
            return None;
        }
        // The first dot leaves the longest suffix. A wildcard stands for at least one character.
        host.bytes()
            .enumerate()
            .filter(|(at, byte)| *byte == b'.' && *at > 0)
            .find_map(|(at, _)| self.wildcards.get(&host[at + 1..]))
    }
}

impl Snapshot {
    /// The service that answers to `host` (lower case, without port), and its name.
    ///
    /// Reads the whole document at each call. Who asks once per request compiles a [`HostTable`] instead
    /// ([`Snapshot::host_table`]).
    #[must_use]
    pub fn service_for_host(&self, host: &str) -> Option<(&str, &Service)> {
        self.host_table(|name, service| (name, service))
            .find(host)
            .copied()
    }

    /// The hosts of all services, each with what `compile` makes of its service. `compile` is called once per host;
    /// for something large it gives out clones of an `Arc`.
    pub fn host_table<'a, T>(&'a self, mut compile: impl FnMut(&'a str, &'a Service) -> T) -> HostTable<T> {
        let mut table = HostTable::default();
        for (name, service) in &self.services {
            for host in &service.hosts {
                // A name given twice is refused by the check; here the first service keeps it.
                let _ = table.insert(host, compile(name, service));
            }
        }
        table
    }
}

/// The host of an authority (`Host` or `:authority`): lower case, without port and without the trailing dot of a
/// fully qualified name. `None` where it is no `host [":" port]` of RFC 9110 §7.2, user information included.
///
/// Allocates only where upper case must be lowered.
#[must_use]
pub fn host_of(authority: &str) -> Option<Cow<'_, str>> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (address, after) = rest.split_once(']')?;
            let address: std::net::Ipv6Addr = address.parse().ok()?;
            let port = if after.is_empty() {
                None
            } else {
                Some(after.strip_prefix(':')?)
            };
            (Cow::Owned(format!("[{address}]")), port)
        }
        None => {
            let (name, port) = authority
                .split_once(':')
                .map_or((authority, None), |(h, p)| (h, Some(p)));
            let name = name.strip_suffix('.').unwrap_or(name);
            if !is_host_name(name) {
                return None;
            }
            let upper = name.bytes().any(|byte| byte.is_ascii_uppercase());
            (
                if upper {
                    Cow::Owned(name.to_ascii_lowercase())
                } else {
                    Cow::Borrowed(name)
                },
                port,
            )
        }
    };
    match port {
        // RFC 3986 §3.2.3 allows an empty port: "host:".
        None | Some("") => Some(host),
        Some(port) => {
            (port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok()).then_some(host)
        }
    }
}

/// Whether `name` is a host name or an IPv4 address: labels of letters, digits, `-` and `_`, joined by dots.
pub(crate) fn is_host_name(name: &str) -> bool {
    name.len() <= HOST_BYTES
        && name.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
                && !label.starts_with('-')
                && !label.ends_with('-')
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn table(hosts: &[&'static str]) -> HostTable<&'static str> {
        let mut table = HostTable::default();
        for host in hosts {
            table.insert(host, *host).expect("no name is given twice");
        }
        table
    }

    #[test]
    fn an_exact_name_wins_and_then_the_longest_wildcard() {
        let table = table(&[
            "tv.example",
            "*.tv.example",
            "*.live.tv.example",
            "a.live.tv.example",
            "localhost",
        ]);
        for (host, found) in [
            ("tv.example", Some("tv.example")),
            ("a.tv.example", Some("*.tv.example")),
            ("a.b.tv.example", Some("*.tv.example")),
            ("b.live.tv.example", Some("*.live.tv.example")),
            ("a.live.tv.example", Some("a.live.tv.example")),
            ("x.a.live.tv.example", Some("*.live.tv.example")),
            ("live.tv.example", Some("*.tv.example")),
            ("localhost", Some("localhost")),
            (".tv.example", None),
            ("xtv.example", None),
            ("example", None),
            ("", None),
            (".", None),
        ] {
            assert_eq!(table.find(host).copied(), found, "{host:?}");
        }
    }

    #[test]
    fn a_name_longer_than_dns_carries_matches_no_wildcard() {
        let table = table(&["*.tv.example"]);
        assert!(table.find(&format!("{}tv.example", "a.".repeat(100))).is_some());
        assert!(table.find(&format!("{}tv.example", "a.".repeat(200))).is_none());
    }

    #[test]
    fn a_name_given_twice_keeps_its_first_value() {
        let mut table = HostTable::default();
        assert_eq!(table.insert("*.tv.example", 1), Ok(()));
        assert_eq!(table.insert("*.tv.example", 2), Err(2));
        assert_eq!(table.find("a.tv.example"), Some(&1));
    }

    #[test]
    fn the_host_of_an_authority_is_lower_case_and_bare() {
        for (authority, host) in [
            ("localhost", Some("localhost")),
            ("LocalHost:8443", Some("localhost")),
            ("demo.localhost.", Some("demo.localhost")),
            ("demo.localhost.:80", Some("demo.localhost")),
            ("demo.localhost:", Some("demo.localhost")),
            ("127.0.0.1:8080", Some("127.0.0.1")),
            ("[::1]:8080", Some("[::1]")),
            ("[0:0::1]", Some("[::1]")),
            ("", None),
            (":80", None),
            ("a..b", None),
            ("..", None),
            ("-a", None),
            ("user@host", None),
            ("host:80:80", None),
            ("host:65536", None),
            ("host:+80", None),
            ("host:http", None),
            ("ho st", None),
            ("host/path", None),
            ("*.example.com", None),
            ("[::1", None),
            ("[::1]8080", None),
            ("[not an address]", None),
            ("h\u{f6}st", None),
        ] {
            assert_eq!(host_of(authority).as_deref(), host, "{authority:?}");
        }
    }

    #[test]
    fn a_lower_case_host_is_not_copied() {
        assert!(matches!(
            host_of("localhost:8443"),
            Some(Cow::Borrowed("localhost"))
        ));
    }

    proptest! {
        #[test]
        fn no_authority_makes_the_reader_panic_and_what_it_gives_reads_as_itself(authority in "[ -~]{0,40}|.{0,20}") {
            if let Some(host) = host_of(&authority) {
                prop_assert_eq!(host_of(&host), Some(host.clone()));
            }
        }
    }
}
