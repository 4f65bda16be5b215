//! The steps of a decision as data. The decision itself tells them; where nobody listens, nothing of it is compiled.

use serde::Serialize;

use super::availability::{Age, Standing};
use super::decision::{Reason, Why};
use super::question::{Evidence, Family, Reach};

/// One step of a decision, with names instead of numbers, for people and for the API.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "step", rename_all = "kebab-case")]
pub(crate) enum Step {
    /// What was asked, and by what state of the world.
    Asked {
        service: String,
        evidence: Evidence,
        /// The ranking.
        sites: Vec<String>,
        country: Option<String>,
        wants: Option<Family>,
        snapshot: u64,
        health: Age,
        panic: bool,
    },
    /// A site was passed by: none of its nodes may be used.
    SiteDown { site: String },
    /// The client's own site: it stays where what it draws is below what the site accepts.
    Stays {
        site: String,
        drawn: Option<f64>,
        accept: f64,
        headroom: Option<f64>,
        stays: bool,
    },
    /// Another site, for a client that its own has no room for: it is taken in where what it draws is below the share.
    TakenIn {
        site: String,
        drawn: Option<f64>,
        take_in: f64,
        headroom: Option<f64>,
        taken_in: bool,
    },
    /// Nobody has room for the client, so it stays at its own site.
    Kept { site: String },
    /// A node of the site. The best score comes first; `drawn` below `skip` moves it behind all others.
    Node {
        node: String,
        standing: Standing,
        reach: Reach,
        weight: f64,
        score: f64,
        skip: f64,
        drawn: Option<f64>,
    },
    /// The first so many nodes are put in the client's own order, because the service says so or because the key is
    /// asked for too often.
    Spread { over: usize, hot: bool },
    /// A node's final place.
    Place { node: String, why: Why },
    /// The site serves, but nobody there over the family that is wanted.
    OtherFamilyOnly { site: String },
    /// What it came to.
    Decided { reason: Reason, by_prefix: bool },
}

/// Who is told the steps of a decision.
pub(crate) trait Listener {
    /// Takes a step, which is made only for who wants it.
    fn hear(&mut self, step: impl FnOnce() -> Step);
}

/// Nobody.
pub(crate) struct Deaf;

impl Listener for Deaf {
    #[inline(always)]
    fn hear(&mut self, _: impl FnOnce() -> Step) {}
}

impl Listener for Vec<Step> {
    fn hear(&mut self, step: impl FnOnce() -> Step) {
        self.push(step());
    }
}
