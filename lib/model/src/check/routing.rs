//! What can be wrong with how the clients of a service are steered.

use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::{Complaints, is_name, services::PATH_SEGMENTS_MAX};
use crate::Snapshot;
use crate::country::Country;
use crate::hosts::{host_of, is_host_name};
use crate::routing::{ANSWERS_MAX, Bypass, Countries, DISPERSION_MAX, Routing};
use crate::template::unknown_names;

/// Shorter lives would make resolvers ask for nothing but this; longer ones would keep clients at dead nodes.
const TTL: RangeInclusive<Duration> = Duration::from_secs(5)..=Duration::from_secs(3600);

/// Addresses of one bypass, of both families: two full DNS answers.
const BYPASS_ADDRESSES_MAX: usize = 2 * ANSWERS_MAX as usize;

/// Letters that people write for a country, and those that the standard has.
const MISTAKEN: [(&str, &str); 2] = [("UK", "GB"), ("EL", "GR")];

pub(super) fn check(
    snapshot: &Snapshot,
    name: &str,
    routing: &Routing,
    at: &str,
    complaints: &mut Complaints,
) {
    if let Some(template) = &routing.node_host {
        check_node_host(snapshot, name, template, format!("{at}.node_host"), complaints);
    }
    if !TTL.contains(&routing.ttl.0) {
        complaints.add(
            format!("{at}.ttl"),
            format!("answers cannot live for {}", routing.ttl),
            "give 5s to 1h; 30s is usual",
        );
    }
    for (field, number, most) in [
        ("answers", routing.answers, ANSWERS_MAX),
        ("dispersion", routing.dispersion, DISPERSION_MAX),
    ] {
        if !(1..=most).contains(&number) {
            complaints.add(
                format!("{at}.{field}"),
                format!("{number} is out of range"),
                format!("give 1 to {most}"),
            );
        }
    }
    if let Some(segments) = routing.key_prefix_segments
        && !(1..=PATH_SEGMENTS_MAX).contains(&usize::from(segments))
    {
        complaints.add(
            format!("{at}.key_prefix_segments"),
            format!("{segments} segments are no beginning of a path"),
            format!("give 1 to {PATH_SEGMENTS_MAX}, or leave it out"),
        );
    }
    if let Some(countries) = &routing.countries {
        check_countries(countries, &format!("{at}.countries"), complaints);
    }
    for (code, target) in &routing.elsewhere {
        let at = format!("{at}.elsewhere.{code}");
        check_country(code, &at, complaints);
        check_bypass(target, &at, complaints);
    }
    if let Some(target) = &routing.bypass {
        check_bypass(target, &format!("{at}.bypass"), complaints);
    }
}

/// Every node must have a name of its own by which its edge finds the service. The first one that has none is told.
fn check_node_host(
    snapshot: &Snapshot,
    service: &str,
    template: &str,
    at: String,
    complaints: &mut Complaints,
) {
    let whole = "write it as \"{node}.demo.cdn.example\", with {node} and perhaps {site} in braces";
    let misfit = unknown_names(template).find(|name| *name != "region");
    if let Some(name) = misfit.or(template.contains("{region}").then_some("region")) {
        return complaints.add(at, format!("{{{name}}} stands for no part of a host name"), whole);
    }
    if !template.contains("{node}") {
        return complaints.add(at, "all nodes would have the same name", whole);
    }
    let hosts = snapshot.host_table(|name, _| name);
    let wrong = snapshot
        .nodes
        .iter()
        // A name that is none is told of elsewhere.
        .filter(|(name, node)| node.is_routable() && is_name(name) && is_name(&node.site))
        .find_map(|(name, node)| {
            let host = snapshot.node_host(template, name, node);
            if host.contains(|letter: char| letter.is_ascii_uppercase()) || !is_host_name(&host) {
                return Some((host, "is no host name in lower case", whole));
            }
            let advice = "add a wildcard to its hosts, such as \"*.demo.cdn.example\"";
            let covered = hosts.find(&host) == Some(&service);
            (!covered).then_some((host, "is no host of this service", advice))
        });
    if let Some((host, what, advice)) = wrong {
        complaints.add(at, format!("{host:?} {what}"), advice);
    }
}

fn check_countries(countries: &Countries, at: &str, complaints: &mut Complaints) {
    let (rule, codes) = match countries {
        Countries::Allow(codes) => ("allow", codes),
        Countries::Block(codes) => ("block", codes),
    };
    if codes.is_empty() {
        complaints.add(
            format!("{at}.{rule}"),
            "no country is named",
            "name some, such as \"NL\"; leave `countries` out to allow all, or set `enabled` to false to allow none",
        );
    }
    let mut seen = HashSet::new();
    for (nth, code) in codes.iter().enumerate() {
        let at = format!("{at}.{rule}[{nth}]");
        check_country(code, &at, complaints);
        if !seen.insert(code) {
            complaints.add(at, format!("{code:?} is listed twice"), "list it once");
        }
    }
}

fn check_country(code: &str, at: &str, complaints: &mut Complaints) {
    if Country::new(code).is_some_and(Country::is_assigned) {
        return;
    }
    let upper = code.to_ascii_uppercase();
    let meant = MISTAKEN
        .iter()
        .find(|(mistaken, _)| *mistaken == upper)
        .map(|(_, right)| (*right).to_owned())
        .or_else(|| {
            Country::new(&upper)
                .filter(|country| country.is_assigned())
                .map(|_| upper.clone())
        });
    let advice = match meant {
        Some(meant) => format!("write {meant:?}"),
        None => "write its two capital letters of ISO 3166-1, such as \"NL\"".to_owned(),
    };
    complaints.add(at, format!("{code:?} is the code of no country"), advice);
}

fn check_bypass(target: &Bypass, at: &str, complaints: &mut Complaints) {
    if target.url.is_none() && target.addresses.is_empty() {
        complaints.add(
            at,
            "it leads nowhere",
            "give `url` for redirects, `addresses` for DNS, or both",
        );
    }
    if let Some(url) = target.url.as_deref().filter(|url| !is_place(url)) {
        complaints.add(
            format!("{at}.url"),
            format!("{url:?} is no place that a redirect can lead to"),
            "write it as \"https://other.example\" or \"https://other.example/path\", without query",
        );
    }
    if target.addresses.len() > BYPASS_ADDRESSES_MAX {
        complaints.add(
            format!("{at}.addresses"),
            format!(
                "{} addresses are more than answers can carry",
                target.addresses.len()
            ),
            format!("give {BYPASS_ADDRESSES_MAX} or fewer"),
        );
    }
    let mut seen = HashSet::new();
    for (nth, address) in target.addresses.iter().enumerate() {
        let at = format!("{at}.addresses[{nth}]");
        if address.is_unspecified() || address.is_multicast() {
            complaints.add(
                &at,
                format!("nobody can connect to {address}"),
                "give the address of a server",
            );
        }
        if !seen.insert(address) {
            complaints.add(at, format!("{address} is listed twice"), "list it once");
        }
    }
}

/// Scheme, host, and perhaps port and path, in characters that may stand in a `Location`.
fn is_place(url: &str) -> bool {
    let Some(rest) = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"))
    else {
        return false;
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/%".contains(&byte);
    host_of(authority).is_some() && path.bytes().all(legal)
}
