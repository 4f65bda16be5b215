//! What goes wrong with the device of a simulated life, beside its end.

use crate::disk::device::{Faults, FaultyDevice};
use rand::Rng;
use rand::rngs::SmallRng;

/// One seed in so many has a device that fails by the way: there nothing that was written need be found, but all that
/// is found must be right.
const STORMY: u64 = 4;

pub(super) fn is_stormy(seed: u64) -> bool {
    seed % STORMY == STORMY - 1
}

/// The faults of one life: one kind or several.
pub(super) fn of_a_life(chance: &mut SmallRng) -> Faults {
    let mut rate = |most: f64| if chance.random_bool(0.4) { most } else { 0.0 };
    let faults = Faults {
        read_errors: rate(0.05),
        write_errors: rate(0.02),
        flush_errors: rate(0.02),
        short_reads: rate(0.03),
        short_writes: rate(0.02),
        flips: rate(0.05),
        torn: rate(0.05),
        ..Faults::default()
    };
    Faults {
        full: chance.random_bool(0.02),
        ..faults
    }
}

/// Every read stalls until the weather is calm again. The blocking calls of the writer cannot wait for that: there is
/// but one thread.
pub(super) fn stall(device: &FaultyDevice) {
    device.set(Faults {
        stalls: 1.0,
        ..Faults::default()
    });
}
