//! What operators see of DNS: the counters of all threads, added up when somebody asks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use super::authority::{Kind, Rcode, outcome::Transport};
use super::tally::{Dropped, SUBNET_FAMILIES, Tally};

/// The metrics of DNS; clones share them.
#[derive(Clone)]
pub(crate) struct DnsMetrics {
    shared: Arc<Shared>,
    /// Connections that are open.
    pub(crate) connections: IntGauge,
}

struct Shared {
    /// One of each thread there ever was: what an ended one counted stays counted.
    tallies: Mutex<Vec<Arc<Tally>>>,
    queries: IntCounterVec,
    subnets: IntCounterVec,
    dropped: IntCounterVec,
    truncated: IntCounter,
}

impl DnsMetrics {
    /// # Errors
    /// When one of the names is taken in `registry`.
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<DnsMetrics> {
        let shared = Shared {
            tallies: Mutex::default(),
            queries: IntCounterVec::new(
                Opts::new(
                    "millrace_router_dns_queries_total",
                    "Queries that got a reply, by what they asked for and how it went. Worry about SERVFAIL: no node is \
                     left for a service. Much REFUSED: names that no zone here has, or a zone that is missing.",
                ),
                &["transport", "qtype", "rcode"],
            )?,
            subnets: IntCounterVec::new(
                Opts::new(
                    "millrace_router_ecs_queries_total",
                    "Queries that named the viewer's network (RFC 7871), by its family; withheld: that asked for it not \
                     to be used. The share of all tells how well viewers can be told apart behind their resolvers.",
                ),
                &["family"],
            )?,
            dropped: IntCounterVec::new(
                Opts::new(
                    "millrace_router_dns_dropped_total",
                    "What got no reply: response, short, port and oversize are junk or forged; unsent was refused by the \
                     kernel; connections, network and slow are clients of TCP at a limit. Worry about unsent, and about \
                     connections when it lasts.",
                ),
                &["reason"],
            )?,
            truncated: IntCounter::new(
                "millrace_router_dns_truncated_total",
                "Replies that did not fit, so that the client comes again over TCP. Worry when it is more than rare: \
                 records of some name are too large.",
            )?,
        };
        let metrics = DnsMetrics {
            shared: Arc::new(shared),
            connections: IntGauge::new(
                "millrace_router_dns_connections",
                "Open connections of DNS over TCP. Near the limit new ones are closed.",
            )?,
        };
        registry.register(Box::new(metrics.clone()))?;
        registry.register(Box::new(metrics.connections.clone()))?;
        Ok(metrics)
    }

    /// A tally for one more thread.
    pub(crate) fn tally(&self, transport: Transport) -> Arc<Tally> {
        let tally = Arc::new(Tally::new(transport));
        self.shared.tallies.lock().push(Arc::clone(&tally));
        tally
    }
}

impl Shared {
    /// Moves the families forward to what the threads have counted. Series that are 0 are left out: most of the
    /// combinations never come up.
    fn add_up(&self) {
        let tallies = self.tallies.lock();
        for (transport, label) in [(Transport::Udp, "udp"), (Transport::Tcp, "tcp")] {
            let tallies = || tallies.iter().filter(|tally| tally.transport == transport);
            for (kind, kind_label) in Kind::ALL {
                for rcode in Rcode::ALL {
                    let sum = sum(tallies().map(|tally| &tally.queries[kind as usize][rcode as usize]));
                    forward(&self.queries, &[label, kind_label, rcode.label()], sum);
                }
            }
        }
        for (family, label) in SUBNET_FAMILIES {
            let sum = sum(tallies.iter().map(|tally| &tally.subnets[family as usize]));
            forward(&self.subnets, &[label], sum);
        }
        for (dropped, label) in Dropped::ALL {
            let sum = sum(tallies.iter().map(|tally| &tally.dropped[dropped as usize]));
            forward(&self.dropped, &[label], sum);
        }
        let truncated = sum(tallies.iter().map(|tally| &tally.truncated));
        self.truncated
            .inc_by(truncated.saturating_sub(self.truncated.get()));
    }

    fn parts(&self) -> [&dyn Collector; 4] {
        [&self.queries, &self.subnets, &self.dropped, &self.truncated]
    }
}

fn sum<'a>(counters: impl Iterator<Item = &'a AtomicU64>) -> u64 {
    counters.map(|counter| counter.load(Ordering::Relaxed)).sum()
}

fn forward(family: &IntCounterVec, labels: &[&str], sum: u64) {
    if sum > 0 {
        let counter = family.with_label_values(labels);
        counter.inc_by(sum.saturating_sub(counter.get()));
    }
}

impl Collector for DnsMetrics {
    fn desc(&self) -> Vec<&Desc> {
        self.shared
            .parts()
            .into_iter()
            .flat_map(Collector::desc)
            .collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.shared.add_up();
        let parts = self.shared.parts().into_iter();
        parts.flat_map(Collector::collect).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::authority::SubnetFamily;
    use super::super::authority::outcome::{Outcome, Replied, Silence, Why};
    use super::*;

    #[test]
    fn the_counts_of_all_threads_are_added_up_once() {
        let registry = Registry::new();
        let metrics = DnsMetrics::register(&registry).unwrap();
        let replied = Outcome::Reply(Replied {
            bytes: 40,
            rcode: Rcode::NxDomain,
            kind: Kind::Aaaa,
            truncated: true,
            subnet: Some(SubnetFamily::V6),
            why: Why::NoName,
        });
        for _ in 0..2 {
            let tally = metrics.tally(Transport::Udp);
            tally.count(&replied);
            tally.count(&Outcome::Silence(Silence::Response));
        }
        metrics.tally(Transport::Tcp).count(&replied);
        for _ in 0..2 {
            let text = String::from_utf8(daemon::metrics::encode(&registry).unwrap()).unwrap();
            for line in [
                "millrace_router_dns_queries_total{qtype=\"AAAA\",rcode=\"NXDOMAIN\",transport=\"udp\"} 2",
                "millrace_router_dns_queries_total{qtype=\"AAAA\",rcode=\"NXDOMAIN\",transport=\"tcp\"} 1",
                "millrace_router_ecs_queries_total{family=\"ipv6\"} 3",
                "millrace_router_dns_dropped_total{reason=\"response\"} 2",
                "millrace_router_dns_truncated_total 3",
                "millrace_router_dns_connections 0",
            ] {
                assert!(text.lines().any(|told| told == line), "{line} in\n{text}");
            }
            assert_eq!(text.matches("\nmillrace_router_dns_queries_total{").count(), 2);
        }
    }
}
