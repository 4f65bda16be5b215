//! What can happen to the board, and what it asks for: two closed lists.

use std::sync::Arc;

use model::Snapshot;
use model::health::{Beat, Cause};
use views::Told;

use crate::judge::{Family, Reading};
use crate::probe::Probed;

/// Something was seen, heard or read.
#[derive(Debug)]
pub(crate) enum Event {
    /// The document that describes the CDN has a new version.
    Snapshot(Arc<Snapshot>),
    /// A probe has ended.
    Probed(Probed),
    /// A node said how it is, on a stream of heartbeats.
    Beat {
        /// Which stream: a node that connects again has a new one.
        connection: u64,
        beat: Beat,
    },
    /// A stream of heartbeats has ended.
    StreamLost {
        node: String,
        connection: u64,
        cause: Cause,
    },
    /// A node's metrics were read; `None`: they could not be.
    Measured { node: String, reading: Option<Reading> },
    /// A peer was heard.
    Peer(Told),
}

/// Something the board wants done.
#[derive(Clone, Debug)]
pub(crate) enum Command {
    /// Probe and read the nodes of this snapshot.
    Follow(Arc<Snapshot>),
    /// Probe a node at once.
    Look(String),
    /// Take an answer of this target for what is expected, or not.
    Expect {
        node: String,
        family: Family,
        answer: bool,
    },
}
