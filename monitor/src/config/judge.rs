//! `[judge]` and `[limits]`: when a node is given up, when it is believed again, and what it may be loaded with.

use std::time::Duration;

use daemon::config::Table;
use model::Period;

use crate::judge::{Limits, Patience, Policy, Ramp};

const fn seconds(count: u64) -> Period {
    Period(Duration::from_secs(count))
}

pub(super) fn read(root: &Table<'_>) -> Policy {
    let table = root.table("judge");
    let patience = Patience {
        fall: table.within("fall", 3, 1..=100),
        rise: table.within("rise", 3, 1..=100),
        hold_down: table
            .within("hold_down", seconds(30), seconds(0)..=seconds(3600))
            .0,
        longest_hold_down: table
            .within("longest_hold_down", seconds(300), seconds(0)..=seconds(86_400))
            .0,
        memory: table
            .within("memory", seconds(900), seconds(0)..=seconds(86_400))
            .0,
    };
    if patience.longest_hold_down < patience.hold_down {
        table.complain(
            "longest_hold_down",
            "is shorter than hold_down",
            "write the same or more",
        );
    }
    let ramp = Ramp {
        length: table
            .within("slow_start", seconds(300), seconds(0)..=seconds(3600))
            .0,
    };
    let limits = root.table("limits");
    let limits = Limits {
        load_per_core: limits.within("load_per_core", 4.0, 0.0..=1000.0),
        bandwidth_share: limits.within("bandwidth_share", 0.9, 0.0..=1.0),
        disk_errors_per_minute: limits.within("disk_errors_per_minute", 10.0, 0.0..=1e9),
        hit_ratio_least: limits.within("hit_ratio_least", 0.0, 0.0..=1.0),
        hit_ratio_requests: limits.within("hit_ratio_requests", 1000, 1..=1_000_000_000),
    };
    Policy {
        patience,
        ramp,
        limits,
    }
}
