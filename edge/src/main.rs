//! `millrace-edge`: the L1 cache. Players connect to it; what it does not have it asks of the parents of its CDN.

mod config;

use std::process::ExitCode;

use daemon::args::Args;
use daemon::process::{Failure, exit_code};
use model::Tier;
use proxy::tier::{self, Settings};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ABOUT: &str = "Millrace edge: the cache that players connect to";
const VERSION: &str = env!("CARGO_PKG_VERSION");

fn main() -> ExitCode {
    exit_code(start(&Args::read(ABOUT, VERSION)))
}

fn start(args: &Args) -> Result<(), Failure> {
    let (config, shown) = config::Config::load(&args.config)?;
    let config::Config { node, front, hsts } = config;
    tier::run(
        Settings {
            tier: Tier::Edge,
            node,
            front,
            hsts,
            shown,
            version: VERSION,
        },
        args.check,
    )
}
