//! Stories of alerting as a whole, and what they and the tests of its parts share.

pub(super) mod cdn;
mod couriers;
mod histories;
pub(super) mod memory;
mod receiver;
mod stories;
