//! The head of a request as it goes upstream. Pure.

use std::time::Duration;

use cache::policy::demands::Demands;
use cache::policy::vary::PERSONAL;
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, Method, Version};

use super::request::Request;
use super::route;
use crate::headers::{Trace, hop_by_hop, trailers};
use crate::upstream::RequestBody;
use crate::upstream::exchange::Outgoing;
use crate::world::{ServiceWorld, World};

/// Fields that ask for less than the whole object; a fill is for everybody and asks for all of it.
const PARTIAL_FIELDS: [HeaderName; 6] = [
    header::RANGE,
    header::IF_RANGE,
    header::IF_MATCH,
    header::IF_NONE_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_UNMODIFIED_SINCE,
];

/// Fields that frame nothing here, and a body at an origin behind CGI, which takes `_` for `-` (RFC 3875 §4.1.18).
const FRAMING_LOOKALIKES: [&str; 2] = ["content_length", "transfer_encoding"];

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Whom a request upstream is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// For the cache: the whole object, as anybody would get it, as fresh and in such codings as the one who asks wishes.
    Fill {
        /// How fresh.
        demands: Demands,
        /// In which codings ([`accept_encoding`](super::variants::accept_encoding)).
        accept_encoding: HeaderValue,
    },
    /// For one client: what it asked for, as it asked; with its body, where that is passed on.
    Relay(RequestBody),
}

/// The request to send upstream for `request`; `Host` is still the client's.
#[must_use]
pub fn outgoing(
    world: &World,
    service: &ServiceWorld,
    request: &Request<'_>,
    target: &str,
    trace: &Trace,
    purpose: Purpose,
) -> Outgoing {
    let mut fields = request.fields.clone();
    hop_by_hop::strip(&mut fields);
    fields.remove(header::EXPECT);
    fields.remove(header::CONTENT_LENGTH);
    for name in FRAMING_LOOKALIKES {
        fields.remove(name);
    }
    if let Some(host) = request
        .authority
        .and_then(|authority| HeaderValue::from_str(authority).ok())
    {
        fields.insert(header::HOST, host);
    }
    let is_repeatable = match purpose {
        Purpose::Fill { .. } => true,
        Purpose::Relay(body) => is_idempotent(request.method) && body == RequestBody::None,
    };
    let method = match purpose {
        Purpose::Fill {
            demands,
            accept_encoding,
        } => {
            for name in PARTIAL_FIELDS {
                fields.remove(name);
            }
            for name in PERSONAL {
                fields.remove(name);
            }
            fields.insert(header::ACCEPT_ENCODING, accept_encoding);
            fields.remove(header::PRAGMA);
            match wished(&demands) {
                Some(value) => fields.insert(header::CACHE_CONTROL, value),
                None => fields.remove(header::CACHE_CONTROL),
            };
            Method::GET
        }
        Purpose::Relay(body) => {
            ask_for_more(&mut fields, service, request, body);
            request.method.clone()
        }
    };
    service.rules.request.apply(&mut fields);
    world.via.append(&mut fields, request.version);
    world.cdn_loop.append(&mut fields);
    append_forwarded_for(&mut fields, request);
    trace.apply(&mut fields);
    Outgoing {
        method,
        target: target.to_owned(),
        fields,
        is_repeatable,
    }
}

/// Whether `fields` have what a fill would keep to itself because it is one client's: an answer to them may be too.
#[must_use]
pub fn are_personal(fields: &HeaderMap) -> bool {
    PERSONAL.iter().any(|name| fields.contains_key(*name))
}

/// RFC 9110 §9.2.2.
fn is_idempotent(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE | Method::PUT | Method::DELETE
    )
}

/// The protocol that a request wants to go on with and the service lets through (RFC 9110 §7.8). HTTP/1.1 alone knows
/// the field, and a request with a body is never switched: nobody could tell where the one ends and the other begins.
pub(super) fn upgrade(request: &Request<'_>, service: &model::Service) -> Option<HeaderValue> {
    if request.version != Version::HTTP_11
        || *request.method != Method::GET
        || request.body != RequestBody::None
        || !hop_by_hop::names(request.fields, &header::UPGRADE)
    {
        return None;
    }
    let wanted = request.fields.get(header::UPGRADE)?;
    let protocol = wanted.to_str().ok()?.to_ascii_lowercase();
    service.upgrades.contains(&protocol).then(|| wanted.clone())
}

/// What concerns this connection and the next alike: made anew for the next.
fn ask_for_more(fields: &mut HeaderMap, service: &ServiceWorld, request: &Request<'_>, body: RequestBody) {
    if *request.method == Method::OPTIONS
        && let Some(more) = route::max_forwards(request.fields)
    {
        fields.insert(header::MAX_FORWARDS, more.saturating_sub(1).into());
    }
    if request.awaits_continue && body != RequestBody::None {
        fields.insert(header::EXPECT, HeaderValue::from_static("100-continue"));
    }
    if let Some(protocol) = upgrade(request, &service.service) {
        fields.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        fields.insert(header::UPGRADE, protocol);
    } else if request.version == Version::HTTP_2 || trailers::are_wanted(request.fields) {
        fields.insert(header::CONNECTION, HeaderValue::from_static("te"));
        fields.insert(header::TE, HeaderValue::from_static("trailers"));
    }
}

/// What the next cache on the way is to know of the client's wishes. What lets the client make do with less is not
/// among it: a fill is for everybody.
fn wished(demands: &Demands) -> Option<HeaderValue> {
    let seconds =
        |name: &str, period: Option<Duration>| period.map(|period| format!("{name}={}", period.as_secs()));
    let said: Vec<String> = [
        demands.no_cache.then(|| "no-cache".to_owned()),
        seconds("max-age", demands.max_age),
        seconds("min-fresh", demands.min_fresh),
    ]
    .into_iter()
    .flatten()
    .collect();
    if said.is_empty() {
        return None;
    }
    HeaderValue::try_from(said.join(", ")).ok()
}

fn append_forwarded_for(fields: &mut HeaderMap, request: &Request<'_>) {
    let client = request.client.ip().to_canonical();
    let earlier: Vec<&str> = fields
        .get_all(X_FORWARDED_FOR)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect();
    let chain = if earlier.is_empty() {
        client.to_string()
    } else {
        format!("{}, {client}", earlier.join(", "))
    };
    if let Ok(value) = HeaderValue::from_str(&chain) {
        fields.insert(X_FORWARDED_FOR, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cache::policy::vary::is_unmatched;

    #[test]
    fn what_one_client_says_is_told_from_what_anybody_says() {
        for (name, is_personal) in [
            ("cookie", true),
            ("x-forwarded-host", true),
            ("x-original-url", true),
            ("accept", false),
            ("x-forwarded-for", false),
        ] {
            let fields =
                HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_static("x"))]);
            assert_eq!(are_personal(&fields), is_personal, "{name}");
        }
    }

    #[test]
    fn nothing_that_a_fill_keeps_to_itself_can_tell_variants_apart() {
        let partial = PARTIAL_FIELDS.iter().map(HeaderName::as_str);
        for name in partial.chain(PERSONAL) {
            assert!(is_unmatched(name), "{name}");
        }
    }
}
