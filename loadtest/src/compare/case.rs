//! What is compared: the objects, how they are asked for, and the goals. Pure.

use crate::measure::Goal;

/// RAM for objects that each contestant is given.
pub(super) const RAM_BYTES: u64 = 64 << 20;

/// Objects of 1 MiB on disk: four times the RAM.
pub(super) const DISK_OBJECTS: u64 = 4 * RAM_BYTES / (1 << 20);

/// How requests reach a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wire {
    Plain,
    TlsHttp1,
    TlsHttp2,
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// One object of so many bytes, over and over, from RAM.
    Hit { bytes: u64 },
    /// Objects of 1 MiB at random, from a set four times the RAM.
    Disk,
    /// A new object of 1 MiB each time.
    Miss,
    /// A new connection each time, and one object of 1 KiB on it.
    Handshake { resumed: bool },
    /// One object of 1 KiB at half of what nginx can do at most; the 99th percentile.
    HalfLoad,
}

/// One line of the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) wire: Wire,
    pub(super) work: Work,
}

/// All of them, in order.
pub(super) const CASES: [Case; 14] = [
    Case {
        name: "1 KiB plain",
        wire: Wire::Plain,
        work: Work::Hit { bytes: 1 << 10 },
    },
    Case {
        name: "100 KiB plain",
        wire: Wire::Plain,
        work: Work::Hit { bytes: 100 << 10 },
    },
    Case {
        name: "1 MiB plain",
        wire: Wire::Plain,
        work: Work::Hit { bytes: 1 << 20 },
    },
    Case {
        name: "1 KiB TLS",
        wire: Wire::TlsHttp1,
        work: Work::Hit { bytes: 1 << 10 },
    },
    Case {
        name: "100 KiB TLS",
        wire: Wire::TlsHttp1,
        work: Work::Hit { bytes: 100 << 10 },
    },
    Case {
        name: "1 MiB TLS",
        wire: Wire::TlsHttp1,
        work: Work::Hit { bytes: 1 << 20 },
    },
    Case {
        name: "1 KiB h2",
        wire: Wire::TlsHttp2,
        work: Work::Hit { bytes: 1 << 10 },
    },
    Case {
        name: "100 KiB h2",
        wire: Wire::TlsHttp2,
        work: Work::Hit { bytes: 100 << 10 },
    },
    Case {
        name: "1 MiB h2",
        wire: Wire::TlsHttp2,
        work: Work::Hit { bytes: 1 << 20 },
    },
    Case {
        name: "1 MiB disk, 4 × RAM",
        wire: Wire::Plain,
        work: Work::Disk,
    },
    Case {
        name: "1 MiB miss",
        wire: Wire::Plain,
        work: Work::Miss,
    },
    Case {
        name: "new handshake",
        wire: Wire::TlsHttp1,
        work: Work::Handshake { resumed: false },
    },
    Case {
        name: "resumed handshake",
        wire: Wire::TlsHttp1,
        work: Work::Handshake { resumed: true },
    },
    Case {
        name: "1 KiB p99 at half load",
        wire: Wire::Plain,
        work: Work::HalfLoad,
    },
];

impl Case {
    /// The unit of its figure.
    pub(super) fn unit(&self) -> &'static str {
        match self.work {
            Work::HalfLoad => "µs",
            Work::Handshake { .. } => "conn/cpu s",
            _ => "req/cpu s",
        }
    }

    /// The path it asks for, where there is one.
    pub(super) fn path(&self) -> String {
        match self.work {
            Work::Hit { bytes } => format!("/objects/hit/{bytes}"),
            Work::Disk => disk_path(0),
            Work::Miss | Work::Handshake { .. } | Work::HalfLoad => "/objects/hit/1024".to_owned(),
        }
    }

    /// What our ratio to `peer` should be at least, or at most where less is better.
    pub(super) fn goal(&self, peer: &str) -> Option<Goal> {
        match (self.name, peer) {
            ("1 KiB plain" | "1 KiB TLS", "nginx") => Some(Goal::AtLeast(1.2)),
            ("1 KiB plain", "trafficserver") => Some(Goal::AtLeast(1.6)),
            ("1 MiB plain", "nginx") => Some(Goal::AtLeast(0.9)),
            ("1 MiB TLS", "nginx") => Some(Goal::AtLeast(1.4)),
            ("1 KiB p99 at half load", "nginx") => Some(Goal::AtMost(1.0)),
            _ => None,
        }
    }
}

/// The path of one object of the set on disk.
pub(super) fn disk_path(number: u64) -> String {
    format!("/objects/disk-{number}/1MiB")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::content::{Content, Library};

    #[test]
    fn cases_have_names_of_their_own_and_paths_with_content() {
        let names: BTreeSet<&str> = CASES.iter().map(|case| case.name).collect();
        assert_eq!(names.len(), CASES.len());
        let library = Library {
            titles: 1,
            segments: 1,
        };
        for case in CASES {
            let content = Content::of(&case.path(), &library).unwrap();
            if let Work::Hit { bytes } = case.work {
                assert_eq!(content.length(), bytes, "{}", case.name);
            }
        }
    }
}
