//! The CDN that steers: two sites, three edges, three monitors and a router.
//!
//! HLS can send a player to another host, but not to another port: what a steering manifest replaces in a URI is its
//! hostname. So the edges share one port, each on a loopback address of its own.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::client::ask;
use crate::content::Library;
use crate::monitor::watchers::{self, Watcher};
use crate::own;
use crate::up;
use crate::up::certificate;
use crate::up::fleet::Fleet;
use crate::up::plan::Plan;

/// What is played: a folder of the origin.
pub(super) const TITLE: &str = "demo";

/// Where the page lies: another folder of the origin, which serves it itself.
pub(super) const PAGE: &str = "player";

/// Sites, with latitude and longitude.
const SITES: [(&str, f64, f64); 2] = [("ams", 52.37, 4.90), ("iad", 39.04, -77.49)];

/// Edges, their sites, and the addresses that players see.
pub(super) const EDGES: [(&str, &str, Ipv4Addr); 3] = [
    ("edge-ams-1", "ams", Ipv4Addr::new(127, 0, 1, 1)),
    ("edge-ams-2", "ams", Ipv4Addr::new(127, 0, 1, 2)),
    ("edge-iad-1", "iad", Ipv4Addr::new(127, 0, 2, 1)),
];

const LOCALHOST: &str = "127.0.0.1";

/// Parents, one for each site.
const PARENTS: [(&str, &str); 2] = [("parent-ams-1", "ams"), ("parent-iad-1", "iad")];

/// The least there is: how soon players hear of a change.
const STEERING_TTL: &str = "5s";

/// Monitors that probe ten times as often as in the field, on a machine that is busy. The first lines belong to the table
/// `[probe]`, at whose end these are written.
const MONITORING: &str = "interval = \"1s\"\nfast_interval = \"200ms\"\n\n\
                          [judge]\nhold_down = \"1s\"\nlongest_hold_down = \"1s\"\nslow_start = \"0s\"\n\n\
                          [limits]\nload_per_core = 0.0\n";

/// Daemons that start together on a busy machine.
const READY_PATIENCE: Duration = Duration::from_secs(90);

/// Between two questions whether all edges are up.
const POLL: Duration = Duration::from_millis(100);

/// How long one of these may take.
const ASK_PATIENCE: Duration = Duration::from_secs(2);

/// A CDN whose files are written; it runs once started, and is killed when dropped.
#[derive(Debug)]
pub(super) struct Cdn {
    plan: Plan,
    watchers: Vec<Watcher>,
    router: SocketAddr,
    snapshot: PathBuf,
    fleet: Fleet,
}

impl Cdn {
    /// Writes its files into `folder`.
    ///
    /// # Errors
    ///
    /// What cannot be written, or does not read back.
    pub(super) fn write(folder: &Path) -> Result<Cdn, String> {
        let conf = folder.join("conf");
        make(&conf.join("media"))?;
        let snapshot = conf.join("cdn.json");
        let certificate = folder.join("tls/cert.pem");
        certificate::provide(&certificate, &folder.join("tls/key.pem"))?;
        let watchers = watchers::write(folder, &snapshot, &certificate, None, MONITORING)?;
        let mut ports = own::free_ports(3 + EDGES.len() + 2 * PARENTS.len())?.into_iter();
        let mut next = || {
            ports
                .next()
                .ok_or_else(|| "there are too few free ports".to_owned())
        };
        let (origin, router, router_admin) = (next()?, next()?, next()?);
        let edge_port = port_of_all_addresses()?;
        let mut nodes = serde_json::Map::new();
        for (name, site, ip) in EDGES {
            let http = SocketAddr::new(IpAddr::V4(ip), edge_port);
            nodes.insert(
                name.to_owned(),
                json!({ "tier": "edge", "site": site, "http": http }),
            );
            write_node(folder, name, http, next()?, &watchers)?;
        }
        for (name, site) in PARENTS {
            let http = next()?;
            nodes.insert(
                name.to_owned(),
                json!({ "tier": "parent", "site": site, "http": http }),
            );
            write_node(folder, name, http, next()?, &watchers)?;
        }
        write(&snapshot, &document(origin, &Value::Object(nodes)).to_string())?;
        write_router(folder, router, router_admin, &watchers)?;
        let library = Library {
            titles: 1,
            segments: 1,
        };
        Ok(Cdn {
            plan: Plan::read(&conf, origin, folder, library)?,
            watchers,
            router,
            snapshot,
            fleet: Fleet::default(),
        })
    }

    /// Starts everything, and waits until all edges are up and the router knows both sites. Call it on the main thread.
    ///
    /// # Errors
    ///
    /// What does not start.
    pub(super) async fn start(&mut self) -> Result<(), String> {
        let programs = up::programs()?;
        let mut members = self.plan.members(&programs)?;
        members.extend(
            self.watchers
                .iter()
                .map(|watcher| watcher.member(&programs, &self.plan.logs)),
        );
        self.fleet = Fleet::start(members, READY_PATIENCE).await?;
        let deadline = Instant::now() + READY_PATIENCE;
        while let Err(reason) = self.all_up().await {
            if Instant::now() >= deadline {
                return Err(format!("after {} s {reason}", READY_PATIENCE.as_secs()));
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    async fn all_up(&self) -> Result<(), String> {
        for watcher in &self.watchers {
            for (edge, ..) in EDGES {
                let (state, cause) = watcher.merged(edge).await?;
                if state != "up" {
                    return Err(format!("{edge} is {state} {cause} to {}", watcher.name));
                }
            }
        }
        let path = steering_path();
        let (status, text) = ask(self.router, Method::GET, &path, Bytes::new(), ASK_PATIENCE).await?;
        let manifest: Value = serde_json::from_slice(&text).unwrap_or_default();
        let clones = manifest["PATHWAY-CLONES"].as_array();
        // The nearest site is named with two of its edges, and each other one with its best.
        match clones.map(Vec::len) {
            Some(pathways) if pathways == EDGES.len() => Ok(()),
            _ => Err(format!("the router answers {path} with {status} {manifest}")),
        }
    }

    /// Takes `edges` out of use by a new version of the document; they go on serving whoever comes.
    ///
    /// # Errors
    ///
    /// What cannot be read or written.
    pub(super) fn take_out(&self, edges: &[&str]) -> Result<(), String> {
        let wrong = |error: &dyn std::fmt::Display| format!("{}: {error}", self.snapshot.display());
        let text = fs::read(&self.snapshot).map_err(|error| wrong(&error))?;
        let mut document: Value = serde_json::from_slice(&text).map_err(|error| wrong(&error))?;
        document["number"] = json!(document["number"].as_u64().unwrap_or_default() + 1);
        for edge in edges {
            document["nodes"][*edge]["status"] = json!("ADMIN_DOWN");
        }
        // Replaced whole: daemons look at any moment.
        let fresh = self.snapshot.with_extension("new");
        write(&fresh, &document.to_string())?;
        fs::rename(&fresh, &self.snapshot).map_err(|error| wrong(&error))
    }

    /// Starts the drain of `edges`, after which they end.
    ///
    /// # Errors
    ///
    /// When one does not run.
    pub(super) fn drain(&self, edges: &[&str]) -> Result<(), String> {
        for edge in edges {
            let id = self.fleet.ids().find(|(name, _)| name == edge);
            let pid = id
                .and_then(|(_, id)| Pid::from_raw(id))
                .ok_or_else(|| format!("{edge} does not run"))?;
            kill_process(pid, Signal::TERM)
                .map_err(|error| format!("{edge} cannot be told to drain: {error}"))?;
        }
        Ok(())
    }

    /// Stops everything; what does not end in time is killed.
    pub(super) async fn stop(&mut self) {
        std::mem::take(&mut self.fleet).stop().await;
    }

    /// The folder whose files the origin serves.
    pub(super) fn media(&self) -> &Path {
        &self.plan.media
    }

    /// Where a player asks whereto.
    pub(super) fn steering(&self) -> String {
        format!("http://{}{}", self.router, steering_path())
    }

    /// The page of a player that begins at the router.
    pub(super) fn page(&self) -> String {
        format!(
            "http://{}/{PAGE}/index.html?stream=http://{}/{TITLE}/master.m3u8",
            self.plan.origin, self.router
        )
    }
}

fn steering_path() -> String {
    format!("/steer/{TITLE}/master.m3u8")
}

/// The document that describes the CDN.
fn document(origin: SocketAddr, nodes: &Value) -> Value {
    let sites: serde_json::Map<String, Value> = SITES
        .iter()
        .map(|(name, latitude, longitude)| {
            let site = json!({ "region": name, "latitude": latitude, "longitude": longitude });
            ((*name).to_owned(), site)
        })
        .collect();
    let mut hosts = vec!["localhost".to_owned(), LOCALHOST.to_owned()];
    hosts.extend(EDGES.iter().map(|(.., ip)| ip.to_string()));
    json!({
        "cdn": "steered",
        "number": 1,
        "sites": sites,
        "nodes": nodes,
        "services": { "demo": {
            "hosts": hosts,
            "origins": [{ "url": format!("http://{origin}") }],
            "allow_private_origins": true,
            "plain_http": "serve",
            "ttl": { "override": true, "manifest": "15s", "segment": "3600s", "default": "3600s" },
            "content_id": { "path_segment": 0 },
            "routing": { "ttl": STEERING_TTL },
            // The page comes from elsewhere, so its browser asks for leave to read what edges send (Fetch §3.2).
            "header_rules": [
                { "tier": "edge", "on": "response", "action": "set", "name": "Access-Control-Allow-Origin", "value": "*" }
            ],
        } },
    })
}

fn write_node(
    folder: &Path,
    name: &str,
    http: SocketAddr,
    admin: SocketAddr,
    watchers: &[Watcher],
) -> Result<(), String> {
    let state = folder.join(name);
    make(&state)?;
    let servers: Vec<String> = watchers.iter().map(url_of).collect();
    let text = format!(
        "node = \"{name}\"\nsnapshot = {snapshot}\nstate = {state_text}\nadmin = \"{admin}\"\n\n\
         [listen]\nhttp = [\"{http}\"]\nthreads = 1\ndrain_timeout = \"30s\"\n\n\
         [cache]\nram = \"64MiB\"\nfills = \"32MiB\"\n\n\
         [[cache.disks]]\ndevice = {device}\nsize = \"256MiB\"\n\n[access_log]\npath = {log}\n\n\
         [monitors]\nservers = {servers}\n",
        snapshot = json!(snapshot_of(folder)),
        state_text = json!(state),
        device = json!(state.join("cache.img")),
        log = json!(state.join("access.log")),
        servers = json!(servers),
    );
    write(&folder.join(format!("conf/{name}.toml")), &text)
}

fn write_router(
    folder: &Path,
    http: SocketAddr,
    admin: SocketAddr,
    watchers: &[Watcher],
) -> Result<(), String> {
    let coverage = folder.join("coverage.json");
    let order: Vec<&str> = SITES.iter().map(|(name, ..)| *name).collect();
    let zones = json!({ "zones": [{ "prefix": "127.0.0.0/8", "sites": order }] });
    write(&coverage, &zones.to_string())?;
    let state = folder.join("router-own-1");
    make(&state)?;
    let monitors: String = watchers
        .iter()
        .map(|watcher| {
            format!(
                "[[monitors]]\nname = \"{}\"\nurl = \"{}\"\n\n",
                watcher.name,
                url_of(watcher)
            )
        })
        .collect();
    let text = format!(
        "snapshot = {snapshot}\nstate = {state}\nadmin = \"{admin}\"\n\n[http]\nhttp = [\"{http}\"]\nthreads = 1\n\n\
         {monitors}[geography]\ncoverage = {coverage}\n",
        snapshot = json!(snapshot_of(folder)),
        state = json!(state),
        coverage = json!(coverage),
    );
    write(&folder.join("conf/router-own-1.toml"), &text)
}

fn snapshot_of(folder: &Path) -> PathBuf {
    folder.join("conf/cdn.json")
}

fn url_of(watcher: &Watcher) -> String {
    format!("http://{}", watcher.http)
}

/// A port that was free on every address a moment ago.
fn port_of_all_addresses() -> Result<u16, String> {
    let held = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).and_then(|held| held.local_addr());
    held.map(|address| address.port())
        .map_err(|error| format!("there is no free port: {error}"))
}

fn make(folder: &Path) -> Result<(), String> {
    fs::create_dir_all(folder).map_err(|error| format!("{} cannot be made: {error}", folder.display()))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("{} cannot be written: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use model::Tier;

    use super::*;
    use crate::own::Folder;

    #[test]
    fn a_written_cdn_reads_back_as_a_plan_whose_edges_share_a_port() {
        let folder = Folder::new(None).unwrap();
        let cdn = Cdn::write(folder.path()).unwrap();
        let edges: Vec<SocketAddr> = cdn
            .plan
            .nodes
            .iter()
            .filter(|node| node.tier == Tier::Edge)
            .filter_map(|node| node.http)
            .collect();
        assert_eq!(edges.len(), EDGES.len());
        assert!(edges.iter().all(|edge| edge.port() == edges[0].port()));
        assert_eq!(cdn.plan.routers.len(), 1);
        assert_eq!(cdn.watchers.len(), watchers::COUNT);
        cdn.take_out(&["edge-ams-1"]).unwrap();
        let snapshot = model::Snapshot::from_json(&fs::read(&cdn.snapshot).unwrap()).unwrap();
        assert_eq!(snapshot.number, 2);
        let used: Vec<&str> = snapshot
            .nodes_of("ams", Tier::Edge)
            .map(|(name, _)| name)
            .collect();
        assert_eq!(used, ["edge-ams-2"]);
        assert!(cdn.page().starts_with(&format!("http://{}/", cdn.plan.origin)));
    }
}
