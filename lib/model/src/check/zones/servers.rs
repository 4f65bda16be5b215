//! What can be wrong with the name servers and the start of authority of a zone.

use std::collections::HashSet;

use super::{Complaints, Read, Zones};
use crate::zone::{DomainName, innermost};

/// Name servers of one zone: the root has 13, and more do not fit into small answers together with their addresses.
const SERVERS_MAX: usize = 13;

pub(super) fn check(read: &Read<'_>, zones: &Zones<'_>, complaints: &mut Complaints) {
    let at = format!("{}.ns", read.at);
    if read.zone.ns.is_empty() || read.zone.ns.len() > SERVERS_MAX {
        complaints.add(
            &at,
            format!("{} name servers answer for the zone", read.zone.ns.len()),
            format!("name 1 to {SERVERS_MAX} routers, better two in different sites"),
        );
    }
    let mut seen = HashSet::new();
    for (nth, server) in read.zone.ns.iter().enumerate() {
        let at = format!("{at}[{nth}]");
        let Some(name) = whole(server, &at, complaints) else {
            continue;
        };
        if !seen.insert(name.clone()) {
            complaints.add(&at, format!("{name} is listed twice"), "list it once");
        }
        // Nobody could ask a server whose address only that server knows, and a steered address is no server's.
        let home = innermost(zones, &name).map(|(_, home)| home);
        if let Some(home) = home.filter(|home| !home.has_address(&name)) {
            complaints.add(
                at,
                format!("{name} has no address among the records of {}", home.origin),
                format!("add its A or AAAA record to {}.records", home.at),
            );
        }
    }
    let soa = &read.zone.soa;
    for (field, name) in [("mname", &soa.mname), ("rname", &soa.rname)] {
        if let Some(name) = name {
            whole(name, &format!("{}.soa.{field}", read.at), complaints);
        }
    }
}

fn whole(name: &str, at: &str, complaints: &mut Complaints) -> Option<DomainName> {
    let why = match DomainName::read(name) {
        Ok(name) if !name.is_wildcard() && !name.is_root() => return Some(name),
        Ok(name) => format!("{name} is no name of a server or mailbox"),
        Err(error) => error.to_string(),
    };
    complaints.add(
        at,
        why,
        "write a whole name in lower case, such as ns1.cdn.example",
    );
    None
}
