//! From a snapshot to the candidates of one service at one node.

use std::{collections::BTreeSet, sync::Arc};

use http::HeaderValue;
use model::{
    Node, OriginAddress, Service, Snapshot, Status, Tier, hosts::host_of, rendezvous::node_hash, service,
};

use super::{Candidate, Candidates, Ring, Source};

impl Candidates {
    /// The candidates of `service` as a node of `tier` in `site` sees them.
    ///
    /// Strict parenting is decided here: unless the service lets it go direct, an edge has no origin among its
    /// candidates, so nothing that happens later can make it ask one.
    #[must_use]
    pub fn compile(snapshot: &Snapshot, service: &Service, site: &str, tier: Tier) -> Candidates {
        let mut rings = Vec::new();
        if tier == Tier::Edge {
            rings.extend(
                snapshot
                    .sites_by_distance(site)
                    .into_iter()
                    .map(|site| parents(snapshot, site)),
            );
        }
        if tier == Tier::Parent || service.go_direct {
            rings.push(origins(service));
        }
        rings.retain(|ring: &Ring| !ring.is_empty());
        Candidates { tier, rings }
    }
}

fn parents(snapshot: &Snapshot, site: &str) -> Ring {
    snapshot
        .nodes_of(site, Tier::Parent)
        .filter_map(|(name, node)| Some((node_hash(name), node.weight, Arc::new(parent(name, node)?))))
        .collect()
}

/// A parent by its plain address where it has one: between the tiers TLS costs much and proves nothing while nodes
/// have no certificates of their own. `None` where it answers nowhere, which the check of a snapshot refuses.
fn parent(name: &str, node: &Node) -> Option<Candidate> {
    let (tls, address) = match (node.http, node.https) {
        (Some(address), _) => (false, address),
        (None, Some(address)) => (true, address),
        (None, None) => return None,
    };
    Some(Candidate {
        name: name.into(),
        source: Source::Parent,
        tls,
        host: address.ip().to_string().into(),
        port: address.port(),
        host_header: None,
        server_name: None,
        private_allowed: true,
        connections_max: None,
        ignores_health: node.status == Status::Online,
    })
}

/// The origins, each once: an origin listed twice would count its failures twice as fast.
fn origins(service: &Service) -> Ring {
    let mut seen = BTreeSet::new();
    service
        .origins
        .iter()
        .filter_map(|written| {
            let address: OriginAddress = written.url.parse().ok()?;
            let url = address.to_string();
            let candidate = Arc::new(origin(service, written, &address)?);
            seen.insert(url.clone())
                .then(|| (node_hash(&url), written.weight, candidate))
        })
        .collect()
}

fn origin(service: &Service, written: &service::Origin, address: &OriginAddress) -> Option<Candidate> {
    let host_header = written.host_header.clone().unwrap_or_else(|| address.authority());
    let certified = written
        .host_header
        .as_deref()
        .and_then(host_of)
        .map(|host| host.into_owned());
    let host = address.host.trim_matches(['[', ']']);
    Some(Candidate {
        name: format!("{}:{}", address.host, address.port).into(),
        source: Source::Origin,
        tls: address.tls,
        host: host.into(),
        port: address.port,
        server_name: Some(certified.as_deref().unwrap_or(host).into()),
        host_header: Some(HeaderValue::from_str(&host_header).ok()?),
        private_allowed: service.allow_private_origins,
        connections_max: Some(written.max_connections),
        ignores_health: false,
    })
}
