//! Tools for the cache engine: its policy in simulation, its files under inspection.

mod simulate;

/// What to do with the engine.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
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
        Command::Simulate(options) => simulate::run(&options),
    }
}
