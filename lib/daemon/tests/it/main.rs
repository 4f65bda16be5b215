//! The daemon's rooms from outside: real files, real sockets, real processes.
#![expect(
    clippy::unwrap_used,
    reason = "the lint's exception for tests does not reach helpers of an integration test"
)]

mod admin;
mod config;
mod follow;
mod log;
mod server;
mod signals;
mod wait;
