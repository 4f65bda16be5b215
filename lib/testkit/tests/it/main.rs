//! The testkit's own tests: origin and client against each other over real sockets.

#![allow(clippy::unwrap_used, reason = "a test fails where it unwraps")]

mod faults;
mod processes;
mod strictness;
mod timing;
mod tls;
mod wholesome;
