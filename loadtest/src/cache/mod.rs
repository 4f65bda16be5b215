//! Tools for the cache engine: its policy in simulation, its files under inspection.

mod check;
mod simulate;

/// What to do with the engine.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Verify every checksum of a cache's file or device that is not in use
    Check(check::Options),
    /// Play synthetic CDN traffic through the placement policy and through LRU, FIFO and S3-FIFO
    Simulate(simulate::Options),
}

/// Runs one of the tools.
///
/// # Errors
///
/// What kept it from running, or what it found wrong.
pub(crate) async fn run(command: Command) -> Result<(), String> {
    match command {
        Command::Check(options) => check::run(&options),
        Command::Simulate(options) => simulate::run(&options),
    }
}
