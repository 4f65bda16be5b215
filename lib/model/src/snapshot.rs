//! The one document that describes a CDN.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Complaint, Node, Service, Site, Tier, Zone};

/// Sites, nodes and services of one CDN at one moment. Immutable; published with a growing number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    /// The CDN's name.
    pub cdn: String,
    /// Grows with each publication.
    pub number: u64,
    /// By name.
    pub sites: BTreeMap<String, Site>,
    /// By name.
    pub nodes: BTreeMap<String, Node>,
    /// By name.
    pub services: BTreeMap<String, Service>,
    /// The DNS zones that routers answer for, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub zones: BTreeMap<String, Zone>,
}

impl Snapshot {
    /// Reads a snapshot and checks it as a whole.
    ///
    /// # Errors
    ///
    /// Every complaint there is: one for text that is not a snapshot, or all that [`Snapshot::check`] finds.
    pub fn from_json(text: &[u8]) -> Result<Snapshot, Vec<Complaint>> {
        let snapshot: Snapshot =
            serde_json::from_slice(text).map_err(|error| vec![not_a_snapshot(&error)])?;
        let complaints = snapshot.check();
        if complaints.is_empty() {
            Ok(snapshot)
        } else {
            Err(complaints)
        }
    }

    /// The nodes of `tier` in `site` that may be used, by name, in name order.
    pub fn nodes_of<'a>(&'a self, site: &'a str, tier: Tier) -> impl Iterator<Item = (&'a str, &'a Node)> {
        self.nodes
            .iter()
            .filter(move |(_, node)| node.site == site && node.tier == tier && node.status.in_use())
            .map(|(name, node)| (name.as_str(), node))
    }
}

fn not_a_snapshot(error: &serde_json::Error) -> Complaint {
    let at = format!("line {} column {}", error.line(), error.column());
    let text = error.to_string();
    let what = text.strip_suffix(&format!(" at {at}")).unwrap_or(&text);
    Complaint::new(
        at,
        format!("this is not a snapshot: {what}"),
        "mend the document and publish it again",
    )
}
