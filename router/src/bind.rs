//! Sockets: one for each thread and address, so that no two threads share a queue.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::time::Duration;
use std::{error, fmt, io};

use rustix::net::sockopt::{self, Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery};
use socket2::{Domain, Protocol, Socket, Type};

/// What a socket keeps of bytes that nobody has read yet: a burst of some 10,000 queries. The kernel takes the lower of
/// this and `net.core.rmem_max`.
const RECEIVE_BYTES: usize = 4 << 20;

/// How long a thread waits for queries before it looks whether it should end.
const RECEIVE_TIMEOUT: Duration = Duration::from_millis(200);

/// How long the kernel may hold a thread that sends: longer, and it would be a link that is down.
const SEND_TIMEOUT: Duration = Duration::from_millis(100);

/// Connections that wait to be accepted.
const BACKLOG: i32 = 1024;

/// Why an address cannot be listened on.
#[derive(Debug)]
pub(crate) enum BindError {
    /// It stands for all addresses of the machine, and datagrams might leave from another one than was asked.
    Unspecified(SocketAddr),
    /// The kernel refuses.
    Refused {
        /// Which address.
        address: SocketAddr,
        /// What for: `DNS over UDP` …
        purpose: &'static str,
        /// What the kernel says.
        source: io::Error,
    },
}

/// Binds `address` for datagrams, `sockets` times. A port of 0 becomes one that is free, the same for all.
///
/// # Errors
/// [`BindError`], naming the address.
pub(crate) fn udp(address: SocketAddr, sockets: usize) -> Result<Vec<UdpSocket>, BindError> {
    if address.ip().is_unspecified() {
        return Err(BindError::Unspecified(address));
    }
    bind(address, "DNS over UDP", sockets, |address| {
        let socket = shared(address, Type::DGRAM, Protocol::UDP)?;
        // What is not granted is not missed until a burst comes.
        let _ = socket.set_recv_buffer_size(RECEIVE_BYTES);
        socket.set_read_timeout(Some(RECEIVE_TIMEOUT))?;
        socket.set_write_timeout(Some(SEND_TIMEOUT))?;
        never_fragment(&socket, address)?;
        socket.bind(&address.into())?;
        Ok(socket.into())
    })
}

/// Has datagrams go whole or not at all, whatever messages of ICMP say of the path (RFC 9715 §3.1): fragments are how
/// answers are forged, and ours fit into the least that every path of IPv6 carries.
fn never_fragment(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    match address {
        SocketAddr::V4(_) => sockopt::set_ip_mtu_discover(socket, Ipv4PathMtuDiscovery::PROBE)?,
        SocketAddr::V6(_) => sockopt::set_ipv6_mtu_discover(socket, Ipv6PathMtuDiscovery::PROBE)?,
    }
    Ok(())
}

/// Binds `address` for connections, `sockets` times, in non-blocking mode, for the sake of `purpose`. A port of 0 becomes
/// one that is free, the same for all.
///
/// # Errors
/// [`BindError`], naming the address.
pub(crate) fn tcp(
    address: SocketAddr,
    sockets: usize,
    purpose: &'static str,
) -> Result<Vec<TcpListener>, BindError> {
    bind(address, purpose, sockets, |address| {
        let socket = shared(address, Type::STREAM, Protocol::TCP)?;
        socket.set_reuse_address(true)?;
        socket.set_tcp_nodelay(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    })
}

fn shared(address: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_port(true)?;
    Ok(socket)
}

/// A socket that knows where it listens.
trait Bound: Sized {
    fn address(&self) -> io::Result<SocketAddr>;
}

impl Bound for UdpSocket {
    fn address(&self) -> io::Result<SocketAddr> {
        self.local_addr()
    }
}

impl Bound for TcpListener {
    fn address(&self) -> io::Result<SocketAddr> {
        self.local_addr()
    }
}

fn bind<S: Bound>(
    address: SocketAddr,
    purpose: &'static str,
    sockets: usize,
    one: impl Fn(SocketAddr) -> io::Result<S>,
) -> Result<Vec<S>, BindError> {
    let refused = |source| BindError::Refused {
        address,
        purpose,
        source,
    };
    let first = one(address).map_err(refused)?;
    let given = first.address().map_err(refused)?;
    let mut bound = vec![first];
    for _ in 1..sockets {
        bound.push(one(given).map_err(refused)?);
    }
    Ok(bound)
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BindError::Unspecified(address) => write!(
                f,
                "cannot listen for DNS on {address}: replies must leave from the address that was asked; list each \
                 address of the machine that name servers have"
            ),
            BindError::Refused { address, purpose, .. } => {
                write!(f, "cannot listen for {purpose} on {address}")
            }
        }
    }
}

impl error::Error for BindError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            BindError::Unspecified(_) => None,
            BindError::Refused { source, .. } => Some(source),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_thread_has_a_socket_on_the_one_port() {
        let address: SocketAddr = ([127, 0, 0, 1], 0).into();
        let sockets = udp(address, 3).unwrap();
        let port = sockets[0].local_addr().unwrap().port();
        assert_eq!(sockets.len(), 3);
        assert!(
            sockets
                .iter()
                .all(|socket| socket.local_addr().unwrap().port() == port)
        );
        let listeners = tcp(address, 2, "HTTP").unwrap();
        let port = listeners[0].local_addr().unwrap().port();
        assert!(
            listeners
                .iter()
                .all(|socket| socket.local_addr().unwrap().port() == port)
        );
    }

    #[test]
    fn datagrams_are_never_fragmented() {
        let four = udp(([127, 0, 0, 1], 0).into(), 1).unwrap();
        assert_eq!(
            sockopt::ip_mtu_discover(&four[0]).unwrap(),
            Ipv4PathMtuDiscovery::PROBE
        );
        let six = udp("[::1]:0".parse().unwrap(), 1).unwrap();
        assert_eq!(
            sockopt::ipv6_mtu_discover(&six[0]).unwrap(),
            Ipv6PathMtuDiscovery::PROBE
        );
    }

    #[test]
    fn an_address_that_stands_for_all_is_refused_with_what_to_do() {
        for address in ["0.0.0.0:53", "[::]:53"] {
            let error = udp(address.parse().unwrap(), 1).unwrap_err().to_string();
            assert!(
                error.contains(address) && error.contains("list each address"),
                "{error}"
            );
        }
    }

    #[test]
    fn an_address_of_another_machine_is_named() {
        let error = tcp(([192, 0, 2, 1], 53).into(), 1, "DNS over TCP").unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot listen for DNS over TCP on 192.0.2.1:53"
        );
        assert!(error::Error::source(&error).is_some());
    }
}
