//! The machine's network interfaces: what went through each, and how fast it is.

use std::path::Path;

use procfs::ProcError;
use prometheus::core::Collector;
use prometheus::{Error, IntGaugeVec, Opts};

use super::devices::{DeviceCounters, Moved, chosen, is_hardware};
use crate::metrics::saturating;

/// Where the kernel has a folder for each interface.
const CLASS: &str = "/sys/class/net";

/// A link of so many megabits a second carries so many bytes a second.
const BYTES_A_MEGABIT: u64 = 125_000;

/// Bytes and speed of each interface.
pub(super) struct Network {
    bytes: DeviceCounters,
    speed: IntGaugeVec,
}

impl Network {
    pub(super) fn new() -> Result<Network, Error> {
        Ok(Network {
            bytes: DeviceCounters::new(
                Opts::new(
                    "millrace_machine_network_receive_bytes_total",
                    "Bytes that a network interface received. Worry when they come near \
                     millrace_machine_network_speed_bytes a second.",
                ),
                Opts::new(
                    "millrace_machine_network_transmit_bytes_total",
                    "Bytes that a network interface sent. Worry above nine tenths of \
                     millrace_machine_network_speed_bytes a second: players get less than they could.",
                ),
            )?,
            speed: IntGaugeVec::new(
                Opts::new(
                    "millrace_machine_network_speed_bytes",
                    "Bytes a second that a network interface can carry each way; absent where the kernel does not \
                     know. A step down: the link was negotiated anew, look at cable and switch.",
                ),
                &["device"],
            )?,
        })
    }

    pub(super) fn read(&self) -> Result<(), ProcError> {
        let all = procfs::net::dev_status()?.into_values().map(|status| Moved {
            device: status.name,
            inward: status.recv_bytes,
            outward: status.sent_bytes,
        });
        let all = chosen(all.collect(), |device| is_hardware(Path::new(CLASS), device));
        let mut without_speed = self.bytes.show(&all);
        for Moved { device, .. } in all {
            match speed(&device) {
                Some(speed) => self.speed.with_label_values(&[&device]).set(saturating(speed)),
                None => without_speed.push(device),
            }
        }
        for device in without_speed {
            // Most had none before.
            let _ = self.speed.remove_label_values(&[&device]);
        }
        Ok(())
    }

    pub(super) fn parts(&self) -> [&dyn Collector; 3] {
        [&self.bytes.inward, &self.bytes.outward, &self.speed]
    }
}

/// What an interface can carry, in bytes a second.
fn speed(device: &str) -> Option<u64> {
    let text = std::fs::read_to_string(Path::new(CLASS).join(device).join("speed")).ok()?;
    speed_bytes(&text)
}

/// Sysfs has megabits a second; -1 (4294967295 to old kernels) where nobody knows, and 0 without a cable.
fn speed_bytes(text: &str) -> Option<u64> {
    let megabits: u64 = text.trim().parse().ok()?;
    let is_known = megabits > 0 && megabits < u64::from(u32::MAX);
    is_known.then_some(megabits.saturating_mul(BYTES_A_MEGABIT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_speed_is_told_in_bytes_where_it_is_known() {
        for (text, expected) in [
            ("10000\n", Some(1_250_000_000)),
            ("100\n", Some(12_500_000)),
            ("-1\n", None),
            ("0\n", None),
            ("4294967295\n", None),
            ("", None),
        ] {
            assert_eq!(speed_bytes(text), expected, "{text:?}");
        }
    }

    #[test]
    fn what_is_said_over_loopback_is_counted_and_has_no_speed() {
        let network = Network::new().unwrap();
        network.read().unwrap();
        let received = network.bytes.inward.with_label_values(&["lo"]);
        let before = received.get();
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.send_to(&[0; 1000], socket.local_addr().unwrap()).unwrap();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while received.get() < before + 1000.0 {
            assert!(
                std::time::Instant::now() < deadline,
                "{before} -> {}",
                received.get()
            );
            network.read().unwrap();
        }
        let speeds = Collector::collect(&network.speed);
        let of_loopback = |metric: &prometheus::proto::Metric| metric.get_label()[0].value() == "lo";
        assert!(!speeds[0].get_metric().iter().any(of_loopback), "{speeds:?}");
    }
}
