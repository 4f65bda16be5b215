//! Looks after upstreams behind the requests: probes those that are down, so that no client's request has to find out
//! that one is back, and forgets those that no snapshot names any longer.
//!
//! A probe is `OPTIONS *` with one of the service's hosts: a node of this CDN answers it itself, and any answer of an
//! origin shows that it is alive.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, header};
use model::Moment;

use super::Upstreams;
use super::client::Nobody;
use super::exchange::{Connections, Outgoing};
use super::health::Standing;
use crate::world::World;

/// How long a probe may take: one that hangs longer has found out enough.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// Asks the upstreams of `world` that are down and whose pause is over, all at once.
async fn probe_due(
    upstreams: &Upstreams,
    connections: &Connections,
    world: &World,
    now: &impl Fn() -> Moment,
) {
    let mut probes = Vec::new();
    for service in world.services() {
        let Some(host) = service.service.hosts.first() else {
            continue;
        };
        for candidate in service.candidates.all() {
            let (standing, _) = upstreams.health.standing(&candidate.name, now());
            if standing == Standing::Due
                && let Some(ticket) = upstreams.health.target(&candidate.name).ask(now())
            {
                probes.push(async move {
                    let request = probe(host);
                    let mut nobody = Nobody;
                    let asked = upstreams.ask_one(connections, candidate, &request, &mut nobody, now());
                    match tokio::time::timeout(PROBE_TIMEOUT, asked).await {
                        Ok(Ok(_)) => ticket.succeeded(),
                        // Dropped, a ticket says nothing: the probe told something about this node only.
                        Ok(Err(unanswered)) if !unanswered.is_upstreams_fault() => drop(ticket),
                        Ok(Err(_)) | Err(_) => ticket.failed(now()),
                    }
                });
            }
        }
    }
    futures_util::future::join_all(probes).await;
}

/// Probes for ever, once every `interval`; one task per node.
pub async fn run(
    upstreams: &Upstreams,
    connections: &Connections,
    world: impl Fn() -> std::sync::Arc<World>,
    now: impl Fn() -> Moment,
    interval: Duration,
) {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut epoch = None;
    loop {
        ticks.tick().await;
        let world = world();
        if epoch.replace(world.epoch) != Some(world.epoch) {
            upstreams.retain(&world);
        }
        probe_due(upstreams, connections, &world, &now).await;
    }
}

fn probe(host: &str) -> Outgoing {
    // A wildcard names no host; what stands in its place is as good for a question about nothing in particular.
    let host = host.replacen('*', "probe", 1);
    let mut fields = HeaderMap::new();
    if let Ok(host) = HeaderValue::from_str(&host) {
        fields.insert(header::HOST, host);
    }
    Outgoing {
        method: Method::OPTIONS,
        target: "*".to_owned(),
        fields,
        is_repeatable: true,
    }
}
