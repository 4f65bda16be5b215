//! Tags of objects on their way to players: an origin's words to its caches, which end at the edge.

use cache::purge::tags::OF_CDN;
use http::HeaderMap;
use model::Tier;

/// Takes the tags that only a CDN has a use for from an answer of a node of `tier`: edges speak to players, parents to
/// edges, which purge by them. `Cache-Groups` stays: it is for every cache on the way (RFC 9875 §2).
pub fn withhold(tier: Tier, fields: &mut HeaderMap) {
    if tier == Tier::Edge {
        for name in OF_CDN {
            fields.remove(name);
        }
    }
}
