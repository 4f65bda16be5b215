//! Asks a router for the IPv4 addresses of a name over UDP, on behalf of a client whose network the question names.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::timeout;

/// What a datagram may hold, ours and the reply.
const DATAGRAM_BYTES: usize = 1232;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// Bytes of a header (RFC 1035 §4.1.1).
const HEADER_BYTES: usize = 12;

/// The type of an address record, and the class of the Internet.
const A: u16 = 1;
const IN: u16 = 1;

/// Bits of a network that resolvers tell of their clients (RFC 7871 §11.1).
const SOURCE_BITS: u8 = 24;

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
        let query = query(self.id, self.name, client);
        let failed = |error: std::io::Error| format!("DNS: {error}");
        self.socket.send(&query).await.map_err(failed)?;
        let mut buffer = [0; DATAGRAM_BYTES];
        let reply = async {
            loop {
                let length = self.socket.recv(&mut buffer).await.map_err(failed)?;
                // What comes late is of an earlier question.
                if buffer[..length].starts_with(&self.id.to_be_bytes()) {
                    return addresses(&buffer[..length]);
                }
            }
        };
        match timeout(PATIENCE, reply).await {
            Ok(addresses) => addresses,
            Err(_) => Err(format!("DNS: no answer within {} ms", PATIENCE.as_millis())),
        }
    }
}

/// A question for the addresses of `name` with the network of `client` (RFC 7871 §6).
fn query(id: u16, name: &str, client: Ipv4Addr) -> Vec<u8> {
    let mut query = Vec::with_capacity(64);
    query.extend(id.to_be_bytes());
    // No flags; one question, and one additional record.
    query.extend([0, 0, 0, 1, 0, 0, 0, 0, 0, 1]);
    for label in name.split('.') {
        // Labels have 63 bytes at most.
        query.push(label.len() as u8);
        query.extend(label.bytes());
    }
    query.push(0);
    query.extend(A.to_be_bytes());
    query.extend(IN.to_be_bytes());
    // The OPT record (RFC 6891 §6.1.2): the root, type 41, the largest datagram, and no flags.
    query.extend([0, 0, 41]);
    query.extend((DATAGRAM_BYTES as u16).to_be_bytes());
    query.extend([0; 4]);
    let network = &client.octets()[..usize::from(SOURCE_BITS / 8)];
    // Option 8: family 1, the prefix, no scope, and as many bytes as the prefix needs.
    let length = 4 + network.len() as u8;
    query.extend([0, length + 4, 0, 8, 0, length, 0, 1, SOURCE_BITS, 0]);
    query.extend(network);
    query
}

/// The addresses in a reply.
fn addresses(reply: &[u8]) -> Result<Vec<Ipv4Addr>, String> {
    let header = reply
        .first_chunk::<HEADER_BYTES>()
        .ok_or("DNS: a reply without a header")?;
    match header[3] & 0x0f {
        0 => {}
        code => return Err(format!("DNS: the router answers with code {code}")),
    }
    let records = usize::from(u16::from_be_bytes([header[6], header[7]]));
    let addresses = read(&reply[HEADER_BYTES..], records).ok_or("DNS: a reply that cannot be read")?;
    match addresses.is_empty() {
        true => Err("DNS: a reply without addresses".to_owned()),
        false => Ok(addresses),
    }
}

/// The addresses among so many records behind one question.
fn read(bytes: &[u8], records: usize) -> Option<Vec<Ipv4Addr>> {
    let mut rest = behind_name(bytes)?.get(4..)?;
    let mut addresses = Vec::new();
    for _ in 0..records {
        let (head, behind) = behind_name(rest)?.split_first_chunk::<10>()?;
        let length = usize::from(u16::from_be_bytes([head[8], head[9]]));
        let (data, behind) = behind.split_at_checked(length)?;
        if (
            u16::from_be_bytes([head[0], head[1]]),
            u16::from_be_bytes([head[2], head[3]]),
        ) == (A, IN)
        {
            addresses.push(Ipv4Addr::from(*data.first_chunk::<4>()?));
        }
        rest = behind;
    }
    Some(addresses)
}

/// What stands behind a name: labels up to an empty one, or up to a pointer (RFC 1035 §4.1.4).
fn behind_name(bytes: &[u8]) -> Option<&[u8]> {
    let mut rest = bytes;
    loop {
        let (&length, behind) = rest.split_first()?;
        match length {
            0 => return Some(behind),
            0xc0.. => return behind.get(1..),
            _ => rest = behind.get(usize::from(length)..)?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_names_the_network_of_its_client() {
        let asked = query(0x1234, "a.bc", Ipv4Addr::new(10, 1, 2, 7));
        let expected: &[u8] = &[
            0x12, 0x34, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, // header
            1, b'a', 2, b'b', b'c', 0, 0, 1, 0, 1, // question
            0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 11, // OPT
            0, 8, 0, 7, 0, 1, 24, 0, 10, 1, 2, // network
        ];
        assert_eq!(asked, expected);
    }

    /// A reply with the question `a.bc` and these records behind it.
    fn reply(code: u8, records: &[&[u8]]) -> Vec<u8> {
        let mut reply = vec![0x12, 0x34, 0x84, code, 0, 1, 0, records.len() as u8, 0, 0, 0, 0];
        reply.extend([1, b'a', 2, b'b', b'c', 0, 0, 1, 0, 1]);
        reply.extend(records.concat());
        reply
    }

    #[test]
    fn addresses_are_read_in_their_order_and_other_records_passed_over() {
        let first: &[u8] = &[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 30, 0, 4, 127, 0, 1, 2];
        let alias: &[u8] = &[0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 30, 0, 2, 0xc0, 12];
        let second: &[u8] = &[1, b'a', 0, 0, 1, 0, 1, 0, 0, 0, 30, 0, 4, 127, 0, 1, 1];
        let read = addresses(&reply(0, &[first, alias, second])).unwrap();
        assert_eq!(read, [Ipv4Addr::new(127, 0, 1, 2), Ipv4Addr::new(127, 0, 1, 1)]);
    }

    #[test]
    fn what_holds_no_address_is_an_error_and_no_panic() {
        let whole = reply(0, &[&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 30, 0, 4, 127, 0, 1, 2]]);
        for length in 0..whole.len() {
            assert!(addresses(&whole[..length]).is_err(), "{length}");
        }
        assert!(addresses(&reply(2, &[])).unwrap_err().contains("code 2"));
        assert!(
            addresses(&reply(0, &[]))
                .unwrap_err()
                .contains("without addresses")
        );
    }
}
