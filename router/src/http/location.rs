//! Where a redirect leads: to a node by its name or address, or to a place outside.

use std::net::{IpAddr, SocketAddr};

use model::routing::Bypass;
use model::template::{self, Place};

use crate::decide::{EdgeId, Family, Service, SiteId};
use crate::world::World;

/// How the client came, and so how it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    /// Over TLS.
    pub(crate) secure: bool,
    pub(crate) client: IpAddr,
}

/// The authority of a node for this client, and whether it is spoken to over TLS: its name where the service has names
/// for nodes, else an address. A node that does not serve over TLS is reached without, and the other way round.
pub(crate) fn authority(
    world: &World,
    service: &Service,
    site: SiteId,
    edge: EdgeId,
    way: Way,
) -> Option<(bool, String)> {
    let fleet = &world.present.fleet;
    let (at, node) = (fleet.site(site)?, fleet.edge(site, edge)?);
    let reach = world.present.site(site)?.edges.get(usize::from(edge.0))?.reach;
    let own = match way.client.to_canonical() {
        IpAddr::V4(_) => Family::Ipv4,
        IpAddr::V6(_) => Family::Ipv6,
    };
    let other = match own {
        Family::Ipv4 => Family::Ipv6,
        Family::Ipv6 => Family::Ipv4,
    };
    // A client that came over one family reaches the other more often than a node that is down over the first.
    let families = if reach.covers(Some(own)) {
        [own, other]
    } else {
        [other, own]
    };
    let (secure, address) = [way.secure, !way.secure]
        .into_iter()
        .flat_map(|secure| families.map(|family| (secure, family)))
        .find_map(|(secure, family)| Some((secure, node.address(family, secure)?)))?;
    let authority = match &service.node_host {
        Some(template) => {
            let place = Place {
                site: &at.name,
                region: "",
                node: &node.name,
            };
            let name = template::expand(template, &place);
            match usual_port(secure) == address.port() {
                true => name,
                false => format!("{name}:{}", address.port()),
            }
        }
        None => of_address(address, secure),
    };
    Some((secure, authority))
}

/// The authority of a place outside, with what stands before it and behind: scheme, authority and the path that the
/// request's path is put behind.
pub(crate) fn outside(target: &Bypass, way: Way) -> Option<String> {
    if let Some(url) = &target.url {
        return Some(url.trim_end_matches('/').to_owned());
    }
    let of_family = |ip: &&IpAddr| ip.is_ipv4() == way.client.to_canonical().is_ipv4();
    let ip = target
        .addresses
        .iter()
        .find(of_family)
        .or(target.addresses.first())?;
    let address = SocketAddr::new(*ip, usual_port(way.secure));
    Some(format!(
        "{}://{}",
        scheme(way.secure),
        of_address(address, way.secure)
    ))
}

/// `https` or `http`.
pub(crate) fn scheme(secure: bool) -> &'static str {
    if secure { "https" } else { "http" }
}

fn usual_port(secure: bool) -> u16 {
    if secure { 443 } else { 80 }
}

fn of_address(address: SocketAddr, secure: bool) -> String {
    if address.port() != usual_port(secure) {
        return address.to_string();
    }
    match address.ip() {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}
