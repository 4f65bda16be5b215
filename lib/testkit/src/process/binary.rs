//! Where the binary of a daemon is, and how it comes to be there.

use std::path::{Path, PathBuf};
use std::process::Command;

use parking_lot::Mutex;

use crate::machine;

/// A binary of this workspace.
#[derive(Clone, Debug)]
pub struct Binary {
    /// Its file name, such as `millrace-edge`.
    pub name: String,
    /// The package that builds it.
    pub package: String,
    /// Where it is, when the caller knows: an integration test has `env!("CARGO_BIN_EXE_…")` of its own package.
    pub path: Option<PathBuf>,
}

impl Binary {
    /// The binary `name` of `package`, beside the test that runs.
    #[must_use]
    pub fn of(package: &str, name: &str) -> Binary {
        Binary {
            name: name.to_owned(),
            package: package.to_owned(),
            path: None,
        }
    }

    /// The binary at `path`.
    #[must_use]
    pub fn at(mut self, path: impl Into<PathBuf>) -> Binary {
        self.path = Some(path.into());
        self
    }

    /// Its path. Built first when it is missing: a test of one package may need the daemon of another.
    ///
    /// # Panics
    ///
    /// When it cannot be built.
    #[must_use]
    pub fn found(&self) -> PathBuf {
        if let Some(path) = &self.path {
            return path.clone();
        }
        let beside = profile_folder().join(&self.name);
        // One build at a time: the tests of a process run on several threads.
        static BUILDING: Mutex<()> = Mutex::new(());
        let _one = BUILDING.lock();
        if !beside.exists() {
            self.build(&profile_folder());
        }
        beside
    }

    fn build(&self, profile_folder: &Path) {
        let cargo = machine::variable("CARGO").unwrap_or_else(|| "cargo".to_owned());
        let target = profile_folder
            .parent()
            .expect("a profile's folder lies in the target folder");
        let mut command = Command::new(cargo);
        command
            .args(["build", "--quiet", "--package", &self.package, "--target-dir"])
            .arg(target);
        if profile_folder.ends_with("release") {
            command.arg("--release");
        }
        command.current_dir(env!("CARGO_MANIFEST_DIR"));
        let status = command
            .status()
            .unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
        assert!(
            status.success(),
            "{command:?} failed: mend the build, then run the tests again"
        );
    }
}

/// `target/<profile>`: the test executable lies in its `deps`.
fn profile_folder() -> PathBuf {
    let test = std::env::current_exe().expect("a process knows its executable");
    let folder = test.parent().expect("an executable lies in a folder");
    let profile = if folder.ends_with("deps") {
        folder.parent()
    } else {
        Some(folder)
    };
    profile.expect("deps lies in a profile's folder").to_owned()
}
