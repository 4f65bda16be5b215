//! `[probe]`: how nodes are asked whether they serve.

use std::path::PathBuf;
use std::time::Duration;

use daemon::config::Table;
use model::Period;

/// How nodes are probed, and how their metrics are collected.
#[derive(Clone, Debug)]
pub(crate) struct ProbeConfig {
    /// Between two probes of a target that is as it is believed to be.
    pub(crate) interval: Duration,
    /// Between two probes of one that is not.
    pub(crate) fast_interval: Duration,
    /// For connecting, handshake, request and head of the answer together.
    pub(crate) timeout: Duration,
    /// For the whole of an object.
    pub(crate) object_timeout: Duration,
    /// Between two readings of a node's metrics.
    pub(crate) collect_interval: Duration,
    /// The name in the TLS handshake, where it is not the host of a service.
    pub(crate) server_name: Option<String>,
    /// Whose certificates are trusted; without it, the authorities of the system.
    pub(crate) ca_file: Option<PathBuf>,
    /// What every sixth probe asks for.
    pub(crate) objects: Vec<ObjectConfig>,
}

/// A cached object whose bytes are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ObjectConfig {
    /// The host of its service.
    pub(crate) host: String,
    /// Its path, query included.
    pub(crate) path: String,
    /// The SHA-256 of its bytes.
    pub(crate) sha256: [u8; 32],
}

const fn seconds(count: u64) -> Period {
    Period(Duration::from_secs(count))
}

const fn milliseconds(count: u64) -> Period {
    Period(Duration::from_millis(count))
}

pub(super) fn read(root: &Table<'_>) -> Option<ProbeConfig> {
    let table = root.table("probe");
    let interval = table.within("interval", seconds(10), milliseconds(100)..=seconds(300));
    let fast_interval = table.within("fast_interval", seconds(1), milliseconds(10)..=seconds(60));
    let timeout = table.within("timeout", seconds(2), milliseconds(10)..=seconds(30));
    let object_timeout = table.within("object_timeout", seconds(5), milliseconds(10)..=seconds(60));
    let collect_interval = table.within("collect_interval", seconds(10), milliseconds(100)..=seconds(60));
    let server_name = table.optional("server_name");
    let ca_file = table.optional_file("ca_file");
    if fast_interval > interval {
        table.complain(
            "fast_interval",
            "is longer than interval",
            "write the same or less",
        );
    }
    let objects = table.tables("objects").iter().map(object).collect::<Vec<_>>();
    Some(ProbeConfig {
        interval: interval.0,
        fast_interval: fast_interval.0,
        timeout: timeout.0,
        object_timeout: object_timeout.0,
        collect_interval: collect_interval.0,
        server_name,
        ca_file,
        objects: objects.into_iter().collect::<Option<_>>()?,
    })
}

fn object(table: &Table<'_>) -> Option<ObjectConfig> {
    let host: Option<String> = table.required("host");
    let path: Option<String> = table.required("path");
    let digest: Option<String> = table.required("sha256");
    let sha256 = digest.as_deref().map(digest_of);
    if sha256 == Some(None) {
        table.complain(
            "sha256",
            "is no SHA-256",
            "write 64 hexadecimal digits, as `sha256sum` prints them",
        );
    }
    if path.as_ref().is_some_and(|path| !path.starts_with('/')) {
        table.complain(
            "path",
            "does not begin with /",
            "write the path as players ask for it",
        );
    }
    Some(ObjectConfig {
        host: host?,
        path: path?,
        sha256: sha256??,
    })
}

fn digest_of(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let mut digest = [0; 32];
    for (position, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * position..2 * position + 2], 16).ok()?;
    }
    Some(digest)
}
