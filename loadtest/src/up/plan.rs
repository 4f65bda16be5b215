//! What the local CDN consists of, read from its folder of configuration.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use model::{Size, Snapshot, Tier};

use super::fleet::Member;
use super::ports::Wanted;
use crate::content::Library;

/// Names people see; the origin is no node of the CDN.
const ORIGIN: &str = "origin";

/// Everything there is to start, and what to say of it.
#[derive(Debug)]
pub(crate) struct Plan {
    /// In the order in which they are shown.
    pub(crate) nodes: Vec<NodePlan>,
    /// Where the demo origin listens.
    pub(crate) origin: SocketAddr,
    /// What the origin serves.
    pub(crate) media: PathBuf,
    /// What it makes up besides.
    pub(crate) library: Library,
    /// Further arguments of its command.
    pub(crate) origin_arguments: Vec<String>,
    /// Certificate and key that the edges present.
    pub(crate) certificates: Vec<(PathBuf, PathBuf)>,
    /// Where logs go.
    pub(crate) logs: PathBuf,
}

/// One node of the CDN.
#[derive(Debug)]
pub(crate) struct NodePlan {
    pub(crate) name: String,
    pub(crate) site: String,
    pub(crate) tier: Tier,
    pub(crate) http: Option<SocketAddr>,
    pub(crate) https: Option<SocketAddr>,
    pub(crate) admin: SocketAddr,
    /// Its configuration file.
    pub(crate) config: PathBuf,
    /// RAM it may use for objects; 0 when the file does not say.
    pub(crate) ram_bytes: u64,
    /// RAM it may use for fills in flight; 0 when the file does not say.
    pub(crate) fill_bytes: u64,
}

impl Plan {
    /// Reads `cdn.json` and the TOML file of each node that it names.
    ///
    /// # Errors
    ///
    /// Which file is missing or wrong, and how.
    pub(crate) fn read(
        folder: &Path,
        origin: SocketAddr,
        state: &Path,
        library: Library,
    ) -> Result<Plan, String> {
        let document = folder.join("cdn.json");
        let snapshot = Snapshot::from_json(&read(&document)?).map_err(|complaints| {
            let lines: Vec<String> = complaints
                .iter()
                .map(|complaint| format!("{}: {complaint}", document.display()))
                .collect();
            lines.join("\n")
        })?;
        let mut nodes = Vec::new();
        let mut certificates = Vec::new();
        for (name, node) in &snapshot.nodes {
            let config = folder.join(format!("{name}.toml"));
            let table = table(&config)?;
            let admin = admin(&table).ok_or_else(|| {
                format!(
                    "{}: there is no admin address; write admin = \"127.0.0.1:9101\"",
                    config.display()
                )
            })?;
            collect_certificates(&table, &mut certificates);
            nodes.push(NodePlan {
                name: name.clone(),
                site: node.site.clone(),
                tier: node.tier,
                http: node.http,
                https: node.https,
                admin,
                config,
                ram_bytes: cache_size(&table, "ram"),
                fill_bytes: cache_size(&table, "fills"),
            });
        }
        Ok(Plan {
            nodes,
            origin,
            media: folder.join("media"),
            library,
            origin_arguments: Vec::new(),
            certificates,
            logs: state.join("log"),
        })
    }

    /// Every port and who wants it.
    pub(crate) fn ports(&self) -> Vec<Wanted> {
        let mut wanted = vec![Wanted {
            address: self.origin,
            by: ORIGIN.to_owned(),
        }];
        for node in &self.nodes {
            let listens = [
                (node.http, "http"),
                (node.https, "https"),
                (Some(node.admin), "admin"),
            ];
            for (address, what) in listens {
                wanted.extend(address.map(|address| Wanted {
                    address,
                    by: format!("{} ({what})", node.name),
                }));
            }
        }
        wanted
    }

    /// The processes, with programs from the folder `programs`.
    ///
    /// # Errors
    ///
    /// Which program is missing.
    pub(crate) fn members(&self, programs: &Path) -> Result<Vec<Member>, String> {
        let mut command = Command::new(program(programs, "millrace-loadtest")?);
        command
            .arg("origin")
            .arg("--listen")
            .arg(self.origin.to_string())
            .arg("--root")
            .arg(&self.media);
        command.arg("--titles").arg(self.library.titles.to_string());
        command
            .arg("--segments")
            .arg(self.library.segments.to_string())
            .args(&self.origin_arguments);
        let mut members = vec![Member {
            name: ORIGIN.to_owned(),
            rank: 0,
            command,
            log: self.logs.join("origin.log"),
            ready: (self.origin, "/_origin/totals"),
        }];
        for node in &self.nodes {
            let (binary, rank) = match node.tier {
                Tier::Parent => ("millrace-parent", 1),
                Tier::Edge => ("millrace-edge", 2),
            };
            let mut command = Command::new(program(programs, binary)?);
            command.arg("--config").arg(&node.config);
            members.push(Member {
                name: node.name.clone(),
                rank,
                command,
                log: self.logs.join(format!("{}.log", node.name)),
                ready: (node.admin, "/ready"),
            });
        }
        Ok(members)
    }
}

fn program(folder: &Path, name: &str) -> Result<PathBuf, String> {
    let path = folder.join(name);
    if path.is_file() {
        return Ok(path);
    }
    Err(format!(
        "there is no program {}; build it with `cargo build --release` (add --release only if this one is)",
        path.display()
    ))
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| {
        format!(
            "{} cannot be read: {error}; run this where conf/ lies, or name its folder with --conf",
            path.display()
        )
    })
}

fn table(path: &Path) -> Result<toml::Table, String> {
    let text = String::from_utf8(read(path)?).map_err(|_| format!("{} is not UTF-8", path.display()))?;
    text.parse()
        .map_err(|error| format!("{}: {error}", path.display()))
}

/// `admin = "address"`.
fn admin(table: &toml::Table) -> Option<SocketAddr> {
    table.get("admin")?.as_str()?.parse().ok()
}

/// A size of the table `[cache]`.
fn cache_size(table: &toml::Table, key: &str) -> u64 {
    let text = table
        .get("cache")
        .and_then(|cache| cache.get(key)?.as_str().map(str::to_owned));
    text.and_then(|text| Size::try_from(text).ok())
        .map_or(0, |size| size.0)
}

/// Every table, at any depth, that names a certificate and its key.
fn collect_certificates(table: &toml::Table, found: &mut Vec<(PathBuf, PathBuf)>) {
    if let (Some(certificate), Some(key)) = (
        table.get("certificate").and_then(toml::Value::as_str),
        table.get("key").and_then(toml::Value::as_str),
    ) {
        let pair = (PathBuf::from(certificate), PathBuf::from(key));
        if !found.contains(&pair) {
            found.push(pair);
        }
    }
    for value in table.values() {
        let inner = value
            .as_array()
            .map_or(std::slice::from_ref(value), Vec::as_slice);
        inner
            .iter()
            .filter_map(toml::Value::as_table)
            .for_each(|table| collect_certificates(table, found));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_local_cdn_is_read_with_its_fixed_ports() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../conf/local");
        let library = Library {
            titles: 1,
            segments: 1,
        };
        let plan = Plan::read(
            &folder,
            "127.0.0.1:8090".parse().unwrap(),
            Path::new(".local"),
            library,
        )
        .unwrap();
        let mut ports: Vec<u16> = plan.ports().iter().map(|wanted| wanted.address.port()).collect();
        ports.sort_unstable();
        let fixed = [
            8080, 8081, 8082, 8090, 8180, 8181, 8443, 8444, 8445, 9101, 9102, 9103, 9121, 9122,
        ];
        assert_eq!(ports, fixed);
        assert_eq!(plan.certificates.len(), 1);
        assert!(
            plan.nodes
                .iter()
                .all(|node| node.ram_bytes > 0 && node.fill_bytes > 0)
        );
    }

    #[test]
    fn a_missing_file_and_a_missing_program_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let origin = "127.0.0.1:8090".parse().unwrap();
        let library = Library {
            titles: 1,
            segments: 1,
        };
        let complaint = Plan::read(folder.path(), origin, folder.path(), library).unwrap_err();
        assert!(complaint.contains("cdn.json"), "{complaint}");
        assert!(
            program(folder.path(), "millrace-edge")
                .unwrap_err()
                .contains("millrace-edge")
        );
    }
}
