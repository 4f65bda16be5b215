//! How the clients of a service are steered: for how long, by what key, from which countries, and whereto when nothing
//! can serve.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Period;

/// The most addresses of one DNS answer: more would not fit a UDP answer of 1232 bytes together with signatures.
pub const ANSWERS_MAX: u8 = 8;

/// The most nodes over which the clients of one key are spread by rule; each holds a copy.
pub const DISPERSION_MAX: u8 = 16;

/// How the clients of a service are steered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Routing {
    /// Whether anybody is sent to it. The nodes go on serving clients that come anyway.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// For how long a client or resolver may keep an answer, 5 s to 1 h: what a dead node costs its clients at most.
    #[serde(default = "half_a_minute")]
    pub ttl: Period,
    /// Addresses in one DNS answer, 1 to 8. A client whose first does not answer tries the next by itself.
    #[serde(default = "two")]
    pub answers: u8,
    /// Over how many nodes of a site the clients of one key are spread, 1 to 16. Each holds a copy of what is asked.
    #[serde(default = "one")]
    pub dispersion: u8,
    /// How many segments at the beginning of a path are the key by which nodes are chosen, so that all of a title comes
    /// from one. Absent: the segment of the content id, or else the path without its last segment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_prefix_segments: Option<u8>,
    /// The name by which a redirect sends a client to one node, such as `{node}.demo.cdn.example`; `{site}` may stand in
    /// it too. One of the service's hosts must cover it. Routers answer for these names inside their zones with the
    /// addresses of the node, whatever its health. Absent: redirects lead to addresses, and the node sees one in `Host`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_host: Option<String>,
    /// From where it may be watched. Absent: from everywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub countries: Option<Countries>,
    /// Whereto clients of a country are sent instead, by its code. It outranks `countries`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub elsewhere: BTreeMap<String, Bypass>,
    /// Whereto clients are sent while no node can serve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bypass: Option<Bypass>,
}

/// Which countries may watch, by their codes of two letters (ISO 3166-1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Countries {
    /// Only these; clients of whom the country is not known may not, unless a coverage zone names their network.
    Allow(Vec<String>),
    /// All but these.
    Block(Vec<String>),
}

/// A place outside of this CDN.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bypass {
    /// Whereto redirects lead, such as `https://other.example`: scheme, host and perhaps a path; the path and query of
    /// the request are added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// What DNS answers. Without any it refuses, or fails while nothing can serve: neither is kept for long.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<IpAddr>,
}

impl Default for Routing {
    fn default() -> Routing {
        Routing {
            enabled: yes(),
            ttl: half_a_minute(),
            answers: two(),
            dispersion: one(),
            key_prefix_segments: None,
            node_host: None,
            countries: None,
            elsewhere: BTreeMap::new(),
            bypass: None,
        }
    }
}

fn yes() -> bool {
    true
}

fn half_a_minute() -> Period {
    Period(Duration::from_secs(30))
}

fn one() -> u8 {
    1
}

fn two() -> u8 {
    2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_written_is_the_default_and_everything_written_reads_back() {
        let empty: Routing = serde_json::from_str("{}").expect("every field has a default");
        assert_eq!(empty, Routing::default());
        let text = r#"{"enabled":false,"ttl":"10s","answers":4,"dispersion":3,"key_prefix_segments":2,
            "node_host":"{node}.{site}.demo.example","countries":{"allow":["NL","BE"]},"elsewhere":{"CH":{"url":"https://ch.example"}},
            "bypass":{"url":"https://other.example/cdn","addresses":["192.0.2.7","2001:db8::7"]}}"#;
        let full: Routing = serde_json::from_str(text).expect("right");
        let written = serde_json::to_string(&full).expect("it can be written");
        assert_eq!(serde_json::from_str::<Routing>(&written).expect(&written), full);
    }

    #[test]
    fn a_stray_key_is_refused_wherever_it_stands() {
        for text in [
            r#"{"stray":1}"#,
            r#"{"bypass":{"stray":1}}"#,
            r#"{"elsewhere":{"CH":{"stray":1}}}"#,
            r#"{"countries":{"stray":[]}}"#,
            r#"{"countries":{"allow":[],"block":[]}}"#,
        ] {
            assert!(serde_json::from_str::<Routing>(text).is_err(), "{text}");
        }
    }
}
