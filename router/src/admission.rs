//! Who may have a connection: no more at once than there is room for, and no more of one network than is fair.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use parking_lot::Mutex;

/// How many connections there may be at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// Of all listeners that share an [`Admission`].
    pub(crate) connections: usize,
    /// Of one network, a /24 or a /56.
    pub(crate) of_one_network: usize,
}

/// Which bound a connection met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    Connections,
    Network,
}

/// Connections that are open, by network. There are no more entries than connections.
#[derive(Default)]
pub(crate) struct Admission {
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    all: usize,
    by_network: HashMap<IpAddr, usize>,
}

/// A connection's place, free again when it is dropped.
pub(crate) struct Place {
    admission: Arc<Admission>,
    network: IpAddr,
}

impl Admission {
    /// A place for a connection of `client`; otherwise which bound it met.
    pub(crate) fn admit(self: &Arc<Self>, client: IpAddr, room: Room) -> Result<Place, Full> {
        let network = network(client);
        let mut open = self.open.lock();
        if open.all >= room.connections {
            return Err(Full::Connections);
        }
        let of_network = open.by_network.entry(network).or_default();
        if *of_network >= room.of_one_network {
            return Err(Full::Network);
        }
        *of_network += 1;
        open.all += 1;
        Ok(Place {
            admission: Arc::clone(self),
            network,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.admission.open.lock();
        open.all -= 1;
        if let Some(of_network) = open.by_network.get_mut(&self.network) {
            *of_network -= 1;
            if *of_network == 0 {
                open.by_network.remove(&self.network);
            }
        }
    }
}

/// The first address of the client's /24 or /56, which is mostly one customer of a provider, and never less.
fn network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V4(client) => Ipv4Addr::from(u32::from(client) & (u32::MAX << 8)).into(),
        IpAddr::V6(client) => Ipv6Addr::from(u128::from(client) & (u128::MAX << 72)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: Room = Room {
        connections: 3,
        of_one_network: 2,
    };

    #[test]
    fn no_network_has_more_than_its_share_and_all_have_no_more_than_there_is() {
        let admission = Arc::new(Admission::default());
        let admit = |client: &str| admission.admit(client.parse().unwrap(), ROOM);
        let first = admit("192.0.2.1").ok();
        let second = admit("::ffff:192.0.2.200").ok();
        assert!(first.is_some() && second.is_some());
        assert_eq!(admit("192.0.2.77").err(), Some(Full::Network));
        let third = admit("2001:db8:0:ff::1").ok();
        assert!(third.is_some());
        assert_eq!(admit("192.0.3.1").err(), Some(Full::Connections));
        drop(first);
        assert!(admit("192.0.2.77").is_ok());
        drop((second, third));
        assert!(admission.open.lock().by_network.is_empty());
        assert_eq!(admission.open.lock().all, 0);
    }

    #[test]
    fn networks_are_what_one_customer_has() {
        for (client, first) in [
            ("192.0.2.255", "192.0.2.0"),
            ("2001:db8:1:2ff::1", "2001:db8:1:200::"),
            ("::ffff:192.0.2.9", "192.0.2.0"),
        ] {
            assert_eq!(network(client.parse().unwrap()), first.parse::<IpAddr>().unwrap());
        }
    }
}
