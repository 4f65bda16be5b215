//! Describing a small CDN, and starting it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use model::service::{
    ClientDirectives, ContentId, Direction, HeaderAction, HeaderRule, Origin as OriginOf, PlainHttp,
    QueryKey, TtlRules,
};
use model::zone::Zone;
use model::{Compression, Node, Period, Routing, Service, Site, Size, Snapshot, Status, Tier};

use super::monitors::{self, Monitors, Place};
use super::routers::{self, Router};
use super::settings::{self, Addresses, Settings};
use super::{Cdn, Member};
use crate::certificates::{Authority, CertificatePaths};
use crate::origin::Origin;
use crate::ports::Port;
use crate::process::{Binary, Daemon};

/// The host that the first service answers to, and clients of a [`Cdn`] ask for.
pub const HOST: &str = "media.test";

/// A CDN before it starts.
pub struct CdnBuilder {
    sites: BTreeMap<String, Site>,
    nodes: Vec<(String, Tier, String)>,
    origins: usize,
    services: Vec<(String, Change<Service>)>,
    settings: Vec<(Tier, Change<Settings>)>,
    monitors: Monitors,
    router: Option<Router>,
    /// By the name of the tier, and of the monitors'.
    binaries: BTreeMap<&'static str, Binary>,
}

type Change<T> = Box<dyn FnOnce(&mut T)>;

impl CdnBuilder {
    pub(super) fn new() -> CdnBuilder {
        CdnBuilder {
            sites: BTreeMap::new(),
            nodes: Vec::new(),
            origins: 1,
            services: Vec::new(),
            settings: Vec::new(),
            monitors: Monitors {
                count: 0,
                settings: monitors::usual(),
                tables: String::new(),
            },
            router: None,
            binaries: BTreeMap::from([
                ("monitor", Binary::of("monitor", "millrace-monitor")),
                ("router", Binary::of("router", "millrace-router")),
                (tier_name(Tier::Edge), Binary::of("edge", "millrace-edge")),
                (tier_name(Tier::Parent), Binary::of("parent", "millrace-parent")),
            ]),
        }
    }

    /// Takes the binary of a tier from `path`: what `env!("CARGO_BIN_EXE_…")` says in the tests of its package.
    #[must_use]
    pub fn binary(mut self, tier: Tier, path: &str) -> CdnBuilder {
        let binary = self
            .binaries
            .remove(tier_name(tier))
            .expect("both tiers have a binary");
        self.binaries.insert(tier_name(tier), binary.at(path));
        self
    }

    /// Adds `count` parents to `site`: `parent-<site>-1` and so on.
    #[must_use]
    pub fn parents(self, site: &str, count: usize) -> CdnBuilder {
        self.add(site, Tier::Parent, count)
    }

    /// Adds `count` edges to `site`: `edge-<site>-1` and so on.
    #[must_use]
    pub fn edges(self, site: &str, count: usize) -> CdnBuilder {
        self.add(site, Tier::Edge, count)
    }

    fn add(mut self, site: &str, tier: Tier, count: usize) -> CdnBuilder {
        self.sites.entry(site.to_owned()).or_insert_with(|| place(site));
        let already = self
            .nodes
            .iter()
            .filter(|(_, own, at)| *own == tier && at == site)
            .count();
        for number in already + 1..=already + count {
            self.nodes.push((
                format!("{}-{site}-{number}", tier_name(tier)),
                tier,
                site.to_owned(),
            ));
        }
        self
    }

    /// How many origins there are; every service has all of them unless told otherwise.
    #[must_use]
    pub fn origins(mut self, count: usize) -> CdnBuilder {
        self.origins = count;
        self
    }

    /// Adds a service like [`sample_service`], changed. Without any, there is one of the name `demo`, unchanged.
    #[must_use]
    pub fn service(mut self, name: &str, change: impl FnOnce(&mut Service) + 'static) -> CdnBuilder {
        self.services.push((name.to_owned(), Box::new(change)));
        self
    }

    /// Changes the settings of every node of a tier.
    #[must_use]
    pub fn settings(mut self, tier: Tier, change: impl FnOnce(&mut Settings) + 'static) -> CdnBuilder {
        self.settings.push((tier, Box::new(change)));
        self
    }

    /// Adds `count` monitors, `monitor-1` and so on, that watch all nodes and each other; every node keeps a stream of
    /// heartbeats to each of them.
    #[must_use]
    pub fn monitors(mut self, count: usize) -> CdnBuilder {
        self.monitors.count = count;
        self
    }

    /// Changes the settings of every monitor.
    #[must_use]
    pub fn monitor_settings(mut self, change: impl FnOnce(&mut Settings)) -> CdnBuilder {
        change(&mut self.monitors.settings);
        self
    }

    /// Adds tables, as TOML, to the file of every monitor.
    #[must_use]
    pub fn monitor_tables(mut self, text: &str) -> CdnBuilder {
        self.monitors.tables.push_str(text);
        self
    }

    /// Takes the binary of the monitors from `path`.
    #[must_use]
    pub fn monitor_binary(mut self, path: &str) -> CdnBuilder {
        let binary = Binary::of("monitor", "millrace-monitor").at(path);
        self.binaries.insert("monitor", binary);
        self
    }

    /// Adds a router, `router-1`, that listens to all monitors and answers for the zone `test`. Edges then have an address
    /// of loopback each, so that answers tell them apart.
    #[must_use]
    pub fn router(mut self) -> CdnBuilder {
        self.router.get_or_insert_default();
        self
    }

    /// Changes the settings of the router, which is added where there is none.
    #[must_use]
    pub fn router_settings(mut self, change: impl FnOnce(&mut Settings)) -> CdnBuilder {
        change(&mut self.router.get_or_insert_default().settings);
        self
    }

    /// Gives the router what geography is made of: `database`, `coverage` or `latency`, and the bytes of the file.
    #[must_use]
    pub fn geography(mut self, key: &str, bytes: Vec<u8>) -> CdnBuilder {
        let router = self.router.get_or_insert_default();
        router.geography.insert(key.to_owned(), bytes);
        self
    }

    /// Takes the binary of the router from `path`.
    #[must_use]
    pub fn router_binary(mut self, path: &str) -> CdnBuilder {
        let binary = Binary::of("router", "millrace-router").at(path);
        self.binaries.insert("router", binary);
        self
    }

    /// Starts everything and waits until every daemon is ready.
    ///
    /// # Panics
    ///
    /// When one of them does not become ready.
    #[must_use]
    #[track_caller]
    pub fn start(self) -> Cdn {
        let mut cdn = self.prepare();
        for member in cdn.members.values_mut() {
            member.launch();
        }
        for member in cdn.members.values_mut() {
            member.daemon().await_ready();
        }
        cdn
    }

    /// Starts the origins and writes every file, but starts no daemon.
    #[must_use]
    pub fn prepare(mut self) -> Cdn {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let origins: Vec<Origin> = (0..self.origins).map(|_| Origin::start()).collect();
        let authority = Authority::new();
        let certificate = authority.issue(&[HOST, "*.media.test", "localhost", "127.0.0.1"]);
        let certificate = certificate.write(folder.path(), "certificate");

        let mut by_tier: BTreeMap<&'static str, Settings> = BTreeMap::new();
        for (tier, change) in std::mem::take(&mut self.settings) {
            change(
                by_tier
                    .entry(tier_name(tier))
                    .or_insert_with(|| settings::usual(tier)),
            );
        }
        let services = services(std::mem::take(&mut self.services), &origins);
        let mut snapshot = Snapshot {
            cdn: "test".to_owned(),
            number: 1,
            sites: std::mem::take(&mut self.sites),
            nodes: BTreeMap::new(),
            services,
            zones: zones(self.router.is_some()),
        };
        let mut members = monitor_members(
            &self.monitors,
            &self.binaries["monitor"],
            folder.path(),
            &authority,
        );
        let watchers: BTreeMap<String, SocketAddr> = members
            .iter()
            .map(|(name, monitor)| (name.clone(), monitor.addresses.http))
            .collect();
        let monitors: Vec<String> = watchers.values().map(|http| format!("http://{http}")).collect();
        if let Some(router) = &self.router {
            let member = router_member(
                router,
                &self.binaries["router"],
                &watchers,
                folder.path(),
                &certificate,
            );
            members.insert(routers::NAME.to_owned(), member);
        }
        let apart = self.router.is_some();
        let mut edges = 0;
        for (name, tier, site) in self.nodes {
            edges += u8::from(tier == Tier::Edge);
            let (http, https, admin) = (Port::claim(), Port::claim(), Port::claim());
            let at = |port: &Port| {
                let mut address = port.address();
                if apart && tier == Tier::Edge {
                    address.set_ip([127, 0, 1, edges].into());
                }
                address
            };
            let addresses = Addresses {
                http: at(&http),
                https: (tier == Tier::Edge).then(|| at(&https)),
                admin: admin.address(),
            };
            let node = Node {
                tier,
                site,
                http: Some(addresses.http),
                https: addresses.https,
                http6: None,
                https6: None,
                admin: Some(addresses.admin),
                weight: 1.0,
                status: Status::default(),
            };
            snapshot.nodes.insert(name.clone(), node);
            let own_folder = folder.path().join(&name);
            std::fs::create_dir(&own_folder).expect("the temporary folder is ours");
            let mut own_settings = by_tier
                .get(tier_name(tier))
                .cloned()
                .unwrap_or_else(|| settings::usual(tier));
            if !monitors.is_empty() {
                own_settings.literal("monitors", "servers", format!("{monitors:?}"));
            }
            let config = own_folder.join("config.toml");
            let text = settings::config(
                &own_settings,
                &name,
                &addresses,
                folder.path(),
                &own_folder,
                &certificate,
            );
            std::fs::write(&config, text).expect("the temporary folder is ours");
            let binary = self.binaries[tier_name(tier)].clone();
            let ports = [http, https, admin];
            members.insert(
                name.clone(),
                Member {
                    name,
                    addresses,
                    config,
                    binary,
                    daemon: None,
                    dns: None,
                    _ports: ports,
                },
            );
        }
        let cdn = Cdn {
            members,
            origins,
            authority,
            snapshot,
            folder,
        };
        cdn.write_snapshot();
        cdn
    }
}

/// The monitors, their files written.
fn monitor_members(
    monitors: &Monitors,
    binary: &Binary,
    folder: &Path,
    authority: &Authority,
) -> BTreeMap<String, Member> {
    let claim = || (Port::claim(), Port::claim(), Port::claim());
    let ports: Vec<(Port, Port, Port)> = (0..monitors.count).map(|_| claim()).collect();
    let place = |(number, (http, _, admin)): (usize, &(Port, Port, Port))| Place {
        name: format!("monitor-{}", number + 1),
        http: http.address(),
        admin: admin.address(),
    };
    let places: Vec<Place> = ports.iter().enumerate().map(place).collect();
    let mut members = BTreeMap::new();
    for (number, (http, spare, admin)) in ports.into_iter().enumerate() {
        let name = places[number].name.clone();
        let own_folder = folder.join(&name);
        std::fs::create_dir(&own_folder).expect("the temporary folder is ours");
        let config = own_folder.join("config.toml");
        let text = monitors::config(monitors, number, &places, folder, &own_folder, authority);
        std::fs::write(&config, text).expect("the temporary folder is ours");
        let addresses = Addresses {
            http: http.address(),
            https: None,
            admin: admin.address(),
        };
        let member = Member {
            name: name.clone(),
            addresses,
            config,
            binary: binary.clone(),
            daemon: None,
            dns: None,
            _ports: [http, spare, admin],
        };
        members.insert(name, member);
    }
    members
}

/// The router, its file written.
fn router_member(
    router: &Router,
    binary: &Binary,
    monitors: &BTreeMap<String, SocketAddr>,
    folder: &Path,
    certificate: &CertificatePaths,
) -> Member {
    let (http, https, admin, dns) = (Port::claim(), Port::claim(), Port::claim(), Port::claim());
    let addresses = Addresses {
        http: http.address(),
        https: Some(https.address()),
        admin: admin.address(),
    };
    let own_folder = folder.join(routers::NAME);
    std::fs::create_dir(&own_folder).expect("the temporary folder is ours");
    let config = own_folder.join("config.toml");
    let text = routers::config(
        router,
        &addresses,
        dns.address(),
        monitors,
        folder,
        &own_folder,
        certificate,
    );
    std::fs::write(&config, text).expect("the temporary folder is ours");
    Member {
        name: routers::NAME.to_owned(),
        addresses,
        config,
        binary: binary.clone(),
        daemon: None,
        dns: Some(dns),
        _ports: [http, https, admin],
    }
}

/// The zone that a router answers for: [`HOST`] lies in it.
fn zones(wanted: bool) -> BTreeMap<String, Zone> {
    if !wanted {
        return BTreeMap::new();
    }
    let zone = serde_json::json!({
        "ns": ["ns1.test"],
        "records": [{ "name": "ns1", "type": "A", "data": "127.0.0.1" }],
    });
    let zone = serde_json::from_value(zone).expect("a zone");
    BTreeMap::from([("test".to_owned(), zone)])
}

impl Member {
    fn launch(&mut self) {
        let daemon = Daemon::launch(&self.name, &self.binary, &self.config, self.addresses.admin);
        self.daemon = Some(daemon);
    }
}

fn tier_name(tier: Tier) -> &'static str {
    match tier {
        Tier::Edge => "edge",
        Tier::Parent => "parent",
    }
}

fn services(described: Vec<(String, Change<Service>)>, origins: &[Origin]) -> BTreeMap<String, Service> {
    let urls: Vec<String> = origins.iter().map(Origin::url).collect();
    let mut services = BTreeMap::new();
    for (name, change) in described {
        let mut service = sample_service(&urls);
        change(&mut service);
        services.insert(name, service);
    }
    if services.is_empty() {
        services.insert("demo".to_owned(), sample_service(&urls));
    }
    services
}

/// A service as the sample CDN has it: [`HOST`], plain HTTP served, 15 s for manifests and an hour for the rest whatever
/// the origin says, `token` not part of the key, `X-Region` set by edges and `Pragma` removed both ways.
#[must_use]
pub fn sample_service(origin_urls: &[String]) -> Service {
    let seconds = |seconds| Period(Duration::from_secs(seconds));
    let rule = |tier, on, action, name: &str, value: Option<&str>| HeaderRule {
        tier,
        on,
        action,
        name: name.to_owned(),
        value: value.map(str::to_owned),
    };
    let origin = |url: &String| OriginOf {
        url: url.clone(),
        weight: 1.0,
        max_connections: 256,
        host_header: None,
    };
    Service {
        hosts: vec![HOST.to_owned()],
        origins: origin_urls.iter().map(origin).collect(),
        allow_private_origins: true,
        go_direct: false,
        plain_http: PlainHttp::Serve,
        ttl: Some(TtlRules {
            override_origin: true,
            paths: Vec::new(),
            manifest: Some(seconds(15)),
            segment: Some(seconds(3600)),
            default: Some(seconds(3600)),
            statuses: BTreeMap::new(),
        }),
        stale_while_revalidate: seconds(0),
        stale_if_error: seconds(0),
        client_directives: ClientDirectives::Honour,
        revalidation_floor: seconds(1),
        query: QueryKey::AllBut(vec!["token".to_owned()]),
        content_id: Some(ContentId { path_segment: 0 }),
        compression: Compression::default(),
        header_rules: vec![
            rule(
                Some(Tier::Edge),
                Direction::Response,
                HeaderAction::Set,
                "X-Region",
                Some("{site}"),
            ),
            rule(None, Direction::Request, HeaderAction::Remove, "Pragma", None),
            rule(None, Direction::Response, HeaderAction::Remove, "Pragma", None),
        ],
        methods: Vec::new(),
        request_body_max: Size(64 << 20),
        pass_get_bodies: false,
        upgrades: Vec::new(),
        routing: Routing::default(),
    }
}

/// Where a site is; any place does, but two sites must not be in one.
fn place(site: &str) -> Site {
    let (region, latitude, longitude) = match site {
        "ams" => ("eu-west", 52.37, 4.9),
        "fra" => ("eu-central", 50.11, 8.68),
        "iad" => ("us-east", 39.04, -77.49),
        other => panic!("say where {other} is"),
    };
    Site {
        region: region.to_owned(),
        latitude,
        longitude,
        capacity_bytes_per_second: None,
    }
}

/// Replaces a file as an operator's tools do: whole, by renaming.
pub(super) fn replace(path: &Path, bytes: &[u8]) {
    let fresh = path.with_extension("new");
    std::fs::write(&fresh, bytes).expect("the temporary folder is ours");
    std::fs::rename(&fresh, path).expect("the temporary folder is ours");
}
