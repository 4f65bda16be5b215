//! A DNS zone that routers answer for: its name servers, its fixed records, and the hosts of services inside it.

mod data;
mod name;

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

pub use data::{Data, DataError};
pub use name::{DomainName, NameError};

use crate::template::{self, Place};
use crate::{Node, Period, Snapshot};

/// One zone. Its name is its key in [`Snapshot::zones`]: lower case, without the final dot.
///
/// The hosts of services that lie inside it need no record: routers answer for them with the nodes that suit the
/// viewer, for a wildcard wherever an edge would answer too ([`crate::hosts::HostTable`]).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Zone {
    /// Its name servers, whole names. Those inside a zone of this document need an address among its records.
    pub ns: Vec<String>,
    /// Its start of authority. Absent: made of the name servers and the number of the snapshot.
    #[serde(default)]
    pub soa: Soa,
    /// How long resolvers may keep its records where these do not say, the name servers among them.
    #[serde(default = "an_hour")]
    pub ttl: Period,
    /// What it says beside the hosts of services.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub records: Vec<Record>,
}

/// The start of authority (RFC 1035 §3.3.13). Nobody transfers the zone from a router, so that only `negative_ttl` has
/// a consequence; the rest is for who reads it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Soa {
    /// The primary name server. Absent: the first of `ns`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mname: Option<String>,
    /// The mailbox of who answers for the zone, with a dot for the `@`. Absent: `hostmaster` in the zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rname: Option<String>,
    /// Absent: the number of the snapshot, modulo 2^32.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<u32>,
    /// How often a secondary would ask.
    #[serde(default = "an_hour")]
    pub refresh: Period,
    /// How soon it would ask again when it had no answer.
    #[serde(default = "a_quarter")]
    pub retry: Period,
    /// For how long it would answer without.
    #[serde(default = "a_fortnight")]
    pub expire: Period,
    /// How long resolvers may keep that there is no such name or record (RFC 2308 §5).
    #[serde(default = "half_a_minute")]
    pub negative_ttl: Period,
}

impl Default for Soa {
    fn default() -> Self {
        Soa {
            mname: None,
            rname: None,
            serial: None,
            refresh: an_hour(),
            retry: a_quarter(),
            expire: a_fortnight(),
            negative_ttl: half_a_minute(),
        }
    }
}

/// One fixed record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Its owner, relative to the zone: `www`, `_dmarc.mail`, `*`, or `@` for the zone itself.
    pub name: String,
    /// Of which type it is.
    #[serde(rename = "type")]
    pub kind: RecordKind,
    /// What it says, as in a zone file, but names in it are whole ([`Data`] has examples of each type).
    pub data: String,
    /// How long resolvers may keep it. Absent: as the zone says. Records of one name and type agree on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<Period>,
}

/// The types of fixed records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum RecordKind {
    /// An IPv4 address.
    A,
    /// An IPv6 address.
    Aaaa,
    /// Who may issue certificates.
    Caa,
    /// An alias.
    Cname,
    /// How HTTPS is spoken there.
    Https,
    /// A mail exchanger.
    Mx,
    /// A name server of a zone below, which others answer for. The zone's own stand in [`Zone::ns`].
    Ns,
    /// Text.
    Txt,
}

impl RecordKind {
    /// Its number (IANA, "Resource Record (RR) TYPEs").
    #[must_use]
    pub fn number(self) -> u16 {
        match self {
            RecordKind::A => 1,
            RecordKind::Ns => 2,
            RecordKind::Cname => 5,
            RecordKind::Mx => 15,
            RecordKind::Txt => 16,
            RecordKind::Aaaa => 28,
            RecordKind::Https => 65,
            RecordKind::Caa => 257,
        }
    }

    /// Whether it may stand at a name that routers answer for with addresses of their own choice.
    #[must_use]
    pub fn suits_a_steered_name(self) -> bool {
        !matches!(
            self,
            RecordKind::A | RecordKind::Aaaa | RecordKind::Cname | RecordKind::Ns
        )
    }
}

impl Record {
    /// The name it belongs to.
    ///
    /// # Errors
    /// [`NameError`] where its name is none.
    pub fn owner(&self, zone: &DomainName) -> Result<DomainName, NameError> {
        if self.name == "@" {
            Ok(zone.clone())
        } else {
            zone.below(&self.name)
        }
    }

    /// What it says.
    ///
    /// # Errors
    /// [`DataError`] where its text does not suit its type.
    pub fn read(&self) -> Result<Data, DataError> {
        Data::read(self.kind, &self.data)
    }
}

/// A host of a service, as a domain name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceHost<'a> {
    /// The name, or the wildcard.
    pub name: DomainName,
    /// The service's place among the services, in order of their names.
    pub service: u32,
    /// Where it stands in the document.
    pub at: (&'a str, usize),
}

impl Snapshot {
    /// The zones by name as DNS has it. What is no name is left out; the check complains of it.
    #[must_use]
    pub fn zones_by_domain(&self) -> BTreeMap<DomainName, (&str, &Zone)> {
        self.zones
            .iter()
            .filter_map(|(name, zone)| Some((DomainName::read(name).ok()?, (name.as_str(), zone))))
            .collect()
    }

    /// The name by which redirects lead to one node: [`Routing::node_host`](crate::Routing::node_host), filled in.
    #[must_use]
    pub fn node_host(&self, template: &str, name: &str, node: &Node) -> String {
        let region = self.sites.get(&node.site).map_or("", |site| site.region.as_str());
        let place = Place {
            site: &node.site,
            region,
            node: name,
        };
        template::expand(template, &place)
    }

    /// The names by which redirects lead to nodes, each with its node and how long resolvers may keep its addresses.
    pub fn node_hosts(&self) -> impl Iterator<Item = (DomainName, &Node, Period)> {
        let routings = self.services.values().map(|service| &service.routing);
        routings
            .filter_map(|routing| Some((routing.node_host.as_deref()?, routing.ttl)))
            .flat_map(move |(template, ttl)| {
                let routable = self.nodes.iter().filter(|(_, node)| node.is_routable());
                routable.filter_map(move |(name, node)| {
                    let host = DomainName::read(&self.node_host(template, name, node)).ok()?;
                    Some((host, node, ttl))
                })
            })
    }

    /// The hosts of all services that are domain names, those outside all zones too.
    pub fn service_hosts(&self) -> impl Iterator<Item = ServiceHost<'_>> {
        self.services
            .iter()
            .zip(0_u32..)
            .flat_map(|((name, service), nth)| {
                service.hosts.iter().enumerate().filter_map(move |(place, host)| {
                    Some(ServiceHost {
                        name: DomainName::read(host).ok()?,
                        service: nth,
                        at: (name, place),
                    })
                })
            })
    }
}

/// The innermost of `zones` that `name` lies in.
#[must_use]
pub fn innermost<'a, T>(
    zones: &'a BTreeMap<DomainName, T>,
    name: &DomainName,
) -> Option<(&'a DomainName, &'a T)> {
    name.and_above().find_map(|name| zones.get_key_value(&name))
}

fn an_hour() -> Period {
    Period(Duration::from_secs(3600))
}

fn a_quarter() -> Period {
    Period(Duration::from_secs(900))
}

fn a_fortnight() -> Period {
    Period(Duration::from_secs(14 * 86_400))
}

fn half_a_minute() -> Period {
    Period(Duration::from_secs(30))
}
