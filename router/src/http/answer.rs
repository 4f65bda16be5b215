//! What is said to a request: one pure function from who asks for what to status, headers and body.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ALLOW, CACHE_CONTROL, CONTENT_TYPE, LOCATION,
    RETRY_AFTER,
};
use http::{HeaderValue, Method, Response, StatusCode};
use serde_json::json;

use super::location::{self, Way};
use super::steering;
use crate::decide::{Decision, Key, Reason};
use crate::routes::Protocol;
use crate::world::{Outcome, Wish, World};

/// Nodes in one JSON answer: who has tried so many should ask again.
pub(crate) const LOCATIONS_MAX: usize = 8;

/// The path below which content steering is answered.
const STEER: &str = "/steer/";

/// What a client should wait while nothing can serve.
const RETRY_SECONDS: &str = "5";

const METHODS: &str = "GET, HEAD, OPTIONS";

/// A request, as far as it matters.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) method: &'a Method,
    /// `Host` or the authority of the target, as it came.
    pub(crate) authority: Option<&'a str>,
    pub(crate) path: &'a str,
    pub(crate) query: Option<&'a str>,
    pub(crate) way: Way,
}

/// What is steered, where a path asks for steering.
pub(crate) fn steered(path: &str) -> Option<&str> {
    let rest = path.strip_prefix(STEER)?;
    // The slash is the path's too.
    path.get(path.len() - rest.len() - 1..)
}

/// Answers `asked`, and says what was decided, where it came to that.
pub(crate) fn answer(world: &World, asked: &Asked<'_>) -> (Response<Bytes>, Option<Outcome>) {
    let host = asked.authority.and_then(model::hosts::host_of);
    let Some(host) = host else {
        return (
            plain(StatusCode::BAD_REQUEST, "the Host field names no host\n"),
            None,
        );
    };
    let Some(service_id) = world.present.fleet.service_of_host(&host) else {
        return (
            plain(StatusCode::NOT_FOUND, "no service answers to this host\n"),
            None,
        );
    };
    if *asked.method == Method::OPTIONS {
        return (preflight(), None);
    }
    let fleet = &world.present.fleet;
    let Some(service) = fleet.service(service_id) else {
        return (
            plain(StatusCode::NOT_FOUND, "no service answers to this host\n"),
            None,
        );
    };
    let steered = steered(asked.path);
    let json = steered.is_none() && asks_for_json(asked.query);
    if (json || steered.is_some()) && !matches!(*asked.method, Method::GET | Method::HEAD) {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
        response
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static(METHODS));
        return (response, None);
    }
    let key = service.key_of_path(steered.unwrap_or(asked.path));
    let wish = Wish {
        service: service_id,
        key: Key::Content(key),
        wants: None,
    };
    let (decision, found) = world.place(asked.way.client, wish);
    let (protocol, response) = match steered {
        Some(_) => (
            Protocol::Steering,
            steering::answer(world, service, wish, asked, &decision, found),
        ),
        None if json => (Protocol::Json, locations(world, wish, asked, &decision)),
        None => (Protocol::Redirect, redirect(world, wish, asked, &decision)),
    };
    (response, Some(Outcome::of(protocol, wish, &decision, found)))
}

fn asks_for_json(query: Option<&str>) -> bool {
    query.is_some_and(|query| query.split('&').any(|part| part == "format=json"))
}

/// Where the request should go instead, best first.
pub(crate) fn targets(
    world: &World,
    wish: Wish,
    asked: &Asked<'_>,
    decision: &Decision<'_>,
    most: usize,
) -> Vec<String> {
    let rest = rest_of(asked);
    if let Some(target) = decision.instead {
        let outside = location::outside(target, asked.way);
        return outside.map(|place| place + &rest).into_iter().collect();
    }
    let (Some(site), Some(service)) = (decision.site, world.present.fleet.service(wish.service)) else {
        return Vec::new();
    };
    let nodes = decision.nodes.iter();
    let authorities =
        nodes.filter_map(|choice| location::authority(world, service, site, choice.edge, asked.way));
    authorities
        .take(most)
        .map(|(secure, authority)| [location::scheme(secure), "://", &authority, &rest].concat())
        .collect()
}

/// Path and query as they came, without what was meant for us.
fn rest_of<'a>(asked: &Asked<'a>) -> Cow<'a, str> {
    let Some(query) = asked.query else {
        return asked.path.into();
    };
    if !asks_for_json(asked.query) {
        return [asked.path, "?", query].concat().into();
    }
    let kept: Vec<&str> = query.split('&').filter(|part| *part != "format=json").collect();
    match kept.is_empty() {
        true => asked.path.into(),
        false => [asked.path, "?", &kept.join("&")].concat().into(),
    }
}

fn redirect(world: &World, wish: Wish, asked: &Asked<'_>, decision: &Decision<'_>) -> Response<Bytes> {
    let first = targets(world, wish, asked, decision, 1).pop();
    let Some(location) = first.and_then(|url| HeaderValue::try_from(url).ok()) else {
        return nowhere(decision.reason);
    };
    // A client may turn a POST into a GET after a 302, and not after a 307 (RFC 9110 §15.4).
    let status = match *asked.method {
        Method::GET | Method::HEAD => StatusCode::FOUND,
        _ => StatusCode::TEMPORARY_REDIRECT,
    };
    let mut response = headed(status, Bytes::new());
    response.headers_mut().insert(LOCATION, location);
    response
}

fn locations(world: &World, wish: Wish, asked: &Asked<'_>, decision: &Decision<'_>) -> Response<Bytes> {
    let locations = targets(world, wish, asked, decision, LOCATIONS_MAX);
    if locations.is_empty() {
        return nowhere(decision.reason);
    }
    let ttl = world
        .present
        .fleet
        .service(wish.service)
        .map_or(0, |service| service.ttl.as_secs());
    let mut response = headed(
        StatusCode::OK,
        json!({ "locations": locations, "ttl": ttl }).to_string().into(),
    );
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Nobody serves this client.
pub(super) fn nowhere(reason: Reason) -> Response<Bytes> {
    let (status, why) = match reason {
        Reason::Blocked => (
            StatusCode::FORBIDDEN,
            "this may not be watched from where you are\n",
        ),
        Reason::Disabled => (StatusCode::SERVICE_UNAVAILABLE, "this service is switched off\n"),
        _ => (
            StatusCode::SERVICE_UNAVAILABLE,
            "nothing can serve this at the moment\n",
        ),
    };
    let mut response = plain(status, why);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from_static(RETRY_SECONDS));
    }
    response
}

/// What browsers ask before a request with fields of their own (Fetch §3.2).
fn preflight() -> Response<Bytes> {
    let mut response = headed(StatusCode::NO_CONTENT, Bytes::new());
    let headers = response.headers_mut();
    headers.insert(ALLOW, HeaderValue::from_static(METHODS));
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("*"));
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    response
}

fn plain(status: StatusCode, text: &'static str) -> Response<Bytes> {
    let mut response = headed(status, Bytes::from_static(text.as_bytes()));
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}

/// An answer that no cache keeps and every page may read: the next may be another.
pub(super) fn headed(status: StatusCode, body: Bytes) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("*"));
    response
}
