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
    /// Those who watch them.
    pub(crate) monitors: Vec<MonitorPlan>,
    /// Those who send viewers to them.
    pub(crate) routers: Vec<RouterPlan>,
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

/// One monitor.
#[derive(Debug)]
pub(crate) struct MonitorPlan {
    pub(crate) name: String,
    /// Its API and its page.
    pub(crate) http: SocketAddr,
    pub(crate) admin: SocketAddr,
    /// Its configuration file.
    pub(crate) config: PathBuf,
}

/// One router.
#[derive(Debug)]
pub(crate) struct RouterPlan {
    pub(crate) name: String,
    pub(crate) dns: Option<SocketAddr>,
    pub(crate) http: Option<SocketAddr>,
    pub(crate) https: Option<SocketAddr>,
    pub(crate) admin: SocketAddr,
    /// Its configuration file.
    pub(crate) config: PathBuf,
}

impl Plan {
    /// Reads `cdn.json`, the TOML file of each node that it names, and those of monitors and routers: `monitor*.toml`
    /// and `router*.toml`.
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
            let admin = admin(&table, &config)?;
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
            monitors: monitors(folder)?,
            routers: routers(folder, &mut certificates)?,
            origin,
            media: folder.join("media"),
            library,
            origin_arguments: Vec::new(),
            certificates,
            logs: state.join("log"),
        })
    }

    /// The node of this name.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub(crate) fn node(&self, name: &str) -> Result<&NodePlan, String> {
        let node = self.nodes.iter().find(|node| node.name == name);
        node.ok_or_else(|| format!("there is no {name}"))
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
        for monitor in &self.monitors {
            for (address, what) in [(monitor.http, "http"), (monitor.admin, "admin")] {
                let by = format!("{} ({what})", monitor.name);
                wanted.push(Wanted { address, by });
            }
        }
        for router in &self.routers {
            let listens = [
                (router.dns, "dns"),
                (router.http, "http"),
                (router.https, "https"),
                (Some(router.admin), "admin"),
            ];
            for (address, what) in listens {
                let by = format!("{} ({what})", router.name);
                wanted.extend(address.map(|address| Wanted { address, by }));
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
            members.push(self.daemon(
                &node.name,
                rank,
                program(programs, binary)?,
                &node.config,
                node.admin,
            ));
        }
        for monitor in &self.monitors {
            let program = program(programs, "millrace-monitor")?;
            members.push(self.daemon(&monitor.name, 3, program, &monitor.config, monitor.admin));
        }
        for router in &self.routers {
            let program = program(programs, "millrace-router")?;
            members.push(self.daemon(&router.name, 3, program, &router.config, router.admin));
        }
        Ok(members)
    }

    fn daemon(&self, name: &str, rank: u8, program: PathBuf, config: &Path, admin: SocketAddr) -> Member {
        let mut command = Command::new(program);
        command.arg("--config").arg(config);
        Member {
            name: name.to_owned(),
            rank,
            command,
            log: self.logs.join(format!("{name}.log")),
            ready: (admin, "/ready"),
        }
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
fn admin(table: &toml::Table, config: &Path) -> Result<SocketAddr, String> {
    let admin = table.get("admin").and_then(|admin| admin.as_str()?.parse().ok());
    admin.ok_or_else(|| {
        format!(
            "{}: there is no admin address; write admin = \"127.0.0.1:9101\"",
            config.display()
        )
    })
}

/// The files in `folder` whose names begin with `kind`, by name.
fn daemons(folder: &Path, kind: &str) -> Result<Vec<(String, PathBuf, toml::Table)>, String> {
    let unreadable = |error: std::io::Error| format!("{} cannot be read: {error}", folder.display());
    let mut daemons = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let config = entry.map_err(unreadable)?.path();
        let name = config
            .file_stem()
            .and_then(|stem| stem.to_str())
            .unwrap_or_default();
        if !name.starts_with(kind) || config.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        daemons.push((name.to_owned(), config.clone(), table(&config)?));
    }
    daemons.sort_by(|left, right| left.0.cmp(&right.0));
    Ok(daemons)
}

/// The first address of a list of addresses.
fn first_address(table: &toml::Table, within: &str, key: &str) -> Option<SocketAddr> {
    table.get(within)?.get(key)?.get(0)?.as_str()?.parse().ok()
}

/// The monitors described in `folder`, by name.
fn monitors(folder: &Path) -> Result<Vec<MonitorPlan>, String> {
    let mut monitors = Vec::new();
    for (name, config, table) in daemons(folder, "monitor")? {
        let http = first_address(&table, "listen", "http").ok_or_else(|| {
            format!(
                "{}: there is no address of its API; write http = [\"127.0.0.1:8070\"] to [listen]",
                config.display()
            )
        })?;
        monitors.push(MonitorPlan {
            name,
            http,
            admin: admin(&table, &config)?,
            config,
        });
    }
    Ok(monitors)
}

/// The routers described in `folder`, by name, and the certificates that they show.
fn routers(folder: &Path, certificates: &mut Vec<(PathBuf, PathBuf)>) -> Result<Vec<RouterPlan>, String> {
    let mut routers = Vec::new();
    for (name, config, table) in daemons(folder, "router")? {
        collect_certificates(&table, certificates);
        routers.push(RouterPlan {
            name,
            dns: first_address(&table, "dns", "listen"),
            http: first_address(&table, "http", "http"),
            https: first_address(&table, "http", "https"),
            admin: admin(&table, &config)?,
            config,
        });
    }
    Ok(routers)
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
            5300, 8053, 8070, 8071, 8072, 8080, 8081, 8082, 8090, 8180, 8181, 8443, 8444, 8445, 8553, 9101,
            9102, 9103, 9121, 9122, 9131, 9141, 9142, 9143,
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
