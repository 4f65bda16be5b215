//! From what is wrong to the alerts that are wanted: a site that fails is one alert and not one for each of its nodes.

use std::collections::{BTreeMap, BTreeSet};

use model::Moment;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::key::Key;
use super::milliseconds;
use super::wrong::{DOWN, NodeWrong, Severity, Wrong};

/// PagerDuty takes no longer summary.
const MAX_SUMMARY_CHARACTERS: usize = 1024;
/// What is said of one cause. A cause is a sentence; a longer one carries somebody's whole answer.
const MAX_CAUSE_CHARACTERS: usize = 512;
/// Nodes that a site's alert lists one by one; the count says how many there are. Keeps an event far below 512 KB.
const MOST_NODES_LISTED: usize = 200;
/// Nodes with the same trouble that make a site: one alone is a node, even where it is all the site has.
const LEAST_OF_SITE: usize = 2;

/// What an alert is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Component {
    Node,
    Site,
    Monitor,
}

impl Component {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Component::Node => "node",
            Component::Site => "site",
            Component::Monitor => "monitor",
        }
    }
}

/// One thing a person should know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Alert {
    pub(crate) key: Key,
    pub(crate) severity: Severity,
    /// One line, at most 1024 characters.
    pub(crate) summary: String,
    pub(crate) cause: String,
    /// The name of the node, site, monitor or CDN that it is about.
    pub(crate) source: String,
    pub(crate) component: Component,
    /// The site; empty for what belongs to none.
    pub(crate) group: String,
    /// The check.
    pub(crate) class: String,
    #[serde(with = "milliseconds")]
    pub(crate) since: Moment,
    pub(crate) details: Value,
}

/// What should be known now.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Wanted {
    pub(crate) alerts: BTreeMap<Key, Alert>,
    /// True as well, but said by their site's alert: none of them begins, and one that began before does not end.
    pub(crate) inhibited: BTreeMap<Key, Alert>,
    /// The monitors have no majority, and nobody knows how nodes and sites are: nothing begins or ends but the alert that
    /// says so.
    pub(crate) is_blind: bool,
}

impl Wanted {
    fn put(&mut self, alert: Alert, is_inhibited: bool) {
        let place = if is_inhibited {
            &mut self.inhibited
        } else {
            &mut self.alerts
        };
        place.insert(alert.key.clone(), alert);
    }
}

/// `now` is when that began which has no beginning of its own.
pub(crate) fn fold(cdn: &str, wrong: &Wrong, now: Moment) -> Wanted {
    let mut wanted = Wanted::default();
    if let Some(cause) = &wrong.quorum_lost {
        let alert = quorum_alert(cdn, cause, now);
        wanted.alerts.insert(alert.key.clone(), alert);
        wanted.is_blind = true;
        return wanted;
    }
    let sites = sites_wrong(wrong);
    let is_covered = |site: &str, check: &str| sites.contains_key(&(site, check));
    for ((site, check), nodes) in &sites {
        let watched = wrong.sites.get(*site).copied().unwrap_or_default();
        let alert = site_alert(cdn, site, check, nodes, watched);
        wanted.put(alert, *check != DOWN && is_covered(site, DOWN));
    }
    for node in &wrong.nodes {
        let said_by_site = is_covered(&node.site, DOWN) || is_covered(&node.site, &node.check);
        wanted.put(node_alert(cdn, node), said_by_site);
    }
    wanted
}

/// That a monitor holds so many alerts back, because there are too many at once.
pub(super) fn storm_alert(cdn: &str, monitor: &str, held: usize, now: Moment) -> Alert {
    let cause = format!("{held} alerts are held back: more began within a minute than a person can read");
    Alert {
        key: Key::storm(cdn, monitor),
        severity: Severity::Critical,
        summary: cut(
            format!("CDN {cdn}, monitor {monitor}: {cause}"),
            MAX_SUMMARY_CHARACTERS,
        ),
        source: monitor.to_owned(),
        component: Component::Monitor,
        group: String::new(),
        class: "storm".to_owned(),
        since: now,
        details: json!({ "held_back": held }),
        cause,
    }
}

/// Sites at least half of whose nodes do not pass the same check, with the check and these nodes.
fn sites_wrong(wrong: &Wrong) -> BTreeMap<(&str, &str), Vec<&NodeWrong>> {
    let mut sites: BTreeMap<(&str, &str), Vec<&NodeWrong>> = BTreeMap::new();
    let mut counted = BTreeSet::new();
    for node in &wrong.nodes {
        if counted.insert((&node.node, &node.check)) {
            sites.entry((&node.site, &node.check)).or_default().push(node);
        }
    }
    sites.retain(|(site, _), nodes| {
        let watched = wrong.sites.get(*site).copied().unwrap_or_default();
        nodes.len() >= LEAST_OF_SITE && nodes.len() * 2 >= watched
    });
    sites
}

fn site_alert(cdn: &str, site: &str, check: &str, nodes: &[&NodeWrong], watched: usize) -> Alert {
    let names: Vec<&str> = nodes.iter().map(|node| node.node.as_str()).collect();
    let watched = watched.max(nodes.len());
    let (what, counted) = if check == DOWN {
        ("are down".to_owned(), "down")
    } else {
        (format!("do not pass {check}"), "wrong")
    };
    let cause = format!("{} of {watched} nodes {what}", nodes.len());
    let worst = nodes.iter().map(|node| node.severity).max();
    let listed: Vec<Value> = nodes
        .iter()
        .take(MOST_NODES_LISTED)
        .map(|node| json!({ "node": node.node, "cause": cause_of(node), "since": node.since.to_rfc3339() }))
        .collect();
    Alert {
        key: Key::site(cdn, site, check),
        severity: worst.filter(|_| check != DOWN).unwrap_or(Severity::Critical),
        summary: cut(
            format!("site {site}: {cause}: {}", names.join(", ")),
            MAX_SUMMARY_CHARACTERS,
        ),
        source: site.to_owned(),
        component: Component::Site,
        group: site.to_owned(),
        class: check.to_owned(),
        since: nodes.iter().map(|node| node.since).min().unwrap_or_default(),
        details: json!({ counted: nodes.len(), "watched": watched, "nodes": listed }),
        cause,
    }
}

fn node_alert(cdn: &str, node: &NodeWrong) -> Alert {
    let cause = cause_of(node);
    Alert {
        key: Key::node(cdn, &node.node, &node.check),
        severity: node.severity,
        summary: cut(
            format!("node {} ({}): {}: {cause}", node.node, node.site, node.check),
            MAX_SUMMARY_CHARACTERS,
        ),
        source: node.node.clone(),
        component: Component::Node,
        group: node.site.clone(),
        class: node.check.clone(),
        since: node.since,
        details: json!({ "node": node.node, "site": node.site, "check": node.check, "cause": cause }),
        cause,
    }
}

fn quorum_alert(cdn: &str, cause: &str, now: Moment) -> Alert {
    let cause = cut(cause.to_owned(), MAX_CAUSE_CHARACTERS);
    Alert {
        key: Key::quorum(cdn),
        severity: Severity::Critical,
        summary: cut(
            format!("CDN {cdn}: the monitors have no majority: {cause}"),
            MAX_SUMMARY_CHARACTERS,
        ),
        source: cdn.to_owned(),
        component: Component::Monitor,
        group: String::new(),
        class: "quorum".to_owned(),
        since: now,
        details: json!({ "cause": cause }),
        cause,
    }
}

fn cause_of(node: &NodeWrong) -> String {
    cut(node.cause.clone(), MAX_CAUSE_CHARACTERS)
}

/// No more than so many characters; what was cut ends with an ellipsis.
pub(super) fn cut(mut text: String, characters: usize) -> String {
    if text.chars().nth(characters).is_some() {
        let end = text.char_indices().nth(characters - 1).map_or(0, |(at, _)| at);
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn down(node: &str, site: &str, since: u64) -> NodeWrong {
        NodeWrong {
            node: node.to_owned(),
            site: site.to_owned(),
            check: DOWN.to_owned(),
            severity: Severity::Error,
            cause: "connection refused".to_owned(),
            since: Moment(since),
        }
    }

    fn wrong(nodes: Vec<NodeWrong>) -> Wrong {
        Wrong {
            nodes,
            sites: BTreeMap::from([("ams".to_owned(), 4), ("iad".to_owned(), 1)]),
            quorum_lost: None,
        }
    }

    fn keys(alerts: &BTreeMap<Key, Alert>) -> Vec<&str> {
        alerts.keys().map(Key::as_str).collect()
    }

    #[test]
    fn each_check_of_each_node_is_an_alert_of_its_own() {
        let mut disks = down("edge-1", "ams", 7_000);
        disks.check = "disks".to_owned();
        disks.severity = Severity::Warning;
        let wanted = fold(
            "main",
            &wrong(vec![down("edge-1", "ams", 5_000), disks]),
            Moment(9_000),
        );
        assert!(wanted.inhibited.is_empty());
        assert_eq!(
            keys(&wanted.alerts),
            ["cdn/main/node/edge-1/disks", "cdn/main/node/edge-1/down"]
        );
        let alert = &wanted.alerts[&Key::node("main", "edge-1", "down")];
        assert_eq!(alert.summary, "node edge-1 (ams): down: connection refused");
        assert_eq!(
            (alert.source.as_str(), alert.group.as_str(), alert.class.as_str()),
            ("edge-1", "ams", "down")
        );
        assert_eq!(
            (alert.component, alert.since, alert.severity),
            (Component::Node, Moment(5_000), Severity::Error)
        );
    }

    #[test]
    fn half_of_a_sites_nodes_down_are_one_alert_that_names_them() {
        let mut load = down("edge-3", "ams", 1);
        load.check = "load".to_owned();
        let nodes = vec![
            down("edge-1", "ams", 5_000),
            down("edge-2", "ams", 4_000),
            load,
            down("edge-9", "iad", 1),
        ];
        let wanted = fold("main", &wrong(nodes), Moment(9_000));
        assert_eq!(
            keys(&wanted.alerts),
            ["cdn/main/node/edge-9/down", "cdn/main/site/ams/down"]
        );
        assert_eq!(
            keys(&wanted.inhibited),
            [
                "cdn/main/node/edge-1/down",
                "cdn/main/node/edge-2/down",
                "cdn/main/node/edge-3/load"
            ]
        );
        let site = &wanted.alerts[&Key::site("main", "ams", "down")];
        assert_eq!(site.summary, "site ams: 2 of 4 nodes are down: edge-1, edge-2");
        assert_eq!(
            (site.since, site.severity, site.component),
            (Moment(4_000), Severity::Critical, Component::Site)
        );
        assert_eq!(
            site.details,
            json!({ "down": 2, "watched": 4, "nodes": [
                { "node": "edge-1", "cause": "connection refused", "since": "1970-01-01T00:00:05.000Z" },
                { "node": "edge-2", "cause": "connection refused", "since": "1970-01-01T00:00:04.000Z" },
            ]})
        );
    }

    #[test]
    fn half_of_a_sites_nodes_with_the_same_trouble_are_one_alert_of_that_trouble() {
        let with = |node: &str, check: &str| NodeWrong {
            check: check.to_owned(),
            ..down(node, "ams", 5_000)
        };
        let nodes = vec![
            with("edge-1", "family"),
            with("edge-2", "family"),
            with("edge-3", "load"),
        ];
        let wanted = fold("main", &wrong(nodes), Moment(9_000));
        assert_eq!(
            keys(&wanted.alerts),
            ["cdn/main/node/edge-3/load", "cdn/main/site/ams/family"]
        );
        assert_eq!(
            keys(&wanted.inhibited),
            ["cdn/main/node/edge-1/family", "cdn/main/node/edge-2/family"]
        );
        let site = &wanted.alerts[&Key::site("main", "ams", "family")];
        assert_eq!(
            (site.summary.as_str(), site.class.as_str(), site.severity),
            (
                "site ams: 2 of 4 nodes do not pass family: edge-1, edge-2",
                "family",
                Severity::Error
            )
        );
        assert_eq!(
            (&site.details["wrong"], &site.details["watched"]),
            (&json!(2), &json!(4))
        );
    }

    #[test]
    fn a_site_that_is_down_speaks_for_all_that_is_wrong_with_it() {
        let mut nodes: Vec<NodeWrong> = (1..5).map(|n| down(&format!("edge-{n}"), "ams", 1)).collect();
        for node in &mut nodes[2..] {
            node.check = "family".to_owned();
        }
        let wanted = fold("main", &wrong(nodes), Moment(9_000));
        assert_eq!(keys(&wanted.alerts), ["cdn/main/site/ams/down"]);
        assert!(keys(&wanted.inhibited).contains(&"cdn/main/site/ams/family"));
    }

    #[test]
    fn less_than_half_or_one_alone_is_no_site() {
        let three_watched = |mut wrong: Wrong| {
            wrong.sites.insert("ams".to_owned(), 5);
            wrong
        };
        let nodes = vec![down("edge-1", "ams", 1), down("edge-2", "ams", 1)];
        assert_eq!(
            fold("main", &three_watched(wrong(nodes)), Moment(1)).alerts.len(),
            2
        );
        let alone = fold("main", &wrong(vec![down("edge-9", "iad", 1)]), Moment(1));
        assert_eq!(keys(&alone.alerts), ["cdn/main/node/edge-9/down"]);
        let twice = vec![down("edge-1", "iad", 1), down("edge-1", "iad", 1)];
        let twice = fold("main", &wrong(twice), Moment(1));
        assert_eq!(
            keys(&twice.alerts),
            ["cdn/main/node/edge-1/down"],
            "a node counts once"
        );
    }

    #[test]
    fn a_lost_majority_is_an_alert() {
        let lost = Wrong {
            quorum_lost: Some("1 of 3 monitors is alive".to_owned()),
            ..Wrong::default()
        };
        let wanted = fold("main", &lost, Moment(9_000));
        let alert = &wanted.alerts[&Key::quorum("main")];
        assert_eq!(
            alert.summary,
            "CDN main: the monitors have no majority: 1 of 3 monitors is alive"
        );
        assert_eq!(alert.since, Moment(9_000));
    }

    #[test]
    fn a_huge_site_still_gives_a_short_summary() {
        let nodes: Vec<NodeWrong> = (0..1000).map(|n| down(&format!("édge-{n}"), "ams", 1)).collect();
        let wanted = fold("main", &wrong(nodes), Moment(1));
        let site = &wanted.alerts[&Key::site("main", "ams", "down")];
        assert_eq!(site.summary.chars().count(), MAX_SUMMARY_CHARACTERS);
        assert!(site.summary.ends_with('…'));
        assert_eq!(site.details["nodes"].as_array().unwrap().len(), MOST_NODES_LISTED);
        assert_eq!(site.details["down"], 1000);
    }

    #[test]
    fn text_is_cut_between_characters() {
        assert_eq!(cut("éé".to_owned(), 2), "éé");
        assert_eq!(cut("ééé".to_owned(), 2), "é…");
        assert_eq!(cut(String::new(), 2), "");
    }
}
