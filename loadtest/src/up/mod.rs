//! A whole CDN on this machine as real processes: origin, parents, edges.

pub(crate) mod certificate;
pub(crate) mod child;
pub(crate) mod fleet;
pub(crate) mod plan;
pub(crate) mod ports;
mod show;
mod watch;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use self::fleet::Fleet;
use self::plan::Plan;
use crate::content::Library;
use crate::stop;

/// Where things lie.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// Folder with cdn.json, a TOML file for each node, and the demo media
    #[arg(long, default_value = "conf/local")]
    pub(crate) conf: PathBuf,
    /// Folder for logs, caches and the generated certificate
    #[arg(long, default_value = ".local")]
    pub(crate) state: PathBuf,
    /// Where the demo origin listens
    #[arg(long, default_value = "127.0.0.1:8090")]
    pub(crate) origin: SocketAddr,
    /// Seconds that all daemons together may take to be ready
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) ready_seconds: u64,
    #[command(flatten)]
    pub(crate) library: Library,
}

/// Starts the CDN, shows it, and stops it at SIGINT or SIGTERM. Call it on the main thread.
///
/// # Errors
///
/// What kept the CDN from starting, or which daemon died.
pub(crate) async fn run(options: Options) -> Result<(), String> {
    let mut stop = stop::signals().map_err(|error| format!("signals cannot be caught: {error}"))?;
    let plan = Plan::read(&options.conf, options.origin, &options.state, options.library)?;
    ports::check(&plan.ports())?;
    let members = plan.members(&programs()?)?;
    for (certificate, key) in &plan.certificates {
        if certificate::provide(certificate, key)? {
            println!("made a self-signed certificate, {}", certificate.display());
        }
    }
    println!("starting {} daemons …", members.len());
    let started = tokio::select! {
        started = Fleet::start(members, Duration::from_secs(options.ready_seconds)) => started,
        () = stop.requested() => return Ok(()), // what runs is killed as the fleet is dropped
    };
    let mut fleet = started?;
    print!("\n{}\n{}\n", show::nodes(&plan), show::suggestions(&plan));
    let outcome = tokio::select! {
        lost = lose_all(&mut fleet) => Err(lost),
        () = stop.requested() => Ok(()),
        never = watch::totals(&plan) => match never {},
    };
    println!("\nstopping …");
    let killed = tokio::select! {
        killed = fleet.stop() => killed,
        () = stop.requested() => return outcome, // asked twice: what is left is killed as the fleet is dropped
    };
    match outcome {
        Ok(()) if !killed.is_empty() => Err(format!(
            "{} did not stop in time and had to be killed",
            killed.join(", ")
        )),
        outcome => outcome,
    }
}

/// Says of each daemon that ends how it did: a CDN goes on without it, and its monitors show it. Returns when nobody is
/// left.
async fn lose_all(fleet: &mut Fleet) -> String {
    loop {
        let lost = fleet.loss().await;
        println!("\n{lost}");
        if fleet.is_empty() {
            return "every daemon has ended".to_owned();
        }
        println!("The others go on.");
    }
}

/// The folder of our own program; the daemons lie beside it.
///
/// # Errors
///
/// When the kernel does not tell.
pub(crate) fn programs() -> Result<PathBuf, String> {
    let own =
        std::env::current_exe().map_err(|error| format!("the path of this program is unknown: {error}"))?;
    Ok(own.parent().unwrap_or(Path::new("/")).to_owned())
}
