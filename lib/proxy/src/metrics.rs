//! What the life of a request counts. Front door, cache, upstreams and log have their own.

use model::Tier;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

/// How the cache took part in an answer; the `result` label and the log's `cache` field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheResult {
    /// Served from RAM or disk, fresh.
    Hit,
    /// Served stale: refreshed behind, or because upstream failed.
    Stale,
    /// Asked upstream, which confirmed what was stored.
    Revalidated,
    /// Fetched, and this request started the fetch.
    Miss,
    /// Fetched, and this request joined a fetch under way.
    Collapsed,
    /// Relayed: not for caching.
    Pass,
    /// Upstream gave no usable answer and nothing stored could stand in.
    Error,
    /// Answered by this node itself: a redirect or a refusal.
    Local,
}

impl CacheResult {
    /// Every result there is, in the order of the counters.
    pub const ALL: [CacheResult; 8] = [
        CacheResult::Hit,
        CacheResult::Stale,
        CacheResult::Revalidated,
        CacheResult::Miss,
        CacheResult::Collapsed,
        CacheResult::Pass,
        CacheResult::Error,
        CacheResult::Local,
    ];

    /// The word for it in labels and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            CacheResult::Hit => "hit",
            CacheResult::Stale => "stale",
            CacheResult::Revalidated => "revalidated",
            CacheResult::Miss => "miss",
            CacheResult::Collapsed => "collapsed",
            CacheResult::Pass => "pass",
            CacheResult::Error => "error",
            CacheResult::Local => "local",
        }
    }
}

/// The families; one value per daemon.
#[derive(Clone)]
pub struct Metrics {
    requests: IntCounterVec,
    results: IntCounterVec,
    bytes: IntCounterVec,
    cut: IntCounterVec,
    resumed: IntCounterVec,
    invalidations: IntCounterVec,
    tunnels: IntCounterVec,
    tunnels_open: IntGaugeVec,
    first_byte: HistogramVec,
    compressed: IntCounterVec,
    /// Objects that were asked for again shortly before their end.
    pub early_refreshes: IntCounter,
    /// Requests that did not wait any longer for what another had asked for.
    pub collapses_timed_out: IntCounter,
    /// Requests for hosts no service answers to.
    pub misdirected: IntCounter,
    /// Objects sent as they are because too many were being compressed.
    pub compressions_refused: IntCounter,
    health_checks: IntCounterVec,
    /// Snapshots refused because they would not compile for this node.
    pub worlds_refused: IntCounter,
}

/// The counters of one service on this node, resolved once so that a request touches atomics only.
#[derive(Clone)]
pub struct ServiceMetrics {
    by_class: [IntCounter; 5],
    by_result: [IntCounter; 8],
    bytes_by_result: [IntCounter; 8],
    /// Answers that ended before their body did.
    pub cut: IntCounter,
    /// Times an answer went on from a new fill after the cache had lost its bytes.
    pub resumed: IntCounter,
    /// Answers to unsafe requests that made what was stored invalid.
    pub invalidations: IntCounter,
    tunnels: IntCounter,
    tunnels_open: IntGauge,
    /// Seconds from the request's head to the answer's, for what was not a hit.
    pub first_byte: Histogram,
    /// Bytes that were compressed here.
    pub compressed_from: IntCounter,
    /// Bytes that came of them.
    pub compressed_to: IntCounter,
}

impl Metrics {
    /// Registers the families.
    ///
    /// # Errors
    ///
    /// When one of the names is taken in `registry`.
    pub fn register(registry: &Registry) -> prometheus::Result<Metrics> {
        let metrics = Metrics {
            requests: IntCounterVec::new(
                Opts::new(
                    "millrace_requests_total",
                    "Requests answered, by service, tier and class of status. A rising share of 5xx wants a look at upstreams.",
                ),
                &["service", "tier", "class"],
            )?,
            results: IntCounterVec::new(
                Opts::new(
                    "millrace_cache_results_total",
                    "How the cache took part in each answer. hit + stale + revalidated + collapsed over all but local is the offload; `error` should stay at zero.",
                ),
                &["service", "tier", "result"],
            )?,
            bytes: IntCounterVec::new(
                Opts::new(
                    "millrace_response_body_bytes_total",
                    "Body bytes sent to clients, by how the cache took part. hit + stale + revalidated + collapsed over all but local is the offload in bytes: what upstream links are spared.",
                ),
                &["service", "tier", "result"],
            )?,
            cut: IntCounterVec::new(
                Opts::new(
                    "millrace_responses_cut_total",
                    "Answers that ended before their body did, because the client left or upstream broke off. Players that switch renditions cause some.",
                ),
                &["service", "tier"],
            )?,
            resumed: IntCounterVec::new(
                Opts::new(
                    "millrace_responses_resumed_total",
                    "Times an answer went on from a new fill because the cache lost the rest of its bytes. More than a few an hour: look at the disks.",
                ),
                &["service", "tier"],
            )?,
            invalidations: IntCounterVec::new(
                Opts::new(
                    "millrace_invalidations_total",
                    "Answers to requests such as POST that made what was stored for their URL invalid. As many as succeed.",
                ),
                &["service", "tier"],
            )?,
            tunnels: IntCounterVec::new(
                Opts::new(
                    "millrace_tunnels_total",
                    "Connections that were switched to another protocol, such as WebSocket.",
                ),
                &["service", "tier"],
            )?,
            tunnels_open: IntGaugeVec::new(
                Opts::new(
                    "millrace_tunnels",
                    "Connections that speak another protocol now. Each holds a connection at both ends, and a drain waits for it.",
                ),
                &["service", "tier"],
            )?,
            first_byte: HistogramVec::new(
                HistogramOpts::new(
                    "millrace_first_byte_seconds",
                    "Time from a request's head to its answer's, for all but hits.",
                )
                .buckets(vec![
                    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
                ]),
                &["service", "tier"],
            )?,
            compressed: IntCounterVec::new(
                Opts::new(
                    "millrace_compression_bytes_total",
                    "Bytes of text compressed (in) and what came of them (out), once for each object and coding. out near in: a type is listed that does not compress.",
                ),
                &["service", "tier", "side"],
            )?,
            compressions_refused: IntCounter::new(
                "millrace_compressions_refused_total",
                "Times an object was sent as it is because its turn to be compressed did not come within a second. A steady rise: too few cores for how fast manifests change; compress fewer types.",
            )?,
            early_refreshes: IntCounter::new(
                "millrace_early_refreshes_total",
                "Times a popular object was asked for again in the last tenth of its freshness, so that nobody waits when it ends. Nothing to worry about.",
            )?,
            collapses_timed_out: IntCounter::new(
                "millrace_collapses_timed_out_total",
                "Requests that waited for another's answer for collapse_timeout and then asked for themselves. More than a few: upstream is slow, or collapse_timeout is shorter than first_byte_timeout.",
            )?,
            misdirected: IntCounter::new(
                "millrace_misdirected_requests_total",
                "Requests for a host no service answers to (421). Steady growth means DNS points names here that the snapshot does not know.",
            )?,
            health_checks: IntCounterVec::new(
                Opts::new(
                    "millrace_health_checks_total",
                    "Times /healthz of this node was asked, by what it said. None for a minute: monitors and load balancers do not reach it.",
                ),
                &["state"],
            )?,
            worlds_refused: IntCounter::new(
                "millrace_snapshots_unusable_total",
                "Snapshots that passed their check but do not place this node. Worry: the node serves by an old one.",
            )?,
        };
        registry.register(Box::new(metrics.requests.clone()))?;
        registry.register(Box::new(metrics.results.clone()))?;
        registry.register(Box::new(metrics.bytes.clone()))?;
        registry.register(Box::new(metrics.cut.clone()))?;
        registry.register(Box::new(metrics.resumed.clone()))?;
        registry.register(Box::new(metrics.invalidations.clone()))?;
        registry.register(Box::new(metrics.tunnels.clone()))?;
        registry.register(Box::new(metrics.tunnels_open.clone()))?;
        registry.register(Box::new(metrics.first_byte.clone()))?;
        registry.register(Box::new(metrics.compressed.clone()))?;
        registry.register(Box::new(metrics.compressions_refused.clone()))?;
        registry.register(Box::new(metrics.early_refreshes.clone()))?;
        registry.register(Box::new(metrics.collapses_timed_out.clone()))?;
        registry.register(Box::new(metrics.misdirected.clone()))?;
        registry.register(Box::new(metrics.health_checks.clone()))?;
        registry.register(Box::new(metrics.worlds_refused.clone()))?;
        // Both are there before the first is counted.
        let _ = [false, true].map(|draining| metrics.health_checks(draining));
        Ok(metrics)
    }

    /// The counter of health checks that were answered so.
    #[must_use]
    pub fn health_checks(&self, draining: bool) -> IntCounter {
        let state = if draining { "draining" } else { "serving" };
        self.health_checks.with_label_values(&[state])
    }

    /// The counters of `service` on a node of `tier`.
    #[must_use]
    pub fn of_service(&self, service: &str, tier: Tier) -> ServiceMetrics {
        let tier = match tier {
            Tier::Edge => "edge",
            Tier::Parent => "parent",
        };
        ServiceMetrics {
            by_class: ["1xx", "2xx", "3xx", "4xx", "5xx"]
                .map(|class| self.requests.with_label_values(&[service, tier, class])),
            by_result: CacheResult::ALL
                .map(|result| self.results.with_label_values(&[service, tier, result.as_str()])),
            bytes_by_result: CacheResult::ALL
                .map(|result| self.bytes.with_label_values(&[service, tier, result.as_str()])),
            cut: self.cut.with_label_values(&[service, tier]),
            resumed: self.resumed.with_label_values(&[service, tier]),
            invalidations: self.invalidations.with_label_values(&[service, tier]),
            tunnels: self.tunnels.with_label_values(&[service, tier]),
            tunnels_open: self.tunnels_open.with_label_values(&[service, tier]),
            first_byte: self.first_byte.with_label_values(&[service, tier]),
            compressed_from: self.compressed.with_label_values(&[service, tier, "in"]),
            compressed_to: self.compressed.with_label_values(&[service, tier, "out"]),
        }
    }
}

/// A connection that speaks another protocol, counted until this is dropped.
#[must_use = "dropping it says that the connection has ended"]
pub struct OpenTunnel(IntGauge);

impl Drop for OpenTunnel {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl ServiceMetrics {
    /// Counts a connection that was switched to another protocol.
    pub fn open_tunnel(&self) -> OpenTunnel {
        self.tunnels.inc();
        self.tunnels_open.inc();
        OpenTunnel(self.tunnels_open.clone())
    }

    /// Counts one answer and the bytes of its body.
    pub fn count(&self, status: http::StatusCode, result: CacheResult, bytes: u64) {
        let class = usize::from(status.as_u16() / 100).clamp(1, 5) - 1;
        self.by_class[class].inc();
        self.by_result[result as usize].inc();
        self.bytes_by_result[result as usize].inc_by(bytes);
    }
}
