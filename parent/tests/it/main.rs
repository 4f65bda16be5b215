//! Stories of a parent, told through real processes: it alone speaks to origins, and says how long things are fresh.
//!
//! Each story checks the answer, the counters, and what the origins were asked.
#![allow(clippy::unwrap_used, reason = "a test fails where it unwraps")]

mod freshness;
mod listening;
mod origins;

use model::Tier;
use testkit::cdn::{Cdn, CdnBuilder};

/// The parent that most stories ask.
const PARENT: &str = "parent-ams-1";

/// A CDN whose parents are the ones under test.
fn builder() -> CdnBuilder {
    Cdn::builder().binary(Tier::Parent, env!("CARGO_BIN_EXE_millrace-parent"))
}
