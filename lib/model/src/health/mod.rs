//! What is known of how nodes are: what a node says of itself, what one monitor sees, and what several agree on.
//!
//! ```text
//! node ──Beat, 1 s──▶ monitor ──View: Bulletin::{Snapshot, Diff}──▶ other monitors, routers ──merge──▶ Merged
//! ```
//!
//! These are the words that daemons exchange; who decides what a node's state is lives in the monitor, and who merges
//! views (monitors, to show and to alert; routers, to steer) does it by [`merge`] alone, so that all agree.

mod beat;
mod merge;
mod view;

pub use beat::{Beat, DiskCounts};
pub use merge::{Ballot, FRESH, Merged, MergedNode, Standing, merge};
pub use view::{Bulletin, Cause, CauseKind, Diff, FamilyView, Gap, NodeView, State, View};
