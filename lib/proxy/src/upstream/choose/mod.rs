//! Whom to ask for a key, in which order, and why; pure.
//!
//! What a snapshot says of a service is compiled into rings: at an edge one for each site with parents, nearest first,
//! and behind them the origins where the service lets an edge go direct; at a parent the origins alone. Within a ring a
//! key ranks the candidates by weighted rendezvous, so that it sticks to one while that one is up.

mod compile;

use std::{collections::HashSet, sync::Arc};

use cache::Key;
use http::HeaderValue;
use model::{Moment, Tier, rendezvous};

use super::health::{Health, Standing, Ticket};

/// Candidates for one request at most: the first, and three more to go on to. A request that four have failed will
/// fail with the fifth, and its client has waited long enough.
pub const CANDIDATES_MAX: usize = 4;
/// Candidates that are tried although they are down, when all are: if two that had the longest rest do not answer, the
/// others would not either.
pub const LAST_RESORTS_MAX: usize = 2;

/// Whom a candidate belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A parent of this CDN.
    Parent,
    /// An origin of the service.
    Origin,
}

/// One upstream of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// A node's name, or an origin's host and port: what logs, metrics and health call it.
    pub name: Arc<str>,
    /// Whom it belongs to.
    pub source: Source,
    /// Whether to speak TLS to it.
    pub tls: bool,
    /// The name or literal address to connect to; IPv6 without brackets.
    pub host: Arc<str>,
    /// The port to connect to.
    pub port: u16,
    /// The `Host` to send; `None`: the client's, by which a parent finds the service.
    pub host_header: Option<HeaderValue>,
    /// The name its certificate must be for; `None`: the host the client asked for.
    pub server_name: Option<Arc<str>>,
    /// Whether it may lie in a private range.
    pub private_allowed: bool,
    /// Requests to it at once, from this node; `None`: no limit.
    pub connections_max: Option<u32>,
    /// It is asked whatever its health (status `ONLINE`).
    pub ignores_health: bool,
}

/// The upstreams of one service, as one node sees them.
#[derive(Clone, Debug)]
pub struct Candidates {
    /// The tier of the node that asks.
    tier: Tier,
    /// Nearest first; none is empty.
    rings: Vec<Ring>,
}

/// Candidates equally near: node hash, weight, candidate, as [`rendezvous::rank`] wants them.
type Ring = Vec<(u64, f64, Arc<Candidate>)>;

/// The upstreams of one service for one key.
#[derive(Clone, Copy, Debug)]
pub struct CandidatesForKey<'a> {
    candidates: &'a Candidates,
    key_hash: u64,
}

/// A candidate, and why it is asked at this place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chosen<'a> {
    /// Whom to ask.
    pub candidate: &'a Arc<Candidate>,
    /// Why.
    pub reason: Reason,
}

/// Why a candidate stands where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The key is its own.
    Own,
    /// It is the key's next in the nearest ring.
    Successor,
    /// It stands in a site farther away.
    Farther,
    /// An edge asks an origin, as the service allows.
    Direct,
    /// All are down, and it had the longest rest.
    LastResort,
}

impl Reason {
    /// The word for it in logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Own => "own",
            Reason::Successor => "successor",
            Reason::Farther => "farther",
            Reason::Direct => "direct",
            Reason::LastResort => "last-resort",
        }
    }
}

impl Candidates {
    /// The candidates for a key.
    #[must_use]
    pub fn for_key(&self, key: &Key) -> CandidatesForKey<'_> {
        CandidatesForKey {
            candidates: self,
            key_hash: rendezvous::key_hash(key.text()),
        }
    }

    /// All of them, in no particular order: for tables that keep something for each.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Candidate>> {
        self.rings.iter().flatten().map(|(_, _, candidate)| candidate)
    }

    /// The names of all candidates of several services, for [`Health::retain`].
    #[must_use]
    pub fn names<'a>(services: impl IntoIterator<Item = &'a Candidates>) -> HashSet<&'a str> {
        services
            .into_iter()
            .flat_map(Candidates::all)
            .map(|candidate| &*candidate.name)
            .collect()
    }
}

impl<'a> CandidatesForKey<'a> {
    /// Whom to ask, in order; at most [`CANDIDATES_MAX`]. `standing` says how a candidate is and when it failed last.
    ///
    /// Those that are up come in the order of the key's ranks, and among them at its own rank one whose pause is over,
    /// for its probe. When none is up, those that failed least recently are tried all the same: it is likelier that we
    /// are wrong about one than that all are dead.
    #[must_use]
    pub fn choose(self, standing: impl Fn(&Candidate) -> (Standing, Option<Moment>)) -> Vec<Chosen<'a>> {
        let mut chosen = Vec::with_capacity(CANDIDATES_MAX);
        let mut down = Vec::new();
        let mut any_up = false;
        for (candidate, reason) in self.ranked() {
            let (standing, last_failure) = if candidate.ignores_health {
                (Standing::Up, None)
            } else {
                standing(candidate)
            };
            let is_full = chosen.len() == CANDIDATES_MAX;
            match standing {
                Standing::Up | Standing::Due if !is_full => chosen.push(Chosen { candidate, reason }),
                // Full of probes, which others may have taken by now: one that is up takes the last place.
                Standing::Up => chosen[CANDIDATES_MAX - 1] = Chosen { candidate, reason },
                Standing::Due | Standing::Resting | Standing::Probing => {}
            }
            any_up |= standing == Standing::Up;
            if any_up && chosen.len() == CANDIDATES_MAX {
                return chosen;
            }
            if standing != Standing::Up {
                down.push((last_failure, candidate));
            }
        }
        if any_up { chosen } else { last_resorts(down) }
    }

    /// As [`choose`](Self::choose), asking the table of all upstreams.
    #[must_use]
    pub fn choose_by_health(self, health: &Health, now: Moment) -> Vec<Chosen<'a>> {
        self.choose(|candidate| health.standing(&candidate.name, now))
    }

    /// All candidates in the order of their ranks, ring by ring; a ring is ranked when it is reached.
    fn ranked(self) -> impl Iterator<Item = (&'a Arc<Candidate>, Reason)> {
        let CandidatesForKey {
            candidates: Candidates { tier, rings },
            key_hash,
        } = self;
        rings.iter().enumerate().flat_map(move |(distance, ring)| {
            rendezvous::rank(key_hash, ring)
                .into_iter()
                .enumerate()
                .map(move |(rank, candidate)| {
                    let reason = match (candidate.source, distance, rank) {
                        (Source::Origin, ..) if *tier == Tier::Edge => Reason::Direct,
                        (_, 0, 0) => Reason::Own,
                        (_, 0, _) => Reason::Successor,
                        _ => Reason::Farther,
                    };
                    (candidate, reason)
                })
        })
    }
}

/// Those that failed longest ago; among equals the better rank first.
fn last_resorts<'a>(mut down: Vec<(Option<Moment>, &'a Arc<Candidate>)>) -> Vec<Chosen<'a>> {
    down.sort_by_key(|(last_failure, _)| *last_failure);
    down.truncate(LAST_RESORTS_MAX);
    down.into_iter()
        .map(|(_, candidate)| Chosen {
            candidate,
            reason: Reason::LastResort,
        })
        .collect()
}

impl Chosen<'_> {
    /// Leave to ask the candidate now; `None` where it is down and another request has just become its probe.
    pub fn admit(&self, health: &Health, now: Moment) -> Option<Ticket> {
        let target = health.target(&self.candidate.name);
        if self.reason == Reason::LastResort || self.candidate.ignores_health {
            Some(target.ask_anyway(now))
        } else {
            target.ask(now)
        }
    }
}

#[cfg(test)]
mod tests;
