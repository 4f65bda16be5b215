//! What an operator sees of heartbeats, by monitor.

use daemon::connect::Server;
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

/// The families.
pub(super) struct Metrics {
    connected: IntGaugeVec,
    sent: IntCounterVec,
    reconnects: IntCounterVec,
}

/// Those of one monitor.
pub(super) struct Series {
    /// 1 while it hears this node.
    pub(super) connected: IntGauge,
    /// Beats that were put on the way.
    pub(super) sent: IntCounter,
    /// Streams that were lost or never came about.
    pub(super) reconnects: IntCounter,
}

impl Metrics {
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Metrics> {
        let connected = IntGaugeVec::new(
            Opts::new(
                "millrace_heartbeat_connected",
                "1 while a monitor hears this node, else 0. Worry when it is 0 for a minute: the log says why. When it is \
                 0 for most monitors, clients are sent elsewhere as soon as probes of this node fail too.",
            ),
            &["monitor"],
        )?;
        let sent = IntCounterVec::new(
            Opts::new(
                "millrace_heartbeats_sent_total",
                "Heartbeats sent to a monitor: one a second, and one when something changes.",
            ),
            &["monitor"],
        )?;
        let reconnects = IntCounterVec::new(
            Opts::new(
                "millrace_heartbeat_reconnects_total",
                "Times a stream of heartbeats was lost, or did not come about, and is tried again. More than a few an \
                 hour: the network to the monitor drops connections, or the monitor restarts.",
            ),
            &["monitor"],
        )?;
        registry.register(Box::new(connected.clone()))?;
        registry.register(Box::new(sent.clone()))?;
        registry.register(Box::new(reconnects.clone()))?;
        Ok(Metrics {
            connected,
            sent,
            reconnects,
        })
    }

    pub(super) fn of_monitor(&self, monitor: &Server) -> Series {
        let labels = &[monitor.to_string()];
        Series {
            connected: self.connected.with_label_values(labels),
            sent: self.sent.with_label_values(labels),
            reconnects: self.reconnects.with_label_values(labels),
        }
    }
}
