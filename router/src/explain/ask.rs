//! `millrace-router explain`: asks the running router on its admin port.

use std::io::Write;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use daemon::connect::{Server, Trust};
use daemon::process::Failure;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use tokio::time::timeout;

use crate::config::Config;

const PATIENCE: Duration = Duration::from_secs(5);

/// No explanation is longer.
const BYTES_MAX: usize = 16 << 20;

/// Ask a running router why it sends a client where it does
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The configuration file of the router, which says where its admin port is
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The address of the client
    #[arg(long)]
    client: IpAddr,
    /// The host that it asks for
    #[arg(long)]
    host: String,
    /// The path that it asks for, with its query
    #[arg(long, default_value = "/")]
    path: String,
    /// Over TLS
    #[arg(long)]
    https: bool,
    /// For programs
    #[arg(long)]
    json: bool,
}

/// Asks, and prints the answer.
///
/// # Errors
///
/// What is wrong with the question, or why nobody answers it.
pub(crate) fn ask(arguments: &Arguments) -> Result<(), Failure> {
    let (config, _) = Config::load(&arguments.config)?;
    let server: Server = format!("http://{}", config.admin)
        .parse()
        .map_err(|error| Failure::running("the admin port", error))?;
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("client", &arguments.client.to_string())
        .append_pair("host", &arguments.host)
        .append_pair("path", &arguments.path)
        .append_pair("scheme", if arguments.https { "https" } else { "http" })
        .append_pair("format", if arguments.json { "json" } else { "text" })
        .finish();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::running("no runtime can be started", error))?;
    let unanswered =
        |error: String| Failure::running(format!("{server} does not answer; is the router running?"), error);
    let answered = runtime.block_on(async { timeout(PATIENCE, fetch(&server, &query)).await });
    let (status, body) = answered
        .map_err(|error| unanswered(error.to_string()))?
        .map_err(unanswered)?;
    if status != StatusCode::OK {
        return Err(Failure::Configuration(
            String::from_utf8_lossy(&body).into_owned(),
        ));
    }
    // Nobody may be reading any more.
    let _ = std::io::stdout().lock().write_all(&body);
    Ok(())
}

async fn fetch(server: &Server, query: &str) -> Result<(StatusCode, Bytes), String> {
    let trust = Trust::new(None).map_err(|error| error.to_string())?;
    let mut requests = server
        .connect::<Empty<Bytes>>(&trust)
        .await
        .map_err(|error| error.to_string())?;
    let request = Request::get(format!("/explain?{query}"))
        .header(http::header::HOST, server.authority())
        .body(Empty::new())
        .map_err(|error| error.to_string())?;
    let response = requests
        .send_request(request)
        .await
        .map_err(|error| error.to_string())?;
    let status = response.status();
    let body = Limited::new(response.into_body(), BYTES_MAX).collect().await;
    Ok((status, body.map_err(|error| error.to_string())?.to_bytes()))
}
