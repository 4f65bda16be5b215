//! A router of our own for one run: eight sites of two edges, one zone, one service, and nobody who watches.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use super::cities::{self, CITIES};
use super::{quoted, write};

/// Its one zone.
pub(crate) const ZONE: &str = "cdn.test";

/// The host of its one service.
pub(crate) const HOST: &str = "demo.cdn.test";

/// Resolvers may keep addresses so long, seconds.
pub(crate) const TTL_SECONDS: u32 = 30;

/// Where its name server is said to be.
pub(crate) const NAME_SERVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 53);

/// Edges in each site, which is also how many addresses an answer has.
pub(crate) const EDGES: usize = 2;

/// A router that is set up, but not started.
#[derive(Debug)]
pub(crate) struct Router {
    /// Its DNS, over UDP and TCP.
    pub(crate) dns: SocketAddr,
    /// Its redirects, over plain HTTP.
    pub(crate) http: SocketAddr,
    /// Where its clients are, in the format of MaxMind.
    pub(crate) places: PathBuf,
    config: PathBuf,
}

/// The addresses of the edges of the site in the city of this number.
pub(crate) fn edges(city: usize) -> [Ipv4Addr; EDGES] {
    // There are few cities, and addresses of a documentation network (RFC 5737) for all of them.
    let first = u8::try_from(EDGES * city + 1).unwrap_or(u8::MAX);
    [first, first.saturating_add(1)].map(|last| Ipv4Addr::new(198, 51, 100, last))
}

impl Router {
    /// Writes its configuration, its document and its database of places into `folder`.
    ///
    /// # Errors
    ///
    /// What cannot be written, or that there are no free ports.
    pub(crate) fn write(folder: &Path) -> Result<Router, String> {
        let ports = super::free_ports(3)?;
        let (dns, http, admin) = (ports[0], ports[1], ports[2]);
        let (state, document) = (folder.join("state"), folder.join("cdn.json"));
        let (config, places) = (folder.join("router.toml"), folder.join("city.mmdb"));
        fs::create_dir_all(&state).map_err(|error| format!("{} cannot be made: {error}", state.display()))?;
        cities::write(&places)?;
        write(&document, &snapshot())?;
        let text = format!(
            "snapshot = {document}\nstate = {state}\nadmin = \"{admin}\"\n\n\
             [dns]\nlisten = [\"{dns}\"]\nthreads = 1\n\n[http]\nhttp = [\"{http}\"]\nthreads = 1\n\n\
             [geography]\ndatabase = {places}\n",
            document = quoted(&document),
            state = quoted(&state),
            places = quoted(&places),
        );
        write(&config, &text)?;
        Ok(Router {
            dns,
            http,
            places,
            config,
        })
    }

    /// What starts it.
    ///
    /// # Errors
    ///
    /// When it was not built.
    pub(crate) fn command(&self) -> Result<Command, String> {
        let program = crate::up::programs()?.join("millrace-router");
        if !program.is_file() {
            return Err(format!(
                "{} is not there; build it with `cargo build --release -p router`",
                program.display()
            ));
        }
        let mut command = Command::new(program);
        command.arg("--config").arg(&self.config);
        Ok(command)
    }
}

fn snapshot() -> String {
    let mut sites = serde_json::Map::new();
    let mut nodes = serde_json::Map::new();
    for (number, city) in CITIES.iter().enumerate() {
        let site = json!({ "region": city.name, "latitude": city.latitude, "longitude": city.longitude });
        sites.insert(city.name.to_owned(), site);
        for (edge, address) in (1..).zip(edges(number)) {
            let node = json!({
                "tier": "edge", "site": city.name, "http": format!("{address}:80"), "https": format!("{address}:443"),
            });
            nodes.insert(format!("edge-{}-{edge}", city.name), node);
        }
    }
    let document = json!({
        "cdn": "own",
        "number": 1,
        "sites": sites,
        "nodes": nodes,
        "zones": { (ZONE): {
            "ns": [format!("ns1.{ZONE}")],
            "records": [{ "name": "ns1", "type": "A", "data": NAME_SERVER }],
        } },
        "services": { "demo": {
            "hosts": [HOST, format!("*.{HOST}"), "127.0.0.1"],
            "origins": [{ "url": "http://origin.example" }],
            "plain_http": "serve",
            "routing": {
                "ttl": format!("{TTL_SECONDS}s"), "answers": EDGES, "node_host": format!("{{node}}.{HOST}"),
            },
        } },
    });
    document.to_string()
}

#[cfg(test)]
mod tests {
    use model::Snapshot;

    use super::*;

    #[test]
    fn its_document_is_sound_and_every_edge_has_an_address_of_its_own() {
        let snapshot = Snapshot::from_json(snapshot().as_bytes()).unwrap();
        let mut addresses: Vec<_> = snapshot.nodes.values().map(|node| node.http).collect();
        addresses.sort_unstable();
        addresses.dedup();
        assert_eq!(addresses.len(), EDGES * CITIES.len());
    }

    #[test]
    fn its_configuration_names_what_was_written() {
        let folder = super::super::Folder::new(None).unwrap();
        let router = Router::write(folder.path()).unwrap();
        let text = fs::read_to_string(&router.config).unwrap();
        let config: toml::Table = toml::from_str(&text).unwrap();
        assert_eq!(config["dns"]["threads"].as_integer(), Some(1));
        assert_eq!(config["http"]["threads"].as_integer(), Some(1));
        assert_eq!(
            config["geography"]["database"].as_str().map(PathBuf::from),
            Some(router.places.clone())
        );
        for path in [
            &config["snapshot"],
            &config["state"],
            &config["geography"]["database"],
        ] {
            assert!(Path::new(path.as_str().unwrap()).exists(), "{path:?}");
        }
        assert!(!config.contains_key("monitors"));
    }
}
