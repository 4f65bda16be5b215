//! A whole CDN on one machine, load generators, and a comparison with peers.

mod browser;
mod cache;
mod client;
mod compare;
mod content;
mod dns;
mod duel;
mod failover;
mod histogram;
mod measure;
mod memory;
mod monitor;
mod origin;
mod own;
mod play;
mod programs;
mod redirect;
mod scrape;
mod screenshot;
mod stop;
mod table;
mod up;
mod zipf;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The daemons' allocator, so that `cache bench` measures the engine as it runs there.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A whole CDN on one machine, load generators, and a comparison with peers
#[derive(Debug, Parser)]
#[command(name = "millrace-loadtest", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Let a real player in a real browser be steered away from a site that drains
    Browser(browser::Options),
    /// Simulate, check and stress the cache engine
    #[command(subcommand)]
    Cache(cache::Command),
    /// Make monitors notice what fails, and measure what watching costs them
    #[command(subcommand)]
    Monitor(monitor::Command),
    /// Serve demo content, count requests, and misbehave on request
    Origin(origin::Options),
    /// Compare the edge with nginx, Traffic Server and Varnish, side by side on this machine
    Compare(compare::Options),
    /// Compare the router's DNS with gdnsd: both with geography and client subnets
    Dns(dns::Options),
    /// Compare the router's redirects with those of nginx
    Redirect(redirect::Options),
    /// Watch many HLS titles through the edges and check every byte
    Play(play::Options),
    /// Take a picture of a page, such as a monitor's, with headless Chromium
    Screenshot(screenshot::Options),
    /// Take edges away from a CDN, and time until its router sends nobody there any more
    Failover(failover::Options),
    /// Start a whole CDN on this machine and show what it does
    Up(up::Options),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("no runtime can be started: {error}")),
    };
    let outcome = runtime.block_on(async {
        match arguments.command {
            Command::Browser(options) => browser::run(&options).await,
            Command::Cache(command) => cache::run(command).await,
            Command::Monitor(command) => monitor::run(command).await,
            Command::Origin(options) => origin::run(options).await,
            Command::Compare(options) => compare::run(options).await,
            Command::Dns(options) => dns::run(&options).await,
            Command::Redirect(options) => redirect::run(&options).await,
            Command::Play(options) => play::run(options).await,
            Command::Screenshot(options) => screenshot::run(&options).await,
            Command::Failover(options) => failover::run(&options).await,
            Command::Up(options) => up::run(options).await,
        }
    });
    // What still runs in the background is abandoned: nothing of it outlives the process.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => fail(&reason),
    }
}

fn fail(reason: &str) -> ExitCode {
    eprintln!("millrace-loadtest: {reason}");
    ExitCode::FAILURE
}
