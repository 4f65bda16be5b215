//! What an answer means, by the rules of PagerDuty's Events API v2: done, refused for good, or once more and when.

use std::time::{Duration, UNIX_EPOCH};

use model::Moment;

use super::fold::cut;

/// No receiver holds an alert back longer than this, whatever its Retry-After says.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(60 * 60);
/// What is kept of a receiver's words.
const MAX_MESSAGE_CHARACTERS: usize = 300;

const REQUEST_TIMEOUT: u16 = 408;
const TOO_MANY_REQUESTS: u16 = 429;

/// The times of a courier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pace {
    /// The longest pause after a first failure; it doubles with every further one.
    pub(crate) first_pause: Duration,
    /// The longest pause at all.
    pub(crate) longest_pause: Duration,
    /// How long one request may take.
    pub(crate) timeout: Duration,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace {
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(60),
            timeout: Duration::from_secs(10),
        }
    }
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Status {
        code: u16,
        retry_after: Option<String>,
        message: String,
    },
    /// No answer: why. The receiver may have read the request all the same.
    Nothing(String),
}

/// What to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Delivered,
    /// The receiver will never take it: its words.
    Refused(String),
    Again {
        at: Moment,
        why: String,
    },
}

/// `attempts` counts this one too; `chance` is drawn from [0, 1).
pub(super) fn judge(answer: &Answer, attempts: u32, now: Moment, pace: Pace, chance: f64) -> Verdict {
    let pause = pause(attempts, pace, chance);
    match answer {
        Answer::Nothing(why) => Verdict::Again {
            at: now + pause,
            why: why.clone(),
        },
        Answer::Status {
            code,
            retry_after,
            message,
        } => match code {
            200..=299 => Verdict::Delivered,
            400..=499 if ![REQUEST_TIMEOUT, TOO_MANY_REQUESTS].contains(code) => {
                Verdict::Refused(words(*code, message))
            }
            _ => {
                let asked = retry_after
                    .as_deref()
                    .and_then(|text| read_retry_after(text, now));
                Verdict::Again {
                    at: now + pause.max(asked.unwrap_or_default()),
                    why: words(*code, message),
                }
            }
        },
    }
}

/// Full jitter (Brooker, "Exponential Backoff And Jitter"): anything up to a bound that doubles, so that many who
/// failed together do not come back together.
fn pause(attempts: u32, pace: Pace, chance: f64) -> Duration {
    let factor = 2_u32.saturating_pow(attempts.saturating_sub(1));
    let bound = pace.first_pause.saturating_mul(factor).min(pace.longest_pause);
    bound.mul_f64(chance.clamp(0.0, 1.0))
}

/// Seconds or a date (RFC 9110, 10.2.3).
fn read_retry_after(text: &str, now: Moment) -> Option<Duration> {
    let text = text.trim();
    let asked = if text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() {
        text.parse().map_or(LONGEST_RETRY_AFTER, Duration::from_secs)
    } else {
        let at = httpdate::parse_http_date(text)
            .ok()?
            .duration_since(UNIX_EPOCH)
            .ok()?;
        Moment::from_seconds(at.as_secs()).since(now)
    };
    Some(asked.min(LONGEST_RETRY_AFTER))
}

fn words(code: u16, message: &str) -> String {
    let message = message.trim();
    if message.is_empty() {
        format!("the receiver answers {code}")
    } else {
        let message = cut(message.to_owned(), MAX_MESSAGE_CHARACTERS);
        format!("the receiver answers {code}: {message}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Moment = Moment(784_111_777_000);
    /// Close enough to 1 that every pause is its bound.
    const MOST: f64 = 1.0;

    fn status(code: u16, retry_after: Option<&str>) -> Answer {
        Answer::Status {
            code,
            retry_after: retry_after.map(str::to_owned),
            message: String::new(),
        }
    }

    fn pause_until(answer: &Answer, attempts: u32, chance: f64) -> Duration {
        match judge(answer, attempts, NOW, Pace::default(), chance) {
            Verdict::Again { at, .. } => at.since(NOW),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn two_hundreds_are_done_and_four_hundreds_are_refused() {
        let verdict = |code| judge(&status(code, None), 1, NOW, Pace::default(), MOST);
        for code in [200, 202, 204, 299] {
            assert_eq!(verdict(code), Verdict::Delivered);
        }
        for code in [400, 401, 403, 404, 413, 499] {
            assert_eq!(
                verdict(code),
                Verdict::Refused(format!("the receiver answers {code}"))
            );
        }
        for code in [101, 302, 408, 429, 500, 502, 503, 504, 599] {
            assert!(matches!(verdict(code), Verdict::Again { .. }), "{code}");
        }
    }

    #[test]
    fn pauses_double_up_to_a_minute_and_anything_below_may_be_drawn() {
        let failed = Answer::Nothing("connection reset".to_owned());
        let seconds: Vec<u64> = (1..=9)
            .map(|attempts| pause_until(&failed, attempts, MOST).as_secs())
            .collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(pause_until(&failed, u32::MAX, MOST).as_secs(), 60);
        assert_eq!(pause_until(&failed, 3, 0.5).as_secs(), 2);
        assert_eq!(pause_until(&failed, 3, 0.0), Duration::ZERO);
    }

    #[test]
    fn retry_after_is_honoured_up_to_an_hour() {
        for (text, seconds) in [
            ("7", 7),
            ("0", 1),
            ("100000", 3600),
            ("99999999999999999999999", 3600),
            ("Sun, 06 Nov 1994 08:50:37 GMT", 60),
            ("Sun, 06 Nov 1994 08:49:00 GMT", 1),
            ("Sat, 06 Nov 2094 08:49:00 GMT", 3600),
            ("soon", 1),
            ("", 1),
            ("-5", 1),
        ] {
            for code in [429, 503] {
                assert_eq!(
                    pause_until(&status(code, Some(text)), 1, MOST).as_secs(),
                    seconds,
                    "{text}"
                );
            }
        }
    }

    #[test]
    fn the_receivers_words_are_kept_in_short() {
        let answer = Answer::Status {
            code: 400,
            retry_after: None,
            message: "é".repeat(10_000),
        };
        let Verdict::Refused(words) = judge(&answer, 1, NOW, Pace::default(), MOST) else {
            panic!("not refused");
        };
        assert!(words.starts_with("the receiver answers 400: ééé"), "{words}");
        assert!(words.chars().count() < 350);
    }
}
