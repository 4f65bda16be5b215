//! A CDN with something wrong.

use std::collections::BTreeMap;

use model::Moment;

use crate::alert::wrong::{DOWN, NodeWrong, Severity, Wrong};

pub(in crate::alert) const MAIN: &str = "main";

/// The monitor that speaks.
pub(in crate::alert) const FIRST: &str = "m1";

pub(in crate::alert) fn seconds(count: u64) -> Moment {
    Moment::from_seconds(count)
}

/// A node that is down since the beginning of time.
pub(in crate::alert) fn down(node: &str, site: &str) -> NodeWrong {
    NodeWrong {
        node: node.to_owned(),
        site: site.to_owned(),
        check: DOWN.to_owned(),
        severity: Severity::Error,
        cause: "connection refused".to_owned(),
        since: Moment(5_000),
    }
}

/// What is wrong, at sites where four nodes each are watched.
pub(in crate::alert) fn wrong(nodes: impl IntoIterator<Item = NodeWrong>) -> Wrong {
    let nodes: Vec<NodeWrong> = nodes.into_iter().collect();
    let sites: BTreeMap<String, usize> = nodes.iter().map(|node| (node.site.clone(), 4)).collect();
    Wrong {
        nodes,
        sites,
        quorum_lost: None,
    }
}
