//! Stories and simulations of decisions, in virtual time.

mod cdn;
mod crowds;
mod explanations;
mod failures;
mod monitors;
mod outcomes;
mod popularity;
mod remapping;
mod scale;
