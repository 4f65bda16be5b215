//! What operators see of HTTP.

use std::sync::Arc;

use http::StatusCode;
use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

/// Statuses that are answered.
const STATUSES: [u16; 10] = [200, 204, 302, 307, 400, 403, 404, 405, 410, 503];

/// The families; clones share them.
#[derive(Clone)]
pub(crate) struct HttpMetrics {
    /// By status, plain and secure.
    requests: Arc<[[IntCounter; STATUSES.len()]; 2]>,
    /// Connections that are open.
    pub(super) connections: IntGauge,
    /// Connections that were not taken: there were as many as there may be, of all or of one network.
    pub(super) refused: IntCounter,
    /// Handshakes and preambles that failed or took too long.
    pub(super) broken: IntCounter,
}

impl HttpMetrics {
    /// # Errors
    ///
    /// When one of the names is taken in `registry`.
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<HttpMetrics> {
        let requests = IntCounterVec::new(
            Opts::new(
                "millrace_router_http_requests_total",
                "Requests by scheme and status. Worry about 503: nothing can serve. Much 404: hosts that no service has.",
            ),
            &["scheme", "code"],
        )?;
        let of =
            |scheme: &str| STATUSES.map(|status| requests.with_label_values(&[scheme, &status.to_string()]));
        let metrics = HttpMetrics {
            requests: Arc::new(["http", "https"].map(of)),
            connections: IntGauge::new(
                "millrace_router_http_connections",
                "Open connections of HTTP. At http.max_connections further ones are closed at once.",
            )?,
            refused: IntCounter::new(
                "millrace_router_http_connections_refused_total",
                "Connections that were closed at once: http.max_connections are open, or one network has more than a sixteenth of them. Worry when it moves.",
            )?,
            broken: IntCounter::new(
                "millrace_router_http_connections_broken_total",
                "Connections that ended before their first request: TLS handshakes or PROXY preambles that failed. Scans do that; worry when it follows a change of certificate or proxy.",
            )?,
        };
        registry.register(Box::new(requests))?;
        registry.register(Box::new(metrics.connections.clone()))?;
        registry.register(Box::new(metrics.refused.clone()))?;
        registry.register(Box::new(metrics.broken.clone()))?;
        Ok(metrics)
    }

    pub(super) fn answered(&self, secure: bool, status: StatusCode) {
        let place = STATUSES.binary_search(&status.as_u16());
        if let Ok(place) = place {
            self.requests[usize::from(secure)][place].inc();
        }
    }
}
