//! What changed between two moments, as happenings to be remembered.

use std::collections::BTreeMap;

use model::health::{Cause, Merged, NodeView, State, View};
use model::{Moment, Snapshot};

use crate::journal::{Happening, Scope};

/// The happenings of one moment.
#[derive(Default)]
pub(super) struct Changes(Vec<Happening>);

impl Changes {
    /// What this monitor sees otherwise than before.
    pub(super) fn note_own(
        &mut self,
        before: &View,
        changed: &BTreeMap<String, NodeView>,
        suspect: Option<&str>,
        snapshot: &Snapshot,
        now: Moment,
    ) {
        for (name, node) in changed {
            let was = before
                .nodes
                .get(name)
                .map_or(State::Unknown, |before| before.state);
            self.note_node(
                Scope::Own,
                (name, site_of(snapshot, name)),
                (was, node.state),
                node.cause.as_ref(),
                now,
            );
        }
        if suspect != before.suspect.as_deref() {
            let word = |suspect: bool| if suspect { "suspect" } else { "trusted" }.to_owned();
            let to = suspect.map_or_else(|| word(false), |why| format!("suspect: {why}"));
            self.note_all(Scope::Monitor, word(before.suspect.is_some()), to, now);
        }
    }

    /// What all monitors together see otherwise than before.
    pub(super) fn note_merged(&mut self, before: &Merged, after: &Merged, snapshot: &Snapshot, now: Moment) {
        for (name, node) in &after.nodes {
            let was = before
                .nodes
                .get(name)
                .map_or(State::Unknown, |before| before.state);
            self.note_node(
                Scope::Merged,
                (name, site_of(snapshot, name)),
                (was, node.state),
                node.cause.as_ref(),
                now,
            );
        }
        if before.quorum != after.quorum {
            let word = |quorum: bool| if quorum { "quorum" } else { "no quorum" }.to_owned();
            self.note_all(Scope::Merged, word(before.quorum), word(after.quorum), now);
        }
    }

    fn note_node(
        &mut self,
        scope: Scope,
        (node, site): (&str, Option<String>),
        (from, to): (State, State),
        cause: Option<&Cause>,
        now: Moment,
    ) {
        if from != to {
            self.0.push(Happening {
                at: now,
                scope,
                node: Some(node.to_owned()),
                site,
                from: from.as_str().to_owned(),
                to: to.as_str().to_owned(),
                cause: cause.cloned(),
            });
        }
    }

    /// What is not about one node.
    fn note_all(&mut self, scope: Scope, from: String, to: String, now: Moment) {
        self.0.push(Happening {
            at: now,
            scope,
            node: None,
            site: None,
            from,
            to,
            cause: None,
        });
    }

    pub(super) fn into_happenings(self) -> Vec<Happening> {
        self.0
    }
}

fn site_of(snapshot: &Snapshot, node: &str) -> Option<String> {
    snapshot.nodes.get(node).map(|node| node.site.clone())
}
