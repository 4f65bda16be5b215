//! What edges measure of their clients' networks, and what follows from it: a site that is clearly quicker for a network
//! than the one that distance says.

mod gather;
mod judge;

pub(crate) use gather::gather;
pub(crate) use judge::Judge;
