//! `[upstream]`: how parents or origins are asked, and when they are given up.

use std::time::Duration;

use daemon::config::Table;
use model::Period;

use super::knob::{Knob, milliseconds, seconds};
use crate::upstream::exchange::ExchangeLimits;
use crate::upstream::health::{FAILURES_TO_MARK_DOWN, Policy};

/// From the first packet to a connection that is established and, over TLS, verified. Then the next upstream is tried.
/// A round trip across an ocean is 150 ms, and TLS takes two.
const CONNECT_TIMEOUT: Knob<Period> = Knob {
    key: "connect_timeout",
    default: seconds(2),
    least: milliseconds(10),
    most: seconds(60),
};

/// From the request to the head of its answer. Then the next upstream is tried, or the answer is 504. An edge waits
/// longer than its parents do, or it gives up on them while they still try.
const FIRST_BYTE_TIMEOUT: Knob<Period> = Knob {
    key: "first_byte_timeout",
    default: seconds(10),
    least: milliseconds(10),
    most: seconds(300),
};

/// Between two reads of a body. Then the fill fails: its readers are cut off and nothing of it is kept.
const BETWEEN_BYTES_TIMEOUT: Knob<Period> = Knob {
    key: "between_bytes_timeout",
    default: seconds(10),
    least: milliseconds(10),
    most: seconds(300),
};

/// How long a request waits for the head of an answer that another has asked for. Then it asks for itself, and what it
/// gets is not kept. Longer than first_byte_timeout, or a slow upstream gets all requests instead of one.
const COLLAPSE_TIMEOUT: Knob<Period> = Knob {
    key: "collapse_timeout",
    default: seconds(20),
    least: milliseconds(10),
    most: seconds(600),
};

/// How long an unused connection is kept. Shorter than the other side keeps it, or requests meet connections that are
/// just being closed.
const IDLE_TIMEOUT: Knob<Period> = Knob {
    key: "idle_timeout",
    default: seconds(45),
    least: seconds(1),
    most: seconds(3600),
};

/// Unused connections that each core keeps, over all upstreams. More save handshakes, at a file descriptor each.
const CONNECTIONS_PER_CORE: Knob<usize> = Knob {
    key: "connections_per_core",
    default: 128,
    least: 1,
    most: 65_536,
};

/// Retries, as a share of requests upstream; a few in ten seconds are always allowed. More hide single failures better;
/// too many keep an overloaded upstream overloaded. 0 never retries.
const RETRY_BUDGET_PERCENT: Knob<u32> = Knob {
    key: "retry_budget_percent",
    default: 20,
    least: 0,
    most: 100,
};

/// Failures in a row that mark an upstream down. 1 gives it up for an accident of the network; many let requests wait
/// for one that is gone.
const MARK_DOWN_FAILURES: Knob<u32> = Knob {
    key: "mark_down_failures",
    default: FAILURES_TO_MARK_DOWN,
    least: 1,
    most: 100,
};

/// How long an upstream that is down is left alone before it is probed; doubles with every probe that fails.
const MARK_DOWN_FIRST: Knob<Period> = Knob {
    key: "mark_down_first",
    default: seconds(1),
    least: milliseconds(100),
    most: seconds(60),
};

/// The longest pause between two probes of an upstream that is down: so late may its return be noticed.
const MARK_DOWN_LONGEST: Knob<Period> = Knob {
    key: "mark_down_longest",
    default: seconds(30),
    least: seconds(1),
    most: seconds(3600),
};

/// How often the upstreams that are down are gone through to see whose pause is over.
const PROBE_INTERVAL: Knob<Period> = Knob {
    key: "probe_interval",
    default: milliseconds(500),
    least: milliseconds(50),
    most: seconds(60),
};

/// How upstreams are asked.
#[derive(Clone, Debug)]
pub struct UpstreamConfig {
    /// How long each step of an exchange may take, and how connections are kept.
    pub exchange: ExchangeLimits,
    /// How long a request waits for what another has asked for.
    pub collapse_timeout: Duration,
    /// Retries in 100 requests.
    pub retry_budget_percent: u32,
    /// When an upstream is given up, and for how long.
    pub mark_down: Policy,
    /// How often the upstreams that are down are looked through for one whose pause is over.
    pub probe_interval: Duration,
}

/// Reads `[upstream]`.
#[must_use]
pub fn upstream(root: &Table<'_>) -> UpstreamConfig {
    let table = root.table("upstream");
    let exchange = ExchangeLimits {
        connect_timeout: CONNECT_TIMEOUT.read(&table).0,
        first_byte_timeout: FIRST_BYTE_TIMEOUT.read(&table).0,
        between_bytes_timeout: BETWEEN_BYTES_TIMEOUT.read(&table).0,
        idle_timeout: IDLE_TIMEOUT.read(&table).0,
        pool_size: CONNECTIONS_PER_CORE.read(&table),
        ca_file: table.optional_file("ca_file"),
    };
    let mark_down = Policy {
        failures: MARK_DOWN_FAILURES.read(&table),
        first_pause: MARK_DOWN_FIRST.read(&table).0,
        longest_pause: MARK_DOWN_LONGEST.read(&table).0,
    };
    if mark_down.longest_pause < mark_down.first_pause {
        table.complain(
            "mark_down_longest",
            "is shorter than mark_down_first",
            "write the same or more",
        );
    }
    UpstreamConfig {
        exchange,
        collapse_timeout: COLLAPSE_TIMEOUT.read(&table).0,
        retry_budget_percent: RETRY_BUDGET_PERCENT.read(&table),
        mark_down,
        probe_interval: PROBE_INTERVAL.read(&table).0,
    }
}
