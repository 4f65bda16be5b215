//! What is wrong with the CDN now, as all monitors together see it: the input of alerting. It decides nothing.

use std::collections::BTreeMap;

use model::Moment;
use serde::{Deserialize, Serialize};

/// How much it matters, least first. The names are those of PagerDuty's Events API v2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Severity {
    Info,
    Warning,
    Error,
    Critical,
}

impl Severity {
    pub(crate) const ALL: [Severity; 4] = [
        Severity::Info,
        Severity::Warning,
        Severity::Error,
        Severity::Critical,
    ];

    /// As receivers, metrics and the log name it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Error => "error",
            Severity::Critical => "critical",
        }
    }
}

/// The check that says a node does not serve at all: nothing else that is wrong with it matters then.
pub(crate) const DOWN: &str = "down";

/// One check that one node does not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NodeWrong {
    pub(crate) node: String,
    pub(crate) site: String,
    /// What is wrong, in one word that stays the same as long as it is: `down`, `disks`, `hit_ratio`, `load`, ….
    pub(crate) check: String,
    pub(crate) severity: Severity,
    /// What was seen, for a person.
    pub(crate) cause: String,
    pub(crate) since: Moment,
}

/// All that is wrong at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub(crate) nodes: Vec<NodeWrong>,
    /// How many nodes are watched at each site, well or not.
    pub(crate) sites: BTreeMap<String, usize>,
    /// Why the monitors have no majority, when they have none. What is said of nodes is then worth nothing.
    pub(crate) quorum_lost: Option<String>,
}
