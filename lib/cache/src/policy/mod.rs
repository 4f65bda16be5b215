//! What HTTP allows a shared cache to do: pure decisions, with the moments they need as arguments.
//!
//! | file | decides | by |
//! | --- | --- | --- |
//! | `target` | which requests ask for the same | RFC 3986 §6.2.2 |
//! | `verdict` | what may be stored, and for how long | RFC 9111 §3, §4.2 |
//! | `directives` | what `Cache-Control` says | RFC 9111 §5.2, RFC 5861 |
//! | `targeted` | whose directives govern | RFC 9213 |
//! | `ttl` | what the service's rules make of a lifetime | |
//! | `age` | how old a response was when it came | RFC 9111 §4.2.3 |
//! | `demands` | what a request asks of freshness | RFC 9111 §5.2.1, §5.4 |
//! | `freshness` | what an object may be used for now | RFC 9111 §4.2, RFC 5861 |
//! | `fields` | which fields are kept | RFC 9111 §3.1 |
//! | `merge` | what a 304 changes | RFC 9111 §3.2 |
//! | `freshening` | what the answer to a HEAD changes | RFC 9111 §4.3.5 |
//! | `conditional` | who gets a 304, and how to ask for one | RFC 9110 §13, RFC 9111 §4.3 |
//! | `range` | which bytes are sent | RFC 9110 §14 |
//! | `vary` | which requests get the same answer | RFC 9110 §12.5.5, RFC 9111 §4.1 |
//! | `coding` | which content codings a request takes | RFC 9110 §12.5.3 |
//!
//! Nothing here does I/O or reads a clock, and nothing panics, whatever the bytes.

pub mod age;
pub mod coding;
pub mod conditional;
pub mod demands;
pub mod directives;
mod entity_tag;
mod escape;
pub mod fields;
pub mod freshening;
pub mod freshness;
pub mod merge;
pub mod range;
pub mod target;
mod targeted;
pub mod ttl;
pub mod vary;
pub mod verdict;

use http::Method;

pub use age::add_missing_date;
pub use fields::storable_fields;
pub use freshness::{Freshness, State};
pub use merge::merge_304;
pub use target::{Target, TargetError};
pub use verdict::{
    Entry, Exchange, Reason, StaleDefaults, Verdict, forbids_transformation, judge, request_forbids,
};

/// Whether a request of this method may be answered from the cache (RFC 9111 §4): GET, and HEAD from what a GET
/// stored.
#[must_use]
pub fn cacheable_method(method: &Method) -> bool {
    *method == Method::GET || *method == Method::HEAD
}
