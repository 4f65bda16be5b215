//! What any daemon needs: arguments, configuration, log, metrics, an admin port, signals, a document to follow.
//!
//! Invariants:
//! - Nothing here knows what a CDN is; a mail server could be built on it.
//! - The wall clock is read in [`clock`] and nowhere else, the environment in [`config::Secret`] and nowhere else.
//! - The admin port has a thread and a runtime of its own: a daemon whose workers are busy still answers `/healthz`.
//! - A document that was refused never replaces one that was accepted.

pub mod admin;
pub mod args;
pub mod certificates;
pub mod clock;
pub mod config;
pub mod connect;
pub mod events;
pub mod follow;
pub mod log;
mod machine;
pub mod metrics;
pub mod process;
pub mod signals;
