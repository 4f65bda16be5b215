//! The name in a question: read in place, and copied once in lower case to be looked up.

/// The longest name as it is sent (RFC 1035 §3.1).
const NAME_BYTES_MAX: usize = 255;

/// The longest label (RFC 1035 §2.3.4). What is above marks a pointer, which a question has no use for.
const LABEL_BYTES_MAX: u8 = 63;

/// A name in lower case: each label after its length, and a 0 at the end.
pub(super) struct QueryName {
    lower: [u8; NAME_BYTES_MAX],
    length: usize,
    labels: usize,
}

impl QueryName {
    /// Reads the name that `bytes` begin with. `None` where it has no end within its bounds, or points elsewhere.
    pub(super) fn read(bytes: &[u8]) -> Option<QueryName> {
        let mut at = 0;
        let mut labels = 0;
        loop {
            match *bytes.get(at)? {
                0 => break,
                length @ 1..=LABEL_BYTES_MAX => at += 1 + usize::from(length),
                _ => return None,
            }
            labels += 1;
            if at >= NAME_BYTES_MAX {
                return None;
            }
        }
        let length = at + 1;
        let mut lower = [0; NAME_BYTES_MAX];
        let copy = &mut lower[..length];
        copy.copy_from_slice(&bytes[..length]);
        // Lengths are below every letter, so that they may be lowered with the rest.
        copy.make_ascii_lowercase();
        Some(QueryName {
            lower,
            length,
            labels,
        })
    }

    /// As it is looked up.
    pub(super) fn wire(&self) -> &[u8] {
        &self.lower[..self.length]
    }

    /// How many labels it has; the root has none.
    pub(super) fn labels(&self) -> usize {
        self.labels
    }
}

/// What is left of a name without its first label; the root stays.
pub(super) fn parent(wire: &[u8]) -> &[u8] {
    match wire.first() {
        Some(&length) if length > 0 => &wire[1 + usize::from(length)..],
        _ => wire,
    }
}

/// Where the name ends that stands at `at` in a message. It may end in a pointer (RFC 1035 §4.1.4), which is not
/// followed: nobody here asks what such names are.
pub(super) fn end_of_any(message: &[u8], mut at: usize) -> Option<usize> {
    let start = at;
    loop {
        match *message.get(at)? {
            0 => return Some(at + 1),
            length @ 1..=LABEL_BYTES_MAX => at += 1 + usize::from(length),
            0xc0.. => return (at + 1 < message.len()).then_some(at + 2),
            _ => return None,
        }
        if at - start >= NAME_BYTES_MAX {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_lowered_and_counted() {
        let name = QueryName::read(b"\x03CdN\x07ExamplE\0rest").expect("a name");
        assert_eq!((name.wire(), name.labels()), (&b"\x03cdn\x07example\0"[..], 2));
        assert_eq!(parent(name.wire()), b"\x07example\0");
        assert_eq!(parent(parent(parent(name.wire()))), b"\0");
        let root = QueryName::read(b"\0").expect("the root");
        assert_eq!((root.wire(), root.labels()), (&b"\0"[..], 0));
    }

    #[test]
    fn a_name_ends_within_its_bounds_and_points_nowhere() {
        let longest = [
            &b"\x3f"[..],
            &[b'a'; 63],
            b"\x3f",
            &[b'a'; 63],
            b"\x3f",
            &[b'a'; 63],
            b"\x3d",
            &[b'a'; 61],
            b"\0",
        ]
        .concat();
        assert_eq!(longest.len(), 255);
        assert!(QueryName::read(&longest).is_some());
        let mut longer = longest.clone();
        longer[192] = 62;
        longer.insert(193, b'a');
        assert!(QueryName::read(&longer).is_none());
        for wrong in [
            &b""[..],
            b"\x03cd",
            b"\x03cdn",
            b"\xc0\x0c",
            b"\x01a\xc0\x0c",
            b"\x40a\0",
        ] {
            assert!(QueryName::read(wrong).is_none(), "{wrong:?}");
        }
        assert!(QueryName::read(&[1; 300]).is_none());
    }

    #[test]
    fn any_name_of_a_message_has_an_end_or_is_refused() {
        for (message, end) in [
            (&b"\x01a\0"[..], Some(3)),
            (b"\x01a\xc0\x0c", Some(4)),
            (b"\xc0", None),
            (b"\x80\0", None),
            (b"\x02a", None),
        ] {
            assert_eq!(end_of_any(message, 0), end, "{message:?}");
        }
        assert_eq!(end_of_any(&[1; 300], 0), None);
    }
}
