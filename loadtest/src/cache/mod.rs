//! Tools for the cache engine: its policy in simulation, its files under inspection, and an edge that is made to suffer.

mod bench;
mod check;
mod flip;
mod kill;
mod simulate;
mod stage;

use crate::measure::{self, Measure};

/// What to do with the engine.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Read from and write to a disk of the cache, in turns with fio on the same drive
    Bench(bench::Options),
    /// Verify every checksum of a cache's file or device that is not in use
    Check(check::Options),
    /// Flip bits of the disk of a running edge and compare every body
    Flip(flip::Options),
    /// Kill an edge under load, again and again, and compare every body
    Kill(kill::Options),
    /// Play synthetic CDN traffic through the placement policy and through LRU, FIFO and S3-FIFO
    Simulate(simulate::Options),
}

/// Runs one of the tools. Call it on the main thread.
///
/// # Errors
///
/// What kept it from running, or what it found wrong.
pub(crate) async fn run(command: Command) -> Result<(), String> {
    match command {
        Command::Bench(options) => bench::run(&options).await,
        Command::Check(options) => check::run(&options),
        Command::Flip(options) => flip::run(&options).await,
        Command::Kill(options) => kill::run(&options).await,
        Command::Simulate(options) => simulate::run(&options),
    }
}

/// Prints what an ordeal of an edge measured, and fails with what was wrong.
fn conclude(measures: &[Measure], complaints: &[String], json: bool) -> Result<(), String> {
    if json {
        println!("{}", measure::json(measures));
    } else {
        print!("{}", measure::render(measures));
    }
    match complaints.is_empty() {
        true => Ok(()),
        false => Err(complaints.join("\n")),
    }
}
