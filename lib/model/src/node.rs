//! Sites (PoPs) and the nodes that stand in them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use serde::{Deserialize, Serialize};

/// Edges that may stand in one site. A router scores all of them for each question, on its stack; and rendezvous hashing
/// is the right way up to about so many.
pub const EDGES_OF_SITE_MAX: usize = 64;

/// Sites of one CDN. Routers keep the order of all of them by distance from each.
pub const SITES_MAX: usize = 1024;

/// A point of presence: where nodes stand.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Site {
    /// The region the site belongs to, such as `eu-west`; free text that operators group by.
    pub region: String,
    /// Degrees north, -90 to 90.
    pub latitude: f64,
    /// Degrees east, -180 to 180.
    pub longitude: f64,
    /// What its uplinks carry; routers weigh sites against each other by it. Absent or 0: not known, and the weights of
    /// its nodes stand in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity_bytes_per_second: Option<u64>,
}

/// Which of the two tiers a node serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tier {
    /// L1: players connect to it; it asks parents.
    Edge,
    /// L2: edges connect to it; it asks origins.
    Parent,
}

/// Whether a node takes part, as Apache Traffic Control means these words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Status {
    /// In use whatever its health.
    Online,
    /// In use while it is healthy.
    #[default]
    Reported,
    /// Watched, but not used: for maintenance.
    AdminDown,
    /// Neither watched nor used.
    Offline,
}

impl Status {
    /// Whether other nodes may send requests to a node of this status (health permitting).
    #[must_use]
    pub fn in_use(self) -> bool {
        matches!(self, Status::Online | Status::Reported)
    }
}

/// One server of the CDN.
///
/// A node that is reached over both families of addresses has its IPv4 address in `http` and `https` and its IPv6 one
/// in `http6` and `https6`; one that has only one family writes it in the first two.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// The tier it serves.
    pub tier: Tier,
    /// The name of the site it stands in.
    pub site: String,
    /// Where it answers plain HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<SocketAddr>,
    /// Where it answers HTTPS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub https: Option<SocketAddr>,
    /// Where it answers plain HTTP over IPv6, beside an `http` of IPv4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http6: Option<SocketAddrV6>,
    /// Where it answers HTTPS over IPv6, beside an `https` of IPv4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub https6: Option<SocketAddrV6>,
    /// Where monitors read its `/metrics`: its admin port, as they reach it. Without it nothing is known of its load.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin: Option<SocketAddr>,
    /// Its share of the keys relative to the other nodes of its site; 1 is usual, must be above 0.
    #[serde(default = "one")]
    pub weight: f64,
    /// Whether it takes part.
    #[serde(default)]
    pub status: Status,
}

fn one() -> f64 {
    1.0
}

impl Node {
    /// The addresses it serves players at, HTTPS before plain HTTP, IPv4 and IPv6.
    #[must_use]
    pub fn service_ips(&self) -> (Option<Ipv4Addr>, Option<Ipv6Addr>) {
        let secure = [self.https, self.https6.map(SocketAddr::V6)];
        let plain = [self.http, self.http6.map(SocketAddr::V6)];
        let ips = || {
            secure
                .into_iter()
                .chain(plain)
                .flatten()
                .map(|address| address.ip())
        };
        let ipv4 = ips().find_map(|ip| match ip {
            IpAddr::V4(ip) => Some(ip),
            IpAddr::V6(_) => None,
        });
        let ipv6 = ips().find_map(|ip| match ip {
            IpAddr::V4(_) => None,
            IpAddr::V6(ip) => Some(ip),
        });
        (ipv4, ipv6)
    }

    /// Whether clients might ever be sent to it: an edge that is not OFFLINE.
    #[must_use]
    pub fn is_routable(&self) -> bool {
        self.tier == Tier::Edge && self.status != Status::Offline
    }
}
