//! Polling with a deadline: how a test waits for what happens in another process or thread.

use std::fmt::Display;
use std::time::{Duration, Instant};

use crate::machine;

/// The pause between two looks: short beside any deadline, long enough to leave the cores to those who work.
const PAUSE_BETWEEN_LOOKS: Duration = Duration::from_millis(5);

/// What a look may return: a `bool`, an `Option`, or a `Result` whose error says why not yet.
pub trait Look {
    /// What is handed back once it is there.
    type Value;

    /// The value, or why it is not there yet.
    ///
    /// # Errors
    ///
    /// The reason, for the message that ends a wait without success.
    fn look(self) -> Result<Self::Value, String>;
}

impl Look for bool {
    type Value = ();

    fn look(self) -> Result<(), String> {
        if self {
            Ok(())
        } else {
            Err("still false".to_owned())
        }
    }
}

impl<T> Look for Option<T> {
    type Value = T;

    fn look(self) -> Result<T, String> {
        self.ok_or_else(|| "still absent".to_owned())
    }
}

impl<T, E: Display> Look for Result<T, E> {
    type Value = T;

    fn look(self) -> Result<T, String> {
        self.map_err(|error| error.to_string())
    }
}

/// Looks again and again until there is something to see.
///
/// # Panics
///
/// When `deadline` passes first, with the reason of the last look.
#[track_caller]
pub fn eventually<L: Look>(deadline: Duration, mut look: impl FnMut() -> L) -> L::Value {
    match within(deadline, &mut look) {
        Ok(value) => value,
        Err(reason) => panic!("not within {deadline:?}: {reason}"),
    }
}

/// As [`eventually`], for one who wants to say more when the deadline has passed.
///
/// # Errors
///
/// The reason of the last look.
pub fn within<L: Look>(deadline: Duration, mut look: impl FnMut() -> L) -> Result<L::Value, String> {
    let end = Instant::now() + deadline;
    loop {
        match look().look() {
            Ok(value) => return Ok(value),
            Err(reason) if Instant::now() >= end => return Err(reason),
            Err(_) => machine::pause(PAUSE_BETWEEN_LOOKS),
        }
    }
}

/// As [`eventually`], inside a runtime: other tasks of the same thread go on between two looks.
///
/// # Panics
///
/// When `deadline` passes first, with the reason of the last look.
pub async fn eventually_async<L: Look>(deadline: Duration, look: impl FnMut() -> L) -> L::Value {
    match within_async(deadline, look).await {
        Ok(value) => value,
        Err(reason) => panic!("not within {deadline:?}: {reason}"),
    }
}

/// As [`within`], inside a runtime.
///
/// # Errors
///
/// The reason of the last look.
pub async fn within_async<L: Look>(
    deadline: Duration,
    mut look: impl FnMut() -> L,
) -> Result<L::Value, String> {
    let end = Instant::now() + deadline;
    loop {
        match look().look() {
            Ok(value) => return Ok(value),
            Err(reason) if Instant::now() >= end => return Err(reason),
            Err(_) => tokio::time::sleep(PAUSE_BETWEEN_LOOKS).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_is_repeated_until_it_succeeds() {
        let mut looks = 0;
        let seen = eventually(Duration::from_secs(5), || {
            looks += 1;
            (looks == 3).then_some(looks)
        });
        assert_eq!(seen, 3);
    }

    #[test]
    fn a_deadline_that_passes_gives_the_last_reason() {
        let mut looks = 0;
        let outcome: Result<(), String> = within(Duration::from_millis(20), || {
            looks += 1;
            Err::<(), String>(format!("look {looks}"))
        });
        assert_eq!(outcome, Err(format!("look {looks}")));
        assert!(looks > 1);
    }
}
