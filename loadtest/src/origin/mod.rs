//! The demo origin: a small HTTP server that tells how often it was asked and misbehaves on request.
//!
//! It serves the files of a folder, made-up objects (`/objects/{name}/{size}`) and a made-up library of HLS titles
//! (`/library/title-0000/master.m3u8`). `GET /_origin/counts` says how often each path was asked for (`totals`: the sums),
//! `POST /_origin/reset` starts the count again, `POST /_origin/behave` makes the paths under a prefix slow, late,
//! failing, silent or broken: see [`behaviour::Behaviour`].

pub(crate) mod answer;
pub(crate) mod behaviour;
pub(crate) mod body;
pub(crate) mod control;
pub(crate) mod counts;
pub(crate) mod files;
pub(crate) mod select;
pub(crate) mod server;
#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use http::HeaderValue;

use crate::content::Library;
use crate::stop;

/// What the origin serves, and where.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1:8090")]
    pub(crate) listen: SocketAddr,
    /// Folder whose files are served
    #[arg(long, default_value = "conf/local/media")]
    pub(crate) root: PathBuf,
    /// `Cache-Control` of every answer
    #[arg(long, default_value = "public, max-age=60")]
    pub(crate) cache_control: HeaderValue,
    /// Leave out the `Pragma: no-cache` that is sent to show that it is removed on the way
    #[arg(long)]
    pub(crate) no_pragma: bool,
    #[command(flatten)]
    pub(crate) library: Library,
}

/// Serves until SIGINT or SIGTERM.
///
/// # Errors
///
/// When the folder cannot be read or the address not be bound, with the reason.
pub(crate) async fn run(options: Options) -> Result<(), String> {
    if !options.root.is_dir() {
        return Err(format!(
            "there is no folder {}; name one with --root",
            options.root.display()
        ));
    }
    let listen = options.listen;
    let mut stop = stop::signals().map_err(|error| format!("signals cannot be caught: {error}"))?;
    let origin = server::Origin::bind(options)
        .await
        .map_err(|error| describe(listen, &error))?;
    println!("origin listens on http://{}", origin.address());
    tokio::select! {
        () = origin.serve() => {}
        () = stop.requested() => {}
    }
    Ok(())
}

fn describe(listen: SocketAddr, error: &io::Error) -> String {
    format!(
        "the origin cannot listen on {listen}: {error}; end what listens there, or choose another with --listen"
    )
}
