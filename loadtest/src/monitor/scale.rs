//! What it costs three monitors to watch many nodes: processor time, memory, and how late their probes begin.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

use super::crowd::Seat;
use super::watchers::{self, Watcher};
use crate::client::ask;
use crate::measure::{self, Goal, Measure};
use crate::memory;
use crate::own::Folder;
use crate::up;
use crate::up::certificate;
use crate::up::fleet::Fleet;

/// Until every node is seen by every monitor.
const READY_PATIENCE: Duration = Duration::from_secs(60);

/// Pause between two looks whether it is.
const POLL: Duration = Duration::from_millis(250);

/// How long a monitor may take to tell its metrics.
const PATIENCE: Duration = Duration::from_secs(2);

/// A machine with a thousand simulated nodes on it is busy; the nodes' load is that of this machine.
const TABLES: &str = "[limits]\nload_per_core = 0.0\n";

/// Services in each node's metrics: as many as a large CDN has.
const SERVICES: usize = 20;

/// How much to watch.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// Nodes
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=4000))]
    nodes: u32,
    /// Seconds that are measured, after all nodes were seen
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(5..=3600))]
    seconds: u64,
    /// Print a list of measures instead of a table
    #[arg(long)]
    json: bool,
}

/// Runs it. Call it on the main thread.
///
/// # Errors
///
/// What does not start.
pub(crate) async fn run(options: &Options) -> Result<(), String> {
    let folder = Folder::new(None)?;
    let mut seats = Vec::new();
    for number in 0..options.nodes {
        seats.push(Seat::take(number as usize).await?);
    }
    let document = folder.path().join("cdn.json");
    fs::write(&document, snapshot(&seats)?).map_err(|error| format!("{}: {error}", document.display()))?;
    let pair = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    certificate::provide(&pair.0, &pair.1)?;
    let watchers = watchers::write(folder.path(), &document, &pair.0, None, TABLES)?;
    let (acceptor, template) = (acceptor(&pair.0, &pair.1)?, template());
    let monitors: Vec<_> = watchers.iter().map(|watcher| watcher.http).collect();
    for seat in seats {
        seat.open(acceptor.clone(), &monitors, &template);
    }
    let (programs, logs) = (up::programs()?, folder.path().join("log"));
    let members = watchers
        .iter()
        .map(|watcher| watcher.member(&programs, &logs))
        .collect();
    let fleet = Fleet::start(members, READY_PATIENCE).await?;
    for watcher in &watchers {
        all_up(watcher, options.nodes as usize).await?;
    }
    let ids: Vec<(String, i32)> = fleet.ids().map(|(name, id)| (name.to_owned(), id)).collect();
    let before: Vec<Duration> = times(&ids)?;
    let mut late_before = Vec::new();
    for watcher in &watchers {
        late_before.push(lateness(watcher).await?);
    }
    let began = Instant::now();
    tokio::time::sleep(Duration::from_secs(options.seconds)).await;
    let after = times(&ids)?;
    let seconds = began.elapsed().as_secs_f64();
    let mut measures = Vec::new();
    for (number, watcher) in watchers.iter().enumerate() {
        let (name, id) = &ids[number];
        let cores = (after[number] - before[number]).as_secs_f64() / seconds;
        let bytes = memory::resident_bytes(*id)?;
        let late = lateness(watcher).await?.since(&late_before[number]);
        let down = down(watcher).await?;
        measures.push(Measure::own(
            &format!("{name}: processor"),
            "cores",
            cores,
            Some(Goal::AtMost(0.3)),
        ));
        let megabytes = bytes as f64 / 1e6;
        measures.push(Measure::own(
            &format!("{name}: memory"),
            "MB",
            megabytes,
            Some(Goal::AtMost(300.0)),
        ));
        let p99 = late.quantile(0.99) * 1000.0;
        let what = format!("{name}: lateness of {} probes, p99 at most", late.count());
        measures.push(Measure::own(&what, "ms", p99, Some(Goal::AtMost(100.0))));
        measures.push(Measure::own(
            &format!("{name}: nodes taken for down"),
            "nodes",
            down,
            Some(Goal::AtMost(0.0)),
        ));
    }
    if options.json {
        println!("{}", measure::json(&measures));
    } else {
        print!("{}", measure::render(&measures));
    }
    fleet.stop().await;
    Ok(())
}

fn snapshot(seats: &[Seat]) -> Result<String, String> {
    let mut nodes = serde_json::Map::new();
    for (number, seat) in seats.iter().enumerate() {
        let (https, admin) = seat.addresses()?;
        let node = json!({ "tier": "edge", "site": format!("site-{}", number % 50), "https": https, "admin": admin });
        nodes.insert(seat.name.clone(), node);
    }
    let site = |number: usize| json!({ "region": "own", "latitude": 0.0, "longitude": number as f64 });
    let sites: serde_json::Map<_, _> = (0..50)
        .map(|number| (format!("site-{number}"), site(number)))
        .collect();
    Ok(json!({ "cdn": "own", "number": 1, "sites": sites, "nodes": nodes, "services": {} }).to_string())
}

fn acceptor(certificate: &Path, key: &Path) -> Result<TlsAcceptor, String> {
    let wrong = |what: &dyn std::fmt::Display| format!("the certificate cannot be used: {what}");
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .map_err(|error| wrong(&error))?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| wrong(&error))?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| wrong(&error))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| wrong(&error))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// What a node's metrics look like: as many lines as a real edge of so many services has.
fn template() -> Arc<str> {
    let mut text = String::from("process_start_time_seconds 1000\nprocess_cpu_seconds_total $COUNT\n");
    for service in 0..SERVICES {
        for class in ["1xx", "2xx", "3xx", "4xx", "5xx"] {
            let _ = writeln!(
                text,
                "millrace_requests_total{{class=\"{class}\",service=\"service-{service}\",tier=\"edge\"}} $COUNT"
            );
        }
        for result in [
            "hit",
            "stale",
            "revalidated",
            "miss",
            "collapsed",
            "pass",
            "error",
            "local",
        ] {
            for name in [
                "millrace_cache_results_total",
                "millrace_response_body_bytes_total",
            ] {
                let _ = writeln!(
                    text,
                    "{name}{{result=\"{result}\",service=\"service-{service}\",tier=\"edge\"}} $COUNT"
                );
            }
        }
        for bucket in 0..14 {
            let _ = writeln!(
                text,
                "millrace_first_byte_seconds_bucket{{service=\"service-{service}\",tier=\"edge\",le=\"0.{bucket}\"}} $COUNT"
            );
        }
    }
    for line in [
        "millrace_machine_cores 16",
        "millrace_machine_load1 2.5",
        "millrace_machine_cpu_seconds_total{mode=\"user\"} $COUNT",
        "millrace_machine_cpu_seconds_total{mode=\"idle\"} $COUNT",
        "millrace_machine_network_transmit_bytes_total{device=\"eth0\"} $COUNT",
        "millrace_machine_network_receive_bytes_total{device=\"eth0\"} $COUNT",
        "millrace_machine_network_speed_bytes{device=\"eth0\"} 1250000000",
    ] {
        text.push_str(line);
        text.push('\n');
    }
    text.into()
}

async fn all_up(watcher: &Watcher, nodes: usize) -> Result<(), String> {
    let began = Instant::now();
    loop {
        let state = watcher.state().await?;
        let shown = state["merged"]["nodes"].as_object().map_or(0, |nodes| {
            nodes.values().filter(|node| node["state"] == "up").count()
        });
        if shown == nodes {
            return Ok(());
        }
        if began.elapsed() > READY_PATIENCE {
            return Err(format!("{} sees {shown} of {nodes} nodes up", watcher.name));
        }
        tokio::time::sleep(POLL).await;
    }
}

async fn down(watcher: &Watcher) -> Result<f64, String> {
    let (_, text) = ask(watcher.admin, Method::GET, "/metrics", Bytes::new(), PATIENCE).await?;
    let text = String::from_utf8_lossy(&text);
    let went_down = text
        .lines()
        .filter(|line| {
            line.starts_with("millrace_monitor_transitions_total{") && line.contains("to=\"down\"")
        })
        .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok());
    Ok(went_down.fold(0.0, |sum, count| sum + count))
}

fn times(ids: &[(String, i32)]) -> Result<Vec<Duration>, String> {
    ids.iter().map(|(_, id)| memory::processor_time(*id)).collect()
}

/// A histogram of Prometheus: the bounds, and how many values are at most each.
struct Histogram(Vec<(f64, f64)>);

impl Histogram {
    fn since(&self, before: &Histogram) -> Histogram {
        let buckets = self.0.iter().zip(&before.0);
        Histogram(buckets.map(|(now, before)| (now.0, now.1 - before.1)).collect())
    }

    fn count(&self) -> f64 {
        self.0.last().map_or(0.0, |bucket| bucket.1)
    }

    /// The bound of the bucket in which the quantile lies: the value is at most this.
    fn quantile(&self, quantile: f64) -> f64 {
        let wanted = quantile * self.count();
        let bucket = self.0.iter().find(|bucket| bucket.1 >= wanted);
        bucket.map_or(f64::INFINITY, |bucket| bucket.0)
    }
}

async fn lateness(watcher: &Watcher) -> Result<Histogram, String> {
    let (_, text) = ask(watcher.admin, Method::GET, "/metrics", Bytes::new(), PATIENCE).await?;
    let text = String::from_utf8_lossy(&text);
    let buckets = text
        .lines()
        .filter_map(|line| line.strip_prefix("millrace_monitor_probe_lateness_seconds_bucket{le=\""))
        .filter_map(|rest| {
            let (bound, count) = rest.split_once("\"} ")?;
            let bound = if bound == "+Inf" {
                f64::INFINITY
            } else {
                bound.parse().ok()?
            };
            Some((bound, count.parse().ok()?))
        });
    Ok(Histogram(buckets.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_the_bound_of_its_bucket() {
        let histogram = Histogram(vec![(0.001, 90.0), (0.01, 99.0), (f64::INFINITY, 100.0)]);
        assert_eq!(
            (
                histogram.quantile(0.5),
                histogram.quantile(0.99),
                histogram.count()
            ),
            (0.001, 0.01, 100.0)
        );
        let later = Histogram(vec![(0.001, 190.0), (0.01, 199.0), (f64::INFINITY, 200.0)]);
        assert_eq!(later.since(&histogram).quantile(0.995), 0.001);
    }

    #[test]
    fn the_metrics_of_a_simulated_node_are_of_a_real_ones_size() {
        let text = template();
        assert!(
            text.len() > 30_000 && text.lines().count() > 500,
            "{}",
            text.len()
        );
    }
}
