//! The answers the front door gives by itself, to requests that never reach the application.

use bytes::Bytes;
use http::{HeaderValue, StatusCode};

use super::scan::HeadFault;

/// Why a request is turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Its head did not arrive within `header_timeout`.
    Late,
    /// Its head breaks a rule.
    Fault(HeadFault),
}

impl Refusal {
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Refusal::Late => StatusCode::REQUEST_TIMEOUT,
            Refusal::Fault(fault) => fault.status(),
        }
    }

    pub(crate) fn reason(self) -> &'static str {
        match self {
            Refusal::Late => "header_timeout",
            Refusal::Fault(fault) => fault.reason(),
        }
    }

    /// The answer, small enough for any socket buffer.
    pub(crate) fn answer(self, date: &HeaderValue) -> Bytes {
        let status = self.status();
        let phrase = status.canonical_reason().unwrap_or_default();
        let mut answer = format!("HTTP/1.1 {} {phrase}\r\nDate: ", status.as_str()).into_bytes();
        answer.extend_from_slice(date.as_bytes());
        answer.extend_from_slice(b"\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        answer.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_a_whole_response_that_says_close() {
        let date = HeaderValue::from_static("Sun, 06 Nov 1994 08:49:37 GMT");
        let answer = Refusal::Fault(HeadFault::TooLarge).answer(&date);
        assert_eq!(
            answer,
            "HTTP/1.1 431 Request Header Fields Too Large\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
             Connection: close\r\nContent-Length: 0\r\n\r\n"
        );
        assert!(
            Refusal::Late
                .answer(&date)
                .starts_with(b"HTTP/1.1 408 Request Timeout\r\n")
        );
    }
}
