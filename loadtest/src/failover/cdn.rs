//! What makes of a CDN of our own one that is steered: a second site, a zone, a service whose clients are spread over the
//! edges of a site, coverage zones, and the file of a router. Pure.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use serde_json::{Value, json};

use crate::monitor::watchers::Watcher;
use crate::own::SERVICE;

/// Edges in the site whose clients we are; each of them is addressed by itself.
pub(super) const NEAR_EDGES: usize = 3;

/// And one in another site, so that there is somewhere else to go.
pub(super) const EDGES: usize = NEAR_EDGES + 1;

/// The host of the service.
pub(super) const HOST: &str = "video.own.test";

/// The name of the router.
pub(super) const ROUTER: &str = "router-own-1";

const ZONE: &str = "own.test";
const FAR_SITE: &str = "far";

/// The name of an edge, by its number from 1 on.
pub(super) fn edge(number: usize) -> String {
    format!("edge-own-{number}")
}

/// The address of an edge, by its number from 1 on: DNS answers tell edges apart by addresses alone.
pub(super) fn address(number: usize) -> Ipv4Addr {
    // There are few edges.
    Ipv4Addr::from_bits(Ipv4Addr::new(127, 0, 1, 0).to_bits() + number as u32)
}

/// The address that a client asks from, by its number: each is in a network of its own, of those of the near site.
pub(super) fn client(number: u16) -> Ipv4Addr {
    let [high, low] = number.to_be_bytes();
    Ipv4Addr::new(10, high, low, 7)
}

/// Adds to the document of a CDN of our own what steering needs.
///
/// # Errors
///
/// When it is not such a document.
pub(super) fn steered(document: &str) -> Result<String, String> {
    let mut document: Value =
        serde_json::from_str(document).map_err(|error| format!("the document of our own CDN: {error}"))?;
    document["sites"][FAR_SITE] = json!({ "region": "own", "latitude": 10.0, "longitude": 10.0 });
    document["nodes"][edge(EDGES)]["site"] = FAR_SITE.into();
    document["zones"] = json!({ ZONE: {
        "ns": [format!("ns1.{ZONE}")],
        "records": [{ "name": "ns1", "type": "A", "data": "127.0.0.1" }],
    } });
    let service = &mut document["services"][SERVICE];
    service["hosts"] = json!(["localhost", "127.0.0.1", HOST]);
    // Each network is sent to its own edge first, so that every edge has clients for this one name.
    service["routing"] = json!({ "dispersion": NEAR_EDGES, "ttl": "5s" });
    Ok(document.to_string())
}

/// Which clients are whose.
pub(super) fn coverage() -> String {
    json!({ "zones": [{ "prefix": "10.0.0.0/8", "sites": ["own"] }] }).to_string()
}

/// Where a router listens.
#[derive(Clone, Copy, Debug)]
pub(super) struct Doors {
    pub(super) dns: SocketAddr,
    pub(super) http: SocketAddr,
    pub(super) admin: SocketAddr,
}

/// The configuration of the router of the CDN in `folder`.
pub(super) fn router(folder: &Path, doors: Doors, coverage: &Path, watchers: &[Watcher]) -> String {
    let monitors: String = watchers
        .iter()
        .map(|watcher| {
            format!(
                "[[monitors]]\nname = \"{}\"\nurl = \"http://{}\"\n\n",
                watcher.name, watcher.http
            )
        })
        .collect();
    format!(
        "snapshot = {snapshot}\nstate = {state}\nadmin = \"{admin}\"\n\n[dns]\nlisten = [\"{dns}\"]\nthreads = 1\n\n\
         [http]\nhttp = [\"{http}\"]\nthreads = 1\ntrusted = [\"127.0.0.0/8\"]\n\n{monitors}\
         [geography]\ncoverage = {coverage}\n",
        snapshot = json!(folder.join("conf/cdn.json")),
        state = json!(folder.join(ROUTER)),
        admin = doors.admin,
        dns = doors.dns,
        http = doors.http,
        coverage = json!(coverage),
    )
}

#[cfg(test)]
mod tests {
    use model::Snapshot;

    use super::*;

    #[test]
    fn a_document_of_our_own_is_right_after_it_was_changed_too() {
        let mut nodes = serde_json::Map::new();
        for number in 1..=EDGES {
            let http = SocketAddr::from((address(number), 8080));
            nodes.insert(
                edge(number),
                json!({ "tier": "edge", "site": "own", "http": http }),
            );
        }
        let document = json!({
            "cdn": "own", "number": 1, "nodes": nodes,
            "sites": { "own": { "region": "own", "latitude": 0.0, "longitude": 0.0 } },
            "services": { SERVICE: {
                "hosts": ["localhost"], "origins": [{ "url": "http://127.0.0.1:1" }], "allow_private_origins": true,
            } },
        });
        let changed = steered(&document.to_string()).unwrap();
        let snapshot = Snapshot::from_json(changed.as_bytes()).unwrap();
        assert_eq!(snapshot.sites.len(), 2);
        assert_eq!(snapshot.nodes[&edge(EDGES)].site, FAR_SITE);
        assert!(snapshot.services[SERVICE].hosts.contains(&HOST.to_owned()));
        assert!(snapshot.zones.contains_key(ZONE));
    }

    #[test]
    fn the_file_of_a_router_is_toml_and_names_every_monitor() {
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let watcher = |number: u16| Watcher {
            name: format!("monitor-own-{number}"),
            http: at(8070 + number),
            admin: at(9140 + number),
            config: "m.toml".into(),
        };
        let doors = Doors {
            dns: at(53),
            http: at(80),
            admin: at(9131),
        };
        let folder = Path::new("/some \"where\"");
        let text = router(
            folder,
            doors,
            &folder.join("coverage.json"),
            &[watcher(1), watcher(2)],
        );
        let table: toml::Table = text.parse().unwrap();
        assert_eq!(
            table["monitors"][1]["url"].as_str(),
            Some("http://127.0.0.1:8072")
        );
        assert_eq!(table["state"].as_str(), Some("/some \"where\"/router-own-1"));
        assert_eq!(table["dns"]["listen"][0].as_str(), Some("127.0.0.1:53"));
    }

    #[test]
    fn edges_and_clients_have_addresses_of_their_own() {
        assert_eq!(address(1).to_string(), "127.0.1.1");
        assert_eq!(client(258).to_string(), "10.1.2.7");
    }
}
