//! Metrics: one registry, made once in `main` and passed down, with what holds for any process and machine in it.

use std::sync::Mutex;

use procfs::process::{LimitValue, Process};
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Counter, Encoder, Gauge, IntGauge, IntGaugeVec, Opts, TextEncoder};

pub use prometheus::Registry;

use crate::machine::MachineMetrics;

/// The content type of what [`encode`] gives.
pub(crate) const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// A registry that already tells of the process (`process_*`, the names every dashboard knows), of the machine
/// (`millrace_machine_*`) and of the build (`millrace_build_info`).
///
/// # Errors
/// When the version cannot be a label, which no version is.
pub fn registry(version: &str) -> Result<Registry, prometheus::Error> {
    let registry = Registry::new();
    let help = "Always 1; the version this process was built from is in the label.";
    let build = IntGaugeVec::new(Opts::new("millrace_build_info", help), &["version"])?;
    build.with_label_values(&[version]).set(1);
    registry.register(Box::new(build))?;
    registry.register(Box::new(ProcessMetrics::new()?))?;
    registry.register(Box::new(MachineMetrics::new()?))?;
    Ok(registry)
}

/// All metrics of a registry in the text format of Prometheus.
///
/// # Errors
/// When a metric family breaks the format, such as one without a metric in it.
pub fn encode(registry: &Registry) -> Result<Vec<u8>, prometheus::Error> {
    let mut text = Vec::new();
    TextEncoder::new().encode(&registry.gather(), &mut text)?;
    Ok(text)
}

/// What the kernel says of this process, read at every scrape. (The collector of the `prometheus` crate counts CPU
/// time in whole seconds, too coarse to divide requests by.)
struct ProcessMetrics {
    cpu_seconds: Counter,
    resident_bytes: IntGauge,
    open_fds: IntGauge,
    max_fds: IntGauge,
    threads: IntGauge,
    start_time: Gauge,
    /// One scrape at a time: the CPU counter is moved forward by a difference.
    scrape: Mutex<()>,
}

impl ProcessMetrics {
    fn new() -> Result<ProcessMetrics, prometheus::Error> {
        Ok(ProcessMetrics {
            cpu_seconds: Counter::new(
                "process_cpu_seconds_total",
                "CPU time spent, user and system, in seconds. Near the number of cores per second: saturated.",
            )?,
            resident_bytes: IntGauge::new(
                "process_resident_memory_bytes",
                "Memory held in RAM, in bytes. Worry when it keeps growing beyond what the configuration allows.",
            )?,
            open_fds: IntGauge::new(
                "process_open_fds",
                "Open file descriptors. Worry when it comes near process_max_fds.",
            )?,
            max_fds: IntGauge::new("process_max_fds", "How many file descriptors may be open.")?,
            threads: IntGauge::new("process_threads", "Threads of the process.")?,
            start_time: Gauge::new(
                "process_start_time_seconds",
                "When the process started, in seconds since the Unix epoch. A step is a restart.",
            )?,
            scrape: Mutex::default(),
        })
    }

    /// A value that cannot be read keeps its last state: a scrape never fails for it.
    fn update(&self) -> Result<(), procfs::ProcError> {
        let process = Process::myself()?;
        let stat = process.stat()?;
        let ticks_per_second = procfs::ticks_per_second() as f64;
        let cpu_seconds = (stat.utime + stat.stime) as f64 / ticks_per_second;
        self.cpu_seconds
            .inc_by((cpu_seconds - self.cpu_seconds.get()).max(0.0));
        self.resident_bytes
            .set(saturating(stat.rss.saturating_mul(procfs::page_size())));
        self.threads.set(stat.num_threads);
        self.start_time
            .set(procfs::boot_time_secs()? as f64 + stat.starttime as f64 / ticks_per_second);
        self.open_fds.set(saturating(process.fd_count()? as u64));
        if let LimitValue::Value(limit) = process.limits()?.max_open_files.soft_limit {
            self.max_fds.set(saturating(limit));
        }
        Ok(())
    }

    fn parts(&self) -> [&dyn Collector; 6] {
        [
            &self.cpu_seconds,
            &self.resident_bytes,
            &self.open_fds,
            &self.max_fds,
            &self.threads,
            &self.start_time,
        ]
    }
}

impl Collector for ProcessMetrics {
    fn desc(&self) -> Vec<&Desc> {
        self.parts().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let _one_at_a_time = self.scrape.lock();
        if let Err(error) = self.update() {
            tracing::debug!(%error, "cannot read /proc/self");
        }
        self.parts().into_iter().flat_map(Collector::collect).collect()
    }
}

/// A count as a gauge has it.
pub(crate) fn saturating(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str, name: &str) -> f64 {
        let line = text
            .lines()
            .find(|line| line.starts_with(&format!("{name} ")))
            .expect(name);
        line[name.len() + 1..].parse().unwrap()
    }

    #[test]
    fn the_process_and_the_build_are_told() {
        let registry = registry("1.2.3").unwrap();
        let text = String::from_utf8(encode(&registry).unwrap()).unwrap();
        assert!(
            text.contains("millrace_build_info{version=\"1.2.3\"} 1\n"),
            "{text}"
        );
        let now = crate::clock::now_millis() as f64 / 1000.0;
        for (name, least, most) in [
            ("process_resident_memory_bytes", 1e5, 1e11),
            ("process_open_fds", 3.0, 1e6),
            ("process_max_fds", 3.0, 1e10),
            ("process_threads", 1.0, 1e5),
            ("process_cpu_seconds_total", 0.0, 1e6),
            ("process_start_time_seconds", now - 3600.0, now + 2.0),
        ] {
            let found = value(&text, name);
            assert!((least..=most).contains(&found), "{name} {found}");
        }
    }

    #[test]
    fn an_opened_file_is_counted_at_the_next_scrape() {
        let metrics = ProcessMetrics::new().unwrap();
        let _ = metrics.collect();
        let before = metrics.open_fds.get();
        let files: Vec<_> = (0..50)
            .map(|_| std::fs::File::open("/proc/self/stat").unwrap())
            .collect();
        let _ = metrics.collect();
        assert!(
            metrics.open_fds.get() >= before + 25,
            "{before} -> {}",
            metrics.open_fds.get()
        );
        drop(files);
    }

    #[test]
    fn cpu_time_moves_in_fractions_of_a_second_and_never_back() {
        let metrics = ProcessMetrics::new().unwrap();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        let mut last = 0.0;
        loop {
            let _ = metrics.collect();
            let now = metrics.cpu_seconds.get();
            assert!(now >= last);
            if now > last && now.fract() != 0.0 {
                break;
            }
            last = now;
            assert!(
                std::time::Instant::now() < deadline,
                "CPU time stands still at {last}"
            );
        }
    }
}
