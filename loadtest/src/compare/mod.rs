//! Our edge and its peers on the same objects: requests per second of server processor time, and the ratio.
//!
//! Every server has one core to itself and the load generators another. Rounds are short and interleaved, so that a
//! machine that slows down slows everybody down; what is printed is the median of the rounds and how far they spread.

mod case;
mod contestant;
pub(crate) mod cores;
mod evict;
pub(crate) mod generator;
pub(crate) mod guard;
mod h2load;
mod handshakes;
mod load;
mod millrace;
mod paced;
mod peers;
pub(crate) mod rounds;
pub(crate) mod wrk;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use self::case::{CASES, Case, Wire, Work};
use self::contestant::{Contestant, Ground, Setup};
use self::cores::Cores;
use self::rounds::Rounds;
use crate::measure::{self, Measure};
use crate::own::{self, Folder};
use crate::{programs, stop};

/// The name of our own.
const OURS: &str = "millrace";

/// The case whose rate sets the half load.
const FULL_LOAD: &str = "1 KiB plain";

/// A peer's name and what sets it up.
type Peer = (&'static str, fn(&Ground) -> Result<Setup, String>);

/// The peers, in the order in which they are shown.
const PEERS: [Peer; 3] = [
    ("nginx", peers::nginx::set_up),
    ("trafficserver", peers::trafficserver::set_up),
    ("varnish", peers::varnish::set_up),
];

/// What to compare, and how long.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// Only cases whose name contains this, such as "TLS"; may be given several times
    #[arg(long)]
    only: Vec<String>,
    /// Only these peers: nginx, trafficserver, varnish
    #[arg(long, value_delimiter = ',', value_parser = ["nginx", "trafficserver", "varnish"])]
    peers: Vec<String>,
    /// Seconds of each round
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,
    /// Rounds of each case
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=25))]
    rounds: u32,
    /// Folder for caches and configurations; a temporary one is made inside and removed at the end
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// What all rounds share.
#[derive(Debug)]
struct Bench {
    folder: Folder,
    cores: Cores,
    seconds: u64,
    wrk: PathBuf,
    h2load: Result<PathBuf, String>,
    /// Requests a second that nginx reached at full load, by round.
    nginx_rates: Rounds,
}

impl Bench {
    fn h2load(&self) -> Result<&PathBuf, String> {
        self.h2load.as_ref().map_err(Clone::clone)
    }

    fn half_of_nginx(&self) -> Option<f64> {
        self.nginx_rates.median().map(|rate| rate / 2.0)
    }
}

/// Compares and reports. Call it on the main thread.
///
/// # Errors
///
/// What kept it from comparing. A goal that was missed is in the table, not an error: figures depend on the machine.
pub(crate) async fn run(options: Options) -> Result<(), String> {
    let mut stop = stop::signals().map_err(|error| format!("signals cannot be caught: {error}"))?;
    let cores = Cores::pick()?;
    programs::find("taskset", "util-linux")?;
    let mut bench = Bench {
        folder: Folder::new(options.folder.as_deref())?,
        cores,
        seconds: options.seconds,
        wrk: programs::find("wrk", "wrk")?,
        h2load: programs::find("h2load", "nghttp2-client"),
        nginx_rates: Rounds::default(),
    };
    if cfg!(debug_assertions) {
        note("this is a debug build: its figures mean nothing; use one of `cargo build --release`");
    }
    let mut contestants = tokio::select! {
        started = start(&options, &bench) => started?,
        () = stop.requested() => return Ok(()), // what runs is killed as it is dropped
    };
    let compared = tokio::select! {
        compared = compare(&options, &mut bench, &contestants) => compared,
        () = stop.requested() => Err("stopped before the end; nothing is reported".to_owned()),
    };
    // The first is ours and has the origin: it goes last.
    while let Some(contestant) = contestants.pop() {
        contestant.stop().await;
    }
    measure::report(&compared?, options.json);
    Ok(())
}

/// Progress and complaints go here, so that standard output is the result alone.
fn note(text: &str) {
    eprintln!("{text}");
}

async fn start(options: &Options, bench: &Bench) -> Result<Vec<Contestant>, String> {
    let (setup, plan) = millrace::set_up(&bench.folder.path().join(OURS), bench.cores)?;
    let (certificate, key) = plan.certificates.first().ok_or("the plan has no certificate")?;
    let mut contestants = vec![Contestant::start(OURS, setup).await?];
    for (name, set_up) in PEERS {
        if !options.peers.is_empty() && !options.peers.iter().any(|wanted| wanted == name) {
            continue;
        }
        let ports: Vec<SocketAddr> = own::free_ports(2)?;
        let ground = Ground {
            folder: bench.folder.path().join(name),
            origin: plan.origin,
            http: ports[0],
            https: ports[1],
            certificate: certificate.clone(),
            key: key.clone(),
            cores: bench.cores,
        };
        match set_up(&ground) {
            Ok(setup) => contestants.push(Contestant::start(name, setup).await?),
            Err(reason) => note(&format!("{name} is skipped: {reason}")),
        }
    }
    Ok(contestants)
}

async fn compare(
    options: &Options,
    bench: &mut Bench,
    contestants: &[Contestant],
) -> Result<Vec<Measure>, String> {
    let mut measures = Vec::new();
    for case in CASES.iter().filter(|case| wanted(options, case)) {
        if case.wire == Wire::TlsHttp2 && bench.h2load.is_err() {
            note(&format!(
                "{} is skipped: {}",
                case.name,
                bench.h2load().err().unwrap_or_default()
            ));
            continue;
        }
        if case.work == Work::HalfLoad {
            find_full_load(options, bench, contestants).await?;
        }
        let playing: Vec<&Contestant> = contestants
            .iter()
            .filter(|contestant| contestant.plays(case))
            .collect();
        for contestant in &playing {
            match case.work {
                Work::Disk => contestant.fill_disk().await?,
                _ => contestant.fill(&case.path()).await?,
            }
        }
        let figures = rounds(options, bench, case, &playing).await;
        measures.extend(judge(case, &playing, &figures));
    }
    Ok(measures)
}

fn wanted(options: &Options, case: &Case) -> bool {
    options.only.is_empty() || options.only.iter().any(|part| case.name.contains(part.as_str()))
}

/// The figures of a case by contestant. A contestant that fails is told of and left out.
async fn rounds(
    options: &Options,
    bench: &mut Bench,
    case: &Case,
    playing: &[&Contestant],
) -> HashMap<&'static str, Rounds> {
    let mut figures: HashMap<&'static str, Rounds> = HashMap::new();
    let mut failed: Vec<&str> = Vec::new();
    for number in 1..=options.rounds {
        for contestant in playing {
            if failed.contains(&contestant.name) {
                continue;
            }
            match load::round(bench, case, contestant, number).await {
                Ok(figure) => {
                    note(&format!(
                        "{}, round {number}, {}: {:.0} {}",
                        case.name,
                        contestant.name,
                        figure.value,
                        case.unit()
                    ));
                    figures.entry(contestant.name).or_default().add(figure.value);
                    if case.name == FULL_LOAD && contestant.name == "nginx" {
                        bench.nginx_rates.add(figure.per_second);
                    }
                }
                Err(reason) => {
                    note(&format!("{}, {}: {reason}", case.name, contestant.name));
                    failed.push(contestant.name);
                    figures.remove(contestant.name);
                }
            }
        }
    }
    figures
}

/// Sees to it that nginx's maximum is known, though its case may not be among those wanted.
async fn find_full_load(
    options: &Options,
    bench: &mut Bench,
    contestants: &[Contestant],
) -> Result<(), String> {
    let full = CASES.iter().find(|case| case.name == FULL_LOAD);
    let nginx: Vec<&Contestant> = contestants
        .iter()
        .filter(|contestant| contestant.name == "nginx")
        .collect();
    if let (None, Some(full), [nginx]) = (bench.half_of_nginx(), full, nginx.as_slice()) {
        nginx.fill(&full.path()).await?;
        rounds(options, bench, full, &[nginx]).await;
    }
    Ok(())
}

fn judge(case: &Case, playing: &[&Contestant], figures: &HashMap<&'static str, Rounds>) -> Vec<Measure> {
    let Some(ours) = figures.get(OURS) else {
        return Vec::new();
    };
    let Some(median) = ours.median() else {
        return Vec::new();
    };
    let mut measures: Vec<Measure> = playing
        .iter()
        .filter(|contestant| contestant.name != OURS)
        .filter_map(|contestant| {
            let theirs = figures.get(contestant.name)?.median()?;
            let goal = case.goal(contestant.name);
            Some(Measure::against(
                case.name,
                case.unit(),
                median,
                contestant.name,
                theirs,
                goal,
            ))
        })
        .collect();
    if measures.is_empty() {
        measures.push(Measure::own(case.name, case.unit(), median, None));
    }
    for measure in &mut measures {
        measure.spread = ours.spread();
    }
    measures
}
