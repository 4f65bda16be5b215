//! `millrace-loadtest` as people use it: real processes, real daemons.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod cache;
mod play;
mod running;
mod up;
