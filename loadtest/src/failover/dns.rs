//! Asks a router for the IPv4 addresses of a name over UDP, on behalf of a client whose network the question names.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::timeout;

use crate::dns::message;

/// What a datagram may hold, ours and the reply.
const DATAGRAM_BYTES: usize = 1232;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// Someone who asks.
#[derive(Debug)]
pub(super) struct DnsClient {
    socket: UdpSocket,
    name: &'static str,
    /// Of the last question.
    id: u16,
}

impl DnsClient {
    /// Will ask `server` for `name`.
    ///
    /// # Errors
    ///
    /// When the kernel has no socket.
    pub(super) async fn new(server: SocketAddr, name: &'static str) -> Result<DnsClient, String> {
        let failed = |error: std::io::Error| format!("DNS to {server}: {error}");
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))
            .await
            .map_err(failed)?;
        socket.connect(server).await.map_err(failed)?;
        Ok(DnsClient { socket, name, id: 0 })
    }

    /// The addresses that `client` is given, best first.
    ///
    /// # Errors
    ///
    /// When no answer comes, or one without addresses.
    pub(super) async fn ask(&mut self, client: Ipv4Addr) -> Result<Vec<Ipv4Addr>, String> {
        self.id = self.id.wrapping_add(1);
        let [a, b, c, _] = client.octets();
        let query = message::question(self.id, self.name, Some([a, b, c]));
        let failed = |error: std::io::Error| format!("DNS: {error}");
        self.socket.send(&query).await.map_err(failed)?;
        let mut buffer = [0; DATAGRAM_BYTES];
        let reply = async {
            loop {
                let length = self.socket.recv(&mut buffer).await.map_err(failed)?;
                // What comes late is of an earlier question.
                if buffer[..length].starts_with(&self.id.to_be_bytes()) {
                    return addresses(self.id, &buffer[..length]);
                }
            }
        };
        match timeout(PATIENCE, reply).await {
            Ok(addresses) => addresses,
            Err(_) => Err(format!("DNS: no answer within {} ms", PATIENCE.as_millis())),
        }
    }
}

/// The addresses in a reply.
fn addresses(id: u16, reply: &[u8]) -> Result<Vec<Ipv4Addr>, String> {
    let answer = message::read(id, reply).map_err(|error| format!("DNS: {error}"))?;
    match answer.code {
        0 if answer.addresses.is_empty() => Err("DNS: a reply without addresses".to_owned()),
        0 => Ok(answer.addresses),
        code => Err(format!("DNS: the router answers with code {code}")),
    }
}
