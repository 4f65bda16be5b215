//! All nodes that are watched: their judges and their streams of heartbeats.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use model::health::{Beat, Cause, CauseKind, NodeView};
use model::{Moment, Snapshot};

use super::event::Command;
use crate::judge::{Family, NodeJudge, Policy, Reading};
use crate::probe::{Finding, Probed, targets};

/// A stream that brings nothing for so long has gone silent: two beats are missing, and half a second is for the way.
const SILENCE: Duration = Duration::from_millis(2500);

/// After so long a monitor has seen all nodes that can be seen.
const START: Duration = Duration::from_secs(15);

/// Every watched node by name.
#[derive(Default)]
pub(super) struct Fleet {
    nodes: BTreeMap<String, Watched>,
}

struct Watched {
    judge: NodeJudge,
    families: Vec<Family>,
    stream: Option<Stream>,
    /// What the tasks that probe it were told to expect; one that may be new was told nothing.
    told: HashMap<Family, bool>,
    /// Something was seen of it since it was last judged.
    touched: bool,
}

/// A stream of heartbeats.
struct Stream {
    connection: u64,
    last_beat: Moment,
    /// It was held against the node that it is silent; once is enough.
    silent: bool,
}

impl Fleet {
    /// Watches the nodes of `snapshot`, and no others.
    pub(super) fn follow(&mut self, snapshot: &Snapshot, now: Moment) {
        let mut families: BTreeMap<String, Vec<Family>> = BTreeMap::new();
        for target in targets(snapshot) {
            families.entry(target.node).or_default().push(target.family);
        }
        self.nodes.retain(|name, _| families.contains_key(name));
        for (name, families) in families {
            match self.nodes.get_mut(&name) {
                Some(node) => {
                    node.judge.set_families(&families);
                    node.families = families;
                    // At a new address another task asks, which knows nothing.
                    node.told.clear();
                }
                None => {
                    let judge = NodeJudge::new(now, &families);
                    let node = Watched {
                        judge,
                        families,
                        stream: None,
                        told: HashMap::new(),
                        touched: true,
                    };
                    self.nodes.insert(name, node);
                }
            }
        }
    }

    pub(super) fn probed(&mut self, probed: &Probed, policy: &Policy) {
        let Some(node) = self.touch(&probed.node) else {
            return;
        };
        let judge = &mut node.judge;
        match &probed.finding {
            Finding::Serving { started, disks } => {
                judge.answered(probed.at, probed.family, *started, policy);
                if let Some(disks) = disks {
                    judge.told_of_disks(*disks);
                }
            }
            Finding::Delivering => judge.delivered(probed.at, probed.family, policy),
            Finding::Draining => judge.answered_draining(probed.at, probed.family, policy),
            Finding::Failed(cause) => judge.failed(probed.at, probed.family, cause.clone(), policy),
        }
    }

    /// A beat of an older stream than the one that is known is a late one.
    pub(super) fn beat(&mut self, now: Moment, connection: u64, beat: &Beat) -> Vec<Command> {
        let Some(node) = self.touch(&beat.node) else {
            return Vec::new();
        };
        let is_new = match &mut node.stream {
            Some(stream) if connection < stream.connection => return Vec::new(),
            Some(stream) if connection == stream.connection => {
                stream.last_beat = now;
                stream.silent = false;
                false
            }
            _ => {
                node.stream = Some(Stream {
                    connection,
                    last_beat: now,
                    silent: false,
                });
                true
            }
        };
        node.judge.heard(now, beat);
        // It may have come back: the sooner it is probed, the sooner it is believed.
        if is_new {
            vec![Command::Look(beat.node.clone())]
        } else {
            Vec::new()
        }
    }

    pub(super) fn stream_lost(
        &mut self,
        now: Moment,
        name: &str,
        connection: u64,
        cause: &Cause,
        policy: &Policy,
    ) -> Vec<Command> {
        let Some(node) = self.touch(name) else {
            return Vec::new();
        };
        if node
            .stream
            .as_ref()
            .is_none_or(|stream| stream.connection != connection)
        {
            return Vec::new();
        }
        node.stream = None;
        node.judge.lost_stream(now, cause, policy);
        vec![Command::Look(name.to_owned())]
    }

    /// Streams that bring nothing any more, without having ended.
    pub(super) fn look_for_silence(&mut self, now: Moment, policy: &Policy) -> Vec<Command> {
        let mut commands = Vec::new();
        for (name, node) in &mut self.nodes {
            let Some(stream) = &mut node.stream else { continue };
            let silence = now.since(stream.last_beat);
            if !stream.silent && silence >= SILENCE {
                stream.silent = true;
                node.touched = true;
                let what = format!("no heartbeat for {} ms", silence.as_millis());
                node.judge
                    .lost_stream(now, &Cause::new(CauseKind::Timeout, what), policy);
                commands.push(Command::Look(name.clone()));
            }
        }
        commands
    }

    /// What was seen since then is not believed any more. Nodes that fell and still fail are looked at again.
    pub(super) fn take_back(&mut self, now: Moment, since: Moment) -> Vec<Command> {
        let mut commands = Vec::new();
        for (name, node) in &mut self.nodes {
            if node.judge.take_back(now, since) {
                node.touched = true;
                if node.judge.failing_since().is_some() {
                    commands.push(Command::Look(name.clone()));
                }
            }
        }
        commands
    }

    pub(super) fn measured(&mut self, name: &str, reading: Option<Reading>, policy: &Policy) {
        if let Some(node) = self.touch(name) {
            node.judge.measured(reading, policy);
        }
    }

    /// The nodes that are seen otherwise than in `known`. With `all` every node is judged, since time alone changes
    /// some; else those of which something was seen.
    pub(super) fn changed_views(
        &mut self,
        now: Moment,
        policy: &Policy,
        known: &BTreeMap<String, NodeView>,
        all: bool,
    ) -> BTreeMap<String, NodeView> {
        let mut changed = BTreeMap::new();
        for (name, node) in &mut self.nodes {
            if !std::mem::take(&mut node.touched) && !all {
                continue;
            }
            let view = node.judge.view(now, policy);
            if known.get(name) != Some(&view) {
                changed.insert(name.clone(), view);
            }
        }
        changed
    }

    /// Names in `known` that are not watched any more.
    pub(super) fn gone(&self, known: &BTreeMap<String, NodeView>) -> Vec<String> {
        known
            .keys()
            .filter(|name| !self.nodes.contains_key(*name))
            .cloned()
            .collect()
    }

    /// What the tasks that probe have to be told anew.
    pub(super) fn expectations(&mut self) -> Vec<Command> {
        let mut commands = Vec::new();
        for (name, node) in &mut self.nodes {
            for family in &node.families {
                let answer = node.judge.expects_answer(*family);
                if node.told.insert(*family, answer) != Some(answer) {
                    commands.push(Command::Expect {
                        node: name.clone(),
                        family: *family,
                        answer,
                    });
                }
            }
        }
        commands
    }

    /// A node of which something is seen.
    fn touch(&mut self, name: &str) -> Option<&mut Watched> {
        let node = self.nodes.get_mut(name)?;
        node.touched = true;
        Some(node)
    }

    pub(super) fn is_failing(&self, name: &str) -> bool {
        self.nodes
            .get(name)
            .is_some_and(|node| node.judge.failing_since().is_some())
    }

    /// The nodes whose probes fail, and began to after that moment.
    pub(super) fn failing_after(&self, moment: Moment) -> Vec<&str> {
        let nodes = self.nodes.iter();
        let failing =
            nodes.filter(|(_, node)| node.judge.failing_since().is_some_and(|since| since > moment));
        failing.map(|(name, _)| name.as_str()).collect()
    }

    /// Of each site: its watched nodes, and since when those of them fail that do.
    pub(super) fn failures_by_site(&self, snapshot: &Snapshot) -> Vec<(usize, Vec<Moment>)> {
        let mut sites: BTreeMap<&str, (usize, Vec<Moment>)> = BTreeMap::new();
        for (name, node) in &self.nodes {
            let Some(described) = snapshot.nodes.get(name) else {
                continue;
            };
            let site = sites.entry(&described.site).or_default();
            site.0 += 1;
            site.1.extend(node.judge.failing_since());
        }
        sites.into_values().collect()
    }

    /// Whether some node was not seen yet, and still may be.
    pub(super) fn is_starting(&self, now: Moment, started: Moment) -> bool {
        now.since(started) < START && self.nodes.values().any(|node| !node.judge.is_judged())
    }
}
