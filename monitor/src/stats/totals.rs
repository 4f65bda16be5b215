//! Which names of a node's `/metrics` are read, and what they add up to.

use model::Moment;

use super::counters::Counters;
use super::gauges::Gauges;
use super::sample::Sample;
use super::text::{Line, Malformed, Series};

/// A count at or above this is none: no node gets there.
const LARGEST_COUNT: f64 = (1_u64 << 63) as f64;

/// The interface a machine talks to itself through.
const LOOPBACK: &str = "lo";

/// What has been read so far.
#[derive(Debug, Default)]
pub(super) struct Totals {
    /// Whether anything was read at all.
    pub(super) is_of_a_node: bool,
    /// Lines that should be counts and are not.
    pub(super) broken_lines: u64,
    started: f64,
    counters: Counters,
    gauges: Gauges<f64>,
    loopback: Traffic,
    interfaces: Traffic,
}

/// Bytes through network interfaces.
#[derive(Debug, Default)]
struct Traffic {
    is_told: bool,
    received: u64,
    transmitted: u64,
}

impl Totals {
    /// Adds a line; those that nobody asks for are passed over.
    pub(super) fn take(&mut self, line: Line<'_>) -> Result<(), Malformed> {
        match line.name {
            "process_start_time_seconds" => self.started = value(line)?.unwrap_or(0.0),
            "process_resident_memory_bytes" => self.gauges.resident_memory_bytes = value(line)?,
            "millrace_machine_memory_available_bytes" => self.gauges.memory_available_bytes = value(line)?,
            "millrace_machine_memory_total_bytes" => self.gauges.memory_total_bytes = value(line)?,
            "millrace_machine_load1" => self.gauges.load1 = value(line)?,
            "millrace_machine_cores" => self.gauges.cores = value(line)?,
            "millrace_front_connections" => self.gauges.open_connections = value(line)?,
            "millrace_machine_network_speed_bytes" => self.take_speed(line.series()?),
            "millrace_cache_disk_state" => self.take_state(line.series()?),
            _ => return self.take_count(line),
        }
        self.is_of_a_node = true;
        Ok(())
    }

    fn take_count(&mut self, line: Line<'_>) -> Result<(), Malformed> {
        let take: fn(&mut Totals, Series<'_>, f64) = match line.name {
            "process_cpu_seconds_total" => Totals::take_process_cpu,
            "millrace_requests_total" => Totals::take_requests,
            "millrace_cache_results_total" => Totals::take_results,
            "millrace_response_body_bytes_total" => Totals::take_bytes,
            "millrace_cache_disk_errors_total" => Totals::take_disk_errors,
            "millrace_cache_disk_reads_total" => Totals::take_disk_reads,
            "millrace_machine_cpu_seconds_total" => Totals::take_machine_cpu,
            "millrace_machine_network_receive_bytes_total" => Totals::take_received,
            "millrace_machine_network_transmit_bytes_total" => Totals::take_transmitted,
            "millrace_machine_disk_read_bytes_total" => Totals::take_disk_read,
            "millrace_machine_disk_written_bytes_total" => Totals::take_disk_written,
            _ => return Ok(()),
        };
        self.is_of_a_node = true;
        match line.series() {
            Ok(series) if (0.0..LARGEST_COUNT).contains(&series.value) => {
                take(self, series, series.value);
                Ok(())
            }
            Ok(_) | Err(Malformed) => {
                self.broken_lines += 1;
                Err(Malformed)
            }
        }
    }

    fn take_process_cpu(&mut self, _: Series<'_>, seconds: f64) {
        add(&mut self.counters.process_cpu_milliseconds, seconds * 1000.0);
    }

    fn take_requests(&mut self, series: Series<'_>, count: f64) {
        add(&mut self.counters.requests, count);
        if series.labels.get("class").is_some_and(|class| class == "5xx") {
            add(&mut self.counters.server_errors, count);
        }
    }

    fn take_results(&mut self, series: Series<'_>, count: f64) {
        let result = series.labels.get("result");
        let result = result.as_deref().unwrap_or_default();
        if is_asked(result) {
            add(&mut self.counters.cache_asked, count);
        }
        if is_hit(result) {
            add(&mut self.counters.cache_hits, count);
        }
    }

    fn take_bytes(&mut self, series: Series<'_>, bytes: f64) {
        add(&mut self.counters.body_bytes, bytes);
        // Nodes before this label tell only how many there are together.
        let Some(result) = series.labels.get("result") else {
            return;
        };
        if is_asked(&result) {
            add(&mut self.counters.asked_body_bytes, bytes);
        }
        if is_hit(&result) {
            add(&mut self.counters.hit_body_bytes, bytes);
        }
    }

    fn take_disk_errors(&mut self, _: Series<'_>, count: f64) {
        add(&mut self.counters.disk_errors, count);
    }

    /// Corrupt reads are no refusals, so that `…_disk_errors_total` does not know them; all the other results that
    /// are errors of the device are in there already.
    fn take_disk_reads(&mut self, series: Series<'_>, count: f64) {
        if series
            .labels
            .get("result")
            .is_some_and(|result| result == "corrupt")
        {
            add(&mut self.counters.disk_errors, count);
        }
    }

    fn take_machine_cpu(&mut self, series: Series<'_>, seconds: f64) {
        let mode = series.labels.get("mode");
        let total = match mode.as_deref() {
            Some("idle" | "iowait") => &mut self.counters.machine_idle_milliseconds,
            _ => &mut self.counters.machine_busy_milliseconds,
        };
        add(total, seconds * 1000.0);
    }

    fn take_received(&mut self, series: Series<'_>, bytes: f64) {
        add(&mut self.traffic(series).received, bytes);
    }

    fn take_transmitted(&mut self, series: Series<'_>, bytes: f64) {
        add(&mut self.traffic(series).transmitted, bytes);
    }

    fn take_disk_read(&mut self, _: Series<'_>, bytes: f64) {
        add(&mut self.counters.disk_read_bytes, bytes);
    }

    fn take_disk_written(&mut self, _: Series<'_>, bytes: f64) {
        add(&mut self.counters.disk_written_bytes, bytes);
    }

    fn take_speed(&mut self, series: Series<'_>) {
        let is_known = series.value > 0.0 && series.value.is_finite();
        if is_known && !is_loopback(series) {
            *self.gauges.network_speed_bytes_per_second.get_or_insert(0.0) += series.value;
        }
    }

    fn take_state(&mut self, series: Series<'_>) {
        let state = series.labels.get("state");
        let devices = match state.as_deref() {
            Some("healthy") => &mut self.gauges.healthy_devices,
            Some("suspect") => &mut self.gauges.suspect_devices,
            Some("read_only") => &mut self.gauges.read_only_devices,
            Some("offline") => &mut self.gauges.offline_devices,
            _ => return,
        };
        *devices.get_or_insert(0.0) += f64::from(u8::from(series.value == 1.0));
    }

    fn traffic(&mut self, series: Series<'_>) -> &mut Traffic {
        let traffic = if is_loopback(series) {
            &mut self.loopback
        } else {
            &mut self.interfaces
        };
        traffic.is_told = true;
        traffic
    }

    pub(super) fn into_sample(self, at: Moment) -> Sample {
        let mut counters = self.counters;
        // A machine that has nothing but its loopback is a trial of several nodes on one machine.
        let traffic = if self.interfaces.is_told {
            self.interfaces
        } else {
            self.loopback
        };
        counters.received_bytes = traffic.received;
        counters.transmitted_bytes = traffic.transmitted;
        Sample {
            at,
            started: self.started,
            counters,
            gauges: self.gauges,
        }
    }
}

fn is_asked(result: &str) -> bool {
    result != "local"
}

fn is_hit(result: &str) -> bool {
    matches!(result, "hit" | "stale" | "revalidated" | "collapsed")
}

fn is_loopback(series: Series<'_>) -> bool {
    series
        .labels
        .get("device")
        .is_some_and(|device| device == LOOPBACK)
}

/// What a line measures; none when it says that it is no number.
fn value(line: Line<'_>) -> Result<Option<f64>, Malformed> {
    let value = line.series()?.value;
    Ok(value.is_finite().then_some(value))
}

/// Adds what was written as a number that is not negative. The conversion saturates.
fn add(total: &mut u64, count: f64) {
    *total = total.saturating_add(count.round() as u64);
}
