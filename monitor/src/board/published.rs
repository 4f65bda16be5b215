//! What the board shows, as one value that is swapped whole.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::health::{Merged, Standing, View};
use model::{Moment, Snapshot};

/// Everything there is to show at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Published {
    /// The moment.
    pub(crate) at: Moment,
    /// Grows with each change of what is shown.
    pub(crate) generation: u64,
    /// What the CDN consists of.
    pub(crate) snapshot: Arc<Snapshot>,
    /// What this monitor sees.
    pub(crate) view: View,
    /// What the others see.
    pub(crate) peers: BTreeMap<String, PeerShown>,
    /// What all together see.
    pub(crate) merged: Merged,
}

/// Another monitor.
#[derive(Clone, Debug)]
pub(crate) struct PeerShown {
    /// Whether its view counts.
    pub(crate) standing: Standing,
    /// When it was last heard, if it ever was.
    pub(crate) heard: Option<Moment>,
    /// Why it is out of sight, while it is.
    pub(crate) lost: Option<String>,
    /// The last it published.
    pub(crate) view: Option<Arc<View>>,
}
