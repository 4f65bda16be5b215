//! The front door: where clients come in, and how they are seen out.
//!
//! ```text
//!   core-0: socket ─ accept ─┐       ┌ Http1 ─────────────────┐                one thread, one runtime each;
//!   core-1: socket ─ accept ─┤ TLS? ─┤                        ├ application    nothing is shared but counters,
//!   core-N: socket ─ accept ─┘       └ Http2Stream ───────────┘                certificates and the drain
//! ```
//!
//! Invariants:
//! - Sockets are bound and certificates read before a thread starts: what cannot be is one clear line and no process.
//! - HTTP/1 has one parser, [`HeadScan`]: nobody reads a head in another way after it.
//! - Every wait for a client has a bound: handshake, head, next request, each piece of a body, each byte of progress of an
//!   answer.
//! - A drain ([`Running::drain`]) loses no request that was accepted.
//!
//! What the application does for it is in [`Application`]. Pipelining needs nothing: requests come out one at a time.
//! A request's body comes out piece by piece, as the application asks for it, and its client is held back otherwise. One
//! that is not read to its end is the last of its connection.

mod accept;
mod application;
mod config;
mod connection;
mod cores;
mod door;
mod drain;
mod error;
pub mod h2;
mod http1;
mod io;
mod listen;
mod metrics;
mod round_trips;
mod tls;

use std::sync::Arc;
use std::time::Duration;

pub use application::Application;
pub use config::{CertificateFiles, FrontConfig, HIGHEST_MAX_HEADER_BYTES, MOST_THREADS, TlsConfig};
pub use connection::{ConnectionInfo, Protocol, TlsInfo};
pub use cores::CoreIndex;
pub use door::FrontDoor;
pub use drain::{Drained, Running};
pub use error::FrontError;
pub use http1::{BodyEnd, Framing, HeadFault, HeadScan, Http1, MOST_FIELDS, Progress, RequestHead};
pub use io::{connection_info, info_of_stream};
pub use tls::{CertificateError, CertificateProblem, check_certificates};

use connection::{Clock, Slots};
use metrics::Metrics;
use round_trips::Networks;
use tls::Tls;

/// What all cores share.
pub(crate) struct Shared {
    pub(crate) limits: Limits,
    pub(crate) metrics: Metrics,
    pub(crate) clock: Clock,
    pub(crate) slots: Arc<Slots>,
    /// How far away clients are.
    pub(crate) networks: Arc<Networks>,
    pub(crate) tls: Option<Tls>,
}

/// The bounds of every connection, as in [`FrontConfig`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) header_timeout: Duration,
    pub(crate) idle_timeout: Duration,
    pub(crate) send_timeout: Duration,
    pub(crate) body_timeout: Duration,
    pub(crate) max_header_bytes: usize,
}

impl Limits {
    fn of(config: &FrontConfig) -> Limits {
        Limits {
            header_timeout: config.header_timeout,
            idle_timeout: config.idle_timeout,
            send_timeout: config.send_timeout,
            body_timeout: config.body_timeout,
            max_header_bytes: config.max_header_bytes,
        }
    }
}
