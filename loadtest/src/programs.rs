//! Which programs of others are installed, and how they come to be.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

/// Where Debian puts programs; servers lie in `sbin`, which is not in everybody's search path.
const FOLDERS: [&str; 6] = [
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
];

/// The program's path.
///
/// # Errors
///
/// One line that names the Debian package to install.
pub(crate) fn find(name: &str, package: &str) -> Result<PathBuf, String> {
    FOLDERS
        .iter()
        .map(|folder| Path::new(folder).join(name))
        .find(|path| path.is_file())
        .ok_or_else(|| format!("{name} is not installed (Debian package {package})"))
}

/// The program's path; its Debian package is installed first, where it is missing.
///
/// # Errors
///
/// Why it could not be installed, and what to do.
pub(crate) async fn provide(name: &str, package: &str) -> Result<PathBuf, String> {
    match find(name, package) {
        Ok(path) => Ok(path),
        Err(_) => {
            install(package).await?;
            find(name, package)
        }
    }
}

/// Installs a package of Debian, saying so. It takes root.
async fn install(package: &str) -> Result<(), String> {
    eprintln!("installing the Debian package {package}");
    for arguments in [
        &["update", "-qq"][..],
        &["install", "-y", "-qq", "--no-install-recommends", package],
    ] {
        let status = Command::new("apt-get")
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()
            .await
            .map_err(|error| format!("apt-get cannot be run: {error}; install {package} by hand"))?;
        if !status.success() {
            return Err(format!(
                "apt-get could not install {package}: install it by hand, as root"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_installed_is_named_with_its_package() {
        assert_eq!(find("sh", "dash").map(|path| path.ends_with("sh")), Ok(true));
        let complaint = find("no-such-server", "no-such-package").unwrap_err();
        assert_eq!(
            complaint,
            "no-such-server is not installed (Debian package no-such-package)"
        );
    }
}
