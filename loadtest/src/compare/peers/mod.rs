//! The peers, set up as their makers mean them to be: one worker, a cache, the access log on, TLS 1.3 alone.

pub(super) mod nginx;
pub(super) mod trafficserver;
pub(super) mod varnish;
