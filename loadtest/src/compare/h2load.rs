//! h2load: h2 over TLS at full speed.

use std::path::Path;
use std::process::Command;

use super::generator::Done;

/// Connections, and streams at once on each.
const CONNECTIONS: usize = 16;
const STREAMS: usize = 8;

/// The command that loads `url`.
pub(super) fn command(h2load: &Path, url: &str, seconds: u64) -> Command {
    let mut command = Command::new(h2load);
    command
        .arg("-t1")
        .arg(format!("-c{CONNECTIONS}"))
        .arg(format!("-m{STREAMS}"))
        .arg(format!("-D{seconds}"))
        .arg(url);
    command
}

/// Reads what h2load printed.
///
/// # Errors
///
/// When a request failed, or it printed something else.
pub(super) fn parse(text: &str) -> Result<Done, String> {
    let found = || {
        let per_second = text.lines().find_map(|line| {
            line.strip_prefix("finished in ")?
                .split(", ")
                .find_map(|part| part.strip_suffix(" req/s")?.parse().ok())
        })?;
        let counts = text.lines().find_map(|line| line.strip_prefix("requests: "))?;
        let count = |what: &str| {
            counts
                .split(", ")
                .find_map(|part| part.strip_suffix(what)?.trim().parse::<u64>().ok())
        };
        Some((
            Done {
                requests: count(" succeeded")?,
                per_second,
            },
            count(" failed")? + count(" timeout")?,
        ))
    };
    match found() {
        Some((done, 0)) if done.requests > 0 => Ok(done),
        Some((done, failed)) => Err(format!(
            "h2load saw {} requests succeed and {failed} fail",
            done.requests
        )),
        None => Err(format!("h2load printed no result:\n{text}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "starting benchmark...\nfinished in 2.00s, 48211.50 req/s, 54.00MB/s\nrequests: 96423 total, 96551 started, 96423 done, 96423 succeeded, 0 failed, 0 errored, 0 timeout\nstatus codes: 96423 2xx, 0 3xx, 0 4xx, 0 5xx\n";

    #[test]
    fn a_result_is_read() {
        assert_eq!(
            parse(TEXT),
            Ok(Done {
                requests: 96_423,
                per_second: 48_211.5
            })
        );
    }

    #[test]
    fn failures_are_no_result() {
        assert!(parse(&TEXT.replace("0 failed", "2 failed")).is_err());
        assert!(parse("no connection\n").is_err());
    }
}
