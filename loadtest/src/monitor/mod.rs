//! What monitors notice and how soon, and what watching a thousand nodes costs them.

mod crowd;
mod faults;
pub(crate) mod island;
mod scale;
pub(crate) mod watchers;

/// What to try.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Make nodes of a CDN fail in every way there is, and time until its monitors say so
    Faults(faults::Options),
    /// Let three monitors watch many simulated nodes, and measure what it costs them
    Scale(scale::Options),
}

/// Runs one of them. Call it on the main thread.
///
/// # Errors
///
/// What kept it from running.
pub(crate) async fn run(command: Command) -> Result<(), String> {
    match command {
        Command::Faults(options) => faults::run(&options).await,
        Command::Scale(options) => scale::run(&options).await,
    }
}
