//! What an edge and a parent are told: inert values, read from one TOML file and passed down.
//!
//! Every knob is declared once, as a `Knob` with its default and its range, and its comment says what it does. The
//! samples in `conf/` repeat that for operators; a test holds them to it. Nothing here opens a file or a socket.

mod cache;
mod knob;
mod listen;
mod log;
mod monitors;
mod node;
mod upstream;

pub use cache::{CacheConfig, DiskConfig, cache};
pub use listen::{hsts, listen_edge, listen_parent};
pub use log::access_log;
pub use monitors::{MonitorsConfig, monitors};
pub use node::{NodeConfig, node};
pub use upstream::{UpstreamConfig, upstream};
