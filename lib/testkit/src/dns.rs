//! A client of DNS, over UDP and TCP, that names the network it asks for (RFC 7871).

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::str::FromStr;
use std::time::Duration;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query};
use hickory_proto::rr::rdata::opt::{ClientSubnet, EdnsCode, EdnsOption};
use hickory_proto::rr::{Name, RData, RecordType};
use ipnet::IpNet;

/// How long a reply may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a client takes over UDP.
const PAYLOAD: u16 = 1232;

/// A client of one server. It keeps one socket of UDP.
#[derive(Debug)]
pub struct Dns {
    server: SocketAddr,
    socket: UdpSocket,
    next: u16,
}

/// What was heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// `NOERROR`, `NXDOMAIN` …
    pub rcode: String,
    /// The addresses among the answers, in order.
    pub addresses: Vec<IpAddr>,
    /// The lowest time to live of the answers.
    pub ttl: Option<u32>,
    /// The prefix length of the network that all of this holds for.
    pub scope: Option<u8>,
    /// The answer did not fit.
    pub truncated: bool,
}

impl Dns {
    /// A client of `server`.
    ///
    /// # Errors
    ///
    /// When the machine gives no socket.
    pub fn of(server: SocketAddr) -> io::Result<Dns> {
        let any: SocketAddr = if server.is_ipv4() {
            ([0, 0, 0, 0], 0).into()
        } else {
            ([0_u16; 8], 0).into()
        };
        let socket = UdpSocket::bind(any)?;
        socket.connect(server)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(Dns {
            server,
            socket,
            next: 0,
        })
    }

    /// Asks over UDP for records of type `kind` (`A`, `AAAA` …) of `name`, for a client in `network`.
    ///
    /// # Errors
    ///
    /// When nothing comes within five seconds, or what comes is no reply.
    pub fn ask(&mut self, name: &str, kind: &str, network: Option<IpNet>) -> io::Result<Reply> {
        let query = self.query(name, kind, network)?;
        self.socket.send(&query)?;
        let mut buffer = [0; 4096];
        loop {
            let length = self.socket.recv(&mut buffer)?;
            // A late reply to a question that was given up is not this one.
            if buffer[..length].get(..2) == query.get(..2) {
                return read(&buffer[..length]);
            }
        }
    }

    /// The same over TCP.
    ///
    /// # Errors
    ///
    /// As over UDP.
    pub fn ask_over_tcp(&mut self, name: &str, kind: &str, network: Option<IpNet>) -> io::Result<Reply> {
        let query = self.query(name, kind, network)?;
        let mut stream = TcpStream::connect_timeout(&self.server, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let length = u16::try_from(query.len()).map_err(io::Error::other)?;
        stream.write_all(&[&length.to_be_bytes(), &query[..]].concat())?;
        let mut length = [0; 2];
        stream.read_exact(&mut length)?;
        let mut reply = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut reply)?;
        read(&reply)
    }

    fn query(&mut self, name: &str, kind: &str, network: Option<IpNet>) -> io::Result<Vec<u8>> {
        self.next = self.next.wrapping_add(1);
        let mut message = Message::new(self.next, MessageType::Query, OpCode::Query);
        let name = Name::from_str(name).map_err(io::Error::other)?;
        let kind = RecordType::from_str(kind).map_err(io::Error::other)?;
        message.add_query(Query::query(name, kind));
        let mut edns = Edns::new();
        edns.set_max_payload(PAYLOAD).set_version(0);
        if let Some(network) = network {
            let subnet = ClientSubnet::new(network.network(), network.prefix_len(), 0);
            edns.options_mut().insert(EdnsOption::Subnet(subnet));
        }
        message.set_edns(edns);
        message.to_vec().map_err(io::Error::other)
    }
}

fn read(bytes: &[u8]) -> io::Result<Reply> {
    let message = Message::from_vec(bytes).map_err(io::Error::other)?;
    if message.metadata.message_type != MessageType::Response {
        return Err(io::Error::other("what came is a query"));
    }
    let addresses = message.answers.iter().filter_map(|record| match record.data {
        RData::A(address) => Some(IpAddr::V4(address.0)),
        RData::AAAA(address) => Some(IpAddr::V6(address.0)),
        _ => None,
    });
    let subnet = message
        .edns
        .as_ref()
        .and_then(|edns| match edns.option(EdnsCode::Subnet) {
            Some(EdnsOption::Subnet(subnet)) => Some(subnet.scope_prefix()),
            _ => None,
        });
    Ok(Reply {
        rcode: rcode(&message),
        addresses: addresses.collect(),
        ttl: message.answers.iter().map(|record| record.ttl).min(),
        scope: subnet,
        truncated: message.metadata.truncation,
    })
}

/// As dig writes it.
fn rcode(message: &Message) -> String {
    use hickory_proto::op::ResponseCode;
    match message.metadata.response_code {
        ResponseCode::NoError => "NOERROR".to_owned(),
        ResponseCode::NXDomain => "NXDOMAIN".to_owned(),
        ResponseCode::ServFail => "SERVFAIL".to_owned(),
        ResponseCode::Refused => "REFUSED".to_owned(),
        other => format!("{other:?}").to_uppercase(),
    }
}
