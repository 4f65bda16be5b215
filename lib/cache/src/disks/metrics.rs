//! What operators see of the health of devices.

use super::health::{Operation, State, Transition};
use prometheus::{GaugeVec, IntCounterVec, IntGaugeVec, Opts, Registry, Result};

/// Numbers about all devices of a cache, by `device`.
#[derive(Debug, Clone)]
pub struct HealthMetrics {
    state: IntGaugeVec,
    transitions: IntCounterVec,
    errors: IntCounterVec,
    oldest_seconds: GaugeVec,
}

impl HealthMetrics {
    /// Registers every metric. Fails when the registry has one of these names already.
    pub fn register(registry: &Registry) -> Result<HealthMetrics> {
        let state = IntGaugeVec::new(
            Opts::new(
                "millrace_cache_disk_state",
                "1 for the state a device is in, 0 for the others. healthy is normal; suspect: errors or slowness, look \
                 at the drive soon; read_only: it refuses writes, replace it or make room; offline: its share of hits \
                 is lost until it is back, look at the log for the cause.",
            ),
            &["device", "state"],
        )?;
        let transitions = IntCounterVec::new(
            Opts::new(
                "millrace_cache_disk_transitions_total",
                "Changes of a device to this state. Growing by more than a few a day: the drive, its cable or its \
                 controller is failing, each change is in the log with its cause.",
            ),
            &["device", "state"],
        )?;
        let errors = IntCounterVec::new(
            Opts::new(
                "millrace_cache_disk_errors_total",
                "Operations that a device refused. Never seen by clients; any steady growth means that the drive is \
                 failing.",
            ),
            &["device", "operation"],
        )?;
        let oldest_seconds = GaugeVec::new(
            Opts::new(
                "millrace_cache_disk_oldest_operation_seconds",
                "For how long the slowest operation under way has been waited for. Above 1 the drive is overloaded or \
                 failing, above 5 it is put offline.",
            ),
            &["device"],
        )?;
        registry.register(Box::new(state.clone()))?;
        registry.register(Box::new(transitions.clone()))?;
        registry.register(Box::new(errors.clone()))?;
        registry.register(Box::new(oldest_seconds.clone()))?;
        Ok(HealthMetrics {
            state,
            transitions,
            errors,
            oldest_seconds,
        })
    }

    pub(super) fn begin(&self, device: &str, state: State) {
        for possible in State::ALL {
            self.transitions.with_label_values(&[device, possible.name()]);
        }
        for operation in Operation::ALL {
            self.errors.with_label_values(&[device, operation.name()]);
        }
        self.show(device, state);
        self.show_oldest(device, 0.0);
    }

    pub(super) fn count(&self, device: &str, transition: &Transition) {
        self.transitions
            .with_label_values(&[device, transition.to.name()])
            .inc();
        self.show(device, transition.to);
    }

    pub(super) fn count_errors(&self, device: &str, operation: Operation, more: u64) {
        self.errors
            .with_label_values(&[device, operation.name()])
            .inc_by(more);
    }

    pub(super) fn show_oldest(&self, device: &str, seconds: f64) {
        self.oldest_seconds.with_label_values(&[device]).set(seconds);
    }

    fn show(&self, device: &str, state: State) {
        for possible in State::ALL {
            self.state
                .with_label_values(&[device, possible.name()])
                .set(i64::from(possible == state));
        }
    }
}
