//! Files under the origin's folder.

use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;

use tokio::fs::File;

/// An open file and what is known of it.
#[derive(Debug)]
pub(crate) struct FoundFile {
    pub(crate) file: File,
    pub(crate) length: u64,
    pub(crate) modified: SystemTime,
}

/// The file that `path` names under `root`, or none. What leads out of the folder names nothing.
pub(crate) async fn find(root: &Path, path: &str) -> Option<FoundFile> {
    let file = File::open(inside(root, path)?).await.ok()?;
    let facts = file.metadata().await.ok().filter(std::fs::Metadata::is_file)?;
    Some(FoundFile {
        file,
        length: facts.len(),
        modified: facts.modified().ok()?,
    })
}

fn inside(root: &Path, path: &str) -> Option<PathBuf> {
    let decoded = percent_encoding::percent_decode_str(path.strip_prefix('/')?)
        .decode_utf8()
        .ok()?;
    let relative = Path::new(decoded.as_ref());
    let plain = relative
        .components()
        .all(|part| matches!(part, Component::Normal(_)))
        && !decoded.contains('\0');
    (plain && !decoded.is_empty()).then(|| root.join(relative))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_inside_the_folder() {
        let root = Path::new("/media");
        for (path, place) in [
            ("/demo/0.m4s", Some("/media/demo/0.m4s")),
            ("/a%20b", Some("/media/a b")),
            ("/../etc/passwd", None),
            ("/demo/%2e%2e/%2e%2e/etc/passwd", None),
            ("//etc/passwd", None),
            ("/%2Fetc/passwd", None),
            ("/a%00b", None),
            ("/%ff", None),
            ("/", None),
            ("*", None),
        ] {
            assert_eq!(inside(root, path), place.map(PathBuf::from), "{path}");
        }
    }
}
