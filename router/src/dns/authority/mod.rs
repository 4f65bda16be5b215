//! What an authoritative name server says: one pure function from the bytes of a query to the bytes of a reply.
//!
//! No sockets, no clock, no allocation on the way of a query. UDP, TCP, tests and fuzzers all call [`answer`]; what they
//! do with the bytes is theirs. Nothing outside this folder is used but `model`, so that `fuzz/` takes it in by path.

mod answer;
mod code;
mod name;
pub(crate) mod outcome;
mod query;
mod reply;
pub(crate) mod steer;
mod subnet;
mod zones;

pub(crate) use answer::answer;
pub(crate) use code::{Kind, Rcode};
pub(crate) use reply::UDP_BYTES_MAX;
pub(crate) use subnet::SubnetFamily;
pub(crate) use zones::Zones;
