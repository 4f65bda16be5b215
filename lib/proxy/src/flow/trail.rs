//! What a request leaves behind for the log and the counters.

use std::sync::Arc;
use std::time::Duration;

use cache::policy::Target;
use http::StatusCode;

use crate::headers::{ErrorType, RequestId, Trace};
use crate::metrics::CacheResult;
use crate::world::{ServiceWorld, World};

/// Filled as the request goes its way, read once at its end.
pub struct Trail {
    /// The world it was served by.
    pub world: Arc<World>,
    /// The node's name for the request.
    pub request_id: RequestId,
    /// Its place in a distributed trace.
    pub trace: Trace,
    /// The service, once it was found.
    pub service: Option<Arc<ServiceWorld>>,
    /// The normalised target, once it was parsed.
    pub target: Option<Target>,
    /// The status sent; `None` when the client went before any was.
    pub status: Option<StatusCode>,
    /// Body bytes sent.
    pub bytes: u64,
    /// How the cache took part.
    pub cache: CacheResult,
    /// Whom this request made us ask.
    pub upstream: Option<Arc<str>>,
    /// What went wrong, if anything did.
    pub error: Option<ErrorType>,
    /// From the request's head to the answer's.
    pub first_byte: Option<Duration>,
    /// Whether the answer ended before its body did.
    pub cut: bool,
    /// Whether it asked how this node is: such come every few seconds, are counted apart and not logged.
    pub is_health_check: bool,
}

impl Trail {
    /// A trail that has not begun.
    #[must_use]
    pub fn new(world: Arc<World>, request_id: RequestId, trace: Trace) -> Trail {
        Trail {
            world,
            request_id,
            trace,
            service: None,
            target: None,
            status: None,
            bytes: 0,
            cache: CacheResult::Local,
            upstream: None,
            error: None,
            first_byte: None,
            cut: false,
            is_health_check: false,
        }
    }
}
