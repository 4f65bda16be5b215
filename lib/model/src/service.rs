//! A service: what an operator delivers under a set of host names (Traffic Control calls it a delivery service).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Compression, Period, Routing, Size, Tier};

/// Host names, origins and rules of one delivered site.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// Host names it answers to, lower case, without port; `*.example.com` matches one or more labels.
    pub hosts: Vec<String>,
    /// Where its content comes from. Parents choose among them by weight and health.
    pub origins: Vec<Origin>,
    /// Whether origins (and names they resolve to) may lie in private, loopback or link-local ranges.
    #[serde(default)]
    pub allow_private_origins: bool,
    /// Whether an edge may ask an origin itself when no parent answers. `false` is strict parenting.
    #[serde(default)]
    pub go_direct: bool,
    /// What happens to a request that came over plain HTTP at an edge.
    #[serde(default)]
    pub plain_http: PlainHttp,
    /// How long what enters the CDN is fresh. Absent: the RFC and the origin alone decide.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<TtlRules>,
    /// For how long past its freshness an object may be served while it is refreshed behind (RFC 5861), where the
    /// response does not say.
    #[serde(default)]
    pub stale_while_revalidate: Period,
    /// For how long past its freshness an object may be served when upstream fails (RFC 5861), where the response
    /// does not say.
    #[serde(default)]
    pub stale_if_error: Period,
    /// Whether players may ask for fresher answers than the cache would give (RFC 9111 §5.2.1).
    #[serde(default)]
    pub client_directives: ClientDirectives,
    /// How often such a wish may have one object validated upstream: what was validated within this time is fresh
    /// enough for everybody. 0 lets every wish through.
    #[serde(default = "a_second")]
    pub revalidation_floor: Period,
    /// Which query parameters are part of the cache key.
    #[serde(default)]
    pub query: QueryKey,
    /// How the content id (the title or channel) is taken from a path. Absent: requests carry none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_id: Option<ContentId>,
    /// What edges compress. Absent: manifests and other text.
    #[serde(default)]
    pub compression: Compression,
    /// Headers set, added or removed on the way, in order.
    #[serde(default)]
    pub header_rules: Vec<HeaderRule>,
    /// Methods answered beside GET, HEAD and OPTIONS, such as `POST`; `*` stands for every one but CONNECT and TRACE.
    /// What they ask for goes to the origin each time; nothing of it is stored, joined or asked twice.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    /// The largest body of a request that is passed on; beyond it 413. A body is passed on as it comes and never held as
    /// a whole, so this protects the origin, not the nodes.
    #[serde(default = "default_request_body_max")]
    pub request_body_max: Size,
    /// Whether a GET or HEAD that has a body goes to the origin with it, past the cache. Otherwise the body is dropped,
    /// which is right for all but a few search interfaces (RFC 9110 §9.3.1).
    #[serde(default)]
    pub pass_get_bodies: bool,
    /// Protocols that a client may switch its HTTP/1.1 connection to (RFC 9110 §7.8), such as `websocket`. Requests for
    /// others are answered as if they had not asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub upgrades: Vec<String>,
    /// How its clients are steered.
    #[serde(default)]
    pub routing: Routing,
}

/// Stands for every method in [`Service::methods`].
pub const ANY_METHOD: &str = "*";

/// One origin of a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// Scheme, host and port, such as `https://origin.example.com` or `http://10.0.0.5:8090`; no path.
    pub url: String,
    /// Its share of requests relative to the others; must be above 0.
    #[serde(default = "one")]
    pub weight: f64,
    /// Requests under way to it at once from one parent, over all cores; each takes a connection. Idle connections that
    /// are kept for the next request come on top.
    #[serde(default = "default_max_connections")]
    pub max_connections: u32,
    /// The `Host` (and TLS server name) sent to it; absent: the host of `url`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_header: Option<String>,
}

fn one() -> f64 {
    1.0
}

fn default_max_connections() -> u32 {
    256
}

fn default_request_body_max() -> Size {
    Size(64 << 20)
}

fn a_second() -> Period {
    Period(std::time::Duration::from_secs(1))
}

/// What becomes of the cache directives in requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientDirectives {
    /// They are followed, within `revalidation_floor`.
    #[default]
    Honour,
    /// They count as absent, but for `no-store`.
    Ignore,
}

/// What an edge does with a request that came without TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PlainHttp {
    /// Answer it like any other.
    Serve,
    /// 308 to the same URL under `https:`.
    #[default]
    Redirect,
    /// 403.
    Refuse,
}

/// TTL rules: hint → path rule → class → default → origin, the first that speaks wins.
///
/// They apply where an object enters the CDN. `no-store` and `private` are never extended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TtlRules {
    /// `true`: the rules hold even where the origin gives an explicit lifetime.
    #[serde(default, rename = "override")]
    pub override_origin: bool,
    /// By path prefix; the longest that matches wins.
    #[serde(default)]
    pub paths: Vec<PathTtl>,
    /// For manifests (`.m3u8`, `.mpd`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<Period>,
    /// For media segments (`.ts .m4s .mp4 .m4a .m4v .cmfv .cmfa .aac .vtt …`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment: Option<Period>,
    /// For everything else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Period>,
    /// For answers of other statuses than 200, such as `{"404": "10s"}`, where the origin gives no lifetime, or always
    /// where the rules override it. 206, 304 and what hinges on one request (401, 429 …) cannot be stored.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub statuses: BTreeMap<u16, Period>,
}

/// A TTL for what lies under a path prefix.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PathTtl {
    /// Begins with `/`.
    pub prefix: String,
    /// How long it is fresh.
    pub ttl: Period,
}

/// Which query parameters take part in the cache key. `_HLS_msn`, `_HLS_part` and `_HLS_skip` always do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum QueryKey {
    /// All but these. CMCD (CTA-5004, the `CMCD` parameter) is always left out.
    AllBut(Vec<String>),
    /// Only these.
    Only(Vec<String>),
}

impl Default for QueryKey {
    fn default() -> Self {
        QueryKey::AllBut(vec!["token".to_owned()])
    }
}

/// How a content id is taken from a path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContentId {
    /// Which segment of the path it is; 0 is the first. `/demo/master.m3u8` with 0 gives `demo`.
    pub path_segment: usize,
}

/// One header rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeaderRule {
    /// The tier that applies it; absent: both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<Tier>,
    /// Whether it changes requests on their way up or responses on their way down.
    pub on: Direction,
    /// What it does.
    pub action: HeaderAction,
    /// The field's name.
    pub name: String,
    /// The value to set or add; `{site}`, `{region}` and `{node}` stand for the node's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// Which way a header rule looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// From player to origin.
    Request,
    /// From origin to player.
    Response,
}

/// What a header rule does to its field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HeaderAction {
    /// Replace all values by one.
    Set,
    /// Append a value.
    Add,
    /// Remove all values.
    Remove,
}
