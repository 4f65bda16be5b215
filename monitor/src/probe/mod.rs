//! Asks every node, over each family of its addresses, whether it serves.
//!
//! ```text
//! snapshot ─▶ target: whom to ask ─▶ task: when (schedule), again and again ─▶ ask: once ─▶ Finding ─▶ the board
//! ```

mod ask;
mod metrics;
mod schedule;
mod target;
mod task;
mod tls;

pub(crate) use ask::Finding;
pub(crate) use metrics::ProbeMetrics;
pub(crate) use target::targets;
pub(crate) use task::{Probed, Probing};
pub(crate) use tls::ProbeTls;
