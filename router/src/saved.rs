//! What monitors said last, kept over a restart: a router starts while they are all away.

use std::fs;
use std::path::{Path, PathBuf};

use model::health::Merged;

/// No merge is larger: one of ten thousand nodes has five megabytes.
const MOST_BYTES: u64 = 64 << 20;

/// Where it lies.
fn path(state: &Path) -> PathBuf {
    state.join("health.json")
}

/// What was kept, if it can be read.
pub(crate) fn load(state: &Path) -> Option<Merged> {
    let path = path(state);
    if fs::metadata(&path).ok()?.len() > MOST_BYTES {
        return None;
    }
    let merged = serde_json::from_slice(&fs::read(&path).ok()?);
    merged
        .inspect_err(
            |error| tracing::warn!(path = %path.display(), %error, "what monitors said last cannot be read"),
        )
        .ok()
}

/// Keeps `merged` in place of what was kept.
pub(crate) fn keep(state: &Path, merged: &Merged) {
    let path = path(state);
    let fresh = path.with_extension("new");
    let text = serde_json::to_vec(merged).unwrap_or_default();
    let kept = fs::create_dir_all(state)
        .and_then(|()| fs::write(&fresh, text))
        .and_then(|()| fs::rename(&fresh, &path));
    if let Err(error) = kept {
        tracing::warn!(path = %path.display(), %error, "what monitors say cannot be kept: a restart will not know it");
    }
}

/// Whether two merges say the same of who may be used; loads change all the time and are not worth a write.
pub(crate) fn says_the_same(one: &Merged, other: &Merged) -> bool {
    one.nodes.len() == other.nodes.len()
        && one
            .nodes
            .iter()
            .zip(&other.nodes)
            .all(|((name, node), (other_name, other))| {
                name == other_name
                    && (node.state, node.ipv4, node.ipv6) == (other.state, other.ipv4, other.ipv6)
            })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_loaded_and_nonsense_is_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        assert_eq!(load(&state), None);
        let merged = Merged {
            quorum: true,
            ..Merged::default()
        };
        keep(&state, &merged);
        assert_eq!(load(&state), Some(merged));
        fs::write(path(&state), "{").unwrap();
        assert_eq!(load(&state), None);
    }
}
