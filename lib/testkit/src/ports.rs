//! Ports that no other test uses.
//!
//! Daemons bind with `SO_REUSEPORT`, so two tests on one port would not fail but quietly share connections. A port is
//! therefore claimed by a lock on a file named after it, for as long as the [`Port`] lives; the kernel lets go of the
//! lock when the process dies, however it dies. All ports lie below the range from which the kernel takes ports for
//! outgoing connections.

use std::fs::{DirBuilder, File, OpenOptions};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU16, Ordering};

use socket2::{Domain, Socket, Type};

use crate::machine;

/// The ports tests take from. Linux hands out 32768 and above by itself.
const RANGE: std::ops::Range<u16> = 20_000..32_000;

/// A port on loopback that is ours until this value is dropped.
#[derive(Debug)]
pub struct Port {
    number: u16,
    /// Holds the lock.
    _claim: File,
}

impl Port {
    /// Claims a free port.
    ///
    /// # Panics
    ///
    /// When all 12,000 are taken, or the folder of claims cannot be made.
    #[must_use]
    pub fn claim() -> Port {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let folder = claims_folder();
        let width = RANGE.end - RANGE.start;
        // Processes begin at different places, so that they seldom contend for the same files.
        let begin =
            u16::try_from(std::process::id() % u32::from(width)).expect("a remainder below the width fits");
        for _ in 0..width {
            let step = NEXT.fetch_add(1, Ordering::Relaxed) % width;
            let number =
                RANGE.start + (u32::from(begin) * 97 + u32::from(step)).rem_euclid(u32::from(width)) as u16;
            if let Some(port) = Port::try_claim(&folder, number) {
                return port;
            }
        }
        panic!(
            "no free port in {RANGE:?}: end the processes that hold them (claims are in {})",
            folder.display()
        );
    }

    fn try_claim(folder: &std::path::Path, number: u16) -> Option<Port> {
        let path = folder.join(format!("{number}.claim"));
        let claim = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)
            .ok()?;
        claim.try_lock().ok()?;
        // Someone who does not know of claims may listen there.
        is_free(number).then_some(())?;
        Some(Port {
            number,
            _claim: claim,
        })
    }

    /// The number.
    #[must_use]
    pub fn number(&self) -> u16 {
        self.number
    }

    /// The port on 127.0.0.1.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.number))
    }
}

/// Whether nobody listens on the port.
///
/// Bound without `SO_REUSEPORT`, so that every listener is found, and without listening: a process that is being
/// started at this moment holds a copy of this socket for an instant longer, and a listening one would then be in the
/// way of whoever claimed the port.
fn is_free(number: u16) -> bool {
    let bind = || {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, number)).into())
    };
    bind().is_ok()
}

fn claims_folder() -> PathBuf {
    let folder = std::env::temp_dir().join(format!("millrace-ports-{}", machine::user_id()));
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .unwrap_or_else(|error| panic!("cannot make {}: {error}", folder.display()));
    folder
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn claimed_ports_differ_and_lie_below_the_ephemeral_range() {
        let ports: Vec<Port> = (0..50).map(|_| Port::claim()).collect();
        let numbers: BTreeSet<u16> = ports.iter().map(Port::number).collect();
        assert_eq!(numbers.len(), ports.len());
        assert!(numbers.iter().all(|number| RANGE.contains(number)));
    }

    #[test]
    fn a_claimed_port_cannot_be_claimed_again_until_it_is_dropped() {
        let port = Port::claim();
        let number = port.number();
        assert!(Port::try_claim(&claims_folder(), number).is_none());
        drop(port);
        assert!(Port::try_claim(&claims_folder(), number).is_some());
    }

    #[test]
    fn a_port_with_a_listener_is_not_handed_out() {
        let port = Port::claim();
        let number = port.number();
        let listener = TcpListener::bind(port.address()).unwrap();
        drop(port);
        assert!(Port::try_claim(&claims_folder(), number).is_none());
        drop(listener);
    }
}
