//! Why a monitor does not hear this node, and when that is worth a line in the log.

use std::fmt;
use std::mem;

use http::StatusCode;

use super::stream::{ANSWER_TIMEOUT, CONNECT_TIMEOUT, PATH, SEND_TIMEOUT};

/// Why there is no stream to a monitor.
#[derive(Debug)]
pub(super) enum Problem {
    /// The token that it wants to see cannot be had.
    Token(String),
    /// There is no connection.
    Unreachable(std::io::Error),
    /// There was none in time.
    ConnectTimeout,
    /// It did not say that it listens.
    NoAnswer,
    /// It says that it does not.
    Refused(StatusCode),
    /// It takes no more bytes.
    Stalled,
    /// It ended the stream, or the connection broke; with what is known of that.
    Lost(Option<hyper::Error>),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Token(error) => write!(f, "monitors.token: {error}; put the token there"),
            Problem::Unreachable(error) => write!(f, "it cannot be reached: {error}"),
            Problem::ConnectTimeout => write!(f, "no connection within {CONNECT_TIMEOUT:?}"),
            Problem::NoAnswer => write!(f, "no answer within {ANSWER_TIMEOUT:?}"),
            Problem::Refused(status) => {
                write!(f, "it answers {}", status.as_u16())?;
                f.write_str(match *status {
                    StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                        "; set [monitors] token to one that it knows"
                    }
                    StatusCode::NOT_FOUND => {
                        "; see that [monitors] servers names a monitor, and that its snapshot has this node"
                    }
                    _ => "",
                })
            }
            Problem::Stalled => write!(f, "it took nothing for {SEND_TIMEOUT:?}"),
            Problem::Lost(None) => write!(f, "it ended the stream of {PATH}"),
            Problem::Lost(Some(error)) => write!(f, "the connection broke: {}", with_cause(error)),
        }
    }
}

/// Hyper says what it was doing; the cause says why that failed.
fn with_cause(error: &hyper::Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

impl Problem {
    /// Whether an operator who knows of the one learns nothing from the other.
    fn is_like(&self, other: &Problem) -> bool {
        match (self, other) {
            (Problem::Refused(one), Problem::Refused(other)) => one == other,
            (Problem::Unreachable(one), Problem::Unreachable(other)) => one.kind() == other.kind(),
            _ => mem::discriminant(self) == mem::discriminant(other),
        }
    }
}

/// What the log was told last, so that it is told once.
#[derive(Debug, Default)]
pub(super) struct Told(Option<Problem>);

impl Told {
    /// Takes note of a problem, and says whether it is another than the last: then it is logged.
    pub(super) fn is_news(&mut self, problem: Problem) -> bool {
        let is_news = !self.0.as_ref().is_some_and(|last| last.is_like(&problem));
        self.0 = Some(problem);
        is_news
    }

    /// Whether there was a problem until now: then its end is logged.
    pub(super) fn is_over(&mut self) -> bool {
        self.0.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn a_problem_is_told_once_and_so_is_its_end() {
        let mut told = Told::default();
        assert!(!told.is_over());
        let refused = |status| Problem::Refused(StatusCode::from_u16(status).unwrap());
        let unreachable = |kind: io::ErrorKind| Problem::Unreachable(kind.into());
        for (problem, expected) in [
            (refused(401), true),
            (refused(401), false),
            (refused(503), true),
            (Problem::Lost(None), true),
            (Problem::Lost(None), false),
            (unreachable(io::ErrorKind::ConnectionRefused), true),
            (unreachable(io::ErrorKind::ConnectionRefused), false),
            (unreachable(io::ErrorKind::HostUnreachable), true),
            (refused(401), true),
        ] {
            let shown = problem.to_string();
            assert_eq!(told.is_news(problem), expected, "{shown}");
        }
        assert!(told.is_over());
        assert!(!told.is_over());
    }

    #[test]
    fn a_refusal_says_what_to_do() {
        for (status, says) in [(401, "token"), (404, "snapshot"), (503, "answers 503")] {
            let problem = Problem::Refused(StatusCode::from_u16(status).unwrap());
            assert!(problem.to_string().contains(says), "{problem}");
        }
    }
}
