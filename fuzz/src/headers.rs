//! The fields that the readers of HTTP/1 know by name, taken in by path.

#[path = "../../lib/proxy/src/headers/hop_by_hop.rs"]
pub mod hop_by_hop;
#[path = "../../lib/proxy/src/headers/trailers.rs"]
pub mod trailers;
