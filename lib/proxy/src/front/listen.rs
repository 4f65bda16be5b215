//! Listening sockets: one for each core and address, so that no two cores share a queue.
//!
//! SO_REUSEPORT lets the kernel spread connections over the cores' sockets, and lets a successor bind beside a
//! running process and take over. The price: two daemons of the same user that are told the same port by mistake share
//! it silently instead of one failing. Sockets of other users, or without SO_REUSEPORT, still give "in use".

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

use super::FrontError;

/// Connections that wait to be accepted, per socket. The kernel takes the lower of this and `net.core.somaxconn`,
/// whose default is the same.
pub(crate) const BACKLOG: i32 = 4096;

const MIGRATION: &str = "/proc/sys/net/ipv4/tcp_migrate_req";

/// One address, bound once for each core.
pub(crate) struct Bound {
    /// The address; a port of 0 has become the one that was given.
    pub(crate) address: SocketAddr,
    /// Whether TLS is spoken on it.
    pub(crate) secure: bool,
    /// One socket for each core, in non-blocking mode.
    pub(crate) sockets: Vec<TcpListener>,
}

impl Bound {
    /// Binds `address` `cores` times.
    ///
    /// # Errors
    /// [`FrontError::Bind`], naming the address.
    pub(crate) fn new(address: SocketAddr, secure: bool, cores: usize) -> Result<Bound, FrontError> {
        let fail = |source| FrontError::Bind { address, source };
        let first = listen(address).map_err(fail)?;
        let given = first.local_addr().map_err(fail)?;
        let mut sockets = vec![first];
        for _ in 1..cores {
            sockets.push(listen(given).map_err(fail)?);
        }
        Ok(Bound {
            address: given,
            secure,
            sockets,
        })
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // IPv4 has addresses of its own in the configuration; a mapped one would only look odd in logs.
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    // Accepted connections inherit this, which saves a system call for each.
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Warns when a successor that takes over the port would lose connections.
pub(crate) fn warn_without_migration() {
    let is_set = std::fs::read_to_string(MIGRATION).is_ok_and(|setting| setting.trim() == "1");
    if !is_set {
        tracing::warn!(
            "net.ipv4.tcp_migrate_req is not 1: connections that wait in the queue of a closing process are reset \
             instead of moving to its successor; set it with sysctl"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_core_has_a_socket_on_the_one_port() {
        let bound = Bound::new(([127, 0, 0, 1], 0).into(), false, 3).unwrap();
        assert_ne!(bound.address.port(), 0);
        assert_eq!(bound.sockets.len(), 3);
        for socket in &bound.sockets {
            assert_eq!(socket.local_addr().unwrap(), bound.address);
        }
    }

    #[test]
    fn an_address_in_use_is_one_line_that_names_it() {
        let holder = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = holder.local_addr().unwrap();
        let Err(error) = Bound::new(address, false, 1) else {
            panic!("bound {address} twice")
        };
        let line = error.to_string();
        assert!(
            line.contains(&address.to_string()) && line.contains("in use"),
            "{line}"
        );
        assert!(!line.contains('\n'));
    }

    #[test]
    fn an_address_of_another_machine_is_one_line_that_names_it() {
        let Err(error) = Bound::new(([192, 0, 2, 1], 0).into(), false, 1) else {
            panic!("bound 192.0.2.1")
        };
        assert!(error.to_string().contains("192.0.2.1:0"), "{error}");
    }

    #[test]
    fn accepted_connections_inherit_no_delay() {
        let bound = Bound::new(([127, 0, 0, 1], 0).into(), false, 1).unwrap();
        let _client = std::net::TcpStream::connect(bound.address).unwrap();
        bound.sockets[0].set_nonblocking(false).unwrap();
        let (accepted, _) = bound.sockets[0].accept().unwrap();
        assert!(accepted.nodelay().unwrap());
    }
}
