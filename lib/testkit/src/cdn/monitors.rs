//! The monitors of a test's CDN: their configuration files.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::settings::{Settings, snapshot_path};
use crate::certificates::Authority;

/// How the monitors of a test's CDN are told to work, beyond who they are.
#[derive(Clone, Debug)]
pub(super) struct Monitors {
    /// How many there are.
    pub(super) count: usize,
    /// What is set in their files.
    pub(super) settings: Settings,
    /// Further tables of their files, as TOML.
    pub(super) tables: String,
}

/// A monitor's place: its name and where it listens.
pub(super) struct Place {
    pub(super) name: String,
    pub(super) http: SocketAddr,
    pub(super) admin: SocketAddr,
}

/// Ten times as fast as in the field, so that a story about seconds takes none; slow enough for a busy machine.
pub(super) fn usual() -> Settings {
    let mut settings = Settings::default();
    settings
        .text("probe", "interval", "1s")
        .text("probe", "fast_interval", "200ms")
        .text("probe", "timeout", "2s")
        .text("probe", "collect_interval", "1s");
    settings
        .text("judge", "hold_down", "2s")
        .text("judge", "longest_hold_down", "10s")
        .text("judge", "slow_start", "5s");
    // A machine that tests is always busy.
    settings.literal("limits", "load_per_core", "0.0");
    settings
        .text("alerts", "pending", "1s")
        .text("alerts", "clear", "1s")
        .text("alerts", "first_pause", "50ms")
        .text("alerts", "longest_pause", "500ms");
    settings
}

/// The file of one monitor among all.
pub(super) fn config(
    monitors: &Monitors,
    own: usize,
    places: &[Place],
    shared_folder: &Path,
    own_folder: &Path,
    authority: &Authority,
) -> String {
    let mut settings = monitors.settings.clone();
    let place = &places[own];
    settings.literal("listen", "http", format!("[\"{}\"]", place.http));
    let ca_file = authority_file(shared_folder, authority);
    settings.literal("probe", "ca_file", format!("{ca_file:?}"));
    settings.text("probe", "server_name", super::HOST);
    let mut text = format!(
        "name = {:?}\nsnapshot = {:?}\nstate = {:?}\nadmin = \"{}\"\n",
        place.name,
        snapshot_path(shared_folder),
        own_folder.join("state"),
        place.admin
    );
    for (number, peer) in places.iter().enumerate().filter(|(number, _)| *number != own) {
        let _ = write!(
            text,
            "\n[[peers]]\nname = {:?}\nurl = \"http://{}\"\n",
            peer.name, places[number].http
        );
    }
    text + &settings.tables_as_text() + "\n" + &monitors.tables
}

fn authority_file(shared_folder: &Path, authority: &Authority) -> PathBuf {
    let path = shared_folder.join("authority.pem");
    std::fs::write(&path, authority.certificate_pem()).expect("the temporary folder is ours");
    path
}
