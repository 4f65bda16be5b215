//! Connections one after the other: handshake, one small answer, close.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustls::HandshakeKind;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use super::cores;
use super::generator::Done;
use crate::client::{Trust, connector};

/// Clients at once; enough to keep one core of server busy.
const CLIENTS: usize = 16;

/// How long one connection may take.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(5);

/// Connects for `seconds` on `core`, with new sessions or resumed ones.
///
/// # Errors
///
/// The first connection that failed, or that was resumed when it should not be, or the reverse.
pub(super) fn run(
    address: SocketAddr,
    path: &str,
    resumed: bool,
    seconds: u64,
    core: usize,
) -> Result<Done, String> {
    cores::pin_this_thread(core)
        .map_err(|error| format!("a thread cannot be kept on core {core}: {error}"))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("no runtime can be started: {error}"))?;
    let length = Duration::from_secs(seconds);
    let requests = runtime.block_on(clients(address, path, resumed, Instant::now() + length))?;
    Ok(Done {
        requests,
        per_second: requests as f64 / length.as_secs_f64(),
    })
}

async fn clients(address: SocketAddr, path: &str, resumed: bool, until: Instant) -> Result<u64, String> {
    let count = Arc::new(AtomicU64::new(0));
    let request: Arc<[u8]> = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .into_bytes()
        .into();
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (count, request) = (Arc::clone(&count), Arc::clone(&request));
        let connector = connector(
            if resumed {
                Trust::AnyoneAgain
            } else {
                Trust::Anyone
            },
            b"http/1.1",
        );
        clients.spawn(async move {
            // The first connection brings the ticket and does not count.
            let mut expected = None;
            while Instant::now() < until {
                let kind =
                    tokio::time::timeout(CONNECTION_TIMEOUT, connection(&connector, address, &request))
                        .await
                        .map_err(|_| {
                            format!("a connection took more than {} s", CONNECTION_TIMEOUT.as_secs())
                        })??;
                if expected.is_some_and(|expected| (kind == HandshakeKind::Resumed) != expected) {
                    return Err(format!(
                        "a handshake was {kind:?} where resumed = {resumed} was meant"
                    ));
                }
                expected = Some(resumed);
                count.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        });
    }
    while let Some(client) = clients.join_next().await {
        client.map_err(|error| format!("a client broke: {error}"))??;
    }
    Ok(count.load(Ordering::Relaxed))
}

async fn connection(
    connector: &TlsConnector,
    address: SocketAddr,
    request: &[u8],
) -> Result<HandshakeKind, String> {
    let talk = async {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from("localhost").map_err(std::io::Error::other)?;
        let mut stream = connector.connect(name, stream).await?;
        stream.write_all(request).await?;
        let mut answer = Vec::with_capacity(2048);
        match stream.read_to_end(&mut answer).await {
            // Some servers close without close_notify; the length tells whether the answer was whole.
            Err(error) if error.kind() != std::io::ErrorKind::UnexpectedEof => return Err(error),
            _ => {}
        }
        let kind = stream.get_ref().1.handshake_kind();
        if !answer.starts_with(b"HTTP/1.1 200") || answer.len() < 1024 {
            return Err(std::io::Error::other(format!(
                "an answer of {} bytes was not 200 or not whole",
                answer.len()
            )));
        }
        kind.ok_or_else(|| std::io::Error::other("the handshake did not end"))
    };
    talk.await
        .map_err(|error| format!("a connection failed: {error}"))
}
