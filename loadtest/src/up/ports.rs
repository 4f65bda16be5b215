//! Whether the ports of the local CDN are free, before anything is started.

use std::io;
use std::net::{SocketAddr, TcpListener};

/// A port and who wants it for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) address: SocketAddr,
    /// Such as `edge-ams-1 (https)`.
    pub(crate) by: String,
}

/// Tries each port. Daemons bind with `SO_REUSEPORT`, so a second CDN would quietly share the first one's
/// connections; binding without it, as the standard library does, finds every listener.
///
/// # Errors
///
/// One line for each port that cannot be had.
pub(crate) fn check(wanted: &[Wanted]) -> Result<(), String> {
    let complaints: Vec<String> = wanted.iter().filter_map(complaint).collect();
    if complaints.is_empty() {
        Ok(())
    } else {
        Err(complaints.join("\n"))
    }
}

fn complaint(wanted: &Wanted) -> Option<String> {
    let Wanted { address, by } = wanted;
    let error = TcpListener::bind(address).err()?;
    Some(match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "port {} is in use, and {by} wants it; `ss -ltnp sport = :{}` shows what listens there: end it and try again",
            address.port(),
            address.port()
        ),
        _ => format!("port {} cannot be bound for {by}: {error}", address.port()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_one_line_that_names_port_and_claimant() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let complaint = check(&[Wanted {
            address,
            by: "edge-x (https)".to_owned(),
        }])
        .unwrap_err();
        assert_eq!(complaint.lines().count(), 1);
        assert!(complaint.starts_with(&format!(
            "port {} is in use, and edge-x (https) wants it",
            address.port()
        )));
    }

    #[test]
    fn a_listener_with_reuseport_is_found_too() {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.set_reuse_port(true).unwrap();
        socket
            .bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into())
            .unwrap();
        socket.listen(1).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        assert!(
            check(&[Wanted {
                address,
                by: "edge-x".to_owned()
            }])
            .is_err()
        );
    }
}
