//! The cache key: what two requests must share to be answered by one object.
//!
//! The text is the service's name followed by the normalised target, such as `demo/demo/master.m3u8`: scheme and host
//! name take no part, so that every host of a service shares its objects. A service's name holds no `/`
//! (`model::Snapshot::check` sees to it), so no two pairs give one text. Equality compares texts; the hash only finds.

use std::{
    fmt,
    hash::{Hash, Hasher},
};

use xxhash_rust::xxh3::xxh3_128;

/// A key and its XXH3-128, by which every table and the disk find it.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    hash: u128,
    text: Box<str>,
}

impl Key {
    /// The key of `target` (a [`Target`](crate::policy::target::Target), which begins with `/`) within a service.
    #[must_use]
    pub fn new(service: &str, target: impl AsRef<str>) -> Key {
        let target = target.as_ref();
        let mut text = String::with_capacity(service.len() + target.len());
        text.push_str(service);
        text.push_str(target);
        Key::from_text(text)
    }

    /// The key that a text stands for, as it was read back from a record.
    #[must_use]
    pub fn from_text(text: impl Into<Box<str>>) -> Key {
        let text = text.into();
        Key {
            hash: xxh3_128(text.as_bytes()),
            text,
        }
    }

    /// XXH3-128 of the text; written to disk, so it is the same for ever.
    #[must_use]
    pub fn hash(&self) -> u128 {
        self.hash
    }

    /// The text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u128(self.hash);
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({:?})", self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number comes from another implementation (Python with the reference C library of xxHash).
    #[test]
    fn a_key_joins_service_and_target_and_hashes_the_same_for_ever() {
        let key = Key::new("demo", "/demo/master.m3u8");
        assert_eq!(key.text(), "demo/demo/master.m3u8");
        assert_eq!(key.hash(), 0x318f_aa74_ffcd_ba4a_2170_cad3_286a_2419);
        assert_eq!(key, Key::from_text("demo/demo/master.m3u8"));
        assert_ne!(key, Key::new("demo", "/demo/master.m3u8?a=1"));
    }

    #[test]
    fn keys_of_one_hash_but_another_text_are_not_equal() {
        let key = Key::new("demo", "/a");
        let impostor = Key {
            hash: key.hash,
            text: "demo/b".into(),
        };
        assert_ne!(key, impostor);
    }
}
