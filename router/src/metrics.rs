//! What operators see of the router as a whole: of its monitors, of the room at sites, and of what it knows of the world.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::Snapshot;
use parking_lot::Mutex;
use prometheus::{GaugeVec, IntCounter, IntGauge, Opts, Registry};

use crate::decide::World;
use crate::geo::table::Table;
use crate::routes::{RouteMetrics, Routes};

/// The families; clones share them.
#[derive(Clone)]
pub(crate) struct Metrics {
    routes: RouteMetrics,
    /// Monitors that count at present.
    pub(crate) monitors_counting: IntGauge,
    /// 1 while no majority of monitors is heard.
    pub(crate) health_frozen: IntGauge,
    /// Keys that are spread over several nodes of a site.
    pub(crate) spread_keys: IntGauge,
    accepted: GaugeVec,
    free: GaugeVec,
    /// The sites that these two have.
    shown: Arc<Mutex<BTreeSet<String>>>,
    /// Networks that go elsewhere than distance says, by what edges measured.
    pub(crate) networks_moved: IntGauge,
    /// Geographies that were refused.
    pub(crate) geographies_refused: IntCounter,
    geography_built: IntGauge,
    geography_strangers: IntGauge,
    geography_entries: IntGauge,
}

impl Metrics {
    /// # Errors
    ///
    /// When one of the names is taken in `registry`.
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Metrics> {
        let metrics = Metrics {
            routes: RouteMetrics::register(registry)?,
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
            shown: Arc::default(),
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
            geography_strangers: IntGauge::new(
                "millrace_router_geography_unknown_sites",
                "Sites that coverage zones name, and the snapshot does not have: they are passed over, and the log names them. Worry when it stays above 0: publish the sites, or mend the zones.",
            )?,
            geography_entries: IntGauge::new(
                "millrace_router_geography_entries",
                "Entries of the compiled geography.",
            )?,
        };
        registry.register(Box::new(metrics.monitors_counting.clone()))?;
        registry.register(Box::new(metrics.health_frozen.clone()))?;
        registry.register(Box::new(metrics.spread_keys.clone()))?;
        registry.register(Box::new(metrics.accepted.clone()))?;
        registry.register(Box::new(metrics.free.clone()))?;
        registry.register(Box::new(metrics.networks_moved.clone()))?;
        registry.register(Box::new(metrics.geographies_refused.clone()))?;
        registry.register(Box::new(metrics.geography_built.clone()))?;
        registry.register(Box::new(metrics.geography_strangers.clone()))?;
        registry.register(Box::new(metrics.geography_entries.clone()))?;
        Ok(metrics)
    }

    /// The counters for the sites of `snapshot`.
    pub(crate) fn routes(&self, snapshot: &Snapshot) -> Arc<Routes> {
        self.routes.routes(snapshot)
    }

    /// Shows the room that sites have.
    pub(crate) fn show_sites(&self, world: &World) {
        let mut shown = self.shown.lock();
        let before = std::mem::take(&mut *shown);
        for site in world.headrooms() {
            let label = [site.site.as_str()];
            self.accepted.with_label_values(&label).set(site.accept);
            match site.free {
                Some(free) => self.free.with_label_values(&label).set(free),
                None => drop(self.free.remove_label_values(&label)),
            }
            shown.insert(site.site);
        }
        for site in before.difference(&shown) {
            // What it never had cannot be removed, which is as well.
            let _ = self.accepted.remove_label_values(&[site]);
            let _ = self.free.remove_label_values(&[site]);
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
        self.geography_strangers.set(number(table.strangers().len()));
    }
}
