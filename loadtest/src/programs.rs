//! Which programs of others are installed.

use std::path::{Path, PathBuf};

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
