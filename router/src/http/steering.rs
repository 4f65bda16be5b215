//! Content steering: which sites a player should use, in order, said anew while it plays (RFC 8216bis §7, ETSI
//! TS 103 998). A pathway is a site, and has its name.
//!
//! A playlist need not know the sites: each comes as a clone of its pathway `.`, which is the one of streams that say
//! none, at the host of the best node there. A playlist that names sites as pathways of its own is ordered as well.
//!
//! A host comes without its port: `HOST` takes the place of a URI's hostname, and the URI keeps its port. Players take one
//! with a port for no hostname at all, and stay where they are. So nodes to which players are steered listen on the same
//! ports.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};
use serde::Serialize;

use super::answer::{self, Asked};
use super::location;
use crate::decide::{Decision, Reason, Service, SiteId};
use crate::geo::table::Found;
use crate::world::{Wish, World};

/// The pathway of streams that name none.
const UNNAMED: &str = ".";

/// The pathway that leads outside; no site has such a name.
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

pub(super) fn answer(
    world: &World,
    service: &Service,
    wish: Wish,
    asked: &Asked<'_>,
    decision: &Decision<'_>,
    found: Found,
) -> Response<Bytes> {
    let clones = match decision.instead {
        Some(target) => outside(target.url.as_deref()).into_iter().collect(),
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
        pathway_priority: clones.iter().map(|clone| clone.id.clone()).collect(),
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
) -> Vec<Clone> {
    let own = decision
        .site
        .zip(decision.nodes.first().map(|choice| choice.edge));
    let others = decision
        .others
        .iter()
        .filter(|site| Some(**site) != decision.site);
    let others = others
        .filter_map(|site: &SiteId| Some((*site, world.first_node(asked.way.client, wish, found, *site)?)));
    let places = own.into_iter().chain(others);
    places
        .filter_map(|(site, edge)| {
            let (_, authority) = location::authority(world, service, site, edge, asked.way)?;
            Some(Clone {
                base_id: UNNAMED,
                id: world.present.site_name(site),
                uri_replacement: Replacement {
                    host: hostname(&authority).to_owned(),
                },
            })
        })
        .collect()
}

fn outside(url: Option<&str>) -> Option<Clone> {
    let (_, rest) = url?.split_once("://")?;
    let host = hostname(rest.split('/').next()?).to_owned();
    Some(Clone {
        base_id: UNNAMED,
        id: OUTSIDE.to_owned(),
        uri_replacement: Replacement { host },
    })
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
        let host = |url: &str| outside(Some(url)).map(|clone| clone.uri_replacement.host);
        assert_eq!(
            host("https://other.example:8443/cdn"),
            Some("other.example".to_owned())
        );
        assert_eq!(host("https://other.example"), Some("other.example".to_owned()));
        assert_eq!(outside(None).map(|clone| clone.id), None);
    }
}
