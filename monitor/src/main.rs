//! `millrace-monitor`: knows within seconds which nodes serve, says it once, and doubts itself first.

mod alert;
mod alerting;
mod api;
mod board;
mod clock;
mod collect;
mod config;
mod feed;
mod journal;
mod judge;
mod page;
mod probe;
mod service;
mod stats;
mod store;

use std::process::ExitCode;

use daemon::args::Args;
use daemon::process::{Failure, exit_code};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ABOUT: &str = "Millrace monitor: watches the nodes of a CDN and says which of them serve";
const VERSION: &str = env!("CARGO_PKG_VERSION");

fn main() -> ExitCode {
    exit_code(start(&Args::read(ABOUT, VERSION)))
}

fn start(args: &Args) -> Result<(), Failure> {
    let (config, shown) = config::Config::load(&args.config)?;
    service::run(config, &shown, VERSION, args.check)
}
