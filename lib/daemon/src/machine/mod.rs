//! What the kernel says of the machine: cores, memory, network and disks, read at every scrape.
//!
//! A daemon shares its machine, and a monitor that asks only the daemon cannot see that it is full. Where a container
//! hides its machine, these are the numbers of what it shows.

mod devices;
mod disks;
mod network;

use std::sync::Mutex;

use procfs::{Current as _, CurrentSI as _, KernelStats, LoadAverage, Meminfo, ProcError};
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Counter, CounterVec, Error, Gauge, IntGauge, Opts};

use crate::metrics::saturating;
use disks::Disks;
use network::Network;

/// What the cores do, in the order of /proc/stat. What guests of this machine run is part of `user` and `nice`.
const MODES: [&str; 8] = [
    "user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal",
];

/// The collector of all of it.
pub(crate) struct MachineMetrics {
    cores: IntGauge,
    load: Gauge,
    cpu_families: CounterVec,
    cpu: [Counter; MODES.len()],
    memory_total: IntGauge,
    memory_available: IntGauge,
    network: Network,
    disks: Disks,
    /// One scrape at a time: counters are moved forward by a difference.
    scrape: Mutex<()>,
}

impl MachineMetrics {
    pub(crate) fn new() -> Result<MachineMetrics, Error> {
        let cpu_families = CounterVec::new(
            Opts::new(
                "millrace_machine_cpu_seconds_total",
                "Seconds that all cores together spent in each mode. Worry when idle grows by less than a tenth of \
                 millrace_machine_cores a second. iowait: the disks are waited for; steal: the hypervisor gives the \
                 cores to others.",
            ),
            &["mode"],
        )?;
        Ok(MachineMetrics {
            cores: IntGauge::new(
                "millrace_machine_cores",
                "Cores that are online: so many CPU seconds a second are all there are.",
            )?,
            load: Gauge::new(
                "millrace_machine_load1",
                "Tasks that run or wait for a core or a disk, averaged over a minute. Worry when it stays above \
                 millrace_machine_cores: there is more to do than is done.",
            )?,
            cpu: MODES.map(|mode| cpu_families.with_label_values(&[mode])),
            cpu_families,
            memory_total: IntGauge::new(
                "millrace_machine_memory_total_bytes",
                "Memory of the machine, in bytes.",
            )?,
            memory_available: IntGauge::new(
                "millrace_machine_memory_available_bytes",
                "Memory that can be had without swapping, in bytes. Worry when it is a twentieth of the total or less: \
                 the kernel is about to end a process; give the cache less.",
            )?,
            network: Network::new()?,
            disks: Disks::new()?,
            scrape: Mutex::default(),
        })
    }

    /// Each room is read by itself, so that what cannot be read keeps its last state and nothing else does.
    fn update(&self) {
        for (room, read) in [
            ("/proc/stat", self.read_cores()),
            ("/proc/loadavg", self.read_load()),
            ("/proc/meminfo", self.read_memory()),
            ("/proc/self/net/dev", self.network.read()),
            ("/proc/diskstats", self.disks.read()),
        ] {
            if let Err(error) = read {
                tracing::debug!(%error, "cannot read {room}");
            }
        }
    }

    fn read_cores(&self) -> Result<(), ProcError> {
        let stats = KernelStats::current()?;
        self.cores.set(saturating(stats.cpu_time.len() as u64));
        let total = stats.total;
        let ticks = [
            total.user,
            total.nice,
            total.system,
            total.idle,
            total.iowait.unwrap_or_default(),
            total.irq.unwrap_or_default(),
            total.softirq.unwrap_or_default(),
            total.steal.unwrap_or_default(),
        ];
        let ticks_per_second = procfs::ticks_per_second() as f64;
        for (counter, ticks) in self.cpu.iter().zip(ticks) {
            devices::move_to(counter, ticks as f64 / ticks_per_second);
        }
        Ok(())
    }

    fn read_load(&self) -> Result<(), ProcError> {
        // The kernel says hundredths; more digits would be those of a narrower float.
        let hundredths = (f64::from(LoadAverage::current()?.one) * 100.0).round();
        self.load.set(hundredths / 100.0);
        Ok(())
    }

    fn read_memory(&self) -> Result<(), ProcError> {
        let memory = Meminfo::current()?;
        self.memory_total.set(saturating(memory.mem_total));
        if let Some(available) = memory.mem_available {
            self.memory_available.set(saturating(available));
        }
        Ok(())
    }

    fn parts(&self) -> Vec<&dyn Collector> {
        let mut parts: Vec<&dyn Collector> = vec![
            &self.cores,
            &self.load,
            &self.cpu_families,
            &self.memory_total,
            &self.memory_available,
        ];
        parts.extend(self.network.parts());
        parts.extend(self.disks.parts());
        parts
    }
}

impl Collector for MachineMetrics {
    fn desc(&self) -> Vec<&Desc> {
        self.parts().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let _one_at_a_time = self.scrape.lock();
        self.update();
        let families = self.parts().into_iter().flat_map(Collector::collect);
        // A machine without a disk has no series of it, and a family without any breaks the format.
        families
            .filter(|family| !family.get_metric().is_empty())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics;

    fn scrape(registry: &prometheus::Registry) -> String {
        String::from_utf8(metrics::encode(registry).unwrap()).unwrap()
    }

    fn value(text: &str, name: &str) -> f64 {
        let line = text
            .lines()
            .find(|line| line.starts_with(&format!("{name} ")))
            .expect(name);
        line[name.len() + 1..].parse().unwrap()
    }

    #[test]
    fn every_daemon_tells_of_its_machine() {
        let text = scrape(&metrics::registry("1.2.3").unwrap());
        let total = value(&text, "millrace_machine_memory_total_bytes");
        let available = value(&text, "millrace_machine_memory_available_bytes");
        assert!(available > 0.0 && available <= total, "{available} of {total}");
        let cores = value(&text, "millrace_machine_cores");
        assert!(
            (1.0..=100_000.0).contains(&cores) && cores.fract() == 0.0,
            "{cores}"
        );
        assert!(value(&text, "millrace_machine_load1") >= 0.0);
        let idle = value(&text, "millrace_machine_cpu_seconds_total{mode=\"idle\"}");
        let user = value(&text, "millrace_machine_cpu_seconds_total{mode=\"user\"}");
        assert!(idle + user > 0.0);
        for mode in MODES {
            let name = format!("millrace_machine_cpu_seconds_total{{mode=\"{mode}\"}}");
            assert!(value(&text, &name) >= 0.0, "{text}");
        }
    }

    #[test]
    fn the_cores_are_counted_in_fractions_of_a_second_and_never_back() {
        let machine = MachineMetrics::new().unwrap();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        let spent = || machine.cpu.iter().map(Counter::get).sum::<f64>();
        let _ = machine.collect();
        let first = spent();
        loop {
            let before = spent();
            let _ = machine.collect();
            assert!(spent() >= before);
            if spent() > first && spent() - first < 1.0 {
                break;
            }
            assert!(
                std::time::Instant::now() < deadline,
                "the cores stand still at {first}"
            );
        }
    }
}
