//! A CDN of our own with its monitors and its router, whose edges are killed, cut off and brought back.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use model::Tier;
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::Instant;

use super::cdn::{self, Doors};
use super::series::Series;
use crate::content::Library;
use crate::monitor::island::Island;
use crate::monitor::watchers::{self, Watcher};
use crate::own::{self, Folder, Wishes};
use crate::up;
use crate::up::child::Process;
use crate::up::fleet::Fleet;
use crate::up::plan::Plan;

/// Daemons that start together on a busy machine.
const READY_PATIENCE: Duration = Duration::from_secs(60);

/// How often monitors are asked whether it is so.
const POLL: Duration = Duration::from_millis(50);

/// After so long it will not be.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

const EDGE_RAM_BYTES: u64 = 32 << 20;
const DISK_BYTES: u64 = 256 << 20;
const PARENT_RAM_BYTES: u64 = 64 << 20;

/// Everything that runs. What is declared first is ended first.
pub(super) struct Stage {
    edges: BTreeMap<String, Process>,
    behind: Fleet,
    pub(super) watchers: Vec<Watcher>,
    /// Where the edge lives that is cut off.
    island: Option<Island>,
    plan: Plan,
    programs: PathBuf,
    /// Where the router listens.
    pub(super) doors: Doors,
    /// Gone when everything has ended.
    _folder: Folder,
}

/// The edge that lives on an island, where there is one.
const ISLANDER: usize = 1;

impl Stage {
    /// Starts all of it, and returns when the monitors see every edge up. Call it on the main thread.
    ///
    /// # Errors
    ///
    /// What does not start.
    pub(super) async fn start(series: Series, slow_start: Duration) -> Result<Stage, String> {
        let island = series.cuts_off().then(Island::new).transpose()?;
        let (folder, plan) = written(island.as_ref())?;
        let conf = folder.path().join("conf");
        let watchers = watchers::write(
            folder.path(),
            &conf.join("cdn.json"),
            &folder.path().join("tls/cert.pem"),
            island.as_ref().map(|island| island.here),
            &watchers::tables(slow_start),
        )?;
        if series.has_heartbeats() {
            for edge in plan.nodes.iter().filter(|node| node.tier == Tier::Edge) {
                let ip = match &island {
                    Some(island) if edge.name == cdn::edge(ISLANDER) => island.here,
                    _ => Ipv4Addr::LOCALHOST,
                };
                watchers::send_heartbeats(&edge.config, &watchers, ip)?;
            }
        }
        let doors = write_router(&folder, &watchers)?;
        let plan = Plan::read(&conf, plan.origin, folder.path(), plan.library)?;
        let programs = up::programs()?;
        let mut members = plan.members(&programs)?;
        members.retain(|member| (1..=cdn::EDGES).all(|number| member.name != cdn::edge(number)));
        let logs = folder.path().join("log");
        members.extend(watchers.iter().map(|watcher| watcher.member(&programs, &logs)));
        let behind = Fleet::start(members, READY_PATIENCE).await?;
        let mut stage = Stage {
            edges: BTreeMap::new(),
            behind,
            watchers,
            island,
            plan,
            programs,
            doors,
            _folder: folder,
        };
        for number in 1..=cdn::EDGES {
            stage.start_edge(&cdn::edge(number))?;
        }
        for number in 1..=cdn::EDGES {
            stage.await_up(&cdn::edge(number)).await?;
        }
        Ok(stage)
    }

    fn start_edge(&mut self, name: &str) -> Result<(), String> {
        let members = self.plan.members(&self.programs)?;
        let member = members.into_iter().find(|member| member.name == name);
        let member = member.ok_or_else(|| format!("there is no {name}"))?;
        let command = match &self.island {
            Some(island) if name == cdn::edge(ISLANDER) => island.command(&member.command),
            _ => member.command,
        };
        let process = Process::start(command, &member.log)
            .map_err(|error| format!("{name} cannot be started: {error}"))?;
        self.edges.insert(name.to_owned(), process);
        Ok(())
    }

    /// The edges that may be the next to go, with their addresses.
    pub(super) fn candidates(&self) -> Vec<(String, Ipv4Addr)> {
        match &self.island {
            Some(island) => vec![(cdn::edge(ISLANDER), island.there)],
            None => (1..=cdn::NEAR_EDGES)
                .map(|number| (cdn::edge(number), cdn::address(number)))
                .collect(),
        }
    }

    /// Kills an edge, or cuts it off where it lives on an island.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub(super) fn take_away(&self, edge: &str) -> Result<(), String> {
        if let Some(island) = &self.island {
            return island.cut_off(true);
        }
        let id = self.edges.get(edge).map(Process::id).and_then(Pid::from_raw);
        let id = id.ok_or_else(|| format!("{edge} does not run"))?;
        kill_process(id, Signal::KILL).map_err(|error| format!("{edge} cannot be killed: {error}"))
    }

    /// Starts it again, or joins it again. Call it on the main thread.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub(super) async fn bring_back(&mut self, edge: &str) -> Result<(), String> {
        if let Some(island) = &self.island {
            return island.cut_off(false);
        }
        if let Some(mut killed) = self.edges.remove(edge) {
            killed.end_within(PATIENCE).await;
        }
        self.start_edge(edge)
    }

    /// Returns when every monitor sees that all of them together say `edge` is up.
    ///
    /// # Errors
    ///
    /// When they do not.
    pub(super) async fn await_up(&self, edge: &str) -> Result<(), String> {
        let began = Instant::now();
        for watcher in &self.watchers {
            loop {
                let seen = watcher.merged(edge).await;
                if seen.as_ref().is_ok_and(|(state, _)| state == "up") {
                    break;
                }
                if began.elapsed() > PATIENCE {
                    let seconds = PATIENCE.as_secs();
                    return Err(format!("{edge} is not up after {seconds} s: {seen:?}"));
                }
                tokio::time::sleep(POLL).await;
            }
        }
        Ok(())
    }

    /// Ends everything in order.
    pub(super) async fn stop(self) {
        drop(self.edges);
        self.behind.stop().await;
    }
}

/// The files of a CDN with a second site, each edge at an address of its own.
fn written(island: Option<&Island>) -> Result<(Folder, Plan), String> {
    let folder = Folder::new(None)?;
    let wishes = Wishes {
        edges: cdn::EDGES,
        edge_ram_bytes: EDGE_RAM_BYTES,
        disk_bytes: DISK_BYTES,
        parent_ram_bytes: PARENT_RAM_BYTES,
        threads: 1,
        library: Library {
            titles: 1,
            segments: 1,
        },
    };
    let plan = own::plan(folder.path(), &wishes)?;
    for number in 1..=cdn::EDGES {
        let ip = match island {
            Some(island) if number == ISLANDER => island.there,
            _ => cdn::address(number),
        };
        own::move_node(folder.path(), plan.node(&cdn::edge(number))?, ip)?;
    }
    let document = folder.path().join("conf/cdn.json");
    let failed = |error: std::io::Error| format!("{}: {error}", document.display());
    let text = fs::read_to_string(&document).map_err(failed)?;
    fs::write(&document, cdn::steered(&text)?).map_err(failed)?;
    Ok((folder, plan))
}

/// Writes the files of the router.
fn write_router(folder: &Folder, watchers: &[Watcher]) -> Result<Doors, String> {
    let ports: Vec<SocketAddr> = own::free_ports(3)?;
    let [dns, http, admin] = ports[..] else {
        return Err("there are too few free ports".to_owned());
    };
    let doors = Doors { dns, http, admin };
    let coverage = folder.path().join("coverage.json");
    let config = folder.path().join("conf").join(format!("{}.toml", cdn::ROUTER));
    let text = cdn::router(folder.path(), doors, &coverage, watchers);
    for (file, text) in [(&coverage, cdn::coverage()), (&config, text)] {
        fs::write(file, text).map_err(|error| format!("{} cannot be written: {error}", file.display()))?;
    }
    fs::create_dir_all(folder.path().join(cdn::ROUTER))
        .map_err(|error| format!("the router's folder cannot be made: {error}"))?;
    Ok(doors)
}
