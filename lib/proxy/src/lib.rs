//! What edge and parent share: the front door, the life of a request, headers, upstreams, the access log.
//!
//! Invariants:
//! - `flow`, `headers` and `log` never name Pingora: what serves a request knows a small [`flow::Downstream`], so that
//!   another protocol can join as one more adapter.
//! - A fill belongs to the cache, not to a client: it runs as its own task and outlives who asked.
//! - A node of a strict service never connects to an origin unless it is a parent.

pub mod app;
pub mod condition;
pub mod config;
pub mod flow;
pub mod framing;
pub mod front;
pub mod headers;
pub mod heartbeat;
pub mod log;
pub mod metrics;
pub mod node;
pub mod tier;
pub mod upstream;
pub mod world;
