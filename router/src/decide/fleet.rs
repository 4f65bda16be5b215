//! The edges that clients may be sent to, their sites and the services, compiled from a snapshot. Nothing in it
//! depends on health or load.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use model::hosts::HostTable;
use model::node::{EDGES_OF_SITE_MAX, SITES_MAX};
use model::rendezvous::node_hash;
use model::{Node, Snapshot, Status};

use super::question::{Family, Reach};
use super::service::Service;

pub(crate) use crate::site::SiteId;

/// An edge: its place among the edges of its site in name order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct EdgeId(pub(crate) u8);

/// A service: its place among the services of the snapshot in name order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ServiceId(pub(crate) u32);

/// All that clients may be sent to.
#[derive(Debug)]
pub(crate) struct Fleet {
    /// The number of the snapshot.
    pub(crate) number: u64,
    pub(crate) sites: Box<[Site]>,
    services: Box<[Service]>,
    hosts: HostTable<Option<ServiceId>>,
}

#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) name: Box<str>,
    /// By which it takes part in draws.
    pub(crate) hash: u64,
    pub(crate) edges: Box<[Edge]>,
    /// The other sites, nearest first.
    pub(crate) neighbours: Box<[SiteId]>,
    /// What its uplinks carry.
    pub(crate) capacity_bytes_per_second: Option<u64>,
}

#[derive(Debug)]
pub(crate) struct Edge {
    pub(crate) name: Box<str>,
    /// By which it takes part in rendezvous and draws.
    pub(crate) hash: u64,
    pub(crate) weight: f64,
    pub(crate) status: Status,
    http: [Option<SocketAddr>; 2],
    https: [Option<SocketAddr>; 2],
}

impl Fleet {
    /// Compiles a snapshot that its check has found right: what is beyond a bound of the check is left out.
    pub(crate) fn compile(snapshot: &Snapshot) -> Fleet {
        let ids: BTreeMap<&str, SiteId> = snapshot
            .sites
            .keys()
            .map(String::as_str)
            .zip(site_ids())
            .collect();
        let mut edges: BTreeMap<&str, Vec<Edge>> = BTreeMap::new();
        for (name, node) in snapshot.nodes.iter().filter(|(_, node)| node.is_routable()) {
            let here = edges.entry(&node.site).or_default();
            if here.len() < EDGES_OF_SITE_MAX {
                here.push(Edge::of(name, node));
            }
        }
        let sites = snapshot.sites.iter().take(SITES_MAX).map(|(name, site)| {
            let others = snapshot.sites_by_distance(name).into_iter().skip(1);
            Site {
                name: name.as_str().into(),
                hash: node_hash(name),
                edges: edges.remove(name.as_str()).unwrap_or_default().into(),
                neighbours: others.filter_map(|other| ids.get(other).copied()).collect(),
                capacity_bytes_per_second: site.capacity_bytes_per_second.filter(|bytes| *bytes > 0),
            }
        });
        let sites = sites.collect();
        let services = snapshot
            .services
            .iter()
            .map(|(name, service)| Service::compile(name, service));
        let names: BTreeMap<&str, ServiceId> = snapshot
            .services
            .keys()
            .map(String::as_str)
            .zip((0..).map(ServiceId))
            .collect();
        // Each name is one of the map's keys.
        let hosts = snapshot.host_table(|name, _| names.get(name).copied());
        Fleet {
            number: snapshot.number,
            sites,
            services: services.collect(),
            hosts,
        }
    }

    pub(crate) fn site(&self, id: SiteId) -> Option<&Site> {
        self.sites.get(usize::from(id.0))
    }

    pub(crate) fn edge(&self, site: SiteId, edge: EdgeId) -> Option<&Edge> {
        self.site(site)?.edges.get(usize::from(edge.0))
    }

    pub(crate) fn service(&self, id: ServiceId) -> Option<&Service> {
        self.services.get(usize::try_from(id.0).ok()?)
    }

    /// The service that answers to `host`, lower case and without port.
    pub(crate) fn service_of_host(&self, host: &str) -> Option<ServiceId> {
        self.hosts.find(host).copied().flatten()
    }

    /// All sites, with their identities.
    pub(crate) fn numbered_sites(&self) -> impl Iterator<Item = (SiteId, &Site)> {
        site_ids().zip(&self.sites)
    }
}

/// The identities that sites have in name order.
fn site_ids() -> impl Iterator<Item = SiteId> {
    (0..=u16::MAX).map(SiteId).take(SITES_MAX)
}

impl Edge {
    fn of(name: &str, node: &Node) -> Edge {
        let by_family = |first: Option<SocketAddr>, sixth: Option<SocketAddr>| {
            let listed = [first, sixth];
            let one = |of_family: fn(&SocketAddr) -> bool| listed.into_iter().flatten().find(of_family);
            [one(SocketAddr::is_ipv4), one(SocketAddr::is_ipv6)]
        };
        Edge {
            name: name.into(),
            hash: node_hash(name),
            weight: node.weight,
            status: node.status,
            http: by_family(node.http, node.http6.map(SocketAddr::V6)),
            https: by_family(node.https, node.https6.map(SocketAddr::V6)),
        }
    }

    /// Where it answers HTTPS, or plain HTTP.
    pub(crate) fn address(&self, family: Family, secure: bool) -> Option<SocketAddr> {
        let of = if secure { &self.https } else { &self.http };
        of[family as usize]
    }

    /// What DNS answers for it.
    pub(crate) fn ip(&self, family: Family) -> Option<IpAddr> {
        let address = self.address(family, true).or_else(|| self.address(family, false));
        address.map(|address| address.ip())
    }

    /// The families that it has addresses of.
    pub(crate) fn reach(&self) -> Reach {
        Reach {
            ipv4: self.ip(Family::Ipv4).is_some(),
            ipv6: self.ip(Family::Ipv6).is_some(),
        }
    }
}
