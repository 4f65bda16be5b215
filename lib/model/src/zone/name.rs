//! A domain name, in the form in which DNS sends and compares it.

use std::fmt;

/// The longest name in its sent form (RFC 1035 §3.1).
const WIRE_BYTES_MAX: usize = 255;

/// The longest label (RFC 1035 §2.3.4).
const LABEL_BYTES_MAX: usize = 63;

/// A domain name in lower case: each label after its length, and a 0 at the end (RFC 1035 §3.1).
///
/// Its labels have letters, digits, `-` and `_`; the first may be `*` alone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DomainName {
    wire: Box<[u8]>,
}

/// Why a text is no domain name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameError(String);

impl DomainName {
    /// Reads a whole name. The final dot may be left out; `.` is the root.
    ///
    /// # Errors
    /// [`NameError`], saying what is wrong with it.
    pub fn read(text: &str) -> Result<DomainName, NameError> {
        let root = DomainName { wire: Box::new([0]) };
        match text.strip_suffix('.').unwrap_or(text) {
            "" if text == "." => Ok(root),
            labels => root.below(labels),
        }
    }

    /// The name that `labels` give below this one.
    ///
    /// # Errors
    /// [`NameError`], saying what is wrong with it.
    pub fn below(&self, labels: &str) -> Result<DomainName, NameError> {
        let wrong = |why: &str| NameError(format!("{labels:?} is no domain name: {why}"));
        let mut wire = Vec::with_capacity(labels.len() + 1 + self.wire.len());
        for (nth, label) in labels.split('.').enumerate() {
            let legal = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
            if label.is_empty() {
                return Err(wrong("one of its labels is empty"));
            }
            if label.len() > LABEL_BYTES_MAX {
                return Err(wrong("one of its labels has more than 63 bytes"));
            }
            let wildcard = label == "*" && nth == 0;
            if !wildcard && !label.bytes().all(legal) {
                return Err(wrong(
                    "labels are of lower-case letters, digits, '-' and '_', and '*' stands alone and first",
                ));
            }
            wire.push(label.len() as u8);
            wire.extend_from_slice(label.as_bytes());
        }
        wire.extend_from_slice(&self.wire);
        if wire.len() > WIRE_BYTES_MAX {
            return Err(wrong("it is longer than 253 characters"));
        }
        Ok(DomainName { wire: wire.into() })
    }

    /// As it is sent, without compression.
    #[must_use]
    pub fn wire(&self) -> &[u8] {
        &self.wire
    }

    /// Whether it is the root.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.wire.len() == 1
    }

    /// Whether its first label is `*`.
    #[must_use]
    pub fn is_wildcard(&self) -> bool {
        self.wire.starts_with(b"\x01*")
    }

    /// The name without its first label; `None` above the root.
    #[must_use]
    pub fn parent(&self) -> Option<DomainName> {
        if self.is_root() {
            return None;
        }
        let wire = self.wire.get(1 + usize::from(self.wire[0])..)?;
        Some(DomainName { wire: wire.into() })
    }

    /// This name and all above it, up to the root.
    pub fn and_above(&self) -> impl Iterator<Item = DomainName> + use<> {
        std::iter::successors(Some(self.clone()), DomainName::parent)
    }

    /// Whether it is `ancestor`, or lies below it.
    #[must_use]
    pub fn is_within(&self, ancestor: &DomainName) -> bool {
        let mut rest = &self.wire[..];
        while rest.len() > ancestor.wire.len() {
            rest = &rest[1 + usize::from(rest[0])..];
        }
        *rest == *ancestor.wire
    }

    /// How many labels it has; the root has none.
    #[must_use]
    pub fn labels(&self) -> usize {
        self.and_above().count() - 1
    }
}

impl fmt::Display for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_root() {
            return f.write_str(".");
        }
        let mut rest = &self.wire[..];
        while let Some((&length, after)) = rest.split_first().filter(|(length, _)| **length > 0) {
            let (label, after) = after.split_at(usize::from(length));
            let dot = if rest.len() == self.wire.len() { "" } else { "." };
            write!(f, "{dot}{}", String::from_utf8_lossy(label))?;
            rest = after;
        }
        Ok(())
    }
}

impl fmt::Debug for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NameError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_into_its_labels_and_shown_without_its_final_dot() {
        for (text, wire, shown) in [
            ("cdn.example", &b"\x03cdn\x07example\0"[..], "cdn.example"),
            ("cdn.example.", b"\x03cdn\x07example\0", "cdn.example"),
            ("*.a_b.c-1", b"\x01*\x03a_b\x03c-1\0", "*.a_b.c-1"),
            (".", b"\0", "."),
        ] {
            let name = DomainName::read(text).expect(text);
            assert_eq!(name.wire(), wire, "{text}");
            assert_eq!(name.to_string(), shown);
        }
    }

    #[test]
    fn what_is_no_name_is_refused_with_its_reason() {
        let long = format!("{}a", "a.".repeat(127));
        let label = "a".repeat(64);
        for (text, why) in [
            ("", "empty"),
            ("..", "empty"),
            (".a", "empty"),
            ("a..b", "empty"),
            ("A.example", "lower-case"),
            ("a b", "lower-case"),
            ("b.*.example", "'*' stands alone and first"),
            ("a*.example", "'*' stands alone and first"),
            ("caf\u{e9}.example", "lower-case"),
            (label.as_str(), "more than 63"),
            (long.as_str(), "longer than 253"),
        ] {
            let error = DomainName::read(text).expect_err(text).to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
        assert!(DomainName::read(&long[2..]).is_ok(), "253 characters fit");
    }

    #[test]
    fn a_name_lies_within_itself_and_what_is_above_it() {
        let name = |text| DomainName::read(text).expect(text);
        for (low, high, within) in [
            ("a.b.example", "b.example", true),
            ("b.example", "b.example", true),
            ("b.example", ".", true),
            ("ab.example", "b.example", false),
            ("b.example", "a.b.example", false),
        ] {
            assert_eq!(name(low).is_within(&name(high)), within, "{low} in {high}");
        }
        assert_eq!(name("a.b.example").labels(), 3);
        assert_eq!(name(".").parent(), None);
    }
}
