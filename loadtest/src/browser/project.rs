//! The Node project that drives the browser: Playwright and hls.js, in versions whose bytes are known.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::own::Folder;
use crate::programs;

/// What the project consists of. The lock has the hash of every package.
const FILES: [(&str, &str); 3] = [
    ("package.json", include_str!("project/package.json")),
    ("package-lock.json", include_str!("project/package-lock.json")),
    ("watch.js", include_str!("project/watch.js")),
];

/// What the page consists of, beside hls.js.
const PAGE: [(&str, &str); 2] = [
    ("index.html", include_str!("project/index.html")),
    ("player.js", include_str!("project/player.js")),
];

/// Where hls.js lies among what npm installs.
const HLS: &str = "node_modules/hls.js/dist/hls.js";

/// Until npm has fetched some megabytes.
const INSTALL_PATIENCE: Duration = Duration::from_secs(300);

/// An installed project; it goes when dropped.
#[derive(Debug)]
pub(super) struct Project {
    folder: Folder,
    node: PathBuf,
    chromium: PathBuf,
}

impl Project {
    /// Provides Node, npm and Chromium, and lets npm install what the project needs into a folder of its own.
    ///
    /// # Errors
    ///
    /// What could not be installed, and why.
    pub(super) async fn install() -> Result<Project, String> {
        let node = programs::provide("node", "nodejs").await?;
        let npm = programs::provide("npm", "npm").await?;
        let chromium = programs::provide("chromium", "chromium").await?;
        let folder = Folder::new(None)?;
        write(folder.path(), &FILES)?;
        eprintln!("installing {} with npm …", packages().join(" and "));
        let running = Command::new(npm)
            .args([
                "ci",
                "--ignore-scripts",
                "--no-audit",
                "--no-fund",
                "--loglevel=error",
            ])
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = tokio::time::timeout(INSTALL_PATIENCE, running)
            .await
            .map_err(|_| format!("npm installed nothing within {} s", INSTALL_PATIENCE.as_secs()))?
            .map_err(|error| format!("npm cannot be run: {error}"))?;
        if !output.status.success() {
            let words = String::from_utf8_lossy(&output.stderr);
            return Err(format!("npm could not install: {}", words.trim()));
        }
        Ok(Project {
            folder,
            node,
            chromium,
        })
    }

    /// Writes the player's page into `folder`.
    ///
    /// # Errors
    ///
    /// What cannot be written.
    pub(super) fn write_page(&self, folder: &Path) -> Result<(), String> {
        write(folder, &PAGE)?;
        let hls = self.folder.path().join(HLS);
        fs::copy(&hls, folder.join("hls.js"))
            .map(|_| ())
            .map_err(|error| format!("{} cannot be copied: {error}", hls.display()))
    }

    /// The command that opens `page` in Chromium and tells what happens there; it takes a picture at the end.
    pub(super) fn command(&self, page: &str, picture: Option<&Path>) -> Command {
        let mut command = Command::new(&self.node);
        command
            .arg(self.folder.path().join("watch.js"))
            .arg(&self.chromium)
            .arg(page)
            .args(picture);
        command
    }

    /// Where its complaints go.
    pub(super) fn log(&self) -> PathBuf {
        self.folder.path().join("watch.log")
    }
}

fn write(folder: &Path, files: &[(&str, &str)]) -> Result<(), String> {
    let wrong = |error: std::io::Error| format!("{} cannot be written: {error}", folder.display());
    fs::create_dir_all(folder).map_err(wrong)?;
    files
        .iter()
        .try_for_each(|(name, text)| fs::write(folder.join(name), text).map_err(wrong))
}

/// The packages and their versions, as the project names them.
fn packages() -> Vec<String> {
    let manifest: serde_json::Value = serde_json::from_str(FILES[0].1).unwrap_or_default();
    let wanted = manifest["dependencies"].as_object().into_iter().flatten();
    wanted
        .map(|(name, version)| format!("{name} {}", version.as_str().unwrap_or_default()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_package_has_one_version_and_a_hash() {
        assert_eq!(packages(), ["hls.js 1.7.4", "playwright-core 1.60.0"]);
        let lock: serde_json::Value = serde_json::from_str(FILES[1].1).unwrap();
        let locked = lock["packages"].as_object().unwrap();
        let packages: Vec<_> = locked.iter().filter(|(place, _)| !place.is_empty()).collect();
        assert_eq!(packages.len(), 2);
        for (place, package) in packages {
            assert!(
                package["integrity"].as_str().unwrap().starts_with("sha512-"),
                "{place}"
            );
        }
    }
}
