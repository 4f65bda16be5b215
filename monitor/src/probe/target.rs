//! Whom to probe: the nodes that are watched, over each family of addresses that they have.

use std::net::SocketAddr;

use model::{Node, Snapshot, Status};

use crate::judge::Family;

/// One family of one node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Target {
    /// The node's name.
    pub(crate) node: String,
    pub(crate) family: Family,
    /// Where it is asked.
    pub(crate) address: SocketAddr,
    /// Over TLS.
    pub(crate) secure: bool,
}

/// Everyone there is to probe. A node that speaks TLS is asked as its players ask it, over each family by itself.
pub(crate) fn targets(snapshot: &Snapshot) -> Vec<Target> {
    let watched = snapshot
        .nodes
        .iter()
        .filter(|(_, node)| node.status != Status::Offline);
    watched
        .flat_map(|(name, node)| {
            addresses(node).into_iter().map(|(address, secure)| Target {
                node: name.clone(),
                family: if address.is_ipv4() { Family::V4 } else { Family::V6 },
                address,
                secure,
            })
        })
        .collect()
}

fn addresses(node: &Node) -> Vec<(SocketAddr, bool)> {
    let secure = [node.https, node.https6.map(SocketAddr::V6)];
    let plain = [node.http, node.http6.map(SocketAddr::V6)];
    let of_family = |of: fn(&SocketAddr) -> bool| {
        let one = |listed: [Option<SocketAddr>; 2]| listed.into_iter().flatten().find(of);
        one(secure)
            .map(|address| (address, true))
            .or_else(|| one(plain).map(|address| (address, false)))
    };
    let ipv4 = of_family(SocketAddr::is_ipv4);
    ipv4.into_iter().chain(of_family(SocketAddr::is_ipv6)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_asked_over_tls_where_it_speaks_it_and_over_both_families() {
        let text = r#"{"cdn":"t","number":1,"sites":{},"services":{},"nodes":{
            "a":{"tier":"edge","site":"s","http":"192.0.2.1:80","https":"192.0.2.1:443","https6":"[2001:db8::1]:443"},
            "b":{"tier":"parent","site":"s","http":"[2001:db8::2]:80"},
            "c":{"tier":"edge","site":"s","http":"192.0.2.3:80","status":"ADMIN_DOWN"},
            "e":{"tier":"edge","site":"s","http":"192.0.2.5:80","https":"192.0.2.5:443","http6":"[2001:db8::5]:80"},
            "d":{"tier":"edge","site":"s","http":"192.0.2.4:80","status":"OFFLINE"}}}"#;
        let snapshot: Snapshot = serde_json::from_str(text).unwrap();
        let found: Vec<String> = targets(&snapshot)
            .iter()
            .map(|target| {
                format!(
                    "{} {} {} {}",
                    target.node,
                    target.family.as_str(),
                    target.address,
                    target.secure
                )
            })
            .collect();
        assert_eq!(
            found,
            [
                "a ipv4 192.0.2.1:443 true",
                "a ipv6 [2001:db8::1]:443 true",
                "b ipv6 [2001:db8::2]:80 false",
                "c ipv4 192.0.2.3:80 false",
                "e ipv4 192.0.2.5:443 true",
                "e ipv6 [2001:db8::5]:80 false",
            ]
        );
    }
}
