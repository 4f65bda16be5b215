//! A load generator of others: run on its core, within bounds, for what it prints.

use std::process::{Command, Stdio};
use std::time::Duration;

use super::cores;

/// How much longer than its own time a load generator may run before it is given up.
const GRACE: Duration = Duration::from_secs(20);

/// What a load generator did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Done {
    /// Requests that were answered.
    pub(crate) requests: u64,
    /// The same by second of its own clock.
    pub(crate) per_second: f64,
}

/// Runs `command`, which means to take so many seconds, on `core`, and gives back what it printed.
///
/// # Errors
///
/// When it cannot be run, or does not end in time; then it is killed.
pub(crate) async fn run(core: usize, seconds: u64, command: Command) -> Result<String, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let mut command = tokio::process::Command::from(cores::pinned(core, command));
    command.stdin(Stdio::null()).kill_on_drop(true);
    match tokio::time::timeout(Duration::from_secs(seconds) + GRACE, command.output()).await {
        Ok(Ok(output)) => Ok(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()),
        Ok(Err(error)) => Err(format!("{program} cannot be run: {error}")),
        Err(_) => Err(format!("{program} did not end in time")),
    }
}
