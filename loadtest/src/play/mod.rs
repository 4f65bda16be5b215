//! Many viewers watch HLS titles through the edges, and everything that comes is compared with what it should be.

mod habits;
mod playlist;
mod report;
mod tally;
mod viewer;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use model::Tier;
use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::habits::Habits;
use self::report::{Memory, Outcome};
use self::viewer::{Edge, Stage};
use crate::client::ask;
use crate::content::Library;
use crate::own::{self, Folder, Wishes};
use crate::scrape::{self, Totals};
use crate::stop::{self, Stop};
use crate::up::fleet::Fleet;
use crate::up::plan::Plan;
use crate::zipf::Zipf;
use crate::{measure, memory, up};

/// How often the memory of the daemons is read.
const MEMORY_PERIOD: Duration = Duration::from_millis(500);

/// How long viewers may take to end once their time is over: the longest request, and a little.
const LAST_REQUESTS: Duration = Duration::from_secs(65);

/// How long our own CDN may take to be ready.
const READY_PATIENCE: Duration = Duration::from_secs(60);

/// How long the origin may take to tell its totals.
const ORIGIN_PATIENCE: Duration = Duration::from_secs(5);

/// Edges of our own CDN.
const OWN_EDGES: usize = 2;

/// The edge's RAM holds this part of the library in our own CDN.
const RAM_PART: u64 = 4;

/// The least RAM for objects that a daemon takes.
const LEAST_RAM_BYTES: u64 = 16 << 20;

/// The least disk that our own daemons are given, and the room that the log needs beside what it keeps.
const LEAST_DISK_BYTES: u64 = 512 << 20;

/// How many, how long, and where.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// Viewers at once
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u64).range(1..=20_000))]
    viewers: u64,
    /// Seconds of play that count
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// Seconds of play before, that fill the caches
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(0..=86_400))]
    warm_up_seconds: u64,
    /// Exponent of the popularity of titles; 0 is even
    #[arg(long, default_value_t = 1.0)]
    zipf: f64,
    /// Seed of all chance; printed, so that a run can be repeated
    #[arg(long)]
    seed: Option<u64>,
    /// Start a CDN for this run, whose edges' RAM holds a quarter of the library, instead of using the local one
    #[arg(long)]
    own: bool,
    /// Folder for the caches of --own; a temporary one is made inside
    #[arg(long)]
    own_folder: Option<PathBuf>,
    /// Folder of the local CDN's configuration
    #[arg(long, default_value = "conf/local")]
    conf: PathBuf,
    /// Where the origin of the local CDN listens
    #[arg(long, default_value = "127.0.0.1:8090")]
    origin: SocketAddr,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    library: Library,
    #[command(flatten)]
    habits: Habits,
}

/// Plays and reports. Call it on the main thread.
///
/// # Errors
///
/// What kept it from playing, or that a goal was missed.
pub(crate) async fn run(options: Options) -> Result<(), String> {
    let mut stop = stop::signals().map_err(|error| format!("signals cannot be caught: {error}"))?;
    if !options.own {
        let mut options = options;
        options.library = library_of(options.origin).await?;
        let plan = Plan::read(
            &options.conf,
            options.origin,
            std::path::Path::new(".local"),
            options.library,
        )?;
        return play(&options, &plan, None, &mut stop).await;
    }
    let folder = Folder::new(options.own_folder.as_deref())?;
    let plan = own::plan(folder.path(), &wishes(&options))?;
    let members = plan.members(&up::programs()?)?;
    let mut fleet = tokio::select! {
        started = Fleet::start(members, READY_PATIENCE) => started?,
        () = stop.requested() => return Ok(()),
    };
    let outcome = play(&options, &plan, Some(&mut fleet), &mut stop).await;
    fleet.stop().await;
    outcome
}

fn wishes(options: &Options) -> Wishes {
    let bytes = options.library.bytes();
    Wishes {
        edges: OWN_EDGES,
        edge_ram_bytes: (bytes / RAM_PART).max(LEAST_RAM_BYTES),
        disk_bytes: bytes * 2 + LEAST_DISK_BYTES,
        parent_ram_bytes: (bytes / RAM_PART).max(LEAST_RAM_BYTES),
        threads: 2,
        library: options.library,
    }
}

async fn play(
    options: &Options,
    plan: &Plan,
    mut fleet: Option<&mut Fleet>,
    stop: &mut Stop,
) -> Result<(), String> {
    let seed = options.seed.unwrap_or_else(rand::random);
    if !options.json {
        println!(
            "{} viewers, {} s after {} s of warm-up, {} titles of {} segments, seed {seed}",
            options.viewers,
            options.seconds,
            options.warm_up_seconds,
            options.library.titles,
            options.library.segments
        );
    }
    let began = Instant::now();
    let counts_from = began + Duration::from_secs(options.warm_up_seconds);
    let until = counts_from + Duration::from_secs(options.seconds);
    let stage = Arc::new(Stage {
        edges: edges(plan)?,
        library: options.library,
        popularity: Zipf::new(options.library.titles, options.zipf),
        habits: options.habits,
        until,
        tally: Mutex::default(),
    });
    let mut viewers = JoinSet::new();
    for number in 0..options.viewers {
        viewers.spawn(viewer::watch(Arc::clone(&stage), number, seed));
    }
    let mut memory: Vec<Memory> = plan.nodes.iter().map(Memory::of).collect();
    let played = async {
        tokio::time::sleep_until(counts_from).await;
        let before = (totals(plan).await, origin(plan.origin).await.unwrap_or_default());
        let warm_up = std::mem::take(&mut *stage.tally.lock());
        while Instant::now() < until {
            memory.iter_mut().for_each(Memory::look);
            tokio::time::sleep_until((Instant::now() + MEMORY_PERIOD).min(until)).await;
        }
        let after = (totals(plan).await, origin(plan.origin).await.unwrap_or_default());
        (warm_up, after.0.since(before.0), after.1 - before.1)
    };
    let death = async {
        match fleet.as_mut() {
            Some(fleet) => fleet.death().await,
            None => std::future::pending().await,
        }
    };
    let (warm_up, edge, origin) = tokio::select! {
        played = played => played,
        death = death => return Err(death),
        () = stop.requested() => return Err("stopped before the end; nothing is reported".to_owned()),
    };
    let ended = tokio::time::timeout(LAST_REQUESTS, async {
        while viewers.join_next().await.is_some() {}
    })
    .await;
    let mut tally = std::mem::take(&mut *stage.tally.lock());
    if ended.is_err() {
        tally.complain(format!("{} viewers were still waiting at the end", viewers.len()));
    }
    let outcome = Outcome {
        seconds: options.seconds as f64,
        warm_up,
        tally,
        edge,
        origin,
        memory,
    };
    let measures = outcome.measures();
    if options.json {
        println!("{}", measure::json(&measures));
    } else {
        print!("\n{}{}", measure::render(&measures), outcome.complaints());
    }
    if measures.iter().any(|measure| measure.holds == Some(false)) {
        return Err("a goal was missed; see the rows with NO".to_owned());
    }
    Ok(())
}

fn edges(plan: &Plan) -> Result<Vec<Edge>, String> {
    let edges: Vec<Edge> = plan
        .nodes
        .iter()
        .filter(|node| node.tier == Tier::Edge)
        .filter_map(|node| {
            Some(Edge {
                http: node.http?,
                https: node.https?,
            })
        })
        .collect();
    if edges.is_empty() {
        Err("no edge listens for both http and https".to_owned())
    } else {
        Ok(edges)
    }
}

async fn totals(plan: &Plan) -> Totals {
    let mut sum = Totals::default();
    for node in plan.nodes.iter().filter(|node| node.tier == Tier::Edge) {
        sum += scrape::totals(node.admin).await.unwrap_or_default();
    }
    sum
}

/// What the origin did so far, and how large its library is.
#[derive(Clone, Copy, Debug, Default, serde::Deserialize)]
struct OriginTotals {
    requests: u64,
    body_bytes: u64,
    titles: u32,
    segments: u32,
}

impl std::ops::Sub for OriginTotals {
    type Output = OriginTotals;

    fn sub(self, earlier: OriginTotals) -> OriginTotals {
        OriginTotals {
            requests: self.requests.saturating_sub(earlier.requests),
            body_bytes: self.body_bytes.saturating_sub(earlier.body_bytes),
            ..self
        }
    }
}

async fn origin(address: SocketAddr) -> Result<OriginTotals, String> {
    let (_, text) = ask(
        address,
        Method::GET,
        "/_origin/totals",
        Bytes::new(),
        ORIGIN_PATIENCE,
    )
    .await?;
    serde_json::from_slice(&text).map_err(|error| format!("{address} is no demo origin: {error}"))
}

/// Viewers compare with what the running origin makes up, whatever the flags say.
async fn library_of(address: SocketAddr) -> Result<Library, String> {
    let totals = origin(address).await.map_err(|reason| {
        format!("{reason}; start the local CDN with `millrace-loadtest up`, or add --own")
    })?;
    Ok(Library {
        titles: totals.titles,
        segments: totals.segments,
    })
}

impl Memory {
    fn look(&mut self) {
        let id = self.id.or_else(|| memory::process_with_argument(&self.config));
        self.id = id;
        let bytes = id.and_then(|id| memory::resident_bytes(id).ok()).unwrap_or(0);
        self.most_bytes = self.most_bytes.max(bytes);
    }
}
