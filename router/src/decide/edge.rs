//! In which order the edges of a site are right for a key: weighted rendezvous, but that some of the keys of a crowded
//! edge skip it, and keys that are too much for one edge are spread over the first few.

use std::cmp::Ordering;

use model::node::EDGES_OF_SITE_MAX;
use model::rendezvous::score;

use super::decision::{Choice, Why};
use super::draw::{self, ClientPrefix};
use super::explain::{Listener, Step};
use super::few::Few;
use super::fleet::{EdgeId, SiteId};
use super::question::{Key, Question};
use super::world::{EdgeNow, World};

/// As long as an edge passes on no more than this share of its keys, the large ones stay. Beyond, they are what crowds
/// it, and go in the same proportion as the small ones have gone.
const LARGE_STAY_UNTIL: f64 = 0.7;

/// The edges of a site in order, and whether the client's prefix had a say in it.
pub(super) struct EdgeOrder {
    pub(super) nodes: Few<Choice, EDGES_OF_SITE_MAX>,
    pub(super) by_prefix: bool,
}

/// Which of those that would go to a crowded edge go to the next.
#[derive(Clone, Copy, Debug)]
enum Skipping {
    /// Of many keys, this one or not.
    Keys,
    /// Of the many clients of a key that several nodes have or everybody asks for, this one or not.
    Clients(ClientPrefix),
    /// A large key, only if the small ones are not enough.
    LargeKeys,
}

impl Skipping {
    /// Which share of those that the edge passes on is drawn for.
    fn share(self, skip: f64) -> f64 {
        match self {
            Skipping::Keys | Skipping::Clients(_) => skip,
            Skipping::LargeKeys => ((skip - LARGE_STAY_UNTIL) / (1.0 - LARGE_STAY_UNTIL)).max(0.0),
        }
    }

    fn client(self) -> Option<ClientPrefix> {
        match self {
            Skipping::Clients(client) => Some(client),
            Skipping::Keys | Skipping::LargeKeys => None,
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Candidate {
    edge: EdgeId,
    hash: u64,
    weight: f64,
    score: f64,
    why: Why,
}

/// Orders the edges of `site`. `dispersion`: over how many nodes the service spreads each key.
pub(super) fn order<L: Listener>(
    world: &World,
    site: SiteId,
    question: &Question<'_>,
    dispersion: usize,
    listener: &mut L,
) -> EdgeOrder {
    let client = ClientPrefix::of(question.client);
    let key = question.key.hash();
    let large = world.large.spread(site, key);
    let spread = large.unwrap_or(1).max(dispersion);
    let skipping = match (question.key, large) {
        (Key::Host(_), _) => Skipping::Clients(client),
        (Key::Content(_), _) if spread > 1 => Skipping::Clients(client),
        (Key::Content(_), None) => Skipping::Keys,
        (Key::Content(_), Some(_)) => Skipping::LargeKeys,
    };
    let (mut candidates, mut by_prefix) = candidates(world, site, question, skipping, listener);
    let candidates = candidates.as_mut_slice();
    if spread > 1 {
        by_prefix = true;
        listener.hear(|| Step::Spread {
            over: spread,
            hot: spread > dispersion,
        });
        candidates.sort_unstable_by(by_score);
        let (first, rest) = candidates.split_at_mut(spread.min(candidates.len()));
        spread_out(first, draw::own_order(client, key));
        rest.sort_unstable_by(in_turn);
    } else {
        candidates.sort_unstable_by(in_turn);
    }
    let mut nodes = Few::default();
    for candidate in candidates.iter() {
        listener.hear(|| Step::Place {
            node: node_name(world, site, candidate.edge),
            why: candidate.why,
        });
        nodes.push(Choice {
            edge: candidate.edge,
            why: candidate.why,
        });
    }
    EdgeOrder { nodes, by_prefix }
}

/// The edges that may be used, scored, in no order.
fn candidates<L: Listener>(
    world: &World,
    site: SiteId,
    question: &Question<'_>,
    skipping: Skipping,
    listener: &mut L,
) -> (Few<Candidate, EDGES_OF_SITE_MAX>, bool) {
    let mut list = Few::default();
    let mut by_prefix = false;
    let edges = world.site(site).map_or(&[][..], |now| &now.edges);
    for (edge, now) in (0..).map(EdgeId).zip(edges) {
        if !now.reach.covers(question.wants) {
            listener.hear(|| node_step(world, site, edge, now, 0.0, None));
            continue;
        }
        let score = score(question.key.hash(), now.hash, now.weight);
        let skip = skipping.share(now.skip);
        let drawn = (skip > 0.0).then(|| draw::skip(question.key.hash(), now.hash, skipping.client()));
        by_prefix |= drawn.is_some() && skipping.client().is_some();
        listener.hear(|| node_step(world, site, edge, now, score, drawn));
        let skipped = drawn.is_some_and(|drawn| drawn < skip);
        list.push(Candidate {
            edge,
            hash: now.hash,
            weight: now.weight,
            score,
            why: if skipped { Why::Skipped } else { Why::Rendezvous },
        });
    }
    (list, by_prefix)
}

/// Puts the nodes that share a key in the order of a rendezvous of the client's own. All of them have the key already, so
/// a crowded one passes clients on to the others first.
fn spread_out(first: &mut [Candidate], own_order: u64) {
    for candidate in &mut *first {
        candidate.score = score(own_order, candidate.hash, candidate.weight);
        if candidate.why != Why::Skipped {
            candidate.why = Why::Spread;
        }
    }
    first.sort_unstable_by(in_turn);
}

/// The best first, and those that are skipped last.
fn in_turn(left: &Candidate, right: &Candidate) -> Ordering {
    let skipped = |candidate: &Candidate| candidate.why == Why::Skipped;
    skipped(left).cmp(&skipped(right)).then(by_score(left, right))
}

/// The best first. Equal scores (a draw that two nodes share) are ordered by hash, as in `rendezvous::rank`.
fn by_score(left: &Candidate, right: &Candidate) -> Ordering {
    right
        .score
        .total_cmp(&left.score)
        .then(left.hash.cmp(&right.hash))
}

fn node_step(
    world: &World,
    site: SiteId,
    edge: EdgeId,
    now: &EdgeNow,
    score: f64,
    drawn: Option<f64>,
) -> Step {
    Step::Node {
        node: node_name(world, site, edge),
        standing: now.standing,
        reach: now.reach,
        weight: now.weight,
        score,
        skip: now.skip,
        drawn,
    }
}

fn node_name(world: &World, site: SiteId, edge: EdgeId) -> String {
    let edge = world.fleet.edge(site, edge);
    edge.map_or_else(String::new, |edge| edge.name.to_string())
}
