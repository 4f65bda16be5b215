//! The log: one JSON object a line on standard error, from our own events and from libraries alike.

use std::io;

use serde::{Deserialize, Serialize};
use tracing::level_filters::LevelFilter;

/// How much is logged: this level and everything more serious.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Something failed that an operator has to look at.
    Error,
    /// Something is not as it should be and was lived with.
    Warn,
    /// What an operator wants to have seen: starts, reloads, ends.
    #[default]
    Info,
    /// For finding a fault: about a line per connection.
    Debug,
    /// For finding a fault in the code: many lines per request.
    Trace,
}

impl Level {
    fn filter(self) -> LevelFilter {
        match self {
            Level::Error => LevelFilter::ERROR,
            Level::Warn => LevelFilter::WARN,
            Level::Info => LevelFilter::INFO,
            Level::Debug => LevelFilter::DEBUG,
            Level::Trace => LevelFilter::TRACE,
        }
    }
}

/// Starts the log of this process; a second start changes nothing. A panic is logged as an error like any other, with
/// the place it came from.
pub fn start(level: Level) {
    let started = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_max_level(level.filter())
        .with_writer(io::stderr)
        .finish();
    if tracing_subscriber::util::SubscriberInitExt::try_init(started).is_ok() {
        std::panic::set_hook(Box::new(|panic| {
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            let thread = std::thread::current();
            tracing::error!(place, thread = thread.name(), "panic: {}", message_of(panic));
        }));
    }
}

fn message_of<'p>(panic: &'p std::panic::PanicHookInfo<'_>) -> &'p str {
    let payload = panic.payload();
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_written_as_its_small_name() {
        for (level, name) in [
            (Level::Error, "error"),
            (Level::Warn, "warn"),
            (Level::Info, "info"),
            (Level::Debug, "debug"),
            (Level::Trace, "trace"),
        ] {
            assert_eq!(serde_json::to_value(level).unwrap(), name);
            assert_eq!(serde_json::from_value::<Level>(name.into()).unwrap(), level);
            assert_eq!(level.filter().to_string(), name);
        }
    }
}
