//! What decisions count, whatever protocol they go out by.

use model::Snapshot;
use prometheus::{GaugeVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use crate::decide::{Reason, SiteId, World};
use crate::geo::table::Table;

/// How a decision goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Dns,
    Redirect,
    Json,
    Steering,
}

impl Protocol {
    const ALL: [Protocol; 4] = [
        Protocol::Dns,
        Protocol::Redirect,
        Protocol::Json,
        Protocol::Steering,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Protocol::Dns => "dns",
            Protocol::Redirect => "redirect",
            Protocol::Json => "json",
            Protocol::Steering => "steering",
        }
    }
}

/// The families; clones share them.
#[derive(Clone)]
pub(crate) struct Metrics {
    routes: IntCounterVec,
    sent: IntCounterVec,
    /// Monitors that count at present.
    pub(crate) monitors_counting: IntGauge,
    /// 1 while no majority of monitors is heard.
    pub(crate) health_frozen: IntGauge,
    /// Keys that are spread over several nodes of a site.
    pub(crate) spread_keys: IntGauge,
    accepted: GaugeVec,
    free: GaugeVec,
    /// Networks that go elsewhere than distance says, by what edges measured.
    pub(crate) networks_moved: IntGauge,
    /// Geographies that were refused.
    pub(crate) geographies_refused: IntCounter,
    geography_built: IntGauge,
    geography_entries: IntGauge,
}

/// The counters of one world, resolved once.
pub(crate) struct Routes {
    /// By protocol and reason.
    routes: [[IntCounter; Reason::ALL.len()]; 4],
    /// By site.
    sent: Vec<IntCounter>,
}

impl Metrics {
    /// # Errors
    ///
    /// When one of the names is taken in `registry`.
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Metrics> {
        let metrics = Metrics {
            routes: IntCounterVec::new(
                Opts::new(
                    "millrace_router_routes_total",
                    "Decisions by protocol (dns, redirect, json, steering) and reason. Worry about panic, nothing and bypass; failover and spill say that sites are down or full.",
                ),
                &["protocol", "reason"],
            )?,
            sent: IntCounterVec::new(
                Opts::new(
                    "millrace_router_sent_total",
                    "Decisions that led to a site, by site.",
                ),
                &["site"],
            )?,
            monitors_counting: IntGauge::new(
                "millrace_router_monitors_counting",
                "Monitors whose view counts. Worry below a majority of all: states of nodes are frozen then.",
            )?,
            health_frozen: IntGauge::new(
                "millrace_router_health_frozen",
                "1 while no majority of monitors is heard and what was last known stands. After five minutes nodes that were down count half.",
            )?,
            spread_keys: IntGauge::new(
                "millrace_router_spread_keys",
                "Keys so much asked for that their clients are spread over several nodes of a site, by site and key.",
            )?,
            accepted: GaugeVec::new(
                Opts::new(
                    "millrace_router_site_accept_ratio",
                    "Which part of its own clients a site keeps; the rest spills over to the next. Worry where it stays below 1: the site is too small.",
                ),
                &["site"],
            )?,
            free: GaugeVec::new(
                Opts::new(
                    "millrace_router_site_free_ratio",
                    "Which part of what it can do is free at a site; absent where its load is not known.",
                ),
                &["site"],
            )?,
            networks_moved: IntGauge::new(
                "millrace_router_networks_moved",
                "Networks of clients that go to another site than the nearest, as edges have measured it to be quicker.",
            )?,
            geographies_refused: IntCounter::new(
                "millrace_router_geographies_refused_total",
                "Databases, coverage zones or latencies that were refused; the old ones stay. Worry: the log says what is wrong.",
            )?,
            geography_built: IntGauge::new(
                "millrace_router_geography_built_timestamp_seconds",
                "When the geographic database was built, seconds since the Unix epoch. Worry when it is older than a month.",
            )?,
            geography_entries: IntGauge::new(
                "millrace_router_geography_entries",
                "Entries of the compiled geography.",
            )?,
        };
        registry.register(Box::new(metrics.routes.clone()))?;
        registry.register(Box::new(metrics.sent.clone()))?;
        registry.register(Box::new(metrics.monitors_counting.clone()))?;
        registry.register(Box::new(metrics.health_frozen.clone()))?;
        registry.register(Box::new(metrics.spread_keys.clone()))?;
        registry.register(Box::new(metrics.accepted.clone()))?;
        registry.register(Box::new(metrics.free.clone()))?;
        registry.register(Box::new(metrics.networks_moved.clone()))?;
        registry.register(Box::new(metrics.geographies_refused.clone()))?;
        registry.register(Box::new(metrics.geography_built.clone()))?;
        registry.register(Box::new(metrics.geography_entries.clone()))?;
        Ok(metrics)
    }

    /// The counters for the sites of `snapshot`.
    pub(crate) fn routes(&self, snapshot: &Snapshot) -> Routes {
        let of = |protocol: Protocol| {
            Reason::ALL.map(|reason| {
                self.routes
                    .with_label_values(&[protocol.as_str(), reason.as_str()])
            })
        };
        let sites = snapshot.sites.keys();
        Routes {
            routes: Protocol::ALL.map(of),
            sent: sites.map(|site| self.sent.with_label_values(&[site])).collect(),
        }
    }

    /// Shows the room that sites have.
    pub(crate) fn show_sites(&self, world: &World) {
        self.free.reset();
        self.accepted.reset();
        for site in world.headrooms() {
            let label = [site.site.as_str()];
            self.accepted.with_label_values(&label).set(site.accept);
            if let Some(free) = site.free {
                self.free.with_label_values(&label).set(free);
            }
        }
        self.spread_keys
            .set(i64::try_from(world.large.spread_count()).unwrap_or(i64::MAX));
    }

    /// Shows what a new geography is.
    pub(crate) fn show_geography(&self, table: &Table) {
        let stats = table.stats();
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.geography_entries
            .set(number(stats.entries_ipv4 + stats.entries_ipv6));
        self.geography_built
            .set(i64::try_from(stats.database_built).unwrap_or(i64::MAX));
    }
}

impl Routes {
    /// Counts a decision.
    pub(crate) fn count(&self, protocol: Protocol, reason: Reason, site: Option<SiteId>) {
        self.routes[protocol as usize][reason as usize].inc();
        if let Some(sent) = site.and_then(|site| self.sent.get(usize::from(site.0))) {
            sent.inc();
        }
    }
}
