//! What edge and parent share, from outside: real sockets, real clients.
#![expect(
    clippy::unwrap_used,
    reason = "the lint's exception for tests does not reach helpers of an integration test"
)]

mod front;
