//! The whole way from what monitors say to what is answered, on paper: sites all over the world, three monitors, and a
//! clock that stands still until it is told.

mod monitors;
mod names;
mod scopes;
mod sites;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net};
use model::health::{NodeView, State, View};
use model::{Moment, Node, Site, Snapshot, Status, Tier};
use prometheus::Registry;
use testkit::{Chance, geography};
use views::{Heard, Told};

use crate::dns::authority::steer::{Addresses, Asked, Family, ServiceId, Steer, Steered};
use crate::geo::{self, Source, Sources};
use crate::metrics::Metrics;
use crate::owner::{Message, Owner};
use crate::world::World;

const MONITORS: [&str; 3] = ["monitor-1", "monitor-2", "monitor-3"];

/// The name that is asked for, as it is sent.
const HOST: &[u8] = b"\x05films\x04test\0";

/// A router without sockets.
struct Paper {
    owner: Owner,
    snapshot: Arc<Snapshot>,
    world: World,
    now: Moment,
    /// What each monitor says.
    views: BTreeMap<&'static str, View>,
}

/// Where a site stands: somewhere, each elsewhere.
fn place(nth: usize) -> (f64, f64) {
    let mut chance = Chance::named(&format!("site {nth}"));
    let mut degrees = |span: u64| chance.below(span * 1000) as f64 / 1000.0;
    (degrees(120) - 55.0, degrees(360) - 180.0)
}

/// Sites of `edges` edges each, `site-000` and on, watched by three monitors that see everything up. Each /16 of IPv4
/// from 16.0.0.0 on lies somewhere else.
fn paper(sites: usize, edges: usize) -> Paper {
    let mut snapshot = Snapshot {
        cdn: "test".to_owned(),
        number: 1,
        sites: BTreeMap::new(),
        nodes: BTreeMap::new(),
        services: BTreeMap::new(),
        zones: BTreeMap::new(),
    };
    let films = r#"{"hosts":["films.test"],"origins":[{"url":"https://origin.test"}]}"#;
    snapshot
        .services
        .insert("films".to_owned(), serde_json::from_str(films).unwrap());
    for nth in 0..sites {
        let (latitude, longitude) = place(nth);
        let name = format!("site-{nth:03}");
        let site = Site {
            region: "somewhere".to_owned(),
            latitude,
            longitude,
            capacity_bytes_per_second: None,
        };
        snapshot.sites.insert(name.clone(), site);
        for edge in 0..edges {
            let ip = [10, 0, u8::try_from(nth).unwrap(), u8::try_from(edge).unwrap()];
            snapshot
                .nodes
                .insert(format!("{name}-{edge}"), node(&name, SocketAddr::from((ip, 443))));
        }
    }
    assert_eq!(snapshot.check(), []);
    let snapshot = Arc::new(snapshot);
    let database = geography::database(&places());
    let database = Source {
        name: "city.mmdb",
        bytes: &database,
    };
    let sources = Sources {
        database: Some(database),
        ..Sources::default()
    };
    let table = Arc::new(geo::compile(&snapshot, sources).unwrap());
    let metrics = Metrics::register(&Registry::new()).unwrap();
    let now = Moment::from_seconds(1_000_000);
    let names = MONITORS.map(str::to_owned);
    let mut owner = Owner::new(Arc::clone(&snapshot), table, names, None, metrics, 0, now);
    let world = owner.settle(now).unwrap();
    let views = MONITORS.map(|monitor| (monitor, all_well(monitor, &snapshot)));
    let mut paper = Paper {
        owner,
        snapshot,
        world,
        now,
        views: BTreeMap::from(views),
    };
    paper.hear();
    paper
}

/// The networks of clients, and where they are.
fn places() -> Vec<(IpNet, f64, f64, &'static str)> {
    (16..80_u8)
        .flat_map(|first| (0..=255_u8).step_by(8).map(move |second| (first, second)))
        .map(|(first, second)| {
            let net = Ipv4Net::new(Ipv4Addr::new(first, second, 0, 0), 13).unwrap();
            let (latitude, longitude) = place(10_000 + usize::from(first) * 256 + usize::from(second));
            (IpNet::V4(net), latitude, longitude, "NL")
        })
        .collect()
}

/// A client that the database knows.
fn client(chance: &mut Chance) -> IpAddr {
    let bits = u64::from(u32::from(Ipv4Addr::new(16, 0, 0, 0))) + chance.below(64 << 24);
    IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(bits).unwrap()))
}

fn node(site: &str, address: SocketAddr) -> Node {
    Node {
        tier: Tier::Edge,
        site: site.to_owned(),
        http: None,
        https: Some(address),
        http6: None,
        https6: None,
        admin: None,
        weight: 1.0,
        status: Status::default(),
    }
}

fn all_well(monitor: &str, snapshot: &Snapshot) -> View {
    let well: NodeView = serde_json::from_str(r#"{"state":"up","weight":1.0,"since":0}"#).unwrap();
    View {
        monitor: monitor.to_owned(),
        epoch: 1,
        sequence: 1,
        suspect: None,
        nodes: snapshot
            .nodes
            .keys()
            .map(|name| (name.clone(), well.clone()))
            .collect(),
    }
}

impl Paper {
    /// All monitors are heard, and what follows comes into use.
    fn hear(&mut self) {
        for (monitor, view) in &self.views {
            let heard = Heard::View(Arc::new(view.clone()));
            let name = (*monitor).to_owned();
            self.owner.take(self.now, Message::Monitor(Told { name, heard }));
        }
        self.settle();
    }

    fn settle(&mut self) {
        if let Some(world) = self.owner.settle(self.now) {
            self.world = world;
        }
    }

    /// Time goes by, and nobody says anything.
    fn silence(&mut self, time: Duration) {
        let step = Duration::from_millis(250);
        for _ in 0..time.as_millis() / step.as_millis() {
            self.now = Moment(self.now.0 + step.as_millis() as u64);
            self.settle();
        }
    }

    /// `monitor` sees these nodes so.
    fn says(&mut self, monitor: &str, nodes: impl Fn(&str) -> bool, change: impl Fn(&mut NodeView)) {
        let view = self.views.get_mut(monitor).unwrap();
        view.sequence += 1;
        view.nodes
            .iter_mut()
            .filter(|(name, _)| nodes(name))
            .for_each(|(_, node)| change(node));
    }

    /// All monitors see these nodes down.
    fn all_say_down(&mut self, nodes: impl Fn(&str) -> bool + Copy) {
        for monitor in MONITORS {
            self.says(monitor, nodes, |node| node.state = State::Down);
        }
        self.hear();
    }

    /// What `client` hears by DNS.
    fn ask(&self, client: IpAddr) -> (Steered, Vec<IpAddr>) {
        let asked = Asked {
            service: ServiceId(0),
            host: HOST,
            client,
            family: Family::V4,
        };
        let mut addresses = Addresses::default();
        let steered = self.world.steer(&asked, &mut addresses);
        let mut anew = Addresses::default();
        let (decided, _) = self.world.addresses(&asked, &mut anew);
        assert_eq!(
            (steered, addresses.as_slice()),
            (decided, anew.as_slice()),
            "what is remembered is what would be decided"
        );
        (steered, addresses.as_slice().to_vec())
    }

    /// The place, among all sites, of the one that `client` is sent to.
    fn site_of(&self, client: IpAddr) -> usize {
        let (_, addresses) = self.ask(client);
        match addresses[0] {
            IpAddr::V4(ip) => usize::from(ip.octets()[2]),
            IpAddr::V6(_) => unreachable!("edges have IPv4"),
        }
    }
}
