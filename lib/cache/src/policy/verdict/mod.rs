//! Whether a response may be stored, and for how long (RFC 9111 §3 and §4.2).

mod status;

use std::{fmt, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use model::{Moment, service::TtlRules};

use super::{
    age::{date_of, initial_age},
    directives::{CacheControl, DELTA_SECONDS_MAX, directives},
    freshness::{Freshness, State},
    targeted::{CONTRADICTING, Governing, governing, said_lifetime},
    ttl::{Reach, SaidBy, ttl_for},
    vary::Names,
};
use status::{heuristically_cacheable, may_be_stored, understood};

/// What a response without a lifetime gets of the time since it was last changed (RFC 9111 §4.2.2): one part in so many.
const HEURISTIC_PART: u32 = 10;

/// The longest lifetime that is made up: a day's error is what an operator can explain.
const HEURISTIC_MAX: Duration = Duration::from_secs(24 * 3600);

/// A request that went upstream and the response that came.
#[derive(Clone, Copy, Debug)]
pub struct Exchange<'a> {
    /// The method that was sent upstream.
    pub method: &'a Method,
    /// The fields of the request.
    pub request: &'a HeaderMap,
    /// The status of the response; after a 304, of the stored response that it renews.
    pub status: StatusCode,
    /// The fields of the response as they came; after a 304, what [`merge_304`](super::merge::merge_304) gives.
    pub response: &'a HeaderMap,
    /// The age that a parent of this CDN tells to the millisecond, in place of `Age`.
    pub exact_age: Option<Duration>,
    /// When the request was sent.
    pub request_time: Moment,
    /// When the head of the response came.
    pub response_time: Moment,
    /// Where the object enters the CDN, that is to say the response came from an origin: the rules that apply.
    pub entry: Option<Entry<'a>>,
    /// What the service says of staleness where the response does not.
    pub service: StaleDefaults,
}

/// What sets lifetimes where an object enters the CDN.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// The rules of the service.
    pub rules: &'a TtlRules,
    /// The path, without query.
    pub path: &'a str,
    /// The TTL hint for the path's content, where there is one.
    pub hint: Option<Duration>,
}

/// The windows of RFC 5861 where a response does not set its own.
#[derive(Clone, Copy, Debug, Default)]
pub struct StaleDefaults {
    /// For what is fresh for a while at all: what is never fresh is not served stale unasked.
    pub stale_while_revalidate: Duration,
    /// For everything that may be served stale.
    pub stale_if_error: Duration,
}

/// What is to become of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may be stored. [`Verdict::rewrite`] makes its fields say what holds.
    Store {
        /// For how long, and what follows.
        freshness: Freshness,
        /// Where a rule or hint set the lifetime: the `Cache-Control` that says so to the next tier and the player.
        cache_control: Option<HeaderValue>,
        /// The fields that would contradict it.
        drop: &'static [HeaderName],
    },
    /// It may not be stored; it is relayed to whoever asked.
    Pass(Reason),
}

/// Why a response is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Only answers to GET are stored.
    Method,
    /// The request says `no-store`.
    RequestNoStore,
    /// The request carries `Authorization` and the response does not say that it is for all (RFC 9111 §3.5).
    Authorization,
    /// A status that is not final, not whole, or not understood.
    Status,
    /// The response says `no-store`.
    NoStore,
    /// The response says `private`.
    Private,
    /// The response varies with what no key can hold ([`NeverMatches`](super::vary::NeverMatches)).
    Vary,
    /// The response sets a cookie, and no lifetime of its own says that others may have it.
    SetCookie,
    /// Neither the origin nor a rule gives a lifetime.
    NoLifetime,
    /// It is stale already and nothing could validate it.
    Stale,
}

impl Reason {
    /// Whether the next response to the same key is likely to be passed too, so that requests for it had better not
    /// wait for each other. `false` where the reason lies in this one request: or one client could keep a key out of
    /// the cache for all.
    #[must_use]
    pub fn lies_in_the_response(self) -> bool {
        !matches!(
            self,
            Reason::Method | Reason::RequestNoStore | Reason::Authorization
        )
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::Method => "method",
            Reason::RequestNoStore => "request-no-store",
            Reason::Authorization => "authorization",
            Reason::Status => "status",
            Reason::NoStore => "no-store",
            Reason::Private => "private",
            Reason::Vary => "vary",
            Reason::SetCookie => "set-cookie",
            Reason::NoLifetime => "no-lifetime",
            Reason::Stale => "stale",
        })
    }
}

impl Verdict {
    /// Makes a response's fields say what was decided.
    pub fn rewrite(&self, fields: &mut HeaderMap) {
        if let Verdict::Store {
            cache_control, drop, ..
        } = self
        {
            for name in *drop {
                fields.remove(name);
            }
            if let Some(value) = cache_control {
                fields.insert(header::CACHE_CONTROL, value.clone());
            }
        }
    }
}

/// Decides whether a response may be stored, and for how long.
#[must_use]
pub fn judge(exchange: &Exchange<'_>) -> Verdict {
    let said = governing(exchange.response);
    if let Some(reason) = forbidden(exchange, &said.directives) {
        return Verdict::Pass(reason);
    }
    match lifetime(exchange, &said) {
        Ok(lifetime) => keep(exchange, &said.directives, lifetime),
        Err(reason) => Verdict::Pass(reason),
    }
}

/// Whether the content of a response has to stay as it is (RFC 9111 §5.2.2.6), whichever field says so.
#[must_use]
pub fn forbids_transformation(response: &HeaderMap) -> bool {
    CacheControl::parse(response).no_transform || governing(response).directives.no_transform
}

/// What in a request alone forbids to store its answer. Such a request had better be relayed at once: were it to lead
/// a fill, everyone who joined would be told to ask again.
#[must_use]
pub fn request_forbids(method: &Method, request: &HeaderMap) -> Option<Reason> {
    if !super::cacheable_method(method) {
        return Some(Reason::Method);
    }
    CacheControl::parse(request)
        .no_store
        .then_some(Reason::RequestNoStore)
}

/// What forbids to store, whatever the lifetime (RFC 9111 §3).
fn forbidden(exchange: &Exchange<'_>, cache_control: &CacheControl) -> Option<Reason> {
    if *exchange.method != Method::GET {
        return Some(Reason::Method);
    }
    if let Some(reason) = request_forbids(exchange.method, exchange.request) {
        return Some(reason);
    }
    if !may_be_stored(exchange.status) {
        return Some(Reason::Status);
    }
    // Whoever understands the status heeds its rules instead of `no-store` (RFC 9111 §5.2.2.3).
    let is_understood = understood(exchange.status);
    if cache_control.must_understand && !is_understood {
        return Some(Reason::Status);
    }
    if cache_control.no_store && !cache_control.must_understand {
        return Some(Reason::NoStore);
    }
    if cache_control.private {
        return Some(Reason::Private);
    }
    if Names::of(exchange.response).is_err() {
        return Some(Reason::Vary);
    }
    let for_all = cache_control.public || cache_control.must_revalidate || cache_control.s_maxage.is_some();
    if exchange.request.contains_key(header::AUTHORIZATION) && !for_all {
        return Some(Reason::Authorization);
    }
    None
}

#[derive(Clone, Copy)]
struct Lifetime {
    length: Duration,
    /// A rule or a hint set it.
    ruled: bool,
}

fn lifetime(exchange: &Exchange<'_>, said: &Governing) -> Result<Lifetime, Reason> {
    let sets_cookie = exchange.response.contains_key(header::SET_COOKIE);
    let explicit = explicit_lifetime(exchange, said);
    let held = match exchange.entry {
        None => explicit.map(|length| Lifetime { length, ruled: false }),
        Some(Entry { rules, path, hint }) => {
            let full = exchange.status == StatusCode::OK && !sets_cookie;
            let reach = if full { Reach::Full } else { Reach::ShortenOnly };
            let by_status = rules
                .statuses
                .get(&exchange.status.as_u16())
                .filter(|_| !sets_cookie && (explicit.is_none() || rules.override_origin))
                .map(|period| Lifetime {
                    length: period.0,
                    ruled: true,
                });
            by_status.or_else(|| {
                ttl_for(rules, path, hint, explicit, reach).map(|ttl| Lifetime {
                    length: ttl.lifetime,
                    ruled: ttl.said_by != SaidBy::Origin,
                })
            })
        }
    };
    match held {
        Some(lifetime) if sets_cookie && lifetime.length.is_zero() => Err(Reason::SetCookie),
        Some(lifetime) => Ok(lifetime),
        None if sets_cookie => Err(Reason::SetCookie),
        None => heuristic_lifetime(exchange, said)
            .map(|length| Lifetime { length, ruled: false })
            // An error that says nothing may be one request's own.
            .ok_or(if is_error(exchange.status) {
                Reason::Status
            } else {
                Reason::NoLifetime
            }),
    }
}

fn is_error(status: StatusCode) -> bool {
    (status.is_client_error() || status.is_server_error()) && !heuristically_cacheable(status)
}

/// What the origin says (RFC 9111 §4.2.1): `s-maxage`, else `max-age`, else `Expires` less `Date`; nothing at all
/// after `no-cache` (§5.2.2.4). An `Expires` that is no date lies in the past (§5.3), and so do several that differ.
fn explicit_lifetime(exchange: &Exchange<'_>, said: &Governing) -> Option<Duration> {
    if said.directives.no_cache {
        return Some(Duration::ZERO);
    }
    said_lifetime(&said.directives).or_else(|| {
        if said.targeted {
            return None;
        }
        let mut lines = exchange.response.get_all(header::EXPIRES).iter();
        let first = lines.next()?;
        let expires = super::age::date(first).filter(|_| lines.all(|line| line == first));
        let generated = date_of(exchange.response, header::DATE).unwrap_or(exchange.response_time);
        Some(expires.map_or(Duration::ZERO, |expires| expires.since(generated)))
    })
}

/// Where nobody says how long (RFC 9111 §4.2.2): a tenth of the time since the representation was last changed, a day
/// at most. What could at least be validated is kept for that, stale from the start.
fn heuristic_lifetime(exchange: &Exchange<'_>, said: &Governing) -> Option<Duration> {
    if !heuristically_cacheable(exchange.status) && !said.directives.public {
        return None;
    }
    let generated = date_of(exchange.response, header::DATE).unwrap_or(exchange.response_time);
    let unchanged =
        date_of(exchange.response, header::LAST_MODIFIED).map(|modified| generated.since(modified));
    match unchanged {
        Some(unchanged) => Some((unchanged / HEURISTIC_PART).min(HEURISTIC_MAX)),
        None => exchange
            .response
            .contains_key(header::ETAG)
            .then_some(Duration::ZERO),
    }
}

fn keep(exchange: &Exchange<'_>, cache_control: &CacheControl, lifetime: Lifetime) -> Verdict {
    let age = initial_age(
        exchange.response,
        exchange.exact_age,
        exchange.request_time,
        exchange.response_time,
    );
    let windows = stale_windows(exchange, cache_control, lifetime);
    let has_window = !windows.stale_while_revalidate.is_zero() || !windows.stale_if_error.is_zero();
    let freshness = Freshness {
        generated_at: exchange.response_time - age,
        lifetime: lifetime.length,
        must_revalidate: cache_control.must_revalidate
            || cache_control.proxy_revalidate
            // `s-maxage` is as strict (RFC 9111 §5.2.2.10), but for the windows that the response itself opens.
            || (cache_control.s_maxage.is_some() && !lifetime.ruled && !has_window)
            || (cache_control.no_cache && !lifetime.ruled),
        ..windows
    };
    let validates =
        exchange.response.contains_key(header::ETAG) || exchange.response.contains_key(header::LAST_MODIFIED);
    if freshness.state(exchange.response_time) == State::Stale && !validates {
        return Verdict::Pass(Reason::Stale);
    }
    if lifetime.ruled {
        let cache_control = rewritten(exchange.response, cache_control, lifetime.length);
        Verdict::Store {
            freshness,
            cache_control,
            drop: &CONTRADICTING,
        }
    } else {
        Verdict::Store {
            freshness,
            cache_control: None,
            drop: &[],
        }
    }
}

/// The windows of RFC 5861. A response's own go before the service's; `s-maxage` closes those it does not name
/// (RFC 9111 §5.2.2.10), unless a rule took its place.
fn stale_windows(exchange: &Exchange<'_>, cache_control: &CacheControl, lifetime: Lifetime) -> Freshness {
    let closed = cache_control.s_maxage.is_some() && !lifetime.ruled;
    let defaults = if closed {
        StaleDefaults::default()
    } else {
        exchange.service
    };
    let while_revalidate = if lifetime.length.is_zero() {
        Duration::ZERO
    } else {
        defaults.stale_while_revalidate
    };
    Freshness {
        generated_at: exchange.response_time,
        lifetime: lifetime.length,
        stale_while_revalidate: cache_control.stale_while_revalidate.unwrap_or(while_revalidate),
        stale_if_error: cache_control.stale_if_error.unwrap_or(defaults.stale_if_error),
        must_revalidate: false,
    }
}

/// The `Cache-Control` that says a set lifetime: `max-age` first, then what the origin said of other things.
/// `public` stands in for an `s-maxage` that allowed to store what was asked for with `Authorization`, or the next
/// tier would refuse what this one keeps.
fn rewritten(response: &HeaderMap, read: &CacheControl, lifetime: Duration) -> Option<HeaderValue> {
    let mut text = format!("max-age={}", lifetime.as_secs().min(DELTA_SECONDS_MAX)).into_bytes();
    if read.s_maxage.is_some() && !read.public && !read.must_revalidate {
        text.extend_from_slice(b", public");
    }
    if governing(response).targeted {
        // What the targeted field said of other things goes on in the only field that stays.
        for (holds, name) in [
            (read.must_revalidate, "must-revalidate"),
            (read.proxy_revalidate, "proxy-revalidate"),
            (read.immutable, "immutable"),
            (forbids_transformation(response), "no-transform"),
        ] {
            if holds {
                text.extend_from_slice(format!(", {name}").as_bytes());
            }
        }
        for (window, name) in [
            (read.stale_while_revalidate, "stale-while-revalidate"),
            (read.stale_if_error, "stale-if-error"),
        ] {
            if let Some(window) = window {
                text.extend_from_slice(format!(", {name}={}", window.as_secs()).as_bytes());
            }
        }
        return HeaderValue::from_bytes(&text).ok();
    }
    for directive in directives(response) {
        let replaced = ["max-age", "s-maxage", "no-cache"];
        if !replaced
            .iter()
            .any(|name| directive.name.eq_ignore_ascii_case(name.as_bytes()))
        {
            text.extend_from_slice(b", ");
            text.extend_from_slice(directive.text);
        }
    }
    HeaderValue::from_bytes(&text).ok()
}

#[cfg(test)]
mod tests;
