//! Header fields that this node reads, writes and strips: values and pure functions, each after its RFC.
//!
//! Nothing here knows a connection, a clock or Pingora. What is written for every request is written into the caller's
//! buffer, or is a value made once and cloned by reference.

pub mod age;
pub mod cache_status;
pub mod cdn_loop;
pub mod date;
pub mod exact_age;
pub mod hop_by_hop;
pub mod proxy_status;
pub mod pseudonym;
pub mod rules;
pub mod structured;
pub mod tags;
pub mod traceparent;
pub mod trailers;
pub mod via;

pub use cache_status::CacheStatus;
pub use cdn_loop::CdnLoop;
pub use proxy_status::{ErrorType, ProxyStatus};
pub use pseudonym::Pseudonym;
pub use rules::Rules;
pub use traceparent::{RequestId, Trace};
pub use via::Via;
