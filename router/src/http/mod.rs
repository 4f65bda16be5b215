//! Redirects, JSON and content steering over HTTP: what is said ([`answer`], pure), who asks ([`client`]), and how it
//! comes and goes ([`serve`]).

pub(crate) mod answer;
mod client;
mod location;
pub(crate) mod metrics;
#[cfg(test)]
mod properties;
mod serve;
mod steering;

pub(crate) use client::Trusted;
pub(crate) use location::Way;
pub(crate) use serve::{Certified, Hall, Lane, room};
