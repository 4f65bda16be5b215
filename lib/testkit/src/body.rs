//! Bodies that a name and a length determine, and their digest.

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::chance::Chance;

/// `length` bytes that `name` determines. A shorter body of the same name is the beginning of a longer one.
#[must_use]
pub fn body(name: &str, length: usize) -> Bytes {
    let mut chance = Chance::named(name);
    let mut bytes = Vec::with_capacity(length.next_multiple_of(8));
    while bytes.len() < length {
        bytes.extend_from_slice(&chance.next_u64().to_le_bytes());
    }
    bytes.truncate(length);
    Bytes::from(bytes)
}

/// SHA-256 in lower-case hexadecimal.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_determines_its_bytes() {
        assert_eq!(body("a", 1000), body("a", 1000));
        assert_ne!(body("a", 1000), body("b", 1000));
        assert_eq!(body("a", 1000).slice(..13), body("a", 13));
    }

    #[test]
    fn the_digest_is_sha_256() {
        assert_eq!(
            sha256(b"abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
