//! What a node's state is, and whether this monitor may say so. Pure: what was seen and what time it is go in.
//!
//! ```text
//! probes, lost streams ─▶ reach (one family: fall, rise, hold-down) ─┐
//! a node's own word ─────────────────────────────────────────────────┼─▶ node ─▶ NodeView
//! load, bandwidth, disks, hit ratio ─▶ strain (thresholds) ──────────┤
//! time since it came back ─▶ ramp (slow start) ──────────────────────┘
//! many nodes failing at once, peers out of sight ─▶ doubt ─▶ View::suspect
//! ```

mod doubt;
mod node;
mod ramp;
mod reach;
mod strain;

pub(crate) use doubt::{Doubt, Outlook};
pub(crate) use node::{Family, NodeJudge};
pub(crate) use ramp::Ramp;
pub(crate) use reach::Patience;
pub(crate) use strain::{Limits, Reading};

/// By what rules a node is judged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Policy {
    /// When a node is given up, and when it is believed again.
    pub(crate) patience: Patience,
    /// How its weight grows after it came back.
    pub(crate) ramp: Ramp,
    /// What it may be loaded with.
    pub(crate) limits: Limits,
}
