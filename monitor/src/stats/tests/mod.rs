//! The tests of the statistics that are longer than what they test.

mod reading;
mod replay;
mod stories;
