//! What can be wrong with sites and nodes.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
};

use super::Complaints;
use crate::node::{EDGES_OF_SITE_MAX, SITES_MAX};
use crate::{Node, Site, Snapshot};

pub(super) fn check(snapshot: &Snapshot, complaints: &mut Complaints) {
    for (name, site) in &snapshot.sites {
        let at = format!("sites.{name}");
        complaints.name(&at, name);
        check_site(site, &at, complaints);
    }
    let mut taken = HashMap::new();
    for (name, node) in &snapshot.nodes {
        let at = format!("nodes.{name}");
        complaints.name(&at, name);
        if !snapshot.sites.contains_key(&node.site) {
            complaints.add(
                format!("{at}.site"),
                format!("there is no site {:?}", node.site),
                "name one of `sites`, or add it there",
            );
        }
        complaints.weight(format!("{at}.weight"), node.weight);
        check_addresses(node, &at, &mut taken, complaints);
    }
    check_counts(snapshot, complaints);
}

fn check_counts(snapshot: &Snapshot, complaints: &mut Complaints) {
    if snapshot.sites.len() > SITES_MAX {
        complaints.add(
            "sites",
            format!("{} sites are more than {SITES_MAX}", snapshot.sites.len()),
            "make two CDNs of it, or join sites that stand in one city",
        );
    }
    let mut edges: BTreeMap<&str, usize> = BTreeMap::new();
    for node in snapshot.nodes.values().filter(|node| node.is_routable()) {
        *edges.entry(&node.site).or_default() += 1;
    }
    for (site, count) in edges.into_iter().filter(|(_, count)| *count > EDGES_OF_SITE_MAX) {
        complaints.add(
            format!("sites.{site}"),
            format!("{count} edges stand in it, and {EDGES_OF_SITE_MAX} may"),
            "make two sites of it, or set nodes OFFLINE",
        );
    }
}

fn check_site(site: &Site, at: &str, complaints: &mut Complaints) {
    for (field, degrees, limit) in [
        ("latitude", site.latitude, 90.0),
        ("longitude", site.longitude, 180.0),
    ] {
        if !(-limit..=limit).contains(&degrees) {
            complaints.add(
                format!("{at}.{field}"),
                format!("{degrees} is no {field}"),
                format!("give degrees from -{limit} to {limit}"),
            );
        }
    }
    if !site.region.bytes().all(|byte| byte.is_ascii_graphic()) || site.region.is_empty() {
        complaints.add(
            format!("{at}.region"),
            format!("{:?} cannot be sent in a header field", site.region),
            "use letters, digits and signs of ASCII, without blanks, such as \"eu-west\"",
        );
    }
}

/// Who has an address, by `at` of its node's field.
type Taken = HashMap<SocketAddr, String>;

fn check_addresses(node: &Node, at: &str, taken: &mut Taken, complaints: &mut Complaints) {
    if node.http.is_none() && node.https.is_none() {
        complaints.add(
            at,
            "the node answers neither HTTP nor HTTPS",
            "give `http`, `https` or both, such as \"192.0.2.1:80\"",
        );
    }
    for (first, second, also) in [
        ("http", node.http, node.http6),
        ("https", node.https, node.https6),
    ] {
        if also.is_some() && !second.is_some_and(|address| address.is_ipv4()) {
            complaints.add(
                format!("{at}.{first}6"),
                format!("stands beside an address of IPv4, and `{first}` is none"),
                format!("write the IPv4 address in `{first}`, or the IPv6 one there and leave this out"),
            );
        }
    }
    for (field, address) in [
        ("http", node.http),
        ("https", node.https),
        ("http6", node.http6.map(SocketAddr::V6)),
        ("https6", node.https6.map(SocketAddr::V6)),
        ("admin", node.admin),
    ] {
        let Some(address) = address else { continue };
        let at = format!("{at}.{field}");
        if address.ip().is_unspecified() || address.ip().is_multicast() || address.port() == 0 {
            complaints.add(
                &at,
                format!("nobody can connect to {address}"),
                "give the address and port by which others reach the node",
            );
        }
        if let Some(other) = taken.get(&address) {
            complaints.add(
                &at,
                format!("{address} is also the address of {other}"),
                "give each its own address or port",
            );
        } else {
            taken.insert(address, at);
        }
    }
}
