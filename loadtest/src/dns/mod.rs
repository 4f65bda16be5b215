//! Our router and gdnsd on the same names, sites, edges and places: DNS answers per second of processor time.
//!
//! Both look every client up in the same database of places, and both heed the network of the client that a resolver
//! names (EDNS Client Subnet, RFC 7871).

mod case;
mod check;
mod dnsperf;
mod gdnsd;
pub(crate) mod message;

use std::path::Path;

use self::case::{CASES, Case};
use crate::compare::cores::Cores;
use crate::compare::generator;
use crate::duel::{self, Duel, Length, Load, Server, Stand};
use crate::measure::Measure;
use crate::own::Folder;
use crate::own::router::Router;
use crate::programs;

/// How long to compare, and how to report.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    length: Length,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// Compares and reports. Call it on the main thread.
///
/// # Errors
///
/// What kept it from comparing. A goal that was missed is in the table, not an error: figures depend on the machine.
pub(crate) async fn run(options: &Options) -> Result<(), String> {
    let cores = Cores::pick()?;
    programs::find("taskset", "util-linux")?;
    let dnsperf = programs::find("dnsperf", "dnsperf")?;
    let folder = Folder::new(None)?;
    let compare = async |duel: &Duel| compare(options.length, duel, &dnsperf, folder.path(), cores).await;
    duel::hold(start(folder.path(), cores), compare, options.json).await
}

async fn start(folder: &Path, cores: Cores) -> Result<Duel, String> {
    let router = Router::write(&folder.join("router"))?;
    let (address, command) = gdnsd::set_up(&folder.join("gdnsd"), &router.places)?;
    let stand = Stand {
        core: cores.server,
        logs: folder,
    };
    let ours = stand
        .start("millrace", router.dns, router.command()?, check::answers)
        .await?;
    let peer = stand.start("gdnsd", address, command, check::answers).await?;
    for server in [&ours, &peer] {
        check::everything(server.address)
            .await
            .map_err(|reason| format!("{} does not answer as it should: {reason}", server.name))?;
    }
    Ok(Duel { ours, peer })
}

async fn compare(
    length: Length,
    duel: &Duel,
    dnsperf: &Path,
    folder: &Path,
    cores: Cores,
) -> Result<Vec<Measure>, String> {
    let questions = dnsperf::write_questions(folder)?;
    let mut measures = Vec::new();
    for case in CASES {
        let load = async |server: &Server| -> Result<Load, String> {
            let command = dnsperf::command(dnsperf, &questions, server.address, &case, length.seconds);
            dnsperf::parse(&generator::run(cores.load, length.seconds, command).await?)
        };
        let score = duel.play(case.name, length.rounds, load).await?;
        measures.extend(judge(&case, &score, duel.peer.name));
    }
    Ok(measures)
}

fn judge(case: &Case, score: &duel::Score, peer: &str) -> Vec<Measure> {
    let (rate, lost) = (format!("{}, rate", case.name), format!("{}, lost", case.name));
    let measures = [
        score
            .by_processor_second
            .measure(case.name, "answers/cpu s", peer, case.goal),
        score.by_second.measure(&rate, "answers/s", peer, None),
        score.lost.measure(&lost, "%", peer, None),
    ];
    measures.into_iter().flatten().collect()
}
