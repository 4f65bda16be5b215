//! What can be wrong with records together: those of one name, those that others answer for, and those of hosts.

use std::collections::{BTreeMap, HashMap};

use super::{Complaints, Read, Sound, Zones};
use crate::zone::{Data, DomainName, RecordKind, ServiceHost, innermost};

/// Records of one name and type. With texts of 2 KiB at most they fit into one message over TCP.
const SET_RECORDS_MAX: usize = 24;

/// The records of one zone by name and type.
type Sets<'a> = BTreeMap<&'a DomainName, BTreeMap<RecordKind, Vec<&'a Sound>>>;

pub(super) fn check(
    read: &Read<'_>,
    zones: &Zones<'_>,
    hosts: &[ServiceHost<'_>],
    complaints: &mut Complaints,
) {
    let mut sets = Sets::new();
    for record in &read.records {
        let kinds = sets.entry(&record.owner).or_default();
        kinds.entry(record.kind).or_default().push(record);
    }
    let hosts: HashMap<&DomainName, &ServiceHost<'_>> = hosts.iter().map(|host| (&host.name, host)).collect();
    for (owner, kinds) in &sets {
        for set in kinds.values() {
            check_set(set, complaints);
        }
        if let Some(alias) = kinds.get(&RecordKind::Cname) {
            check_alias(alias[0], kinds, read, zones, complaints);
        }
        check_home(owner, kinds, read, zones, complaints);
        if let Some(host) = hosts.get(owner) {
            check_host(host, kinds, complaints);
        }
    }
}

fn check_set(set: &[&Sound], complaints: &mut Complaints) {
    let first = set[0];
    if set.len() > SET_RECORDS_MAX {
        complaints.add(
            &set[SET_RECORDS_MAX].at,
            format!(
                "{} records of one name and type are more than {SET_RECORDS_MAX}",
                set.len()
            ),
            "leave some out: they would not fit into one message",
        );
        return;
    }
    for (nth, record) in set.iter().enumerate() {
        if let Some(twin) = set[..nth].iter().find(|earlier| earlier.data == record.data) {
            complaints.add(
                &record.at,
                format!("{} says the same", twin.at),
                "keep one of the two",
            );
        } else if record.ttl != first.ttl {
            complaints.add(
                format!("{}.ttl", record.at),
                format!("{} differs from the {} of {}", record.ttl, first.ttl, first.at),
                "records of one name and type have one time to live (RFC 2181 §5.2)",
            );
        }
    }
}

/// RFC 1034 §3.6.2.
fn check_alias(
    alias: &Sound,
    kinds: &BTreeMap<RecordKind, Vec<&Sound>>,
    read: &Read<'_>,
    zones: &Zones<'_>,
    complaints: &mut Complaints,
) {
    if alias.owner == read.origin {
        complaints.add(
            &alias.at,
            "the zone itself cannot be an alias: it has name servers",
            "write addresses, or add the name to the hosts of a service",
        );
    } else if kinds.values().map(Vec::len).sum::<usize>() > 1 {
        complaints.add(
            &alias.at,
            "an alias stands alone at its name",
            "remove the other records of that name, or the alias",
        );
    }
    let Data::Cname(target) = &alias.data else { return };
    let ours =
        innermost(zones, target).is_some_and(|(_, home)| !home.cuts.iter().any(|cut| target.is_within(cut)));
    if ours {
        complaints.add(
            format!("{}.data", alias.at),
            format!("{target} is a name of these zones; an alias would cost resolvers a second question"),
            "write its records here too, or add this name to the hosts of its service",
        );
    }
}

/// A record of a name that lies in a zone further down would never be seen.
fn check_home(
    owner: &DomainName,
    kinds: &BTreeMap<RecordKind, Vec<&Sound>>,
    read: &Read<'_>,
    zones: &Zones<'_>,
    complaints: &mut Complaints,
) {
    let home = innermost(zones, owner).map(|(_, home)| home);
    if let Some(home) = home.filter(|home| home.origin != read.origin) {
        for record in kinds.values().flatten() {
            complaints.add(
                format!("{}.name", record.at),
                format!("{owner} belongs to the zone {}", home.origin),
                format!("move it to {}.records", home.at),
            );
        }
    } else if *owner == read.origin {
        for record in kinds.get(&RecordKind::Ns).into_iter().flatten() {
            complaints.add(
                &record.at,
                "the name servers of the zone itself stand elsewhere",
                format!("move it to {}.ns", read.at),
            );
        }
    }
}

fn check_host(
    host: &ServiceHost<'_>,
    kinds: &BTreeMap<RecordKind, Vec<&Sound>>,
    complaints: &mut Complaints,
) {
    for record in kinds.values().flatten() {
        if !record.kind.suits_a_steered_name() {
            let (service, nth) = host.at;
            complaints.add(
                &record.at,
                format!(
                    "{} is a host of a service, services.{service}.hosts[{nth}]",
                    host.name
                ),
                "remove the record, whose place the nodes of the CDN take, or the host",
            );
        }
    }
}
