//! Nodes that fail in every way there is, and the time until their monitors say so, with the right cause.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use model::Tier;
use rand::Rng;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tokio::time::Instant;

use super::island::{Island, SmallDisk};
use super::watchers::{self, Watcher};
use crate::client::ask;
use crate::content::Library;
use crate::measure::{self, Goal, Measure};
use crate::own::{self, Folder, Wishes};
use crate::table;
use crate::up;
use crate::up::child::Process;
use crate::up::fleet::{Fleet, Member};
use crate::up::plan::Plan;

/// How often the monitors are asked.
const POLL: Duration = Duration::from_millis(20);

/// After so long nobody will notice any more.
const PATIENCE: Duration = Duration::from_secs(60);

/// Daemons that start together on a busy machine.
const READY_PATIENCE: Duration = Duration::from_secs(60);

/// The disk of the edge that is filled, and the file system it lies on.
const DISK_MEBIBYTES: u64 = 256;
const FILE_SYSTEM_MEBIBYTES: u64 = 280;

/// The part of the device that is taken away begins behind its superblock.
const TAKEN_FROM_MEBIBYTES: u64 = 8;

/// A disk that is full is noticed by who writes to it: objects of this size are asked for meanwhile.
const OBJECT_BYTES: u64 = 1 << 20;

/// How to make nodes fail.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// How often each fault is made, at random moments
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Print a list of measures instead of a table
    #[arg(long)]
    json: bool,
}

/// A way to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    Kill,
    Freeze,
    Drain,
    FillDisk,
    BlackHole,
}

impl Fault {
    const ALL: [Fault; 5] = [
        Fault::Kill,
        Fault::Freeze,
        Fault::Drain,
        Fault::FillDisk,
        Fault::BlackHole,
    ];

    fn name(self) -> &'static str {
        match self {
            Fault::Kill => "kill -9",
            Fault::Freeze => "SIGSTOP",
            Fault::Drain => "SIGTERM (drain)",
            Fault::FillDisk => "filled disk",
            Fault::BlackHole => "blackholed",
        }
    }

    /// The state and the causes that are right. A node without clients has drained before a probe comes by.
    fn expected(self, heartbeats: bool) -> (&'static str, &'static [&'static str]) {
        match self {
            Fault::Drain if !heartbeats => ("down", &["refused", "reset"]),
            Fault::Kill => ("down", &["refused", "reset"]),
            Fault::Freeze | Fault::BlackHole => ("down", &["timeout"]),
            Fault::Drain => ("draining", &["draining"]),
            Fault::FillDisk => ("degraded", &["disks"]),
        }
    }

    /// Seconds, with the stream of heartbeats and by probes alone; where a goal is set.
    fn goal(self, heartbeats: bool) -> Option<f64> {
        match (self, heartbeats) {
            (Fault::Kill, true) => Some(2.0),
            (Fault::Kill, false) => Some(7.0),
            (Fault::BlackHole, _) => Some(14.0),
            _ => None,
        }
    }
}

/// Runs it. Call it on the main thread.
///
/// # Errors
///
/// What does not start, or is not noticed.
pub(crate) async fn run(options: &Options) -> Result<(), String> {
    let mut measures = Vec::new();
    let mut rows = Vec::new();
    for heartbeats in [true, false] {
        let times = times(options, heartbeats).await?;
        let by = if heartbeats { "heartbeats" } else { "probes" };
        for (fault, mut times) in times {
            times.sort_unstable();
            let seconds = |time: Duration| time.as_secs_f64();
            let longest = times.last().copied().map(seconds).unwrap_or_default();
            let median = times
                .get(times.len() / 2)
                .copied()
                .map(seconds)
                .unwrap_or_default();
            let goal = fault.goal(heartbeats);
            let name = format!("{}, {by}, longest", fault.name());
            measures.push(Measure::own(&name, "s", longest, goal.map(Goal::AtMost)));
            rows.push(vec![
                fault.name().to_owned(),
                by.to_owned(),
                times.len().to_string(),
                format!("{:.2}", times.first().copied().map(seconds).unwrap_or_default()),
                format!("{median:.2}"),
                format!("{longest:.2}"),
                goal.map_or(String::new(), |goal| format!("≤ {goal}")),
            ]);
        }
    }
    if options.json {
        println!("{}", measure::json(&measures));
    } else {
        print!(
            "{}",
            table::render(
                &[
                    "fault",
                    "noticed by",
                    "times",
                    "shortest, s",
                    "median, s",
                    "longest, s",
                    "goal"
                ],
                &rows
            )
        );
    }
    Ok(())
}

/// Makes every fault so many times, and gives how long each took to be shown with the right cause.
async fn times(options: &Options, heartbeats: bool) -> Result<BTreeMap<Fault, Vec<Duration>>, String> {
    let mut stage = Stage::start(heartbeats).await?;
    let mut times: BTreeMap<Fault, Vec<Duration>> = BTreeMap::new();
    for round in 0..options.rounds {
        for fault in Fault::ALL {
            let node = stage.node_of(fault).to_owned();
            stage.await_state(&node, |state, _| state == "up").await?;
            let pause = rand::rng().random_range(0..10_000);
            tokio::time::sleep(Duration::from_millis(pause)).await;
            let (state, causes) = fault.expected(heartbeats);
            let began = Instant::now();
            stage.make(fault)?;
            let noticed = stage.await_state(&node, |shown, cause| shown == state && causes.contains(&cause));
            let noticed = tokio::select! {
                noticed = noticed => noticed,
                never = stage.keep_writing(fault) => match never {},
            };
            noticed.map_err(|reason| format!("{} of {node} in round {round}: {reason}", fault.name()))?;
            times.entry(fault).or_default().push(began.elapsed());
            stage.mend(fault).await?;
        }
    }
    Ok(times)
}

/// A CDN of two edges, one of them on an island, that three monitors watch.
struct Stage {
    plan: Plan,
    programs: PathBuf,
    edges: BTreeMap<String, Process>,
    watchers: Vec<Watcher>,
    _behind: Fleet,
    island: Island,
    disk: SmallDisk,
    device: PathBuf,
    folder: Folder,
}

const NEAR: &str = "edge-own-1";
const FAR: &str = "edge-own-2";

impl Stage {
    async fn start(heartbeats: bool) -> Result<Stage, String> {
        let folder = Folder::new(None)?;
        let wishes = Wishes {
            edges: 2,
            edge_ram_bytes: 32 << 20,
            disk_bytes: DISK_MEBIBYTES << 20,
            parent_ram_bytes: 64 << 20,
            threads: 1,
            library: Library {
                titles: 1,
                segments: 1,
            },
        };
        let plan = own::plan(folder.path(), &wishes)?;
        let island = Island::new()?;
        let conf = folder.path().join("conf");
        let small = folder.path().join("small");
        let disk = SmallDisk::mount(&small, FILE_SYSTEM_MEBIBYTES)?;
        let device = small.join("cache.img");
        own::rewrite(&plan.node(NEAR)?.config, |text| {
            let old = folder.path().join(NEAR).join("cache.img");
            text.replace(&json!(old).to_string(), &json!(device).to_string())
                .replace(
                    "[[cache.disks]]",
                    "disk_probe_interval = \"1s\"\n\n[[cache.disks]]",
                )
        })?;
        own::move_node(folder.path(), plan.node(FAR)?, island.there)?;
        let certificate = folder.path().join("tls/cert.pem");
        let watchers = watchers::write(
            folder.path(),
            &conf.join("cdn.json"),
            &certificate,
            Some(island.here),
            &watchers::tables(Duration::ZERO),
        )?;
        if heartbeats {
            for edge in plan.nodes.iter().filter(|node| node.tier == Tier::Edge) {
                let ip = match edge.name == FAR {
                    true => island.here,
                    false => Ipv4Addr::LOCALHOST,
                };
                watchers::send_heartbeats(&edge.config, &watchers, ip)?;
            }
        }
        let programs = up::programs()?;
        let mut members = plan.members(&programs)?;
        members.retain(|member| ![NEAR, FAR].contains(&member.name.as_str()));
        let logs = folder.path().join("log");
        members.extend(watchers.iter().map(|watcher| watcher.member(&programs, &logs)));
        let behind = Fleet::start(members, READY_PATIENCE).await?;
        let mut stage = Stage {
            plan,
            programs,
            edges: BTreeMap::new(),
            watchers,
            _behind: behind,
            island,
            disk,
            device,
            folder,
        };
        stage.start_edge(NEAR)?;
        stage.start_edge(FAR)?;
        for name in [NEAR, FAR] {
            stage.await_state(name, |state, _| state == "up").await?;
        }
        Ok(stage)
    }

    fn start_edge(&mut self, name: &str) -> Result<(), String> {
        let members: Vec<Member> = self.plan.members(&self.programs)?;
        let member = members
            .into_iter()
            .find(|member| member.name == name)
            .ok_or_else(|| format!("there is no {name}"))?;
        let command = if name == FAR {
            self.island.command(&member.command)
        } else {
            member.command
        };
        let log = self.folder.path().join("log").join(format!("{name}.log"));
        let process =
            Process::start(command, &log).map_err(|error| format!("{name} cannot be started: {error}"))?;
        self.edges.insert(name.to_owned(), process);
        Ok(())
    }

    fn node_of(&self, fault: Fault) -> &'static str {
        if fault == Fault::BlackHole { FAR } else { NEAR }
    }

    fn signal(&self, signal: Signal) -> Result<(), String> {
        let id = self.edges.get(NEAR).map(Process::id).and_then(Pid::from_raw);
        let id = id.ok_or("the edge does not run")?;
        kill_process(id, signal).map_err(|error| format!("{NEAR} cannot be signalled: {error}"))
    }

    fn make(&mut self, fault: Fault) -> Result<(), String> {
        match fault {
            Fault::Kill => self.signal(Signal::KILL),
            Fault::Freeze => self.signal(Signal::STOP),
            Fault::Drain => self.signal(Signal::TERM),
            Fault::FillDisk => self.disk.fill(&self.device, TAKEN_FROM_MEBIBYTES),
            Fault::BlackHole => self.island.cut_off(true),
        }
    }

    /// Undoes the fault; the edge's return is waited for by whoever needs it.
    async fn mend(&mut self, fault: Fault) -> Result<(), String> {
        match fault {
            Fault::Freeze => self.signal(Signal::CONT),
            Fault::BlackHole => self.island.cut_off(false),
            Fault::FillDisk => {
                self.disk.empty();
                Ok(())
            }
            Fault::Kill | Fault::Drain => {
                if let Some(mut edge) = self.edges.remove(NEAR) {
                    edge.end_within(PATIENCE).await;
                }
                self.start_edge(NEAR)
            }
        }
    }

    /// Asks for one object after the other while a disk is full, so that there is something to write.
    async fn keep_writing(&self, fault: Fault) -> Infallible {
        let http = self.plan.node(NEAR).ok().and_then(|node| node.http);
        for number in 0_u64.. {
            if let Some(http) = http.filter(|_| fault == Fault::FillDisk) {
                let path = format!(
                    "/objects/{:x}-{number}/{OBJECT_BYTES}",
                    rand::rng().random::<u64>()
                );
                // What is answered is of no interest here.
                let _ = ask(http, Method::GET, &path, Bytes::new(), Duration::from_secs(5)).await;
            }
            tokio::time::sleep(POLL).await;
        }
        std::future::pending().await
    }

    async fn await_state(&self, node: &str, wanted: impl Fn(&str, &str) -> bool) -> Result<(), String> {
        let began = Instant::now();
        loop {
            let seen = self.watchers[0].merged(node).await;
            if let Ok((state, cause)) = &seen
                && wanted(state, cause)
            {
                return Ok(());
            }
            if began.elapsed() > PATIENCE {
                return Err(format!("after {} s it is {seen:?}", PATIENCE.as_secs()));
            }
            tokio::time::sleep(POLL).await;
        }
    }
}
