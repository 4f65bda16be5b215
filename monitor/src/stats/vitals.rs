//! How a node does right now: rates of its last two samples, ratios of its last minute.

use std::collections::VecDeque;
use std::time::Duration;

use model::Moment;
use serde::Serialize;
use utoipa::ToSchema;

use super::rollup::{Gathered, WINDOW, as_seconds};
use super::sample::{REACH, Sample};

/// Samples that are remembered of one node. A minute and a gap before it hold nine.
const MOST_RECENT: usize = 16;

/// Two samples closer together say nothing about a rate.
const LEAST_APART: Duration = Duration::from_secs(1);

/// What the judge asks. A rate is none when the last two samples are too far apart, and whatever a node does not tell
/// is none.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct Vitals {
    /// When the newest sample was taken: whether that is recent is for the reader to say.
    #[serde(rename = "at_seconds", serialize_with = "as_seconds")]
    #[schema(value_type = u64)]
    pub(crate) at: Moment,
    pub(crate) requests_per_second: Option<f64>,
    pub(crate) receive_bytes_per_second: Option<f64>,
    pub(crate) transmit_bytes_per_second: Option<f64>,
    /// The fuller direction over the speed of the interfaces; 1 is full.
    pub(crate) bandwidth_ratio: Option<f64>,
    /// Cores that the process keeps busy.
    pub(crate) cpu_cores_used: Option<f64>,
    /// Share of the machine's CPU time in which something runs, from 0 to 1.
    pub(crate) machine_busy_ratio: Option<f64>,
    /// Load average of one minute over cores; above 1 some processes wait.
    pub(crate) load_per_core: Option<f64>,
    /// Memory that can still be had over all there is.
    pub(crate) memory_available_ratio: Option<f64>,
    pub(crate) resident_memory_bytes: Option<f64>,
    pub(crate) open_connections: Option<f64>,
    /// Of the last 60 s, as are those below.
    pub(crate) hit_ratio: Option<f64>,
    pub(crate) byte_hit_ratio: Option<f64>,
    /// Requests that the hit ratio rests on: a ratio of few says little.
    pub(crate) hit_ratio_requests: u64,
    pub(crate) server_error_ratio: Option<f64>,
    /// Requests that the error ratio rests on.
    pub(crate) server_error_ratio_requests: u64,
    pub(crate) disk_errors_per_minute: Option<f64>,
    /// Devices of the cache by state, now.
    pub(crate) devices: Devices,
}

/// How many devices are in which state; all 0 on a node without disks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Devices {
    pub(crate) healthy: u32,
    pub(crate) suspect: u32,
    pub(crate) read_only: u32,
    pub(crate) offline: u32,
}

/// The last minute of one node's samples.
#[derive(Debug, Default)]
pub(super) struct Recent {
    samples: VecDeque<Sample>,
}

impl Recent {
    /// Puts a sample in its place; one that is there already stays.
    pub(super) fn add(&mut self, sample: Sample) {
        let newest = self.samples.back().map_or(sample.at, |newest| newest.at);
        if newest.since(sample.at) > WINDOW {
            // What is older comes from a series that began anew: the clock was put back.
            self.samples.clear();
        }
        if let Err(place) = self.samples.binary_search_by_key(&sample.at, |known| known.at) {
            self.samples.insert(place, sample);
        }
        while self.samples.len() > MOST_RECENT {
            self.samples.pop_front();
        }
    }

    /// None before the first sample.
    pub(super) fn vitals(&self) -> Option<Vitals> {
        let newest = self.samples.back()?;
        let now = self.rate(newest);
        let minute = self.last_minute(newest);
        let gauges = &newest.gauges;
        let received = now.receive_bytes_per_second();
        let transmitted = now.transmit_bytes_per_second();
        let fuller = received.zip(transmitted).map(|(one, other)| one.max(other));
        Some(Vitals {
            at: newest.at,
            requests_per_second: now.requests_per_second(),
            receive_bytes_per_second: received,
            transmit_bytes_per_second: transmitted,
            bandwidth_ratio: over(fuller, gauges.network_speed_bytes_per_second),
            cpu_cores_used: now.cpu_cores_used(),
            machine_busy_ratio: now.machine_busy_ratio(),
            load_per_core: over(gauges.load1, gauges.cores),
            memory_available_ratio: over(gauges.memory_available_bytes, gauges.memory_total_bytes),
            resident_memory_bytes: gauges.resident_memory_bytes,
            open_connections: gauges.open_connections,
            hit_ratio: minute.hit_ratio(),
            byte_hit_ratio: minute.byte_hit_ratio(),
            hit_ratio_requests: minute.counters.cache_asked,
            server_error_ratio: minute.server_error_ratio(),
            server_error_ratio_requests: minute.counters.requests,
            disk_errors_per_minute: minute.disk_errors_per_minute(),
            devices: Devices {
                healthy: number(gauges.healthy_devices),
                suspect: number(gauges.suspect_devices),
                read_only: number(gauges.read_only_devices),
                offline: number(gauges.offline_devices),
            },
        })
    }

    /// What came between the newest sample and the one before it.
    fn rate(&self, newest: &Sample) -> Gathered {
        let before = self
            .samples
            .iter()
            .rev()
            .find(|sample| newest.at.since(sample.at) >= LEAST_APART);
        before.map_or_else(Gathered::default, |before| between(before, newest))
    }

    /// What came between the samples of the last minute, gaps left out.
    fn last_minute(&self, newest: &Sample) -> Gathered {
        let pairs = self.samples.iter().zip(self.samples.iter().skip(1));
        pairs
            .filter(|(earlier, _)| newest.at.since(earlier.at) <= WINDOW)
            .map(|(earlier, later)| between(earlier, later))
            .fold(Gathered::default(), Gathered::plus)
    }
}

/// Nothing when there is a gap.
fn between(earlier: &Sample, later: &Sample) -> Gathered {
    let apart = later.at.since(earlier.at);
    if apart > REACH {
        return Gathered::default();
    }
    Gathered {
        covered_ms: apart.as_millis() as u64,
        counters: later.since(earlier),
    }
}

fn over(part: Option<f64>, whole: Option<f64>) -> Option<f64> {
    let whole = whole.filter(|whole| *whole > 0.0)?;
    Some(part? / whole)
}

/// The conversion saturates.
fn number(devices: Option<f64>) -> u32 {
    devices.unwrap_or(0.0) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::counters::Counters;
    use crate::stats::gauges::Gauges;

    /// A node that is asked 10 times a second, is hit 8 times of those and sends 1000 bytes a second.
    fn sample(second: u64) -> Sample {
        Sample {
            at: Moment::from_seconds(second),
            started: 1.0,
            counters: Counters {
                requests: second * 10,
                server_errors: second,
                cache_asked: second * 10,
                cache_hits: second * 8,
                process_cpu_milliseconds: second * 500,
                disk_errors: second / 30,
                machine_busy_milliseconds: second * 1000,
                machine_idle_milliseconds: second * 3000,
                received_bytes: second * 400,
                transmitted_bytes: second * 1000,
                ..Counters::default()
            },
            gauges: Gauges {
                load1: Some(2.0),
                cores: Some(4.0),
                memory_available_bytes: Some(1e9),
                memory_total_bytes: Some(4e9),
                network_speed_bytes_per_second: Some(2000.0),
                open_connections: Some(5.0),
                healthy_devices: Some(2.0),
                offline_devices: Some(1.0),
                ..Gauges::default()
            },
        }
    }

    fn recent(seconds: impl IntoIterator<Item = u64>) -> Recent {
        let mut recent = Recent::default();
        for second in seconds {
            recent.add(sample(second));
        }
        recent
    }

    #[test]
    fn a_node_that_is_asked_every_ten_seconds_is_known_well() {
        let vitals = recent((0..=200).step_by(10)).vitals().unwrap();
        let expected = Vitals {
            at: Moment::from_seconds(200),
            requests_per_second: Some(10.0),
            receive_bytes_per_second: Some(400.0),
            transmit_bytes_per_second: Some(1000.0),
            bandwidth_ratio: Some(0.5),
            cpu_cores_used: Some(0.5),
            machine_busy_ratio: Some(0.25),
            load_per_core: Some(0.5),
            memory_available_ratio: Some(0.25),
            resident_memory_bytes: None,
            open_connections: Some(5.0),
            hit_ratio: Some(0.8),
            byte_hit_ratio: None,
            hit_ratio_requests: 600,
            server_error_ratio: Some(0.1),
            server_error_ratio_requests: 600,
            disk_errors_per_minute: Some(2.0),
            devices: Devices {
                healthy: 2,
                offline: 1,
                ..Devices::default()
            },
        };
        assert_eq!(vitals, expected);
        let json = serde_json::to_value(&vitals).unwrap();
        assert_eq!(json["at_seconds"], 200);
        assert_eq!(json["devices"]["offline"], 1);
    }

    #[test]
    fn one_sample_tells_what_is_measured_but_no_rate() {
        let vitals = recent([100]).vitals().unwrap();
        assert_eq!(vitals.requests_per_second, None);
        assert_eq!(vitals.hit_ratio, None);
        assert_eq!(vitals.load_per_core, Some(0.5));
        assert!(Recent::default().vitals().is_none());
    }

    #[test]
    fn a_gap_gives_no_rate_and_the_minute_rests_on_what_is_left() {
        let vitals = recent([60, 70, 80, 110]).vitals().unwrap();
        assert_eq!(vitals.requests_per_second, None);
        assert_eq!(vitals.hit_ratio_requests, 200);
        assert_eq!(vitals.hit_ratio, Some(0.8));
    }

    #[test]
    fn a_sample_that_comes_late_is_put_in_its_place() {
        let vitals = recent([60, 80, 70]).vitals().unwrap();
        assert_eq!(vitals.at, Moment::from_seconds(80));
        assert_eq!(vitals.hit_ratio_requests, 200);
    }

    #[test]
    fn two_samples_of_almost_the_same_moment_make_no_rate() {
        let mut recent = recent([60, 70]);
        let mut again = sample(70);
        again.at = Moment(70_003);
        again.counters.requests += 50;
        recent.add(again);
        let rate = recent.vitals().unwrap().requests_per_second.unwrap();
        assert!((14.9..15.1).contains(&rate), "{rate}");
    }

    #[test]
    fn a_clock_that_is_put_back_begins_anew() {
        let vitals = recent([5000, 5010, 100, 110]).vitals().unwrap();
        assert_eq!(vitals.at, Moment::from_seconds(110));
        assert_eq!(vitals.requests_per_second, Some(10.0));
    }

    #[test]
    fn memory_stays_bounded() {
        assert_eq!(recent(0..1000).samples.len(), MOST_RECENT);
    }
}
