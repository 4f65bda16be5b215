//! `millrace-router`: every viewer to the best healthy edge, by DNS, by redirect, by steering, and able to say why.

mod admission;
mod bind;
mod config;
mod decide;
mod dns;
mod explain;
mod geo;
mod geography;
mod http;
mod lanes;
mod measured;
mod memo;
mod metrics;
mod owner;
mod routes;
mod saved;
mod service;
mod site;
mod tallies;
#[cfg(test)]
mod tests;
mod threads;
mod world;

use std::process::ExitCode;

use clap::Parser;
use daemon::args::Args;
use daemon::process::{Failure, exit_code};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ABOUT: &str = "Millrace router: sends every viewer to the best healthy edge. `millrace-router explain --help` tells \
                     how to ask a running one why";
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// `millrace-router explain …`
#[derive(Parser)]
#[command(name = "millrace-router explain")]
struct Explain {
    #[command(flatten)]
    arguments: explain::Arguments,
}

fn main() -> ExitCode {
    let mut given = std::env::args_os().skip(1);
    if given.next().is_some_and(|first| first == "explain") {
        let Explain { arguments } = Explain::parse_from(std::iter::once("explain".into()).chain(given));
        return exit_code(explain::ask(&arguments));
    }
    exit_code(start(&Args::read(ABOUT, VERSION)))
}

fn start(args: &Args) -> Result<(), Failure> {
    let (config, shown) = config::Config::load(&args.config)?;
    service::run(config, &shown, VERSION, args.check)
}
