//! The name under which this node, or its CDN, appears in header fields.

use std::{fmt, sync::Arc};

/// No name is longer: it is sent with every request and response.
const PSEUDONYM_BYTES_MAX: usize = 64;

/// A name fit for `Via` (RFC 9110 §7.6.3 *pseudonym*), `CDN-Loop` (RFC 8586 *cdn-id*), `Cache-Status` and
/// `Proxy-Status`: a token of at most 64 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pseudonym(Arc<str>);

/// Why a text cannot be a [`Pseudonym`].
#[derive(Debug, PartialEq, Eq)]
pub struct NotAPseudonym(String);

impl Pseudonym {
    /// Takes `text` as a name.
    ///
    /// # Errors
    ///
    /// When it is empty, longer than 64 bytes, or not a token.
    pub fn new(text: &str) -> Result<Pseudonym, NotAPseudonym> {
        if is_token(text.as_bytes()) && text.len() <= PSEUDONYM_BYTES_MAX {
            Ok(Pseudonym(text.into()))
        } else {
            Err(NotAPseudonym(text.chars().take(PSEUDONYM_BYTES_MAX).collect()))
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Pseudonym {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for NotAPseudonym {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} cannot stand in header fields; use 1 to {PSEUDONYM_BYTES_MAX} letters, digits, '-', '_' or '.'",
            self.0
        )
    }
}

impl std::error::Error for NotAPseudonym {}

/// Whether `text` is a token (RFC 9110 §5.6.2).
#[must_use]
pub fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|byte| is_token_byte(*byte))
}

/// Whether `byte` may stand in a token (RFC 9110 §5.6.2 *tchar*).
#[must_use]
pub fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_nodes_are_taken_and_what_would_break_a_field_is_not() {
        for good in ["edge-ams-1", "millrace-demo", "9lives", "a", &"x".repeat(64)] {
            assert_eq!(Pseudonym::new(good).expect(good).as_str(), good);
        }
        for bad in [
            "",
            "edge 1",
            "edge,1",
            "edge;1",
            "edge\r\nX: y",
            "édge",
            "a\"b",
            &"x".repeat(65),
        ] {
            let message = Pseudonym::new(bad).expect_err(bad).to_string();
            assert!(message.contains("use 1 to 64"), "{message}");
        }
    }
}
