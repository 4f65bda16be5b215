//! Counters of decisions. Each thread counts in memory of its own, so that those that answer do not pull a cache line
//! back and forth; what they counted is added up when somebody asks, and when a snapshot's counters are let go of.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use model::Snapshot;
use parking_lot::Mutex;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

use crate::decide::{Reason, SiteId};
use crate::lanes::{LANES, lane};

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

/// What operators see; clones share it.
#[derive(Clone)]
pub(crate) struct RouteMetrics {
    routes: IntCounterVec,
    sent: IntCounterVec,
    /// Those in use.
    counting: Arc<Mutex<Vec<Weak<Routes>>>>,
}

/// The counters for the sites of one snapshot: by protocol and reason, then by site.
pub(crate) struct Routes {
    /// What the threads of each lane have counted since it was last added up.
    lanes: Box<[Box<[Line]>]>,
    /// Where the sums go.
    sums: Box<[IntCounter]>,
}

/// Counters in cache lines that no other lane touches: processors fetch them in pairs.
#[derive(Default)]
#[repr(align(128))]
struct Line([AtomicU64; COUNTERS_OF_LINE]);

const COUNTERS_OF_LINE: usize = 16;

/// The place of the first site among the counters.
const SITES: usize = Protocol::ALL.len() * Reason::ALL.len();

impl RouteMetrics {
    /// # Errors
    ///
    /// When one of the names is taken in `registry`.
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<RouteMetrics> {
        let metrics = RouteMetrics {
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
            counting: Arc::default(),
        };
        registry.register(Box::new(metrics.clone()))?;
        Ok(metrics)
    }

    /// Counters for the sites of `snapshot`.
    pub(crate) fn routes(&self, snapshot: &Snapshot) -> Arc<Routes> {
        let routes = Protocol::ALL.into_iter().flat_map(|protocol| {
            Reason::ALL.map(|reason| {
                self.routes
                    .with_label_values(&[protocol.as_str(), reason.as_str()])
            })
        });
        let sites = snapshot.sites.keys();
        let sent = sites.map(|site| self.sent.with_label_values(&[site]));
        let sums: Box<[IntCounter]> = routes.chain(sent).collect();
        let lane = || {
            let lines = sums.chunks(COUNTERS_OF_LINE);
            lines.map(|_| Line::default()).collect()
        };
        let routes = Arc::new(Routes {
            lanes: std::iter::repeat_with(lane).take(LANES).collect(),
            sums,
        });
        let mut counting = self.counting.lock();
        counting.retain(|routes| routes.strong_count() > 0);
        counting.push(Arc::downgrade(&routes));
        routes
    }

    fn parts(&self) -> [&dyn Collector; 2] {
        [&self.routes, &self.sent]
    }
}

impl Routes {
    /// Counts a decision.
    pub(crate) fn count(&self, protocol: Protocol, reason: Reason, site: Option<SiteId>) {
        let lane = &self.lanes[lane()];
        more(lane, protocol as usize * Reason::ALL.len() + reason as usize);
        if let Some(site) = site {
            more(lane, SITES + usize::from(site.0));
        }
    }

    /// Adds what the lanes have counted to the sums. What is counted meanwhile is in these or the next.
    fn add_up(&self) {
        for lane in &self.lanes {
            let counters = lane.iter().flat_map(|line| &line.0);
            for (counter, sum) in counters.zip(&self.sums) {
                let counted = counter.swap(0, Ordering::Relaxed);
                if counted > 0 {
                    sum.inc_by(counted);
                }
            }
        }
    }
}

fn more(lane: &[Line], place: usize) {
    if let Some(line) = lane.get(place / COUNTERS_OF_LINE) {
        line.0[place % COUNTERS_OF_LINE].fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Routes {
    fn drop(&mut self) {
        self.add_up();
    }
}

impl Collector for RouteMetrics {
    fn desc(&self) -> Vec<&Desc> {
        self.parts().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.counting
            .lock()
            .iter()
            .filter_map(Weak::upgrade)
            .for_each(|routes| routes.add_up());
        self.parts().into_iter().flat_map(Collector::collect).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn told(registry: &Registry) -> Vec<String> {
        let text = String::from_utf8(daemon::metrics::encode(registry).unwrap()).unwrap();
        let lines = text
            .lines()
            .filter(|line| line.starts_with("millrace_router_") && !line.ends_with(" 0"));
        lines.map(str::to_owned).collect()
    }

    fn snapshot(sites: &[&str]) -> Snapshot {
        let site = model::Site {
            region: "test".to_owned(),
            latitude: 0.0,
            longitude: 0.0,
            capacity_bytes_per_second: None,
        };
        Snapshot {
            cdn: "test".to_owned(),
            number: 1,
            sites: sites
                .iter()
                .map(|name| ((*name).to_owned(), site.clone()))
                .collect(),
            nodes: BTreeMap::new(),
            services: BTreeMap::new(),
            zones: BTreeMap::new(),
        }
    }

    #[test]
    fn the_counts_of_all_threads_and_snapshots_are_added_up_once() {
        let registry = Registry::new();
        let metrics = RouteMetrics::register(&registry).unwrap();
        assert!(told(&registry).is_empty(), "nothing is known yet");
        let old = metrics.routes(&snapshot(&["ams", "iad"]));
        let new = metrics.routes(&snapshot(&["iad"]));
        std::thread::scope(|scope| {
            for _ in 0..LANES + 1 {
                scope.spawn(|| {
                    old.count(Protocol::Dns, Reason::Geography, Some(SiteId(1)));
                    new.count(Protocol::Json, Reason::Nothing, None);
                });
            }
        });
        new.count(Protocol::Dns, Reason::Geography, Some(SiteId(0)));
        // Of a site that it does not have, which cannot be: no site has it.
        new.count(Protocol::Dns, Reason::Geography, Some(SiteId(7)));
        new.count(Protocol::Dns, Reason::Geography, Some(SiteId(700)));
        let expected = [
            "millrace_router_routes_total{protocol=\"dns\",reason=\"geography\"} 36",
            "millrace_router_routes_total{protocol=\"json\",reason=\"nothing\"} 33",
            "millrace_router_sent_total{site=\"iad\"} 34",
        ];
        assert_eq!(told(&registry), expected);
        old.count(Protocol::Dns, Reason::Geography, Some(SiteId(0)));
        drop(old);
        let after = told(&registry);
        assert!(
            after.contains(&"millrace_router_sent_total{site=\"ams\"} 1".to_owned()),
            "what was counted last is not lost: {after:?}"
        );
        assert_eq!(after.len(), 4, "{after:?}");
    }
}
