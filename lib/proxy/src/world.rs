//! The snapshot as this node sees it: host names to services, with everything compiled that a request needs.
//!
//! A world is immutable and swapped whole; its epoch tells prepared response heads of an older one apart.

use std::sync::Arc;

use model::hosts::HostTable;
use model::{Compression, Service, Snapshot, Tier};

use crate::flow::route::Methods;
use crate::headers::rules::Place;
use crate::headers::{CdnLoop, Pseudonym, Rules, Via};
use crate::metrics::{Metrics, ServiceMetrics};
use crate::upstream::choose::Candidates;

/// Who this node is, as configured and as the snapshot places it.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Its name in the snapshot.
    pub node: Pseudonym,
    /// The tier it serves.
    pub tier: Tier,
    /// The site it stands in.
    pub site: Arc<str>,
    /// That site's region.
    pub region: Arc<str>,
}

/// One service, compiled for this node.
pub struct ServiceWorld {
    /// Its name.
    pub name: Arc<str>,
    /// What the snapshot says of it.
    pub service: Service,
    /// Its header rules for this node.
    pub rules: Rules,
    /// The methods it answers.
    pub methods: Methods,
    /// What this node compresses of its content; nothing at a parent, whose edges do it.
    pub compression: Option<Compression>,
    /// Whom this node asks for its content.
    pub candidates: Candidates,
    /// Its counters, resolved once.
    pub metrics: ServiceMetrics,
}

/// The snapshot, compiled for this node.
pub struct World {
    /// Grows with every world that takes over.
    pub epoch: u64,
    /// The published number of the snapshot it was made from.
    pub number: u64,
    /// Who this node is.
    pub identity: Identity,
    /// What it adds to `Via`.
    pub via: Via,
    /// How it knows a request that went round in a circle.
    pub cdn_loop: CdnLoop,
    hosts: HostTable<Arc<ServiceWorld>>,
    services: Vec<Arc<ServiceWorld>>,
}

impl World {
    /// The world before the first snapshot: it answers to no host.
    #[must_use]
    pub fn empty(node: Pseudonym, tier: Tier) -> World {
        let identity = Identity {
            node,
            tier,
            site: "".into(),
            region: "".into(),
        };
        let via = Via::new(&identity.node);
        let cdn_loop = CdnLoop::new(identity.node.clone(), identity.node.clone());
        World {
            epoch: 0,
            number: 0,
            identity,
            via,
            cdn_loop,
            hosts: HostTable::default(),
            services: Vec::new(),
        }
    }

    /// Compiles `snapshot` for the node `name`, which must serve `tier` in it.
    ///
    /// # Errors
    ///
    /// When the snapshot does not know the node, or knows it as another tier; every complaint there is.
    pub fn compile(
        snapshot: &Snapshot,
        name: &str,
        tier: Tier,
        epoch: u64,
        metrics: &Metrics,
    ) -> Result<World, Vec<String>> {
        let identity = identify(snapshot, name, tier).map_err(|complaint| vec![complaint])?;
        let cdn = Pseudonym::new(&snapshot.cdn).map_err(|error| vec![format!("cdn: {error}")])?;
        let mut complaints = Vec::new();
        let mut hosts = HostTable::default();
        let mut services = Vec::with_capacity(snapshot.services.len());
        for (service_name, service) in &snapshot.services {
            let place = Place {
                node: identity.node.as_str(),
                site: &identity.site,
                region: &identity.region,
                tier,
            };
            let rules = Rules::compile(&service.header_rules, place).unwrap_or_else(|found| {
                complaints.extend(found.iter().map(|one| format!("services.{service_name}.{one}")));
                Rules::default()
            });
            let compiled = Arc::new(ServiceWorld {
                name: service_name.as_str().into(),
                rules,
                methods: Methods::compile(&service.methods),
                compression: (tier == Tier::Edge && service.compression.enabled)
                    .then(|| service.compression.clone()),
                candidates: Candidates::compile(snapshot, service, &identity.site, tier),
                metrics: metrics.of_service(service_name, tier),
                service: service.clone(),
            });
            for host in &service.hosts {
                // The snapshot's check refuses a name given twice; were there one, the first service keeps it.
                let _ = hosts.insert(host, compiled.clone());
            }
            services.push(compiled);
        }
        if !complaints.is_empty() {
            return Err(complaints);
        }
        let via = Via::new(&identity.node);
        let cdn_loop = CdnLoop::new(cdn, identity.node.clone());
        Ok(World {
            epoch,
            number: snapshot.number,
            identity,
            via,
            cdn_loop,
            hosts,
            services,
        })
    }

    /// All services.
    #[must_use]
    pub fn services(&self) -> &[Arc<ServiceWorld>] {
        &self.services
    }

    /// The service that answers to `host` (lower case, without port).
    #[must_use]
    pub fn service_for_host(&self, host: &str) -> Option<&Arc<ServiceWorld>> {
        self.hosts.find(host)
    }
}

fn identify(snapshot: &Snapshot, name: &str, tier: Tier) -> Result<Identity, String> {
    let node = snapshot.nodes.get(name).ok_or_else(|| {
        format!("the snapshot knows no node {name:?}; add it, or set `node` to one it knows")
    })?;
    if node.tier != tier {
        return Err(format!(
            "the snapshot has {name:?} in the tier {:?}, this daemon serves as {tier:?}; start the other daemon or \
             change the tier",
            node.tier
        ));
    }
    let region = snapshot
        .sites
        .get(&node.site)
        .map_or("", |site| site.region.as_str());
    Ok(Identity {
        node: Pseudonym::new(name).map_err(|error| format!("node: {error}"))?,
        tier,
        site: node.site.as_str().into(),
        region: region.into(),
    })
}
