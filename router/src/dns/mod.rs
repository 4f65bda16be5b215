//! DNS: what is said ([`authority`], pure), and how it comes and goes ([`udp`], [`tcp`]).

pub(crate) mod authority;
pub(crate) mod metrics;
mod tally;
pub(crate) mod tcp;
#[cfg(test)]
mod tests;
pub(crate) mod udp;

use self::authority::{Zones, steer::Steer};

/// All that answers are made of. Immutable; a new one takes its place as a whole.
pub(crate) trait World: Steer + Send + Sync + 'static {
    /// The zones.
    fn zones(&self) -> &Zones;
}
