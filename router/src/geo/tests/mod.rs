//! Tests of the table as a whole.

mod coverage;
mod database;
mod garbage;
mod naive;
mod properties;
mod stories;
mod world;
