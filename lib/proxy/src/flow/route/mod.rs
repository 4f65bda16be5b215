//! Route and guard: which service a request is for, and whether it may be answered at all. Pure.
//!
//! Never an open proxy: a request is answered for hosts of the snapshot or not at all.

mod methods;

use std::borrow::Cow;
use std::sync::Arc;

use cache::policy::{Target, TargetError};
use http::header::{EXPECT, MAX_FORWARDS};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version};
use model::Tier;
use model::service::PlainHttp;

use super::request::Request;
use crate::headers::{ErrorType, cdn_loop};
use crate::upstream::RequestBody;
use crate::world::{ServiceWorld, World};

pub use methods::Methods;

/// What is asked of a node under its own name to hear how it is.
pub const HEALTH_PATH: &str = "/healthz";

/// The methods that every service answers; the value of `Allow` where there are no others.
pub const ALLOWED_METHODS: &str = "GET, HEAD, OPTIONS";

/// Where a request goes.
pub enum Routed {
    /// To the content of a service.
    Content {
        /// The service.
        service: Arc<ServiceWorld>,
        /// What it asks for, normalised.
        target: Target,
    },
    /// To this node itself, which says how it is.
    Health,
}

/// Why a request is not answered by content.
#[derive(Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No service answers to the host (RFC 9110 §15.5.20).
    Misdirected,
    /// It is malformed; the text says how.
    Malformed(&'static str),
    /// The target is not one that may be asked for; the text says why.
    BadTarget(TargetError),
    /// The method is not answered; these are.
    Method(HeaderValue),
    /// It expects something other than 100-continue (RFC 9110 §10.1.1).
    Expectation,
    /// Its body is larger than the service passes on.
    BodyTooLarge,
    /// Its body stopped coming.
    SlowBody,
    /// The service wants TLS.
    PlainHttp,
    /// The service wants TLS, and says where.
    ToHttps(String),
    /// The request has been here before (RFC 8586).
    Loop,
    /// `OPTIONS *`, or OPTIONS that goes no further: answered by this node itself, with these methods.
    Options(HeaderValue),
    /// Nothing stored will do, and the request wants nothing else (RFC 9111 §5.2.1.7).
    OnlyIfCached,
}

impl Refusal {
    /// The status it is answered with.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Refusal::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Refusal::Malformed(_) => StatusCode::BAD_REQUEST,
            Refusal::BadTarget(error) => error.status(),
            Refusal::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Refusal::Expectation => StatusCode::EXPECTATION_FAILED,
            Refusal::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Refusal::SlowBody => StatusCode::REQUEST_TIMEOUT,
            Refusal::PlainHttp => StatusCode::FORBIDDEN,
            Refusal::ToHttps(_) => StatusCode::PERMANENT_REDIRECT,
            Refusal::Loop => StatusCode::LOOP_DETECTED,
            Refusal::Options(_) => StatusCode::NO_CONTENT,
            Refusal::OnlyIfCached => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// What the client is told.
    #[must_use]
    pub fn message(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Refusal::Misdirected => "this host is not served here\n",
            Refusal::Malformed(how) => how,
            Refusal::BadTarget(error) => return format!("{error}\n").into(),
            Refusal::Method(allowed) if allowed == ALLOWED_METHODS => {
                "this method is not allowed; allowed are GET, HEAD and OPTIONS\n"
            }
            Refusal::Method(_) => "this method is not allowed; the field Allow says which are\n",
            Refusal::Expectation => "this expectation cannot be met\n",
            Refusal::BodyTooLarge => "the body is larger than this host takes\n",
            Refusal::SlowBody => "the body did not come in time\n",
            Refusal::PlainHttp => "this host is served over https only\n",
            Refusal::ToHttps(_) => "moved to https\n",
            Refusal::Loop => "this request came through here before\n",
            Refusal::Options(_) => "",
            Refusal::OnlyIfCached => "nothing fresh enough is stored, and only that was asked for\n",
        })
    }

    /// The field that goes with the status, if one does.
    #[must_use]
    pub fn field(&self) -> Option<(http::HeaderName, HeaderValue)> {
        match self {
            Refusal::Method(allowed) | Refusal::Options(allowed) => {
                Some((http::header::ALLOW, allowed.clone()))
            }
            Refusal::ToHttps(location) => HeaderValue::from_str(location)
                .ok()
                .map(|value| (http::header::LOCATION, value)),
            _ => None,
        }
    }

    /// What RFC 9209 calls it, where it does.
    #[must_use]
    pub fn error(&self) -> Option<ErrorType> {
        match self {
            Refusal::Loop => Some(ErrorType::ProxyLoopDetected),
            Refusal::Malformed(_) | Refusal::BadTarget(_) | Refusal::BodyTooLarge | Refusal::SlowBody => {
                Some(ErrorType::HttpRequestError)
            }
            _ => None,
        }
    }
}

/// Finds the service and the target, or that the node itself is asked, or says why not. The service comes along with a refusal once it is known.
///
/// # Errors
///
/// The reason the request is not answered by content.
pub fn route(world: &World, request: &Request<'_>) -> Result<Routed, (Refusal, Option<Arc<ServiceWorld>>)> {
    if request.target == HEALTH_PATH && names_node(world, request) {
        return match *request.method {
            Method::GET | Method::HEAD => Ok(Routed::Health),
            _ => Err((Refusal::Method(HeaderValue::from_static("GET, HEAD")), None)),
        };
    }
    if request.method == Method::CONNECT {
        return Err((Refusal::Method(HeaderValue::from_static(ALLOWED_METHODS)), None));
    }
    if request.version < Version::HTTP_10 {
        return Err((
            Refusal::Malformed("this version of HTTP is not spoken here\n"),
            None,
        ));
    }
    let Some(host) = request.host() else {
        return Err((Refusal::Malformed("the request names no host\n"), None));
    };
    let Some(service) = world.service_for_host(&host) else {
        return Err((Refusal::Misdirected, None));
    };
    match guard(world, service, request) {
        Ok(target) => Ok(Routed::Content {
            service: service.clone(),
            target,
        }),
        Err(refusal) => Err((refusal, Some(service.clone()))),
    }
}

/// Whether the host is this node's own name, on any port. Every other host is a service's matter, so that none loses a
/// path to its node.
fn names_node(world: &World, request: &Request<'_>) -> bool {
    let Some(authority) = request.authority else {
        return false;
    };
    let (name, port) = authority.split_once(':').unwrap_or((authority, ""));
    port.bytes().all(|byte| byte.is_ascii_digit()) && name.eq_ignore_ascii_case(world.identity.node.as_str())
}

fn guard(world: &World, service: &ServiceWorld, request: &Request<'_>) -> Result<Target, Refusal> {
    world
        .cdn_loop
        .judge(request.fields)
        .map_err(|refusal| match refusal {
            cdn_loop::Refusal::Malformed => Refusal::Malformed("CDN-Loop is not a list of CDNs\n"),
            cdn_loop::Refusal::NodeAgain | cdn_loop::Refusal::CdnTooOften { .. } => Refusal::Loop,
        })?;
    if !matches!(*request.method, Method::GET | Method::HEAD) || service.service.pass_get_bodies {
        guard_origin(service, request)?;
    }
    match request.target {
        "*" if *request.method == Method::OPTIONS => {
            return Err(Refusal::Options(service.methods.names().clone()));
        }
        "*" | "" => return Err(Refusal::Malformed("the request's target is no path\n")),
        _ => {}
    }
    if request.tls.is_none() && world.identity.tier == Tier::Edge {
        match service.service.plain_http {
            PlainHttp::Serve => {}
            PlainHttp::Refuse => return Err(Refusal::PlainHttp),
            PlainHttp::Redirect => {
                let host = request.host().unwrap_or_default();
                return Err(Refusal::ToHttps(format!("https://{host}{}", request.target)));
            }
        }
    }
    Target::parse(request.target, &service.service.query).map_err(Refusal::BadTarget)
}

/// Guards the origin from what the cache cannot answer: other methods, and bodies.
fn guard_origin(service: &ServiceWorld, request: &Request<'_>) -> Result<(), Refusal> {
    if !matches!(*request.method, Method::GET | Method::HEAD | Method::OPTIONS)
        && !service.methods.allow(request.method)
    {
        return Err(Refusal::Method(service.methods.names().clone()));
    }
    if let Some(expectation) = request.fields.get(EXPECT)
        && !expectation.as_bytes().eq_ignore_ascii_case(b"100-continue")
    {
        return Err(Refusal::Expectation);
    }
    if matches!(request.body, RequestBody::Sized(length) if length > service.service.request_body_max.0) {
        return Err(Refusal::BodyTooLarge);
    }
    if *request.method == Method::OPTIONS && max_forwards(request.fields) == Some(0) {
        return Err(Refusal::Options(service.methods.names().clone()));
    }
    Ok(())
}

/// How many more nodes an OPTIONS may pass (RFC 9110 §7.6.2); `None` where it does not say.
#[must_use]
pub fn max_forwards(fields: &HeaderMap) -> Option<u64> {
    let value = fields.get(MAX_FORWARDS)?.to_str().ok()?;
    value.bytes().all(|byte| byte.is_ascii_digit()).then_some(())?;
    value.parse().ok()
}

#[cfg(test)]
mod tests;
