//! What an operator sees of upstreams. Labels are names from the snapshot: nodes, and hosts of origins.

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, core::Collector};

/// All metrics of this room; cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Of health.
    pub health: HealthMetrics,
    /// Of connection limits.
    pub limits: LimitMetrics,
    /// Of name resolution.
    pub names: NameMetrics,
    /// Retries that were made.
    pub retries: IntCounter,
    /// Retries that the budget did not grant.
    pub retries_refused: IntCounter,
}

/// Which upstreams are up.
#[derive(Clone, Debug)]
pub struct HealthMetrics {
    up: IntGaugeVec,
    went_down: IntCounterVec,
    failed_probes: IntCounterVec,
}

/// How full the connection limits of origins are.
#[derive(Clone, Debug)]
pub struct LimitMetrics {
    in_use: IntGaugeVec,
    waiting: IntGaugeVec,
    refused: IntCounterVec,
}

/// How name resolution fares.
#[derive(Clone, Debug)]
pub struct NameMetrics {
    /// Look-ups that found addresses.
    pub found: IntCounter,
    /// Look-ups of names that do not exist or have no address.
    pub not_found: IntCounter,
    /// Look-ups that failed.
    pub failed: IntCounter,
    /// Look-ups that were not answered in time.
    pub timed_out: IntCounter,
    /// Answers given from expired addresses because a look-up failed or is slow.
    pub stale_answers: IntCounter,
    /// Answers withheld because every address is private.
    pub prohibited: IntCounter,
    /// Names held.
    pub held: IntGauge,
}

impl Metrics {
    /// Registers the metrics.
    ///
    /// # Errors
    ///
    /// When one of the names is taken in `registry`.
    pub fn register(registry: &Registry) -> prometheus::Result<Metrics> {
        let registered = Registered(registry);
        let lookups = registered.counters(
            "millrace_name_lookups_total",
            "Look-ups of upstream names, by outcome. Other than found wants a look at the name servers.",
            "outcome",
        )?;
        Ok(Metrics {
            health: HealthMetrics {
                up: registered.gauges(
                    "millrace_upstream_up",
                    "Whether an upstream is asked (1) or left alone after failures (0).",
                    "upstream",
                )?,
                went_down: registered.counters(
                    "millrace_upstream_went_down_total",
                    "How often an upstream was given up after failures in a row.",
                    "upstream",
                )?,
                failed_probes: registered.counters(
                    "millrace_upstream_failed_probes_total",
                    "Probes of upstreams that are down which failed.",
                    "upstream",
                )?,
            },
            limits: LimitMetrics {
                in_use: registered.gauges(
                    "millrace_upstream_connections_in_use",
                    "Requests under way to an origin; at its max_connections, others wait.",
                    "upstream",
                )?,
                waiting: registered.gauges(
                    "millrace_upstream_requests_waiting",
                    "Requests waiting for a connection to an origin. Above 0 for long: raise max_connections or the origin's capacity.",
                    "upstream",
                )?,
                refused: registered.counters(
                    "millrace_upstream_requests_refused_total",
                    "Requests not sent to an origin because too many waited already or the wait was too long. Should stay 0.",
                    "upstream",
                )?,
            },
            names: NameMetrics {
                found: lookups.with_label_values(&["found"]),
                not_found: lookups.with_label_values(&["not_found"]),
                failed: lookups.with_label_values(&["failed"]),
                timed_out: lookups.with_label_values(&["timed_out"]),
                stale_answers: registered.counter(
                    "millrace_name_stale_answers_total",
                    "Expired addresses used because their name could not be looked up (in time).",
                )?,
                prohibited: registered.counter(
                    "millrace_name_prohibited_total",
                    "Names that resolved to private addresses only, for a service that may not use them. Worry: somebody may be trying to reach inside.",
                )?,
                held: registered.gauge("millrace_names_held", "Upstream names whose addresses are remembered.")?,
            },
            retries: registered.counter("millrace_upstream_retries_total", "Requests sent to a further upstream.")?,
            retries_refused: registered.counter(
                "millrace_upstream_retries_refused_total",
                "Retries not made because they would have been over the retry budget. Steady growth: upstreams are overloaded.",
            )?,
        })
    }
}

impl HealthMetrics {
    /// Whether `upstream` is up.
    #[must_use]
    pub fn up(&self, upstream: &str) -> IntGauge {
        self.up.with_label_values(&[upstream])
    }

    /// How often `upstream` was given up.
    #[must_use]
    pub fn went_down(&self, upstream: &str) -> IntCounter {
        self.went_down.with_label_values(&[upstream])
    }

    /// How many probes of `upstream` failed.
    #[must_use]
    pub fn failed_probes(&self, upstream: &str) -> IntCounter {
        self.failed_probes.with_label_values(&[upstream])
    }

    /// Forgets an upstream that is no more. (A metric that was never shown cannot be removed; that is no error.)
    pub fn forget(&self, upstream: &str) {
        let _ = self.up.remove_label_values(&[upstream]);
        let _ = self.went_down.remove_label_values(&[upstream]);
        let _ = self.failed_probes.remove_label_values(&[upstream]);
    }
}

impl LimitMetrics {
    /// Requests under way to `upstream`.
    #[must_use]
    pub fn in_use(&self, upstream: &str) -> IntGauge {
        self.in_use.with_label_values(&[upstream])
    }

    /// Requests waiting for `upstream`.
    #[must_use]
    pub fn waiting(&self, upstream: &str) -> IntGauge {
        self.waiting.with_label_values(&[upstream])
    }

    /// Requests refused for `upstream`.
    #[must_use]
    pub fn refused(&self, upstream: &str) -> IntCounter {
        self.refused.with_label_values(&[upstream])
    }

    /// Forgets an upstream that is no more.
    pub fn forget(&self, upstream: &str) {
        let _ = self.in_use.remove_label_values(&[upstream]);
        let _ = self.waiting.remove_label_values(&[upstream]);
        let _ = self.refused.remove_label_values(&[upstream]);
    }
}

/// Makes metrics that are registered.
struct Registered<'a>(&'a Registry);

impl Registered<'_> {
    fn counter(&self, name: &str, help: &str) -> prometheus::Result<IntCounter> {
        self.keep(IntCounter::new(name, help)?)
    }

    fn gauge(&self, name: &str, help: &str) -> prometheus::Result<IntGauge> {
        self.keep(IntGauge::new(name, help)?)
    }

    fn counters(&self, name: &str, help: &str, label: &str) -> prometheus::Result<IntCounterVec> {
        self.keep(IntCounterVec::new(Opts::new(name, help), &[label])?)
    }

    fn gauges(&self, name: &str, help: &str, label: &str) -> prometheus::Result<IntGaugeVec> {
        self.keep(IntGaugeVec::new(Opts::new(name, help), &[label])?)
    }

    fn keep<M: Collector + Clone + 'static>(&self, metric: M) -> prometheus::Result<M> {
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }
}
