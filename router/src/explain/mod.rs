//! Says why: the same decision as DNS and HTTP make, with every step named, for programs and for people.
//!
//! `/explain?client=…&host=…&path=…` on the admin port, and `millrace-router explain`, which asks there.

mod ask;
mod tell;

use std::net::IpAddr;

use daemon::admin::PageAnswer;
use http::Method;
use http::header::LOCATION;
use model::zone::DomainName;
use serde::Serialize;
use serde_json::{Value, json};

pub(crate) use ask::{Arguments, ask};

use crate::decide::{Decision, Family, Key, Reason, ServiceId, Step};
use crate::dns::authority::steer::{self, Addresses, Asked, Verdict};
use crate::geo::table::Found;
use crate::http::Way;
use crate::http::answer;
use crate::world::{Wish, World, country};

const HOW: &str =
    "ask for /explain?client=ADDRESS&host=NAME, with &path=/…, &scheme=https and &format=text as you like";

/// What is to be explained.
#[derive(Debug, Default)]
struct Query {
    client: Option<IpAddr>,
    host: Option<String>,
    path: String,
    query: Option<String>,
    secure: bool,
    text: bool,
}

/// All that is said.
#[derive(Debug, Serialize)]
struct Explanation {
    client: IpAddr,
    host: String,
    service: String,
    network: Network,
    dns: Dns,
    http: Http,
}

/// What is known of where the client is.
#[derive(Debug, Serialize)]
struct Network {
    /// The length of the prefix around the client all of which is known alike.
    prefix_length: u8,
    evidence: &'static str,
    country: Option<String>,
    /// The sites, best first.
    ranking: Vec<String>,
}

/// What a resolver hears that names the client's network.
#[derive(Debug, Serialize)]
struct Dns {
    /// The service's nodes answer to this name; where they do not, other records do, or others.
    steered: bool,
    a: Answer,
    aaaa: Answer,
}

#[derive(Debug, Serialize)]
struct Answer {
    verdict: &'static str,
    addresses: Vec<IpAddr>,
    ttl: u32,
    scope: u8,
    why: Told,
}

/// What the client hears that asks over HTTP.
#[derive(Debug, Serialize)]
struct Http {
    path: String,
    status: u16,
    location: Option<String>,
    locations: Vec<String>,
    /// The manifest, where it asks for steering.
    steering: Option<Value>,
    why: Told,
}

/// A decision.
#[derive(Debug, Serialize)]
struct Told {
    reason: Reason,
    site: Option<String>,
    nodes: Vec<String>,
    /// Other sites that serve.
    others: Vec<String>,
    steps: Vec<Step>,
}

/// Answers the page.
pub(crate) fn page(world: &World, query: Option<&str>) -> PageAnswer {
    let query = match Query::read(query.unwrap_or_default()) {
        Ok(query) => query,
        Err(wrong) => return PageAnswer::Wrong(format!("{wrong}; {HOW}")),
    };
    let (Some(client), Some(host)) = (query.client, &query.host) else {
        return PageAnswer::Wrong(format!("client and host are needed; {HOW}"));
    };
    let Some(service) = world.present.fleet.service_of_host(host) else {
        return PageAnswer::Wrong(format!(
            "no service answers to {host:?}; /sites and the snapshot say what there is"
        ));
    };
    let explanation = explain(world, client, host, service, &query);
    if query.text {
        return PageAnswer::Text(tell::tell(&explanation));
    }
    PageAnswer::Json(json!(explanation))
}

/// The room of each site, and who stands there.
pub(crate) fn sites(world: &World) -> PageAnswer {
    let headrooms: Vec<_> = world.present.headrooms().collect();
    PageAnswer::Json(json!({
        "snapshot": world.present.fleet.number,
        "health": world.present.health,
        "panic": world.present.panic,
        "sites": headrooms,
        "nodes": world.present.nodes().collect::<Vec<_>>(),
    }))
}

impl Query {
    fn read(text: &str) -> Result<Query, String> {
        let mut query = Query {
            path: "/".to_owned(),
            ..Query::default()
        };
        for (key, value) in form_urlencoded::parse(text.as_bytes()) {
            match &*key {
                "client" => {
                    let client = value
                        .parse()
                        .map_err(|_| format!("client: {value:?} is no address"))?;
                    query.client = Some(client);
                }
                "host" => {
                    let host =
                        model::hosts::host_of(&value).ok_or_else(|| format!("host: {value:?} is no host"))?;
                    query.host = Some(host.into_owned());
                }
                "path" => {
                    let target: http::Uri =
                        value.parse().map_err(|_| format!("path: {value:?} is no path"))?;
                    if target.authority().is_some() || !value.starts_with('/') {
                        return Err(format!("path: {value:?} does not begin with a slash"));
                    }
                    query.path = target.path().to_owned();
                    query.query = target.query().map(str::to_owned);
                }
                "scheme" if value == "https" || value == "http" => query.secure = value == "https",
                "format" if value == "text" || value == "json" => query.text = value == "text",
                _ => return Err(format!("nobody knows {key}={value}")),
            }
        }
        Ok(query)
    }
}

fn explain(world: &World, client: IpAddr, host: &str, service: ServiceId, query: &Query) -> Explanation {
    let fleet = &world.present.fleet;
    let found = world.table.find(client);
    let name = DomainName::read(host).ok();
    let steered = name.as_ref().and_then(|name| world.zones.steered(name.wire()));
    Explanation {
        client,
        host: host.to_owned(),
        service: fleet
            .service(service)
            .map_or_else(String::new, |service| service.name.to_string()),
        network: network(world, found),
        dns: Dns {
            steered: steered == Some(service.0),
            a: dns(world, client, name.as_ref(), service, steer::Family::V4),
            aaaa: dns(world, client, name.as_ref(), service, steer::Family::V6),
        },
        http: http(world, client, host, service, query),
    }
}

fn network(world: &World, found: Found) -> Network {
    let ranking = world.table.ranking(found.ranking);
    Network {
        prefix_length: found.prefix_length,
        evidence: ranking.evidence().word(),
        country: found.country.and_then(country).map(|country| country.to_string()),
        ranking: ranking
            .sites()
            .iter()
            .map(|site| world.present.site_name(*site))
            .collect(),
    }
}

fn dns(
    world: &World,
    client: IpAddr,
    name: Option<&DomainName>,
    service: ServiceId,
    family: steer::Family,
) -> Answer {
    let host = name.map_or(&[][..], DomainName::wire);
    let asked = Asked {
        service: steer::ServiceId(service.0),
        host,
        client,
        family,
    };
    let mut addresses = Addresses::default();
    let (steered, _) = world.addresses(&asked, &mut addresses);
    let (decision, _, steps) = world.explain(client, World::wish_of(&asked));
    let verdict = match steered.verdict {
        Verdict::Addresses if addresses.as_slice().is_empty() => "NODATA",
        Verdict::Addresses => "NOERROR",
        Verdict::NoData => "NODATA",
        Verdict::Refused => "REFUSED",
        Verdict::Failed => "SERVFAIL",
    };
    Answer {
        verdict,
        addresses: addresses.as_slice().to_vec(),
        ttl: steered.ttl,
        scope: steered.scope,
        why: told(world, &decision, steps),
    }
}

fn http(world: &World, client: IpAddr, host: &str, service: ServiceId, query: &Query) -> Http {
    let asked = answer::Asked {
        method: &Method::GET,
        authority: Some(host),
        path: &query.path,
        query: query.query.as_deref(),
        way: Way {
            secure: query.secure,
            client,
        },
    };
    let steered = answer::steered(&query.path);
    let key = world
        .present
        .fleet
        .service(service)
        .map_or(0, |service| service.key_of_path(steered.unwrap_or(&query.path)));
    let wish = Wish {
        service,
        key: Key::Content(key),
        wants: None,
    };
    let (decision, _, steps) = world.explain(client, wish);
    let (response, _) = answer::answer(world, &asked);
    let location = response
        .headers()
        .get(LOCATION)
        .and_then(|location| location.to_str().ok());
    Http {
        path: query.path.clone(),
        status: response.status().as_u16(),
        location: location.map(str::to_owned),
        locations: answer::targets(world, wish, &asked, &decision, answer::LOCATIONS_MAX),
        steering: steered.and_then(|_| serde_json::from_slice(response.body()).ok()),
        why: told(world, &decision, steps),
    }
}

fn told(world: &World, decision: &Decision<'_>, steps: Vec<Step>) -> Told {
    let fleet = &world.present.fleet;
    let node = |edge| {
        decision
            .site
            .and_then(|site| fleet.edge(site, edge))
            .map(|edge| edge.name.to_string())
    };
    Told {
        reason: decision.reason,
        site: decision.site.map(|site| world.present.site_name(site)),
        nodes: decision
            .nodes
            .iter()
            .filter_map(|choice| node(choice.edge))
            .collect(),
        others: decision
            .others
            .iter()
            .map(|site| world.present.site_name(*site))
            .collect(),
        steps,
    }
}

/// The family that is asked for, as people say it.
fn family(wants: Option<Family>) -> &'static str {
    match wants {
        None => "either family of addresses",
        Some(Family::Ipv4) => "IPv4",
        Some(Family::Ipv6) => "IPv6",
    }
}
