//! A CDN on paper: sites, edges, what monitors say of them, and a clock that stands still until it is told.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6};
use std::sync::Arc;
use std::time::Duration;

use model::health::{FamilyView, Merged, MergedNode, State};
use model::{Moment, Node, Routing, Site, Snapshot, Status, Tier};

use super::super::{
    Controls, Decision, Evidence, Fleet, Health, Key, Question, SiteId, Tally, World, decide,
};

/// All that the tests change.
pub(super) struct Cdn {
    pub(super) snapshot: Snapshot,
    pub(super) fleet: Arc<Fleet>,
    pub(super) merged: Merged,
    pub(super) health: Health,
    pub(super) controls: Controls,
    pub(super) now: Moment,
}

/// One service, `films`, and sites at these places (name, latitude, longitude, edges), all well, of no known load.
pub(super) fn cdn(sites: &[(&str, f64, f64, usize)]) -> Cdn {
    let mut snapshot = Snapshot {
        cdn: "test".to_owned(),
        number: 1,
        sites: BTreeMap::new(),
        nodes: BTreeMap::new(),
        services: BTreeMap::new(),
        zones: BTreeMap::new(),
    };
    let films = r#"{"hosts":["films.example"],"origins":[{"url":"https://origin.example"}]}"#;
    let films = serde_json::from_str(films).unwrap();
    snapshot.services.insert("films".to_owned(), films);
    for (nth, (name, latitude, longitude, edges)) in sites.iter().enumerate() {
        let site = Site {
            region: "somewhere".to_owned(),
            latitude: *latitude,
            longitude: *longitude,
            capacity_bytes_per_second: None,
        };
        snapshot.sites.insert((*name).to_owned(), site);
        for edge in 0..*edges {
            snapshot
                .nodes
                .insert(format!("{name}-{edge:02}"), node(name, nth, edge));
        }
    }
    assert_eq!(snapshot.check(), []);
    let merged = Merged {
        quorum: true,
        monitors: BTreeMap::new(),
        nodes: snapshot.nodes.keys().map(|name| (name.clone(), up())).collect(),
    };
    let mut cdn = Cdn {
        fleet: Arc::new(Fleet::compile(&snapshot)),
        snapshot,
        merged,
        health: Health::default(),
        controls: Controls::default(),
        now: Moment::from_seconds(1_000_000),
    };
    cdn.hear();
    cdn
}

fn node(site: &str, nth_site: usize, edge: usize) -> Node {
    let [high, low] = u16::try_from(nth_site).unwrap().to_be_bytes();
    let last = u8::try_from(edge + 1).unwrap();
    let six = format!("[2001:db8:{nth_site:x}::{last:x}]:443");
    Node {
        tier: Tier::Edge,
        site: site.to_owned(),
        http: None,
        https: Some(SocketAddr::from(([10, high, low, last], 443))),
        http6: None,
        https6: Some(six.parse::<SocketAddrV6>().unwrap()),
        admin: None,
        weight: 1.0,
        status: Status::Reported,
    }
}

pub(super) fn up() -> MergedNode {
    MergedNode {
        status: Status::Reported,
        available: true,
        state: State::Up,
        weight: 1.0,
        ipv4: Some(FamilyView::Up),
        ipv6: Some(FamilyView::Up),
        utilisation: None,
        cause: None,
        since: Moment(0),
        votes: BTreeMap::new(),
    }
}

impl Cdn {
    /// Changes what monitors say of a node.
    pub(super) fn see(&mut self, node: &str, change: impl FnOnce(&mut MergedNode)) {
        change(self.merged.nodes.get_mut(node).expect(node));
    }

    pub(super) fn see_state(&mut self, node: &str, state: State) {
        self.see(node, |node| {
            node.state = state;
            node.available = state.serves();
            node.weight = if state.serves() { 1.0 } else { 0.0 };
        });
    }

    /// Changes what monitors say of all nodes of a site.
    pub(super) fn see_site(&mut self, site: &str, change: impl Fn(&mut MergedNode)) {
        for node in self.nodes_of(site) {
            self.see(&node, &change);
        }
    }

    pub(super) fn nodes_of(&self, site: &str) -> Vec<String> {
        let nodes = self.snapshot.nodes_of(site, Tier::Edge);
        nodes.map(|(name, _)| name.to_owned()).collect()
    }

    /// Compiles the fleet again after the snapshot was changed.
    pub(super) fn publish(&mut self) {
        self.fleet = Arc::new(Fleet::compile(&self.snapshot));
    }

    pub(super) fn route(&mut self, change: impl FnOnce(&mut Routing)) {
        change(&mut self.snapshot.services.get_mut("films").unwrap().routing);
        assert_eq!(self.snapshot.check(), []);
        self.publish();
    }

    /// The router takes in what monitors say.
    pub(super) fn hear(&mut self) {
        self.health.take(Arc::new(self.merged.clone()), self.now);
    }

    pub(super) fn wait(&mut self, seconds: u64) {
        self.now = self.now + Duration::from_secs(seconds);
    }

    /// Hears the monitors, steps the controls, and makes a world.
    pub(super) fn world(&mut self) -> World {
        self.hear();
        self.unheard_world()
    }

    /// The same without a word of the monitors.
    pub(super) fn unheard_world(&mut self) -> World {
        self.made(&[])
    }

    /// A world made by what was heard and what the router has counted.
    pub(super) fn counted_world(&mut self, tallies: &[Tally]) -> World {
        self.hear();
        self.made(tallies)
    }

    fn made(&mut self, tallies: &[Tally]) -> World {
        let availability = self.health.judge(&self.fleet, self.now);
        self.controls.step(&self.fleet, &availability, tallies, self.now);
        World::compile(&self.fleet, &availability, &self.controls)
    }

    pub(super) fn site(&self, name: &str) -> SiteId {
        let found = self.fleet.numbered_sites().find(|(_, site)| &*site.name == name);
        found.expect(name).0
    }

    /// A question for a key of content, from a client known by geography.
    pub(super) fn question<'r>(&self, client: u32, ranking: &'r [SiteId], key: u64) -> Question<'r> {
        Question {
            client: address(client),
            ranking,
            evidence: Evidence::Geography,
            country: None,
            service: self.fleet.service_of_host("films.example").unwrap(),
            key: Key::Content(key),
            wants: None,
        }
    }
}

/// The nth network of clients.
pub(super) fn address(network: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from_bits(0x2000_0000 + (network << 8) + 7))
}

/// The node that a decision puts first.
pub(super) fn first<'w>(world: &'w World, decision: &Decision<'_>) -> &'w str {
    let site = decision.site.expect("a site serves");
    let node = decision.nodes.first().expect("a node serves");
    &world.fleet.edge(site, node.edge).unwrap().name
}

/// The node that each of `keys` goes to.
pub(super) fn owners<'w>(cdn: &Cdn, world: &'w World, ranking: &[SiteId], keys: u64) -> Vec<&'w str> {
    let owner = |key: u64| {
        let key = key.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        first(world, &decide(world, &cdn.question(1, ranking, key)))
    };
    (0..keys).map(owner).collect()
}

/// Which part of the keys has another owner.
pub(super) fn moved(before: &[&str], after: &[&str]) -> f64 {
    let moved = before.iter().zip(after).filter(|(one, other)| one != other);
    moved.count() as f64 / before.len() as f64
}
