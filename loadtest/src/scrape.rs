//! What the daemons' `/metrics` say: the names of the metrics and the reading of them.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};

use crate::client::ask;

/// Requests answered, by service, tier and class of status.
const REQUESTS: &str = "millrace_requests_total";

/// How the cache took part in each answer, by `result`.
const CACHE_RESULTS: &str = "millrace_cache_results_total";

/// Results that were served from what was stored.
const STORED: [&str; 3] = ["hit", "stale", "revalidated"];

/// Results that take no part in the ratio: answers that no cache was asked for.
const ASIDE: [&str; 1] = ["local"];

/// How long a daemon may take to tell its metrics.
const PATIENCE: Duration = Duration::from_millis(900);

/// Totals of one daemon or several, since their start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    /// All requests answered.
    pub(crate) requests: u64,
    /// Requests answered with 5xx.
    pub(crate) server_errors: u64,
    /// Answers served from what was stored.
    pub(crate) stored: u64,
    /// Answers that a fetch under way served.
    pub(crate) collapsed: u64,
    /// Answers in which the cache was asked at all.
    pub(crate) asked: u64,
}

impl Totals {
    /// What was added since `earlier`; a daemon that was restarted counts from 0.
    pub(crate) fn since(self, earlier: Totals) -> Totals {
        Totals {
            requests: self.requests.saturating_sub(earlier.requests),
            server_errors: self.server_errors.saturating_sub(earlier.server_errors),
            stored: self.stored.saturating_sub(earlier.stored),
            collapsed: self.collapsed.saturating_sub(earlier.collapsed),
            asked: self.asked.saturating_sub(earlier.asked),
        }
    }

    /// The share of answers served from what was stored; none while nothing was asked.
    pub(crate) fn hit_ratio(self) -> Option<f64> {
        (self.asked > 0).then(|| self.stored as f64 / self.asked as f64)
    }
}

impl std::ops::AddAssign for Totals {
    fn add_assign(&mut self, other: Totals) {
        self.requests += other.requests;
        self.server_errors += other.server_errors;
        self.stored += other.stored;
        self.collapsed += other.collapsed;
        self.asked += other.asked;
    }
}

/// The totals of the daemon whose admin port is `admin`.
///
/// # Errors
///
/// When it does not answer, or not with metrics.
pub(crate) async fn totals(admin: SocketAddr) -> Result<Totals, String> {
    let (status, text) = ask(admin, Method::GET, "/metrics", Bytes::new(), PATIENCE).await?;
    if status != StatusCode::OK {
        return Err(format!("{admin} answered /metrics with {status}"));
    }
    Ok(parse(&String::from_utf8_lossy(&text)))
}

/// The sum of all series of `name` that have a label of the value `of`, at the daemon whose admin port is `admin`.
///
/// # Errors
///
/// When it does not answer.
pub(crate) async fn counter(admin: SocketAddr, name: &str, of: &str) -> Result<u64, String> {
    let (_, text) = ask(admin, Method::GET, "/metrics", Bytes::new(), PATIENCE).await?;
    Ok(sum(&String::from_utf8_lossy(&text), name, of))
}

fn sum(text: &str, name: &str, of: &str) -> u64 {
    let value = format!("=\"{of}\"");
    let series = text.lines().filter_map(sample);
    series
        .filter(|(series, labels, _)| {
            *series == name && labels.split(',').any(|label| label.ends_with(&value))
        })
        .map(|(_, _, value)| value)
        .sum()
}

/// Adds up what is of interest in the Prometheus text format.
pub(crate) fn parse(text: &str) -> Totals {
    let mut totals = Totals::default();
    for (name, labels, value) in text.lines().filter_map(sample) {
        match name {
            REQUESTS => {
                totals.requests += value;
                if label(labels, "class") == Some("5xx") {
                    totals.server_errors += value;
                }
            }
            CACHE_RESULTS => {
                let result = label(labels, "result").unwrap_or("");
                if STORED.contains(&result) {
                    totals.stored += value;
                }
                if result == "collapsed" {
                    totals.collapsed += value;
                }
                if !ASIDE.contains(&result) {
                    totals.asked += value;
                }
            }
            _ => {}
        }
    }
    totals
}

/// Name, labels and value of a line; none for comments and for what is no whole number.
fn sample(line: &str) -> Option<(&str, &str, u64)> {
    let (series, value) = line.rsplit_once(' ')?;
    let (name, labels) = series.split_once('{').unwrap_or((series, ""));
    Some((name, labels.trim_end_matches('}'), value.parse().ok()?))
}

fn label<'a>(labels: &'a str, name: &str) -> Option<&'a str> {
    labels
        .split(',')
        .find_map(|pair| pair.strip_prefix(name)?.strip_prefix("=\"")?.strip_suffix('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# HELP millrace_requests_total Requests answered 7\n# TYPE millrace_requests_total counter\n\
        millrace_requests_total{class=\"2xx\",service=\"demo\",tier=\"edge\"} 10\n\
        millrace_requests_total{class=\"5xx\",service=\"demo\",tier=\"edge\"} 2\n\
        millrace_cache_results_total{result=\"hit\",service=\"demo\",tier=\"edge\"} 6\n\
        millrace_cache_results_total{result=\"stale\",service=\"demo\",tier=\"edge\"} 1\n\
        millrace_cache_results_total{result=\"miss\",service=\"demo\",tier=\"edge\"} 2\n\
        millrace_cache_results_total{result=\"collapsed\",service=\"demo\",tier=\"edge\"} 1\n\
        millrace_cache_results_total{result=\"local\",service=\"demo\",tier=\"edge\"} 2\n\
        millrace_first_byte_seconds_sum{service=\"demo\"} 0.25\nother_total 9\n";

    #[test]
    fn metrics_add_up_to_totals() {
        let totals = parse(TEXT);
        assert_eq!(
            totals,
            Totals {
                requests: 12,
                server_errors: 2,
                stored: 7,
                collapsed: 1,
                asked: 10
            }
        );
        assert_eq!(totals.hit_ratio(), Some(0.7));
    }

    #[test]
    fn one_counter_is_added_up_over_its_other_labels() {
        assert_eq!(sum(TEXT, CACHE_RESULTS, "hit"), 6);
        assert_eq!(sum(TEXT, REQUESTS, "edge"), 12);
        assert_eq!(sum(TEXT, REQUESTS, "dge"), 0);
    }

    #[test]
    fn a_difference_survives_a_restart() {
        let later = Totals {
            requests: 3,
            ..Totals::default()
        };
        assert_eq!(
            later.since(Totals {
                requests: 10,
                ..Totals::default()
            }),
            Totals::default()
        );
        assert_eq!(Totals::default().hit_ratio(), None);
    }
}
