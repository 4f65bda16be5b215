//! How a daemon ends: 0 done, 1 failed while running, 2 bad arguments or configuration.

use std::fmt;
use std::process::ExitCode;

use crate::config::Complaints;

/// Why a daemon could not do its work.
#[derive(Debug)]
pub enum Failure {
    /// What was written is wrong, exit code 2: a restart without an edit fails in the same way.
    Configuration(String),
    /// What was written is right and did not work, exit code 1: a restart may help.
    Running(String),
}

impl Failure {
    /// A failure at run time: what could not be done, and why.
    pub fn running(what: impl fmt::Display, why: impl fmt::Display) -> Failure {
        Failure::Running(format!("{what}: {why}"))
    }
}

impl From<Complaints> for Failure {
    fn from(complaints: Complaints) -> Failure {
        Failure::Configuration(complaints.to_string())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Configuration(text) | Failure::Running(text) => f.write_str(text),
        }
    }
}

/// Says why a daemon ended and gives the code to end with.
///
/// A wrong configuration is printed as plain lines, for the person at the terminal; what happens later goes to the log.
#[must_use]
pub fn exit_code(outcome: Result<(), Failure>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Configuration(text)) => {
            eprintln!("{text}");
            ExitCode::from(2)
        }
        Err(Failure::Running(text)) => {
            if tracing::dispatcher::has_been_set() {
                tracing::error!("{text}");
            } else {
                eprintln!("{text}");
            }
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_tells_a_wrong_configuration_from_a_failure_at_run_time() {
        let code = |outcome| format!("{:?}", exit_code(outcome));
        assert_eq!(code(Ok(())), format!("{:?}", ExitCode::from(0)));
        assert_eq!(
            code(Err(Failure::running("bind 127.0.0.1:80", "refused"))),
            format!("{:?}", ExitCode::from(1))
        );
        assert_eq!(
            code(Err(Failure::Configuration("a.toml:1: x".into()))),
            format!("{:?}", ExitCode::from(2))
        );
    }
}
