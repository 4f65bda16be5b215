//! What can be wrong with services: hosts, origins, lifetimes, keys.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use super::{Complaints, header_rules, methods, routing};
use crate::{
    Period, Service, Snapshot,
    address::{OriginAddress, is_authority, is_private},
    compression::{COMPRESSED_SIZE_MAX, Compression, is_pattern},
    hosts::is_host_name,
    service::{Origin, QueryKey, TtlRules},
};

/// The longest lifetime and the longest staleness: a year, beyond which HTTP itself thought of nothing
/// (RFC 2616 §14.21), and no purge journal lasts.
const PERIOD_MAX: Duration = Duration::from_secs(365 * 86_400);

/// Segments of a path among which a content id may be, and that may make a key.
pub(super) const PATH_SEGMENTS_MAX: usize = 64;

pub(super) fn check(snapshot: &Snapshot, complaints: &mut Complaints) {
    let mut taken = HashMap::new();
    for (name, service) in &snapshot.services {
        let at = format!("services.{name}");
        complaints.name(&at, name);
        check_hosts(service, &at, &mut taken, complaints);
        check_origins(service, &at, complaints);
        if let Some(rules) = &service.ttl {
            check_ttl(rules, &format!("{at}.ttl"), complaints);
        }
        check_period(
            format!("{at}.stale_while_revalidate"),
            service.stale_while_revalidate,
            complaints,
        );
        check_period(format!("{at}.stale_if_error"), service.stale_if_error, complaints);
        check_period(
            format!("{at}.revalidation_floor"),
            service.revalidation_floor,
            complaints,
        );
        check_query(&service.query, &format!("{at}.query"), complaints);
        if service
            .content_id
            .as_ref()
            .is_some_and(|rule| rule.path_segment >= PATH_SEGMENTS_MAX)
        {
            complaints.add(
                format!("{at}.content_id.path_segment"),
                "no path has so many segments",
                format!("count from 0, and stay below {PATH_SEGMENTS_MAX}"),
            );
        }
        methods::check(service, &at, complaints);
        check_compression(&service.compression, &format!("{at}.compression"), complaints);
        routing::check(
            snapshot,
            name,
            &service.routing,
            &format!("{at}.routing"),
            complaints,
        );
        header_rules::check(&service.header_rules, &format!("{at}.header_rules"), complaints);
    }
}

/// `taken`: which service has a host name already.
fn check_hosts<'a>(
    service: &'a Service,
    at: &str,
    taken: &mut HashMap<&'a str, String>,
    complaints: &mut Complaints,
) {
    if service.hosts.is_empty() {
        complaints.add(
            format!("{at}.hosts"),
            "no host name leads to the service",
            "give at least one, such as \"tv.example.com\"",
        );
    }
    for (nth, host) in service.hosts.iter().enumerate() {
        let at = format!("{at}.hosts[{nth}]");
        let name = host.strip_prefix("*.").unwrap_or(host);
        let lower = !host.bytes().any(|byte| byte.is_ascii_uppercase());
        // What a wildcard stands for is never part of an address.
        let legal = if name == host {
            is_bare_host(host)
        } else {
            is_host_name(name)
        };
        if !lower || !legal {
            complaints.add(
                &at,
                format!("{host:?} is not a host name"),
                "write it in lower case, without scheme, port or path; a wildcard is \"*.\" and a name",
            );
        } else if let Some(other) = taken.get(host.as_str()) {
            complaints.add(
                &at,
                format!("{host:?} stands at {other} too"),
                "leave each host name to one service, once",
            );
        } else {
            taken.insert(host, at);
        }
    }
}

/// A name, an IPv4 address, or an IPv6 address in brackets, as [`crate::hosts::host_of`] gives it.
fn is_bare_host(host: &str) -> bool {
    crate::hosts::host_of(host).is_some_and(|bare| bare == host)
}

fn check_origins(service: &Service, at: &str, complaints: &mut Complaints) {
    if service.origins.is_empty() {
        complaints.add(
            format!("{at}.origins"),
            "the service has no origin",
            "give at least one, such as { \"url\": \"https://origin.example.com\" }",
        );
    }
    let mut seen = HashSet::new();
    for (nth, origin) in service.origins.iter().enumerate() {
        let at = format!("{at}.origins[{nth}]");
        complaints.weight(format!("{at}.weight"), origin.weight);
        if origin.max_connections == 0 {
            complaints.add(
                format!("{at}.max_connections"),
                "no connection to the origin may be opened",
                "give 1 or more; leave it out for the default",
            );
        }
        if let Some(host) = origin.host_header.as_deref().filter(|host| !is_authority(host)) {
            complaints.add(
                format!("{at}.host_header"),
                format!("{host:?} is not a host"),
                "give a host name, with a port where the origin wants one",
            );
        }
        check_origin_url(origin, service.allow_private_origins, &at, &mut seen, complaints);
    }
}

fn check_origin_url(
    origin: &Origin,
    allow_private: bool,
    at: &str,
    seen: &mut HashSet<OriginAddress>,
    complaints: &mut Complaints,
) {
    let at = format!("{at}.url");
    let address = match origin.url.parse::<OriginAddress>() {
        Ok(address) => address,
        Err(error) => {
            complaints.add(
                at,
                error.to_string(),
                "write it as \"https://origin.example.com\"",
            );
            return;
        }
    };
    if !allow_private && (address.literal().is_some_and(is_private) || address.is_local_name()) {
        complaints.add(
            &at,
            format!("{} lies in a private, loopback or link-local range", address.host),
            "give a public origin, or set `allow_private_origins`",
        );
    }
    if !seen.insert(address) {
        complaints.add(
            at,
            "the origin is listed twice",
            "list it once and give it a larger weight",
        );
    }
}

fn check_ttl(rules: &TtlRules, at: &str, complaints: &mut Complaints) {
    for (field, period) in [
        ("manifest", rules.manifest),
        ("segment", rules.segment),
        ("default", rules.default),
    ] {
        if let Some(period) = period {
            check_period(format!("{at}.{field}"), period, complaints);
        }
    }
    for (status, period) in &rules.statuses {
        let at = format!("{at}.statuses.{status}");
        if !(201..=599).contains(status) || matches!(status, 206 | 304) {
            complaints.add(
                &at,
                format!("answers of status {status} have no lifetime of their own"),
                "name final statuses such as 404 or 503; for 200 there are the rules beside this one",
            );
        }
        check_period(at, *period, complaints);
    }
    let mut seen = HashSet::new();
    for (nth, rule) in rules.paths.iter().enumerate() {
        let at = format!("{at}.paths[{nth}]");
        check_period(format!("{at}.ttl"), rule.ttl, complaints);
        let at = format!("{at}.prefix");
        if !rule.prefix.starts_with('/') {
            complaints.add(
                &at,
                format!("{:?} is the beginning of no path", rule.prefix),
                "begin it with '/', such as \"/live/\"",
            );
        }
        if !seen.insert(&rule.prefix) {
            complaints.add(
                at,
                format!("{:?} has a rule already", rule.prefix),
                "keep one of the two",
            );
        }
    }
}

fn check_compression(compression: &Compression, at: &str, complaints: &mut Complaints) {
    for (nth, pattern) in compression.types.iter().enumerate() {
        if !is_pattern(pattern) {
            complaints.add(
                format!("{at}.types[{nth}]"),
                format!("{pattern:?} is no type of text"),
                "write a media type in lower case and without parameters, such as \"text/*\" or \"application/*+json\"; \
                 media is never compressed",
            );
        }
    }
    if compression.max_size > COMPRESSED_SIZE_MAX {
        complaints.add(
            format!("{at}.max_size"),
            format!("{} is more than may be compressed", compression.max_size),
            format!("give {COMPRESSED_SIZE_MAX} or less"),
        );
    } else if compression.max_size < compression.min_size {
        complaints.add(
            format!("{at}.max_size"),
            format!(
                "nothing is at least {} and at most {}",
                compression.min_size, compression.max_size
            ),
            "give a size above min_size, or set enabled to false",
        );
    }
}

fn check_period(at: String, period: Period, complaints: &mut Complaints) {
    if period.0 > PERIOD_MAX {
        complaints.add(at, format!("{period} is longer than a year"), "give 365d or less");
    }
}

fn check_query(query: &QueryKey, at: &str, complaints: &mut Complaints) {
    let (variant, names) = match query {
        QueryKey::AllBut(names) => ("all-but", names),
        QueryKey::Only(names) => ("only", names),
    };
    let mut seen = HashSet::new();
    for (nth, name) in names.iter().enumerate() {
        let at = format!("{at}.{variant}[{nth}]");
        // Names are compared with normalised ones, in which everything else is percent-encoded.
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$'()*+,;:@/?%".contains(&byte);
        if name.is_empty() || !name.bytes().all(legal) {
            complaints.add(
                &at,
                format!("{name:?} is not the name of a query parameter"),
                "write it as it stands in a URL, percent-encoded with upper-case digits, without '&' and '='",
            );
        }
        if !seen.insert(name) {
            complaints.add(at, format!("{name:?} is listed twice"), "list it once");
        }
    }
}
