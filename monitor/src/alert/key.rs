//! The name of an alert: the same in every monitor and over restarts, so that a receiver knows what belongs together.

use std::fmt;

use model::rendezvous::key_hash;
use serde::{Deserialize, Serialize};

/// PagerDuty takes no longer `dedup_key`. Counted in bytes, which is never less strict than characters.
pub(super) const MAX_KEY_BYTES: usize = 255;
/// What the hash at the end of a key that was cut takes: `#` and sixteen digits.
const HASH_BYTES: usize = 17;

/// The `dedup_key` of an alert.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Key(String);

impl Key {
    pub(super) fn node(cdn: &str, node: &str, check: &str) -> Key {
        Key::bounded(format!("cdn/{cdn}/node/{node}/{check}"))
    }

    pub(super) fn site(cdn: &str, site: &str, check: &str) -> Key {
        Key::bounded(format!("cdn/{cdn}/site/{site}/{check}"))
    }

    pub(super) fn quorum(cdn: &str) -> Key {
        Key::bounded(format!("cdn/{cdn}/monitor/quorum"))
    }

    /// Each monitor holds back for itself, and none may end what another says.
    pub(super) fn storm(cdn: &str, monitor: &str) -> Key {
        Key::bounded(format!("cdn/{cdn}/monitor/{monitor}/storm"))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// A key that is too long ends with a hash of all of it, so that two that begin alike stay apart.
    fn bounded(mut text: String) -> Key {
        if text.len() > MAX_KEY_BYTES {
            let hash = key_hash(&text);
            text.truncate(text.floor_char_boundary(MAX_KEY_BYTES - HASH_BYTES));
            text.push_str(&format!("#{hash:016x}"));
        }
        Key(text)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_say_whose_they_are() {
        assert_eq!(
            Key::node("main", "edge-ams-1", "disks").as_str(),
            "cdn/main/node/edge-ams-1/disks"
        );
        assert_eq!(
            Key::site("main", "ams", "down").as_str(),
            "cdn/main/site/ams/down"
        );
        assert_eq!(Key::quorum("main").as_str(), "cdn/main/monitor/quorum");
        assert_eq!(Key::storm("main", "m1").as_str(), "cdn/main/monitor/m1/storm");
    }

    #[test]
    fn long_keys_are_cut_and_stay_different() {
        let name = "é".repeat(200);
        let keys = ["disks", "down"].map(|check| Key::node("main", &name, check));
        assert_ne!(keys[0], keys[1]);
        for key in keys {
            assert!(key.as_str().len() <= MAX_KEY_BYTES, "{}", key.as_str().len());
            assert_eq!(
                key,
                Key::bounded(key.to_string()),
                "a key that fits is not touched"
            );
        }
    }
}
