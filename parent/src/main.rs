//! `millrace-parent`: the L2 cache. Edges connect to it; what it does not have it asks of the services' origins.

mod config;

use std::process::ExitCode;

use daemon::args::Args;
use daemon::process::{Failure, exit_code};
use model::Tier;
use proxy::tier::{self, Settings};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ABOUT: &str = "Millrace parent: the cache that edges ask";
const VERSION: &str = env!("CARGO_PKG_VERSION");

fn main() -> ExitCode {
    exit_code(start(&Args::read(ABOUT, VERSION)))
}

fn start(args: &Args) -> Result<(), Failure> {
    let (config, shown) = config::Config::load(&args.config)?;
    let config::Config { node, front } = config;
    tier::run(
        Settings {
            tier: Tier::Parent,
            node,
            front,
            hsts: None,
            shown,
            version: VERSION,
        },
        args.check,
    )
}
