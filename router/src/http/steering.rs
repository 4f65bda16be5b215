//! Content steering: which sites a player should use, in order, said anew while it plays (RFC 8216bis §7, ETSI
//! TS 103 998).
//!
//! A playlist need not know the sites: each comes as a clone of its pathway `.`, which is the one of streams that say
//! none, at the host of the best node there. Such a clone is named after the site and the node: hls.js keeps the first
//! clone of a name, and one that came again under that name would not lead it to another host. A playlist that names
//! sites as pathways of its own is ordered as well: the name of a site comes behind its clone.
//!
//! A host comes without its port: `HOST` takes the place of a URI's hostname, and the URI keeps its port. hls.js ignores
//! one with a port, and stays where it is. So nodes to which players are steered listen on the same ports.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};
use serde::Serialize;

use super::answer::{self, Asked};
use super::location;
use crate::decide::{Decision, EdgeId, Reason, Service, SiteId};
use crate::geo::table::Found;
use crate::world::{Wish, World};

/// The pathway of streams that name none.
const UNNAMED: &str = ".";

/// Nodes of the chosen site that are named; one of each other site is enough until the next manifest.
const NODES_OF_OWN_SITE: usize = 2;

/// The pathway that leads outside. No clone of a site has such a name, for it has a dot in it.
const OUTSIDE: &str = "elsewhere";

/// A steering manifest.
#[derive(Serialize)]
#[serde(rename_all = "SCREAMING-KEBAB-CASE")]
struct Manifest {
    version: u8,
    /// Seconds until it should be asked for again.
    ttl: u64,
    reload_uri: String,
    pathway_priority: Vec<String>,
    pathway_clones: Vec<Clone>,
}

#[derive(Serialize)]
#[serde(rename_all = "SCREAMING-KEBAB-CASE")]
struct Clone {
    base_id: &'static str,
    id: String,
    uri_replacement: Replacement,
}

#[derive(Serialize)]
#[serde(rename_all = "SCREAMING-KEBAB-CASE")]
struct Replacement {
    host: String,
}

/// Where a player may go.
#[derive(Default)]
struct Ways {
    /// Names of pathways, best first.
    priority: Vec<String>,
    /// Those of them that the playlist does not have.
    clones: Vec<Clone>,
}

impl Ways {
    /// A clone, behind all others.
    fn add(&mut self, id: String, authority: &str) {
        self.priority.push(id.clone());
        self.clones.push(Clone {
            base_id: UNNAMED,
            id,
            uri_replacement: Replacement {
                host: hostname(authority).to_owned(),
            },
        });
    }

    /// A site, by its best nodes and then by its own name.
    fn add_site<'n>(&mut self, site: &str, nodes: impl Iterator<Item = (&'n str, String)>) {
        let before = self.clones.len();
        for (node, authority) in nodes {
            self.add(format!("{site}.{node}"), &authority);
        }
        if self.clones.len() > before {
            self.priority.push(site.to_owned());
        }
    }
}

pub(super) fn answer(
    world: &World,
    service: &Service,
    wish: Wish,
    asked: &Asked<'_>,
    decision: &Decision<'_>,
    found: Found,
) -> Response<Bytes> {
    let Ways { priority, clones } = match decision.instead {
        Some(target) => outside(target.url.as_deref()),
        None => sites(world, service, wish, asked, decision, found),
    };
    if clones.is_empty() {
        return match decision.reason {
            // The player is not to ask again.
            Reason::Disabled => answer::headed(StatusCode::GONE, Bytes::new()),
            reason => answer::nowhere(reason),
        };
    }
    let manifest = Manifest {
        version: 1,
        ttl: service.ttl.as_secs(),
        reload_uri: reload(asked),
        pathway_priority: priority,
        pathway_clones: clones,
    };
    let mut response = answer::headed(
        StatusCode::OK,
        serde_json::to_vec(&manifest).unwrap_or_default().into(),
    );
    let dash = asked.query.is_some_and(|query| query.contains("_DASH_"));
    let kind = if dash {
        "application/json"
    } else {
        "application/vnd.apple.steering-list"
    };
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// The site that was chosen, and then the others.
fn sites(
    world: &World,
    service: &Service,
    wish: Wish,
    asked: &Asked<'_>,
    decision: &Decision<'_>,
    found: Found,
) -> Ways {
    let client = asked.way.client;
    // A player whose node goes away finds the next one of its site in the manifest that it has.
    let own = decision.site.map(|site| {
        let nodes = decision.nodes.iter().take(NODES_OF_OWN_SITE);
        (site, nodes.map(|choice| choice.edge).collect())
    });
    let others = decision
        .others
        .iter()
        .filter(|site| Some(**site) != decision.site);
    let others = others.map(|site: &SiteId| {
        let first = world.first_node(client, wish, found, *site);
        (*site, first.into_iter().collect::<Vec<EdgeId>>())
    });
    let mut ways = Ways::default();
    for (site, edges) in own.into_iter().chain(others) {
        let nodes = edges.into_iter().filter_map(|edge| {
            let (_, authority) = location::authority(world, service, site, edge, asked.way)?;
            Some((&*world.present.fleet.edge(site, edge)?.name, authority))
        });
        ways.add_site(&world.present.site_name(site), nodes);
    }
    ways
}

fn outside(url: Option<&str>) -> Ways {
    let mut ways = Ways::default();
    let authority = url
        .and_then(|url| url.split_once("://"))
        .and_then(|(_, rest)| rest.split('/').next());
    if let Some(authority) = authority {
        ways.add(OUTSIDE.to_owned(), authority);
    }
    ways
}

/// An authority without its port. An IPv6 address keeps its brackets, as in a URI.
fn hostname(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}

/// The same path again; what the player says of itself it adds anew.
fn reload(asked: &Asked<'_>) -> String {
    let own = |part: &&str| !part.starts_with("_HLS_") && !part.starts_with("_DASH_");
    let kept: Vec<&str> = asked
        .query
        .into_iter()
        .flat_map(|query| query.split('&'))
        .filter(own)
        .collect();
    match kept.is_empty() {
        true => asked.path.to_owned(),
        false => format!("{}?{}", asked.path, kept.join("&")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostname_is_an_authority_without_its_port() {
        for (authority, host) in [
            ("edge-1.cdn.example", "edge-1.cdn.example"),
            ("edge-1.cdn.example:8443", "edge-1.cdn.example"),
            ("192.0.2.1:8080", "192.0.2.1"),
            ("192.0.2.1", "192.0.2.1"),
            ("[2001:db8::1]:8080", "[2001:db8::1]"),
            ("[2001:db8::1]", "[2001:db8::1]"),
        ] {
            assert_eq!(hostname(authority), host, "{authority}");
        }
    }

    #[test]
    fn a_place_outside_is_named_by_its_host() {
        let host = |url: Option<&str>| outside(url).clones.pop().map(|clone| clone.uri_replacement.host);
        assert_eq!(
            host(Some("https://other.example:8443/cdn")).as_deref(),
            Some("other.example")
        );
        assert_eq!(
            host(Some("https://other.example")).as_deref(),
            Some("other.example")
        );
        assert_eq!(host(None), None);
    }

    #[test]
    fn a_clone_has_the_name_of_its_node_and_its_site_stands_behind_it() {
        let mut ways = Ways::default();
        let at = |node: &'static str, authority: &str| (node, authority.to_owned());
        ways.add_site(
            "ams",
            [at("edge-2", "192.0.2.2:8080"), at("edge-1", "192.0.2.1:8080")].into_iter(),
        );
        ways.add_site("fra", std::iter::empty());
        ways.add_site("iad", [at("edge-9", "192.0.2.9:8080")].into_iter());
        assert_eq!(
            ways.priority,
            ["ams.edge-2", "ams.edge-1", "ams", "iad.edge-9", "iad"]
        );
        let clones: Vec<serde_json::Value> = ways
            .clones
            .iter()
            .map(|clone| serde_json::to_value(clone).unwrap())
            .collect();
        let clone = |id: &str, host: &str| serde_json::json!({ "BASE-ID": ".", "ID": id, "URI-REPLACEMENT": { "HOST": host } });
        assert_eq!(
            clones,
            [
                clone("ams.edge-2", "192.0.2.2"),
                clone("ams.edge-1", "192.0.2.1"),
                clone("iad.edge-9", "192.0.2.9"),
            ]
        );
    }
}
