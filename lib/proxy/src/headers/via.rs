//! `Via` (RFC 9110 §7.6.3): the nodes a message passed, and the protocol each received it by.

use http::{HeaderMap, HeaderValue, Version, header};

use super::Pseudonym;

/// What this node adds to `Via`, made once for every protocol version.
#[derive(Clone, Debug)]
pub struct Via {
    http_1_0: HeaderValue,
    http_1_1: HeaderValue,
    http_2: HeaderValue,
    http_3: HeaderValue,
}

impl Via {
    /// `Via` under the name `node`.
    #[must_use]
    pub fn new(node: &Pseudonym) -> Via {
        let entry = |version: &str| {
            HeaderValue::try_from(format!("{version} {node}"))
                .expect("a pseudonym is a token, and so printable ASCII")
        };
        Via {
            http_1_0: entry("1.0"),
            http_1_1: entry("1.1"),
            http_2: entry("2"),
            http_3: entry("3"),
        }
    }

    /// This node's entry for a message received by `version`.
    #[must_use]
    pub fn entry(&self, version: Version) -> &HeaderValue {
        match version {
            Version::HTTP_3 => &self.http_3,
            Version::HTTP_2 => &self.http_2,
            Version::HTTP_09 | Version::HTTP_10 => &self.http_1_0,
            _ => &self.http_1_1,
        }
    }

    /// Appends this node to the message's list; `version` is that by which the message was received.
    pub fn append(&self, headers: &mut HeaderMap, version: Version) {
        headers.append(header::VIA, self.entry(version).clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_node_is_appended_after_those_before_it_with_the_version_received() {
        let via = Via::new(&Pseudonym::new("edge-ams-1").expect("a token"));
        for (version, expected) in [
            (Version::HTTP_10, "1.0 edge-ams-1"),
            (Version::HTTP_11, "1.1 edge-ams-1"),
            (Version::HTTP_2, "2 edge-ams-1"),
            (Version::HTTP_3, "3 edge-ams-1"),
        ] {
            let mut headers = HeaderMap::from_iter([(header::VIA, HeaderValue::from_static("1.0 fred"))]);
            via.append(&mut headers, version);
            let lines: Vec<_> = headers.get_all(header::VIA).iter().collect();
            assert_eq!(lines, ["1.0 fred", expected]);
        }
    }
}
