//! Three monitors of a CDN of our own: their files, their start, and what they say.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use model::Moment;
use serde_json::{Value, json};

use crate::client::ask;
use crate::own;
use crate::up::fleet::Member;

/// As many as a CDN should have.
pub(crate) const COUNT: usize = 3;

/// How long a monitor may take to say what it sees.
const PATIENCE: Duration = Duration::from_secs(2);

/// The tables of monitors that judge as in the field, but for coming back: there is no hold-down, and what came back has
/// all of its share after `slow_start`. The load of this machine is everybody's, and counts for nothing.
pub(crate) fn tables(slow_start: Duration) -> String {
    format!(
        "[judge]\nhold_down = \"1s\"\nlongest_hold_down = \"1s\"\nslow_start = \"{}ms\"\n\n\
         [limits]\nload_per_core = 0.0\n",
        slow_start.as_millis()
    )
}

/// One monitor.
#[derive(Clone, Debug)]
pub(crate) struct Watcher {
    pub(crate) name: String,
    /// Its API.
    pub(crate) http: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) config: PathBuf,
}

/// Writes the files of three monitors into `folder`. They follow `snapshot`, trust `certificate`, and listen at `also`
/// too; `tables` is added to each.
///
/// # Errors
///
/// What cannot be written.
pub(crate) fn write(
    folder: &Path,
    snapshot: &Path,
    certificate: &Path,
    also: Option<Ipv4Addr>,
    tables: &str,
) -> Result<Vec<Watcher>, String> {
    let ports = own::free_ports(2 * COUNT)?;
    let watchers: Vec<Watcher> = ports
        .chunks_exact(2)
        .enumerate()
        .map(|(number, ports)| Watcher {
            name: format!("monitor-own-{}", number + 1),
            http: ports[0],
            admin: ports[1],
            config: folder.join(format!("monitor-own-{}.toml", number + 1)),
        })
        .collect();
    for watcher in &watchers {
        let mut listens = vec![watcher.http.to_string()];
        listens.extend(also.map(|ip| format!("{ip}:{}", watcher.http.port())));
        let peers: String = watchers
            .iter()
            .filter(|peer| peer.name != watcher.name)
            .map(|peer| {
                format!(
                    "[[peers]]\nname = \"{}\"\nurl = \"http://{}\"\n\n",
                    peer.name, peer.http
                )
            })
            .collect();
        let text = format!(
            "name = \"{name}\"\nsnapshot = {snapshot}\nstate = {state}\nadmin = \"{admin}\"\n\n\
             [listen]\nhttp = {listens}\n\n{peers}\
             [probe]\nca_file = {certificate}\nserver_name = \"localhost\"\n\n{tables}",
            name = watcher.name,
            snapshot = json!(snapshot),
            state = json!(folder.join(&watcher.name)),
            admin = watcher.admin,
            listens = json!(listens),
            certificate = json!(certificate),
        );
        fs::write(&watcher.config, text)
            .map_err(|error| format!("{} cannot be written: {error}", watcher.config.display()))?;
    }
    Ok(watchers)
}

/// Adds to the configuration of an edge that it sends its heartbeats to `watchers`, which it reaches at `ip`.
///
/// # Errors
///
/// When the file cannot be read or written.
pub(crate) fn send_heartbeats(config: &Path, watchers: &[Watcher], ip: Ipv4Addr) -> Result<(), String> {
    let servers: Vec<String> = watchers
        .iter()
        .map(|watcher| format!("http://{ip}:{}", watcher.http.port()))
        .collect();
    own::rewrite(config, |text| {
        format!("{text}\n[monitors]\nservers = {}\n", json!(servers))
    })
}

/// Since when most monitors say that a node is in a state, of what one of them answers to `/v1/state`: when the one that
/// made it a majority came to say so.
pub(crate) fn majority_since(answer: &Value, node: &str, wanted: &str) -> Option<Moment> {
    let views = answer["views"].as_object()?.values();
    let mut moments: Vec<u64> = views
        .map(|monitor| &monitor["view"]["nodes"][node])
        .filter(|seen| seen["state"] == wanted)
        .filter_map(|seen| seen["since"].as_u64())
        .collect();
    moments.sort_unstable();
    moments.get(COUNT / 2).copied().map(Moment)
}

impl Watcher {
    /// The process to be started, from the folder of our programs.
    pub(crate) fn member(&self, programs: &Path, logs: &Path) -> Member {
        let mut command = Command::new(programs.join("millrace-monitor"));
        command.arg("--config").arg(&self.config);
        Member {
            name: self.name.clone(),
            rank: 3,
            command,
            log: logs.join(format!("{}.log", self.name)),
            ready: (self.admin, "/ready"),
        }
    }

    /// What it sees, and what all see together.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub(crate) async fn state(&self) -> Result<Value, String> {
        let (status, text) = ask(self.http, Method::GET, "/v1/state", Bytes::new(), PATIENCE).await?;
        if status != StatusCode::OK {
            return Err(format!("{} answers /v1/state with {status}", self.name));
        }
        serde_json::from_slice(&text).map_err(|error| format!("{}: {error}", self.name))
    }

    /// How all monitors together see a node: its state, and the kind of cause.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub(crate) async fn merged(&self, node: &str) -> Result<(String, String), String> {
        let state = self.state().await?;
        let node = &state["merged"]["nodes"][node];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Ok((text(&node["state"]), text(&node["cause"]["kind"])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_majority_is_as_old_as_the_monitor_that_made_it_one() {
        let view = |state: &str, since: u64| json!({ "view": { "nodes": { "a": { "state": state, "since": since } } } });
        let of = |views: Value| majority_since(&json!({ "views": views }), "a", "up");
        let (first, second, third) = (view("up", 30), view("up", 10), view("up", 20));
        assert_eq!(
            of(json!({ "1": first, "2": second, "3": third })),
            Some(Moment(20))
        );
        assert_eq!(
            of(json!({ "1": first, "2": second, "3": view("down", 5) })),
            Some(Moment(30))
        );
        assert_eq!(of(json!({ "1": first, "2": view("down", 5), "3": {} })), None);
    }

    #[test]
    fn the_tables_are_toml() {
        let tables: toml::Table = tables(Duration::from_secs(20)).parse().unwrap();
        assert_eq!(tables["judge"]["slow_start"].as_str(), Some("20000ms"));
    }
}
