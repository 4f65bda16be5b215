//! How names are hashed: XXH3 over the bytes. The names in the table are the operator's, so that clients cannot fill one
//! bucket, and no secret is needed.

use std::hash::{BuildHasher, Hasher};

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Makes hashers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct NameHash;

/// Hashes one name.
#[derive(Clone, Copy, Debug)]
pub(super) struct NameHasher(u64);

impl BuildHasher for NameHash {
    type Hasher = NameHasher;

    fn build_hasher(&self) -> NameHasher {
        NameHasher(0)
    }
}

impl Hasher for NameHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64_with_seed(bytes, self.0);
    }

    /// The length, which `[u8]` puts before its bytes and the bytes of a name say again.
    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}
