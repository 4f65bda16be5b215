//! Which devices are told of, and their counters: bounded, and gone when the device is.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use prometheus::{Counter, CounterVec, Error, Opts};

/// Devices of one kind that are told of. Hardware comes first: a machine of containers has a virtual interface for each
/// of them, and every device is some series in every scrape.
pub(super) const DEVICES_MAX: usize = 64;

/// Two counters of each device of one kind: what it took in and what it gave out.
pub(super) struct DeviceCounters {
    pub(super) inward: CounterVec,
    pub(super) outward: CounterVec,
    shown: Mutex<BTreeSet<String>>,
}

/// What one device has moved since the machine started, in bytes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Moved {
    pub(super) device: String,
    pub(super) inward: u64,
    pub(super) outward: u64,
}

impl DeviceCounters {
    pub(super) fn new(inward: Opts, outward: Opts) -> Result<DeviceCounters, Error> {
        Ok(DeviceCounters {
            inward: CounterVec::new(inward, &["device"])?,
            outward: CounterVec::new(outward, &["device"])?,
            shown: Mutex::default(),
        })
    }

    /// Shows what `all` have moved, and gives back the names of those that are gone.
    pub(super) fn show(&self, all: &[Moved]) -> Vec<String> {
        for moved in all {
            let device = &[moved.device.as_str()];
            move_to(&self.inward.with_label_values(device), moved.inward as f64);
            move_to(&self.outward.with_label_values(device), moved.outward as f64);
        }
        let now: BTreeSet<String> = all.iter().map(|moved| moved.device.clone()).collect();
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let gone: Vec<String> = shown.difference(&now).cloned().collect();
        *shown = now;
        for device in &gone {
            // Its series were made when it was shown first.
            let _ = self.inward.remove_label_values(&[device]);
            let _ = self.outward.remove_label_values(&[device]);
        }
        gone
    }
}

/// Moves a counter forward to what the kernel says. Some of what it says goes back by a little at times; a counter stays
/// then.
pub(super) fn move_to(counter: &Counter, value: f64) {
    counter.inc_by((value - counter.get()).max(0.0));
}

/// The devices that are told of: hardware first, each kind by name, so that every scrape tells of the same.
pub(super) fn chosen(mut all: Vec<Moved>, is_hardware: impl Fn(&str) -> bool) -> Vec<Moved> {
    all.sort_by_cached_key(|moved| (!is_hardware(&moved.device), moved.device.clone()));
    all.truncate(DEVICES_MAX);
    all
}

/// Whether sysfs knows a driver's device behind the one of this class, such as /sys/class/net/eth0/device.
pub(super) fn is_hardware(class: &Path, device: &str) -> bool {
    class.join(device).join("device").exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moved(device: &str, bytes: u64) -> Moved {
        Moved {
            device: device.to_owned(),
            inward: bytes,
            outward: bytes,
        }
    }

    fn counters() -> DeviceCounters {
        DeviceCounters::new(Opts::new("in", "In."), Opts::new("out", "Out.")).unwrap()
    }

    #[test]
    fn of_many_devices_hardware_is_told_of_and_the_rest_by_name() {
        let containers = (0..1000).map(|number| moved(&format!("veth{number:04}"), 1));
        let all: Vec<Moved> = containers.chain([moved("wlan0", 1), moved("eth0", 1)]).collect();
        let chosen = chosen(all, |device| !device.starts_with("veth"));
        let names: Vec<&str> = chosen.iter().map(|moved| moved.device.as_str()).collect();
        assert_eq!(names.len(), DEVICES_MAX);
        assert_eq!(names[..3], ["eth0", "wlan0", "veth0000"]);
    }

    #[test]
    fn a_device_that_is_gone_leaves_no_series() {
        let counters = counters();
        let series = |counters: &DeviceCounters| {
            let families = prometheus::core::Collector::collect(&counters.inward);
            families[0].get_metric().len()
        };
        assert!(counters.show(&[moved("a", 1), moved("b", 2)]).is_empty());
        assert_eq!(series(&counters), 2);
        assert_eq!(counters.show(&[moved("b", 3)]), ["a"]);
        assert_eq!(series(&counters), 1);
        assert_eq!(counters.outward.with_label_values(&["b"]).get(), 3.0);
    }

    #[test]
    fn a_counter_never_goes_back() {
        let counters = counters();
        for (told, shown) in [(5, 5.0), (4, 5.0), (9, 9.0)] {
            counters.show(&[moved("a", told)]);
            assert_eq!(counters.inward.with_label_values(&["a"]).get(), shown);
        }
    }
}
