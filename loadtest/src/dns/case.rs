//! What is compared: how the question comes, and the goals. Pure.

use crate::measure::Goal;

/// One line of the comparison.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Case {
    /// What people call it.
    pub(super) name: &'static str,
    /// Over TCP, else UDP.
    pub(super) tcp: bool,
    /// The network of the client that the question names, a /24.
    pub(super) subnet: Option<[u8; 3]>,
    /// What our ratio to the peer should be.
    pub(super) goal: Option<Goal>,
}

/// All of them, in order.
pub(super) const CASES: [Case; 3] = [
    Case {
        name: "A over UDP",
        tcp: false,
        subnet: None,
        goal: Some(Goal::AtLeast(1.0)),
    },
    Case {
        name: "A over UDP, client subnet",
        tcp: false,
        // A network for documentation (RFC 5737), which the made-up world has a place for.
        subnet: Some([203, 0, 113]),
        goal: Some(Goal::AtLeast(1.0)),
    },
    Case {
        name: "A over TCP",
        tcp: true,
        subnet: None,
        goal: None,
    },
];
