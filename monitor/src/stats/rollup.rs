//! What one node did in one minute: counts, never ratios, so that minutes and nodes can be added up and the ratio of
//! a sum is asked for at the end.

use std::time::Duration;

use model::Moment;
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use super::counters::Counters;
use super::gauges::{Gauges, Spread};

/// The length of a window. Windows begin with a minute of the Unix epoch.
pub(crate) const WINDOW: Duration = Duration::from_secs(60);

/// What was counted in a time that is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Gathered {
    /// How much time that was. Of several nodes: of all of them together.
    #[serde(rename = "covered_milliseconds")]
    pub(crate) covered_ms: u64,
    pub(crate) counters: Counters,
}

/// One node, one minute.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct Rollup {
    /// When the minute begins.
    #[serde(rename = "minute_seconds", serialize_with = "as_seconds")]
    #[schema(value_type = u64)]
    pub(crate) minute: Moment,
    #[serde(flatten)]
    pub(crate) gathered: Gathered,
    /// What was counted in a gap between samples that ended in this minute: it is known that it happened, not when.
    pub(crate) ungathered: Counters,
    pub(crate) gauges: Gauges<Spread>,
}

/// The beginning of the minute in which `moment` lies.
pub(super) fn minute_of(moment: Moment) -> Moment {
    let length = WINDOW.as_millis() as u64;
    Moment(moment.0 - moment.0 % length)
}

/// A moment as JSON gives it.
pub(super) fn as_seconds<S: Serializer>(moment: &Moment, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(moment.seconds())
}

/// Rates and ratios. None when no time is covered, or the node does not tell what they are made of.
impl Gathered {
    pub(super) fn plus(self, other: Gathered) -> Gathered {
        Gathered {
            covered_ms: self.covered_ms.saturating_add(other.covered_ms),
            counters: self.counters.plus(other.counters),
        }
    }

    /// Hits over everything the cache was asked for.
    pub(crate) fn hit_ratio(&self) -> Option<f64> {
        ratio(self.counters.cache_hits, self.counters.cache_asked)
    }

    /// The same by body bytes. None on nodes that do not tell bytes by result.
    pub(crate) fn byte_hit_ratio(&self) -> Option<f64> {
        ratio(self.counters.hit_body_bytes, self.counters.asked_body_bytes)
    }

    /// Answers with 5xx over all.
    pub(crate) fn server_error_ratio(&self) -> Option<f64> {
        ratio(self.counters.server_errors, self.counters.requests)
    }

    pub(crate) fn requests_per_second(&self) -> Option<f64> {
        self.per_second(self.counters.requests)
    }

    pub(crate) fn receive_bytes_per_second(&self) -> Option<f64> {
        self.of_machine()?.per_second(self.counters.received_bytes)
    }

    pub(crate) fn transmit_bytes_per_second(&self) -> Option<f64> {
        self.of_machine()?.per_second(self.counters.transmitted_bytes)
    }

    pub(crate) fn disk_errors_per_minute(&self) -> Option<f64> {
        Some(self.per_second(self.counters.disk_errors)? * 60.0)
    }

    /// Cores that the process kept busy.
    pub(crate) fn cpu_cores_used(&self) -> Option<f64> {
        Some(self.per_second(self.counters.process_cpu_milliseconds)? / 1000.0)
    }

    /// Share of the machine's CPU time in which something ran, from 0 to 1.
    pub(crate) fn machine_busy_ratio(&self) -> Option<f64> {
        let counters = &self.counters;
        let all = counters
            .machine_busy_milliseconds
            .saturating_add(counters.machine_idle_milliseconds);
        ratio(counters.machine_busy_milliseconds, all)
    }

    fn per_second(&self, count: u64) -> Option<f64> {
        (self.covered_ms > 0).then(|| count as f64 * 1000.0 / self.covered_ms as f64)
    }

    /// None when the node tells nothing of its machine: on any machine either idle or busy time goes by.
    fn of_machine(&self) -> Option<&Gathered> {
        self.machine_busy_ratio().map(|_| self)
    }
}

fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// What is asked of a minute most often.
impl Rollup {
    pub(crate) fn hit_ratio(&self) -> Option<f64> {
        self.gathered.hit_ratio()
    }

    pub(crate) fn byte_hit_ratio(&self) -> Option<f64> {
        self.gathered.byte_hit_ratio()
    }

    pub(crate) fn requests_per_second(&self) -> Option<f64> {
        self.gathered.requests_per_second()
    }

    pub(crate) fn transmit_bytes_per_second(&self) -> Option<f64> {
        self.gathered.transmit_bytes_per_second()
    }

    pub(crate) fn cpu_cores_used(&self) -> Option<f64> {
        self.gathered.cpu_cores_used()
    }

    /// Seconds of the minute that are known.
    pub(crate) fn covered_seconds(&self) -> f64 {
        self.gathered.covered_ms as f64 / 1000.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minute() -> Rollup {
        Rollup {
            minute: Moment::from_seconds(120),
            gathered: Gathered {
                covered_ms: 30_000,
                counters: Counters {
                    requests: 300,
                    server_errors: 3,
                    cache_asked: 200,
                    cache_hits: 150,
                    body_bytes: 9_000,
                    asked_body_bytes: 8_000,
                    hit_body_bytes: 2_000,
                    process_cpu_milliseconds: 45_000,
                    disk_errors: 2,
                    machine_busy_milliseconds: 30_000,
                    machine_idle_milliseconds: 90_000,
                    received_bytes: 3_000,
                    transmitted_bytes: 6_000,
                    disk_read_bytes: 900,
                    disk_written_bytes: 600,
                },
            },
            ungathered: Counters::default(),
            gauges: Gauges::default(),
        }
    }

    #[test]
    fn rates_are_counts_over_the_time_that_is_known() {
        let rollup = minute();
        let gathered = &rollup.gathered;
        assert_eq!(rollup.covered_seconds(), 30.0);
        assert_eq!(rollup.hit_ratio(), Some(0.75));
        assert_eq!(rollup.byte_hit_ratio(), Some(0.25));
        assert_eq!(rollup.requests_per_second(), Some(10.0));
        assert_eq!(rollup.transmit_bytes_per_second(), Some(200.0));
        assert_eq!(rollup.cpu_cores_used(), Some(1.5));
        assert_eq!(gathered.server_error_ratio(), Some(0.01));
        assert_eq!(gathered.receive_bytes_per_second(), Some(100.0));
        assert_eq!(gathered.disk_errors_per_minute(), Some(4.0));
        assert_eq!(gathered.machine_busy_ratio(), Some(0.25));
    }

    #[test]
    fn no_time_covered_is_no_data_and_not_zero() {
        let nothing = Gathered::default();
        assert_eq!(nothing.requests_per_second(), None);
        assert_eq!(nothing.hit_ratio(), None);
        assert_eq!(nothing.transmit_bytes_per_second(), None);
        assert_eq!(nothing.disk_errors_per_minute(), None);
        assert_eq!(nothing.cpu_cores_used(), None);
    }

    #[test]
    fn a_node_that_tells_nothing_of_its_machine_has_no_bandwidth_rather_than_none_in_use() {
        let mut rollup = minute();
        rollup.gathered.counters.machine_busy_milliseconds = 0;
        rollup.gathered.counters.machine_idle_milliseconds = 0;
        assert_eq!(rollup.transmit_bytes_per_second(), None);
        assert_eq!(rollup.requests_per_second(), Some(10.0));
    }

    #[test]
    fn as_json_every_number_has_its_unit_in_its_name() {
        let mut rollup = minute();
        rollup.gauges.load1 = Some(Spread::of(0.5));
        let json = serde_json::to_value(&rollup).unwrap();
        assert_eq!(json["minute_seconds"], 120);
        assert_eq!(json["covered_milliseconds"], 30_000);
        assert_eq!(json["counters"]["body_bytes"], 9_000);
        assert_eq!(json["ungathered"]["requests"], 0);
        assert_eq!(json["gauges"]["load1"]["mean"], 0.5);
        assert_eq!(json["gauges"]["cores"], serde_json::Value::Null);
        let keys: Vec<&String> = json.as_object().unwrap().keys().collect();
        assert_eq!(keys.len(), 5, "{keys:?}");
    }

    #[test]
    fn minutes_are_aligned() {
        assert_eq!(minute_of(Moment(119_999)), Moment(60_000));
        assert_eq!(minute_of(Moment(120_000)), Moment(120_000));
        assert_eq!(minute_of(Moment(0)), Moment(0));
    }
}
