//! What a node says of itself to the monitors, once a second.

use serde::{Deserialize, Serialize};

/// One heartbeat: a line of JSON on a stream that the node keeps open to each monitor. Unknown keys are ignored, so
/// that nodes may be newer than monitors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Beat {
    /// The node's name in the snapshot.
    pub node: String,
    /// When its process started, milliseconds since the Unix epoch: another number is another process.
    pub started: u64,
    /// Counts the beats of this process.
    pub sequence: u64,
    /// It is serving.
    pub ready: bool,
    /// It sees its clients out and takes no new ones.
    pub draining: bool,
    /// Its cache devices by state.
    #[serde(default)]
    pub disks: DiskCounts,
}

/// How many cache devices are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DiskCounts {
    /// Read and written.
    pub healthy: u32,
    /// Read and written, but with errors or slow.
    pub suspect: u32,
    /// Read only: full, or a write failed.
    pub read_only: u32,
    /// Neither.
    pub offline: u32,
}

impl DiskCounts {
    /// All of them.
    #[must_use]
    pub fn total(self) -> u32 {
        self.healthy + self.suspect + self.read_only + self.offline
    }

    /// The share of the devices' work that can still be done, 0 to 1: one that is only read counts half. 1 without
    /// any device.
    #[must_use]
    pub fn usable_share(self) -> f64 {
        if self.total() == 0 {
            return 1.0;
        }
        let usable = f64::from(self.healthy) + f64::from(self.suspect) + f64::from(self.read_only) / 2.0;
        usable / f64::from(self.total())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beat_of_a_newer_node_is_read() {
        let text = r#"{"node":"edge-ams-1","started":5,"sequence":2,"ready":true,"draining":false,
            "disks":{"healthy":1,"melted":2},"mood":"fine"}"#;
        let beat: Beat = serde_json::from_str(text).unwrap();
        assert_eq!((beat.disks.healthy, beat.disks.total(), beat.sequence), (1, 1, 2));
        assert!(serde_json::from_str::<Beat>(r#"{"node":"x"}"#).is_err());
    }

    #[test]
    fn a_device_that_is_only_read_does_half_its_work() {
        let counts = |healthy, read_only, offline| DiskCounts {
            healthy,
            suspect: 0,
            read_only,
            offline,
        };
        assert_eq!(counts(0, 0, 0).usable_share(), 1.0);
        assert_eq!(counts(1, 1, 0).usable_share(), 0.75);
        assert_eq!(counts(0, 0, 2).usable_share(), 0.0);
    }
}
