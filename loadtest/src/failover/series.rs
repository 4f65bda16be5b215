//! The ways in which an edge goes, what its monitors have to notice it by, and how soon clients have to be sent elsewhere.

/// A way to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Series {
    /// It is killed, and the streams of its heartbeats break off.
    Heartbeats,
    /// It is killed, and has sent no heartbeats: probes alone find it.
    Probes,
    /// Nothing it says arrives any more, its heartbeats among it.
    Silence,
    /// Nothing it says arrives any more, and it has sent no heartbeats.
    SilentProbes,
}

impl Series {
    pub(super) const ALL: [Series; 4] = [
        Series::Heartbeats,
        Series::Probes,
        Series::Silence,
        Series::SilentProbes,
    ];

    /// As tables and measures name it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Series::Heartbeats => "kill -9, heartbeats",
            Series::Probes => "kill -9, probes alone",
            Series::Silence => "blackholed, heartbeats",
            Series::SilentProbes => "blackholed, probes alone",
        }
    }

    /// Seconds until no answer names the edge any more.
    pub(super) fn goal_seconds(self) -> f64 {
        match self {
            Series::Heartbeats => 3.0,
            Series::Probes => 8.0,
            Series::Silence | Series::SilentProbes => 15.0,
        }
    }

    /// Whether edges send heartbeats.
    pub(super) fn has_heartbeats(self) -> bool {
        matches!(self, Series::Heartbeats | Series::Silence)
    }

    /// Whether the edge is cut off and goes on living.
    pub(super) fn cuts_off(self) -> bool {
        matches!(self, Series::Silence | Series::SilentProbes)
    }
}
