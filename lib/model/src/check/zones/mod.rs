//! What can be wrong with zones: their names, servers and times; their records; what these do to the hosts of services.

mod delegation;
mod records;
mod servers;
mod sets;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::Complaints;
use crate::{
    Period, Snapshot, Zone,
    zone::{Data, DomainName, RecordKind, ServiceHost},
};

/// Zones of one CDN; each is a few entries in the routers' table.
const ZONES_MAX: usize = 1_000;

/// Fixed records of one zone: those of a whole company, a hundred times over.
const RECORDS_MAX: usize = 10_000;

/// Delegations of one zone.
const DELEGATIONS_MAX: usize = 100;

/// The longest time to live: resolvers cut what is longer to a week or a day anyway (RFC 8767 §4).
const TTL_MAX: Duration = Duration::from_secs(7 * 86_400);

/// The longest time for which resolvers keep that something is absent (RFC 2308 §5).
const NEGATIVE_TTL_MAX: Duration = Duration::from_secs(86_400);

/// The longest interval of a start of authority.
const INTERVAL_MAX: Duration = Duration::from_secs(365 * 86_400);

/// A record that was read without complaint.
#[derive(Clone, Debug)]
struct Sound {
    at: String,
    owner: DomainName,
    kind: RecordKind,
    data: Data,
    ttl: Period,
}

/// A zone, and what of it could be read.
struct Read<'a> {
    at: String,
    origin: DomainName,
    zone: &'a Zone,
    records: Vec<Sound>,
    /// Where it leaves a part of itself to others, in order.
    cuts: BTreeSet<DomainName>,
}

/// All that can be read of the zones, by name.
type Zones<'a> = BTreeMap<DomainName, Read<'a>>;

pub(super) fn check(snapshot: &Snapshot, complaints: &mut Complaints) {
    if snapshot.zones.len() > ZONES_MAX {
        complaints.add(
            "zones",
            format!("{} zones are more than {ZONES_MAX}", snapshot.zones.len()),
            "describe them in several CDNs",
        );
        return;
    }
    let mut zones = Zones::new();
    for (name, zone) in &snapshot.zones {
        let at = format!("zones.{name}");
        check_times(zone, &at, complaints);
        let Some(origin) = origin(name, &at, complaints) else {
            continue;
        };
        let records = records::read(zone, &origin, &at, complaints);
        let cuts: BTreeSet<_> = records
            .iter()
            .filter(|record| record.kind == RecordKind::Ns && record.owner != origin)
            .map(|record| record.owner.clone())
            .collect();
        if cuts.len() > DELEGATIONS_MAX {
            complaints.add(
                format!("{at}.records"),
                format!("{} delegations are more than {DELEGATIONS_MAX}", cuts.len()),
                "delegate from a zone that is not steered",
            );
            continue;
        }
        let read = Read {
            at,
            origin: origin.clone(),
            zone,
            records,
            cuts,
        };
        zones.insert(origin, read);
    }
    let hosts: Vec<ServiceHost<'_>> = snapshot.service_hosts().collect();
    for read in zones.values() {
        servers::check(read, &zones, complaints);
        sets::check(read, &zones, &hosts, complaints);
        delegation::check(read, &hosts, complaints);
    }
}

fn origin(name: &str, at: &str, complaints: &mut Complaints) -> Option<DomainName> {
    match DomainName::read(name) {
        Ok(origin) if !origin.is_root() && !origin.is_wildcard() && !name.ends_with('.') => Some(origin),
        read => {
            let why = read
                .err()
                .map_or_else(|| "is no name of a zone".to_owned(), |error| error.to_string());
            complaints.add(
                at,
                format!("{name:?}: {why}"),
                "name the zone in lower case and without a dot at its end, such as \"cdn.example\"",
            );
            None
        }
    }
}

fn check_times(zone: &Zone, at: &str, complaints: &mut Complaints) {
    let soa = &zone.soa;
    for (field, period, longest) in [
        ("ttl", zone.ttl, TTL_MAX),
        ("soa.refresh", soa.refresh, INTERVAL_MAX),
        ("soa.retry", soa.retry, INTERVAL_MAX),
        ("soa.expire", soa.expire, INTERVAL_MAX),
        ("soa.negative_ttl", soa.negative_ttl, NEGATIVE_TTL_MAX),
    ] {
        check_time(format!("{at}.{field}"), period, longest, complaints);
    }
}

fn check_time(at: String, period: Period, longest: Duration, complaints: &mut Complaints) {
    if period.0 > longest {
        complaints.add(
            at,
            format!("{period} is too long"),
            format!("give {} or less", Period(longest)),
        );
    } else if period.0.subsec_nanos() != 0 {
        complaints.add(
            at,
            format!("DNS counts whole seconds, and {period} are none"),
            "round it",
        );
    }
}

impl Read<'_> {
    /// The records of `kind` that stand at `owner`.
    fn of<'a>(&'a self, owner: &'a DomainName, kind: RecordKind) -> impl Iterator<Item = &'a Sound> {
        self.records
            .iter()
            .filter(move |record| record.kind == kind && record.owner == *owner)
    }

    /// Whether the zone has an address for `owner`.
    fn has_address(&self, owner: &DomainName) -> bool {
        [RecordKind::A, RecordKind::Aaaa]
            .into_iter()
            .any(|kind| self.of(owner, kind).next().is_some())
    }
}
