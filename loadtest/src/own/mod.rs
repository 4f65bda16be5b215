//! A CDN of our own for one run: free ports, a folder of its own, sizes as the run wants them.
//!
//! It is written as a folder like `conf/local/` and then started by the same plan as the local CDN. A router for one run
//! stands by itself, before edges that nobody has to reach.

pub(crate) mod cities;
pub(crate) mod router;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;

use serde_json::json;

use crate::content::Library;
use crate::up::certificate;
use crate::up::plan::{NodePlan, Plan};

/// What a run wants of its CDN.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wishes {
    /// Edges in its one site; they share one parent.
    pub(crate) edges: usize,
    /// RAM of each edge for objects.
    pub(crate) edge_ram_bytes: u64,
    /// Disk of each edge, and of the parent.
    pub(crate) disk_bytes: u64,
    /// RAM of the parent for objects.
    pub(crate) parent_ram_bytes: u64,
    /// Threads of each daemon.
    pub(crate) threads: usize,
    /// What the origin makes up.
    pub(crate) library: Library,
}

/// The one service.
pub(crate) const SERVICE: &str = "own";

/// RAM for fills in flight, each daemon.
const FILL_BYTES: u64 = 64 << 20;

/// Where everything of one run lies; removed with all it holds when dropped.
#[derive(Debug)]
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    /// An empty folder, under `place` when given, else where temporary files go.
    ///
    /// # Errors
    ///
    /// When it cannot be made.
    pub(crate) fn new(place: Option<&Path>) -> Result<Folder, String> {
        let mut builder = tempfile::Builder::new();
        builder.prefix("millrace-loadtest-");
        let made = match place {
            Some(place) => builder.tempdir_in(place),
            None => builder.tempdir(),
        };
        made.map(Folder)
            .map_err(|error| format!("no temporary folder can be made: {error}"))
    }

    /// Its path.
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

/// Writes the configuration of such a CDN into `folder` and reads it as a plan.
///
/// # Errors
///
/// What cannot be written, or does not read back.
pub(crate) fn plan(folder: &Path, wishes: &Wishes) -> Result<Plan, String> {
    let conf = folder.join("conf");
    let ports = free_ports(3 * wishes.edges + 3)?;
    let mut ports = ports.into_iter();
    let mut next = || {
        ports
            .next()
            .ok_or_else(|| "there are too few free ports".to_owned())
    };
    let (origin, parent, parent_admin) = (next()?, next()?, next()?);
    let tls = (folder.join("tls/cert.pem"), folder.join("tls/key.pem"));
    certificate::provide(&tls.0, &tls.1)?;

    let mut nodes = serde_json::Map::new();
    let parent_name = "parent-own-1";
    nodes.insert(
        parent_name.to_owned(),
        json!({ "tier": "parent", "site": "own", "http": parent }),
    );
    let listen = format!("http = [\"{parent}\"]");
    write_node(
        folder,
        parent_name,
        parent_admin,
        &listen,
        "",
        wishes.parent_ram_bytes,
        wishes,
    )?;
    for number in 1..=wishes.edges {
        let name = format!("edge-own-{number}");
        let (http, https, admin) = (next()?, next()?, next()?);
        nodes.insert(
            name.clone(),
            json!({ "tier": "edge", "site": "own", "http": http, "https": https }),
        );
        let listen = format!("http = [\"{http}\"]\nhttps = [\"{https}\"]");
        let certificates = format!(
            "[tls]\ncertificates = [{{ certificate = {}, key = {} }}]\n",
            quoted(&tls.0),
            quoted(&tls.1)
        );
        write_node(
            folder,
            &name,
            admin,
            &listen,
            &certificates,
            wishes.edge_ram_bytes,
            wishes,
        )?;
    }
    let document = json!({
        "cdn": "own",
        "number": 1,
        "sites": { "own": { "region": "own", "latitude": 0.0, "longitude": 0.0 } },
        "nodes": nodes,
        "services": { (SERVICE): {
            "hosts": ["localhost", "127.0.0.1"],
            "origins": [{ "url": format!("http://{origin}") }],
            "allow_private_origins": true,
            "go_direct": false,
            "plain_http": "serve",
            "ttl": { "override": true, "manifest": "15s", "segment": "3600s", "default": "3600s" },
            "stale_while_revalidate": "5s",
        } },
    });
    write(&conf.join("cdn.json"), &document.to_string())?;
    fs::create_dir_all(conf.join("media"))
        .map_err(|error| format!("{} cannot be made: {error}", conf.display()))?;
    Plan::read(&conf, origin, folder, wishes.library)
}

/// Changes a file of a written CDN, before anything is started that reads it.
///
/// # Errors
///
/// When it cannot be read or written.
pub(crate) fn rewrite(file: &Path, change: impl FnOnce(String) -> String) -> Result<(), String> {
    let wrong = |error: std::io::Error| format!("{}: {error}", file.display());
    let text = fs::read_to_string(file).map_err(wrong)?;
    fs::write(file, change(text)).map_err(wrong)
}

/// Gives the ports of a node of the CDN in `folder` to another IP address, before anything is started. The plan does
/// not know it until it is read again.
///
/// # Errors
///
/// When a file cannot be read or written.
pub(crate) fn move_node(folder: &Path, node: &NodePlan, ip: Ipv4Addr) -> Result<(), String> {
    let moved = |text: String| {
        let addresses = [node.http, node.https].into_iter().flatten();
        addresses.fold(text, |text, address| {
            text.replace(&address.to_string(), &format!("{ip}:{}", address.port()))
        })
    };
    rewrite(&node.config, moved)?;
    rewrite(&folder.join("conf/cdn.json"), moved)
}

fn write_node(
    folder: &Path,
    name: &str,
    admin: SocketAddr,
    listen: &str,
    certificates: &str,
    ram_bytes: u64,
    wishes: &Wishes,
) -> Result<(), String> {
    let state = folder.join(name);
    let text = format!(
        "node = \"{name}\"\nsnapshot = {snapshot}\nstate = {state_text}\nadmin = \"{admin}\"\n\n\
         [listen]\n{listen}\nthreads = {threads}\ndrain_timeout = \"5s\"\n\n{certificates}\n\
         [cache]\nram = \"{ram_bytes}B\"\nfills = \"{FILL_BYTES}B\"\n\n\
         [[cache.disks]]\ndevice = {device}\nsize = \"{disk}B\"\n\n[access_log]\npath = {log}\n",
        snapshot = quoted(&folder.join("conf/cdn.json")),
        state_text = quoted(&state),
        threads = wishes.threads,
        device = quoted(&state.join("cache.img")),
        disk = wishes.disk_bytes,
        log = quoted(&state.join("access.log")),
    );
    fs::create_dir_all(&state).map_err(|error| format!("{} cannot be made: {error}", state.display()))?;
    write(&folder.join(format!("conf/{name}.toml")), &text)
}

/// A path as a TOML string, whose escapes are those of JSON.
fn quoted(path: &Path) -> String {
    json!(path).to_string()
}

/// Writes one file, and the folders it lies in.
///
/// # Errors
///
/// When it cannot be written.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), String> {
    let made = path.parent().map_or(Ok(()), fs::create_dir_all);
    made.and_then(|()| fs::write(path, text))
        .map_err(|error| format!("{} cannot be written: {error}", path.display()))
}

/// Addresses on loopback that were all free at once a moment ago.
///
/// # Errors
///
/// When the kernel has no more.
pub(crate) fn free_ports(count: usize) -> Result<Vec<SocketAddr>, String> {
    let held: std::io::Result<Vec<TcpListener>> = (0..count)
        .map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
        .collect();
    held.and_then(|held| held.iter().map(TcpListener::local_addr).collect())
        .map_err(|error| format!("there are not {count} free ports: {error}"))
}

#[cfg(test)]
mod tests {
    use model::Tier;

    use super::*;

    #[test]
    fn a_written_cdn_reads_back_as_a_plan() {
        let folder = Folder::new(None).unwrap();
        let library = Library {
            titles: 3,
            segments: 4,
        };
        let wishes = Wishes {
            edges: 2,
            edge_ram_bytes: 64 << 20,
            disk_bytes: 1 << 30,
            parent_ram_bytes: 128 << 20,
            threads: 1,
            library,
        };
        let plan = plan(folder.path(), &wishes).unwrap();
        assert_eq!(
            plan.nodes.iter().filter(|node| node.tier == Tier::Edge).count(),
            2
        );
        assert_eq!(plan.certificates.len(), 1);
        let mut ports: Vec<_> = plan.ports().into_iter().map(|wanted| wanted.address).collect();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(
            ports.len(),
            1 + 2 + 2 * 3,
            "origin, parent and its admin, three of each edge"
        );
        let edge = plan.nodes.iter().find(|node| node.tier == Tier::Edge).unwrap();
        assert_eq!((edge.ram_bytes, edge.fill_bytes), (64 << 20, FILL_BYTES));
    }
}
