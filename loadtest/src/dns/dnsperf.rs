//! dnsperf: DNS over UDP and TCP at full speed.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::case::Case;
use super::message;
use crate::duel::Load;
use crate::own::router::HOST;

/// Sockets it asks from; fewer than the connections that our router grants one network.
const CLIENTS: usize = 32;

/// Questions that wait for an answer, all clients together: enough to keep a server busy, and so few that all of them
/// have room in a socket of the usual size.
const OUTSTANDING: usize = 200;

/// After so many questions a client over TCP comes on another connection: our router grants 10,000 to each.
const OF_ONE_CONNECTION: usize = 5_000;

/// After so many seconds without an answer a question is lost.
const LOST_AFTER_SECONDS: u64 = 2;

/// Writes what is asked: one name, over and over.
///
/// # Errors
///
/// When it cannot be written.
pub(super) fn write_questions(folder: &Path) -> Result<PathBuf, String> {
    let path = folder.join("questions");
    std::fs::write(&path, format!("{HOST} A\n"))
        .map_err(|error| format!("{} cannot be written: {error}", path.display()))?;
    Ok(path)
}

/// The command that asks the server at `address`.
pub(super) fn command(
    dnsperf: &Path,
    questions: &Path,
    address: SocketAddr,
    case: &Case,
    seconds: u64,
) -> Command {
    let mut command = Command::new(dnsperf);
    command
        .args(["-s", &address.ip().to_string()])
        .args(["-p", &address.port().to_string()])
        .arg("-d")
        .arg(questions)
        .args(["-m", if case.tcp { "tcp" } else { "udp" }])
        .args(["-c", &CLIENTS.to_string(), "-T", "1"])
        .args(["-q", &OUTSTANDING.to_string()])
        .args(["-t", &LOST_AFTER_SECONDS.to_string()])
        .args(["-l", &seconds.to_string()])
        .args(["-O", "suppress=timeouts"]);
    if case.tcp {
        command.args(["-O", &format!("num-queries-per-conn={OF_ONE_CONNECTION}")]);
    }
    if let Some(subnet) = case.subnet {
        command.args(["-E", &option(subnet)]);
    }
    command
}

/// The option of the client's network as dnsperf wants it: number and data.
fn option(subnet: [u8; 3]) -> String {
    let data = message::subnet_option(subnet).map(|byte| format!("{byte:02x}"));
    format!("8:{}", data.concat())
}

/// Reads what dnsperf printed.
///
/// # Errors
///
/// When an answer was anything but NOERROR, or it printed something else.
pub(super) fn parse(text: &str) -> Result<Load, String> {
    let field = |name: &str| {
        text.lines()
            .find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(':'))
            .map(str::trim)
    };
    let count = |name: &str| -> Option<u64> { field(name)?.split(' ').next()?.parse().ok() };
    let codes = field("Response codes").unwrap_or_default();
    if codes.contains(',') || !codes.starts_with("NOERROR ") {
        return Err(format!(
            "dnsperf saw other answers than NOERROR, or none: {codes}\n{text}"
        ));
    }
    let found = || {
        Some(Load {
            answers: count("Queries completed")?,
            per_second: field("Queries per second")?.parse().ok()?,
            lost: count("Queries lost")? as f64 / count("Queries sent").filter(|sent| *sent > 0)? as f64,
        })
    };
    found().ok_or_else(|| format!("dnsperf printed no result:\n{text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "DNS Performance Testing Tool\nVersion 2.10.0\n\n[Status] Command line: dnsperf -s 127.0.0.1\n[Status] Testing complete (time limit)\n\nStatistics:\n\n  Queries sent:         46000\n  Queries completed:    45770 (99.50%)\n  Queries lost:         230 (0.50%)\n\n  Response codes:       NOERROR 45770 (100.00%)\n  Average packet size:  request 53, response 85\n  Run time (s):         2.000416\n  Queries per second:   22870.742885\n\n  Average Latency (s):  0.006861 (min 0.000025, max 0.038553)\n  Latency StdDev (s):   0.006382\n";

    #[test]
    fn a_result_is_read() {
        assert_eq!(
            parse(TEXT),
            Ok(Load {
                answers: 45_770,
                per_second: 22_870.742_885,
                lost: 0.005,
            })
        );
    }

    #[test]
    fn other_answers_and_none_are_no_result() {
        for codes in [
            "NOERROR 45000 (98.31%), SERVFAIL 770 (1.69%)",
            "REFUSED 45770 (100.00%)",
            "",
        ] {
            let text = TEXT.replace("NOERROR 45770 (100.00%)", codes);
            assert!(parse(&text).is_err(), "{codes}");
        }
        assert!(parse("Error: all sockets reported failure, can not continue\n").is_err());
    }

    #[test]
    fn the_case_decides_how_is_asked() {
        let arguments = |tcp, subnet| {
            let case = Case {
                name: "",
                tcp,
                subnet,
                goal: None,
            };
            let address = ([127, 0, 0, 1], 5353).into();
            let command = command(Path::new("dnsperf"), Path::new("/questions"), address, &case, 5);
            let arguments = command
                .get_args()
                .map(|argument| argument.to_string_lossy().into_owned());
            arguments.collect::<Vec<_>>().join(" ")
        };
        let plain = arguments(false, None);
        for part in ["-s 127.0.0.1 -p 5353", "-m udp", "-l 5"] {
            assert!(plain.contains(part), "{plain}");
        }
        assert!(!plain.contains("-E") && !plain.contains("per-conn"), "{plain}");
        assert!(arguments(false, Some([203, 0, 113])).contains("-E 8:00011800cb0071"));
        assert!(arguments(true, None).contains("-m tcp"));
    }
}
