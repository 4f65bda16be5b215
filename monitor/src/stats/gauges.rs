//! What a node measures: single values in a sample, their spread in a roll-up.

use serde::Serialize;
use utoipa::ToSchema;

/// How many there are.
pub(super) const GAUGES: usize = 11;

/// One value of `T` for everything that is measured; `None` where a node does not tell it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
pub(crate) struct Gauges<T> {
    /// Memory that the process holds in RAM.
    pub(crate) resident_memory_bytes: Option<T>,
    /// Memory of the machine that can still be had.
    pub(crate) memory_available_bytes: Option<T>,
    /// Memory of the machine.
    pub(crate) memory_total_bytes: Option<T>,
    /// Load average of one minute: processes that run or wait to.
    pub(crate) load1: Option<T>,
    /// Cores of the machine.
    pub(crate) cores: Option<T>,
    /// Speed of the network interfaces together; `None` when no interface tells its own.
    pub(crate) network_speed_bytes_per_second: Option<T>,
    /// Connections of clients that are open.
    pub(crate) open_connections: Option<T>,
    /// Devices of the cache that are well.
    pub(crate) healthy_devices: Option<T>,
    /// Devices that make errors or are slow.
    pub(crate) suspect_devices: Option<T>,
    /// Devices that are read and not written.
    pub(crate) read_only_devices: Option<T>,
    /// Devices that are not used.
    pub(crate) offline_devices: Option<T>,
}

/// How a value went in some time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
pub(crate) struct Spread {
    pub(crate) min: f64,
    pub(crate) mean: f64,
    pub(crate) max: f64,
    pub(crate) last: f64,
    /// Samples it rests on.
    pub(crate) samples: u32,
}

impl<T> Default for Gauges<T> {
    fn default() -> Gauges<T> {
        Gauges::from_array([const { None }; GAUGES])
    }
}

impl<T> Gauges<T> {
    /// In the order of the fields.
    pub(super) fn into_array(self) -> [Option<T>; GAUGES] {
        // Taken apart by name, so that a field that is forgotten here does not compile.
        let Gauges {
            resident_memory_bytes,
            memory_available_bytes,
            memory_total_bytes,
            load1,
            cores,
            network_speed_bytes_per_second,
            open_connections,
            healthy_devices,
            suspect_devices,
            read_only_devices,
            offline_devices,
        } = self;
        [
            resident_memory_bytes,
            memory_available_bytes,
            memory_total_bytes,
            load1,
            cores,
            network_speed_bytes_per_second,
            open_connections,
            healthy_devices,
            suspect_devices,
            read_only_devices,
            offline_devices,
        ]
    }

    /// The inverse of [`Gauges::into_array`].
    pub(super) fn from_array(values: [Option<T>; GAUGES]) -> Gauges<T> {
        let [
            resident_memory_bytes,
            memory_available_bytes,
            memory_total_bytes,
            load1,
            cores,
            network_speed_bytes_per_second,
            open_connections,
            healthy_devices,
            suspect_devices,
            read_only_devices,
            offline_devices,
        ] = values;
        Gauges {
            resident_memory_bytes,
            memory_available_bytes,
            memory_total_bytes,
            load1,
            cores,
            network_speed_bytes_per_second,
            open_connections,
            healthy_devices,
            suspect_devices,
            read_only_devices,
            offline_devices,
        }
    }
}

impl Gauges<Spread> {
    /// Takes in what one more sample says, the latest so far.
    pub(super) fn add(&mut self, values: Gauges<f64>) {
        let mut spreads = self.into_array();
        for (spread, value) in spreads.iter_mut().zip(values.into_array()) {
            let Some(value) = value else { continue };
            match spread {
                Some(spread) => spread.add(value),
                None => *spread = Some(Spread::of(value)),
            }
        }
        *self = Gauges::from_array(spreads);
    }
}

impl Spread {
    /// Of a single value.
    pub(super) fn of(value: f64) -> Spread {
        Spread {
            min: value,
            mean: value,
            max: value,
            last: value,
            samples: 1,
        }
    }

    fn add(&mut self, value: f64) {
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        self.last = value;
        self.samples = self.samples.saturating_add(1);
        // In steps, not as sum over number: the mean of equal values is then that value to the last bit.
        self.mean += (value - self.mean) / f64::from(self.samples);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(value: Option<f64>) -> Gauges<f64> {
        Gauges {
            load1: value,
            ..Gauges::default()
        }
    }

    #[test]
    fn a_spread_knows_least_mean_most_and_last() {
        let mut spreads = Gauges::<Spread>::default();
        for value in [Some(2.0), None, Some(6.0), Some(1.0)] {
            spreads.add(load(value));
        }
        let expected = Spread {
            min: 1.0,
            mean: 3.0,
            max: 6.0,
            last: 1.0,
            samples: 3,
        };
        assert_eq!(spreads.load1, Some(expected));
        assert_eq!(spreads.cores, None);
    }

    #[test]
    fn what_does_not_move_has_a_mean_that_is_exact() {
        let mut spread = Spread::of(0.1);
        for _ in 0..1000 {
            spread.add(0.1);
        }
        assert_eq!((spread.mean, spread.samples), (0.1, 1001));
    }

    #[test]
    fn every_gauge_keeps_its_place() {
        let values: [Option<f64>; GAUGES] = std::array::from_fn(|index| Some(index as f64));
        let gauges = Gauges::from_array(values);
        assert_eq!(gauges.into_array(), values);
        assert_eq!(
            (gauges.resident_memory_bytes, gauges.cores, gauges.offline_devices),
            (Some(0.0), Some(4.0), Some(10.0))
        );
    }
}
