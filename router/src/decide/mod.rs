//! The one decision: where a client goes for a key, and why. DNS, redirects, JSON and content steering encode it.
//!
//! ```text
//!   snapshot ──▶ Fleet ───┐
//!   merge ──▶ Health ──▶ Availability ──▶ World ──┐
//!                 └──▶ Controls (30 s) ───┘       ├──▶ decide ──▶ Decision
//!   client, ranking, country, key ──▶ Question ───┘
//! ```
//!
//! - `decide` is a pure function. It reads no clock, allocates nothing, and gives the same answer on every router that
//!   knows the same. What depends on time is reckoned where a world is made, with `now` as an argument.
//! - Whatever looks like chance is a hash of the client's network or of the key ([`draw`]), so a small change of the
//!   world moves few clients, and moving back moves them back.
//! - Geography is not known here: a ranking of sites comes with the question.
//! - [`explain`] is `decide` with somebody listening. There is no second path that could say something else.

mod availability;
mod balance;
mod capacity;
mod controls;
mod decision;
mod draw;
mod edge;
mod explain;
mod few;
mod fleet;
mod large_keys;
mod question;
mod service;
mod site;
mod space_saving;
#[cfg(test)]
mod tests;
mod world;

pub(crate) use availability::{Availability, Health, Standing};
pub(crate) use controls::Controls;
pub(crate) use decision::{Choice, Decision, Reason};
pub(crate) use draw::{PREFIX_BITS_V4, PREFIX_BITS_V6};
pub(crate) use explain::Step;
pub(crate) use fleet::{EdgeId, Fleet, ServiceId, SiteId};
pub(crate) use large_keys::Tally;
#[cfg(test)]
pub(crate) use large_keys::{LargeKeys, SiteAbility};
pub(crate) use question::{Evidence, Family, Key, Question};
pub(crate) use service::Service;
pub(crate) use world::World;

use explain::{Deaf, Listener};
use few::Few;
use model::node::EDGES_OF_SITE_MAX;
use service::Admission;

/// Decides.
pub(crate) fn decide<'w>(world: &'w World, question: &Question<'_>) -> Decision<'w> {
    run(world, question, &mut Deaf)
}

/// Decides, and tells each step.
pub(crate) fn explain<'w>(world: &'w World, question: &Question<'_>) -> (Decision<'w>, Vec<Step>) {
    let mut steps = Vec::new();
    let decision = run(world, question, &mut steps);
    (decision, steps)
}

/// The nodes of `site` in the order in which they suit the question, whatever site it would be sent to.
pub(crate) fn at(world: &World, site: SiteId, question: &Question<'_>) -> Few<Choice, EDGES_OF_SITE_MAX> {
    let dispersion = world
        .fleet
        .service(question.service)
        .map_or(1, |service| service.dispersion);
    edge::order(world, site, question, dispersion, &mut Deaf).nodes
}

fn run<'w, L: Listener>(world: &'w World, question: &Question<'_>, listener: &mut L) -> Decision<'w> {
    listener.hear(|| asked(world, question));
    let decision = choose(world, question, listener);
    listener.hear(|| Step::Decided {
        reason: decision.reason,
        by_prefix: decision.by_prefix,
    });
    decision
}

fn choose<'w, L: Listener>(world: &'w World, question: &Question<'_>, listener: &mut L) -> Decision<'w> {
    let enabled = |service: &&Service| service.enabled;
    let Some(service) = world.fleet.service(question.service).filter(enabled) else {
        return Decision::without_nodes(Reason::Disabled, None);
    };
    match service.admit(question.country, question.evidence) {
        Admission::Blocked => return Decision::without_nodes(Reason::Blocked, None),
        Admission::Elsewhere(target) => return Decision::without_nodes(Reason::Elsewhere, Some(target)),
        Admission::Admitted => {}
    }
    let Some(place) = site::choose(world, question, service.hash, listener) else {
        return match &service.bypass {
            Some(target) => Decision::without_nodes(Reason::Bypass, Some(target)),
            None => Decision::without_nodes(Reason::Nothing, None),
        };
    };
    let order = edge::order(world, place.site, question, service.dispersion, listener);
    if order.nodes.is_empty() {
        listener.hear(|| Step::OtherFamilyOnly {
            site: world.site_name(place.site),
        });
    }
    Decision {
        site: Some(place.site),
        nodes: order.nodes,
        others: place.others,
        reason: place.reason,
        instead: None,
        by_prefix: place.by_prefix || order.by_prefix,
    }
}

fn asked(world: &World, question: &Question<'_>) -> Step {
    let service = world.fleet.service(question.service);
    Step::Asked {
        service: service.map_or_else(String::new, |service| service.name.to_string()),
        evidence: question.evidence,
        sites: question
            .ranking
            .iter()
            .map(|site| world.site_name(*site))
            .collect(),
        country: question.country.map(|country| country.to_string()),
        wants: question.wants,
        snapshot: world.fleet.number,
        health: world.health,
        panic: world.panic,
    }
}
