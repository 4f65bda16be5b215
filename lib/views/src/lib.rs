//! Follows what monitors see. Monitors follow each other by it, and routers follow them.
//!
//! Invariants:
//! - What is told of a monitor is always whole: differences are taken in here, and after a gap the view is had anew.
//! - A monitor that says nothing for three seconds is out of sight, whatever its connection does.

mod follow;

pub use follow::{Heard, Told, Watched, follow};
