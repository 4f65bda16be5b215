//! wrk: http/1.1 at full speed, plain and over TLS.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::case::DISK_OBJECTS;
use super::generator::Done;

/// Which paths wrk asks for.
#[derive(Clone, Debug)]
pub(crate) enum Paths {
    /// The one of the URL.
    One,
    /// One of the set on disk, at random.
    Disk,
    /// A new one each time; the text keeps runs apart.
    New(String),
}

/// Keep-alive connections for hits.
const CONNECTIONS: usize = 64;

/// For misses: as many fills as a small origin bears, so that what is measured is the server and not a queue.
const CONNECTIONS_FOR_MISSES: usize = 16;

/// The command that loads `url` (scheme, host, port and path), with its script in `folder`.
///
/// # Errors
///
/// When the script cannot be written.
pub(crate) fn command(
    wrk: &Path,
    folder: &Path,
    url: &str,
    paths: &Paths,
    seconds: u64,
) -> Result<Command, String> {
    let connections = if matches!(paths, Paths::New(_)) {
        CONNECTIONS_FOR_MISSES
    } else {
        CONNECTIONS
    };
    let mut command = Command::new(wrk);
    command
        .arg("-t1")
        .arg(format!("-c{connections}"))
        .arg(format!("-d{seconds}s"));
    if let Some(script) = script(paths) {
        let path: PathBuf = folder.join("paths.lua");
        std::fs::write(&path, script)
            .map_err(|error| format!("{} cannot be written: {error}", path.display()))?;
        command.arg("-s").arg(path);
    }
    command.arg(url);
    Ok(command)
}

fn script(paths: &Paths) -> Option<String> {
    match paths {
        Paths::One => None,
        Paths::Disk => Some(format!(
            "math.randomseed(7)\nfunction request()\n  return wrk.format(\"GET\", \"/objects/disk-\" .. math.random(0, {}) .. \"/1MiB\")\nend\n",
            DISK_OBJECTS - 1
        )),
        Paths::New(run) => Some(format!(
            "local count = 0\nfunction request()\n  count = count + 1\n  return wrk.format(\"GET\", \"/objects/miss-{run}-\" .. count .. \"/1MiB\")\nend\n"
        )),
    }
}

/// Reads what wrk printed.
///
/// # Errors
///
/// When a request failed, or it printed something else.
pub(crate) fn parse(text: &str) -> Result<Done, String> {
    let line = |beginning: &str| {
        text.lines()
            .map(str::trim)
            .find(|line| line.starts_with(beginning))
    };
    for complaint in ["Non-2xx or 3xx responses", "Socket errors"] {
        if let Some(line) = line(complaint) {
            return Err(format!("wrk saw failures: {line}"));
        }
    }
    let requests = text
        .lines()
        .find_map(|line| line.trim().split_once(" requests in ")?.0.parse().ok());
    let per_second = line("Requests/sec:").and_then(|line| line.rsplit(' ').next()?.parse().ok());
    match (requests, per_second) {
        (Some(requests), Some(per_second)) if requests > 0 => Ok(Done { requests, per_second }),
        _ => Err(format!("wrk printed no result:\n{text}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "Running 2s test @ http://127.0.0.1:8080/\n  1 threads and 64 connections\n  Thread Stats   Avg      Stdev     Max   +/- Stdev\n    Latency     1.20ms  401.24us   9.91ms   93.11%\n    Req/Sec    53.93k     2.56k   57.03k    85.00%\n  107319 requests in 2.00s, 130.90MB read\nRequests/sec:  53635.06\nTransfer/sec:     65.42MB\n";

    #[test]
    fn a_result_is_read() {
        assert_eq!(
            parse(TEXT),
            Ok(Done {
                requests: 107_319,
                per_second: 53_635.06
            })
        );
    }

    #[test]
    fn failures_are_no_result() {
        for line in [
            "  Non-2xx or 3xx responses: 12\n",
            "  Socket errors: connect 0, read 3, write 0, timeout 0\n",
        ] {
            assert!(parse(&format!("{TEXT}{line}")).is_err(), "{line}");
        }
        assert!(parse("unable to connect to 127.0.0.1:1 Connection refused\n").is_err());
    }
}
