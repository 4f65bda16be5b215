//! What edges measure of the networks that their clients come from.

use serde::{Deserialize, Serialize};

/// Everything that one edge has measured lately: its admin page `/round-trips`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoundTrips {
    /// A network each.
    pub round_trips: Vec<RoundTrip>,
}

/// The time to a network and back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoundTrip {
    /// A /24 of IPv4 or a /48 of IPv6, such as `192.0.2.0/24`.
    pub network: String,
    /// The median over its last connections of the shortest round trip of each, as the kernel saw it.
    pub microseconds: u32,
    /// Connections that were measured since the edge knows the network.
    pub samples: u32,
    /// How long ago the last of them ended.
    pub age_seconds: u32,
}
