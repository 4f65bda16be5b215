//! Our router and nginx `return 302`: redirects per second of processor time, over plain HTTP/1.1 with keep-alive.
//!
//! nginx writes the same name into every answer; our router looks the client up in a database of places, and the title
//! among the edges of its city.

mod check;
mod nginx;

use std::path::Path;

use crate::compare::cores::Cores;
use crate::compare::generator;
use crate::compare::wrk::{self, Paths};
use crate::duel::{self, Duel, Length, Load, Server, Stand};
use crate::measure::{Goal, Measure};
use crate::own::Folder;
use crate::own::router::Router;
use crate::programs;

/// What is asked for.
const PATH: &str = "/movies/big-buck-bunny/1080p/master.m3u8?session=4711";

/// What our ratio to nginx should be.
const GOAL: Goal = Goal::AtLeast(0.8);

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
    let wrk = programs::find("wrk", "wrk")?;
    let folder = Folder::new(None)?;
    let compare = async |duel: &Duel| compare(options.length, duel, &wrk, folder.path(), cores).await;
    duel::hold(start(folder.path(), cores), compare, options.json).await
}

async fn start(folder: &Path, cores: Cores) -> Result<Duel, String> {
    let router = Router::write(&folder.join("router"))?;
    let (address, command) = nginx::set_up(&folder.join("nginx"))?;
    let stand = Stand {
        core: cores.server,
        logs: folder,
    };
    let serves = async |address| check::redirects(address, PATH).await;
    let ours = stand
        .start("millrace", router.http, router.command()?, serves)
        .await?;
    let peer = stand.start("nginx", address, command, serves).await?;
    Ok(Duel { ours, peer })
}

async fn compare(
    length: Length,
    duel: &Duel,
    wrk: &Path,
    folder: &Path,
    cores: Cores,
) -> Result<Vec<Measure>, String> {
    let load = async |server: &Server| -> Result<Load, String> {
        let url = format!("http://{}{PATH}", server.address);
        let command = wrk::command(wrk, folder, &url, &Paths::One, length.seconds)?;
        let done = wrk::parse(&generator::run(cores.load, length.seconds, command).await?)?;
        Ok(Load {
            answers: done.requests,
            per_second: done.per_second,
            lost: 0.0,
        })
    };
    let score = duel.play("302", length.rounds, load).await?;
    let peer = duel.peer.name;
    let measures = [
        score
            .by_processor_second
            .measure("302", "redirects/cpu s", peer, Some(GOAL)),
        score.by_second.measure("302, rate", "redirects/s", peer, None),
    ];
    Ok(measures.into_iter().flatten().collect())
}
