//! The head of a request as it goes upstream. Pure.

use std::time::Duration;

use cache::policy::demands::Demands;
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, Method};

use super::request::Request;
use crate::headers::{Trace, hop_by_hop};
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

/// Fields of one client that origins are known to make answers depend on, unknown to the cache key: what one client
/// says in them must not reach the others.
const PERSONAL_FIELDS: [&str; 14] = [
    "cookie",
    "forwarded",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-proto",
    "x-forwarded-scheme",
    "x-forwarded-server",
    "x-host",
    "x-http-method-override",
    "x-original-host",
    "x-original-url",
    "x-original-uri",
    "x-rewrite-url",
];

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
    /// For one client: what it asked for, as it asked.
    Relay,
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
    if let Some(host) = request
        .authority
        .and_then(|authority| HeaderValue::from_str(authority).ok())
    {
        fields.insert(header::HOST, host);
    }
    let method = match purpose {
        Purpose::Fill {
            demands,
            accept_encoding,
        } => {
            for name in PARTIAL_FIELDS {
                fields.remove(name);
            }
            for name in PERSONAL_FIELDS {
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
        Purpose::Relay => request.method.clone(),
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
    use cache::policy::vary::UNMATCHED;

    #[test]
    fn nothing_that_a_fill_keeps_to_itself_can_tell_variants_apart() {
        let partial = PARTIAL_FIELDS.iter().map(HeaderName::as_str);
        for name in partial.chain(PERSONAL_FIELDS) {
            assert!(UNMATCHED.contains(&name), "{name}");
        }
    }
}
