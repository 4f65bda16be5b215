//! Our server and one of others, which take turns: each has the same core to itself while it is measured, and the load
//! generator another.
//!
//! Rounds are short and interleaved, so that a machine that slows down slows both down.

mod score;
mod server;

use std::time::Duration;

pub(crate) use self::score::Score;
pub(crate) use self::server::{Server, Stand};
use crate::measure::{self, Measure};
use crate::stop;

/// How long to measure, and how to say it.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Length {
    /// Rounds of each case
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=25))]
    pub(crate) rounds: u32,
    /// Seconds of each round
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=60))]
    pub(crate) seconds: u64,
}

/// What one round of load came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Load {
    /// Questions that were answered.
    pub(crate) answers: u64,
    /// The same by second of the load generator's clock.
    pub(crate) per_second: f64,
    /// Share of the questions that were not, 0 to 1.
    pub(crate) lost: f64,
}

/// The two.
#[derive(Debug)]
pub(crate) struct Duel {
    /// Ours.
    pub(crate) ours: Server,
    /// The other.
    pub(crate) peer: Server,
}

impl Duel {
    /// Plays `rounds` rounds of the case `name`, ours before the peer's in each.
    ///
    /// # Errors
    ///
    /// What went wrong with the first round that failed: a figure beside none says nothing.
    pub(crate) async fn play(
        &self,
        name: &str,
        rounds: u32,
        load: impl AsyncFn(&Server) -> Result<Load, String>,
    ) -> Result<Score, String> {
        let mut score = Score::default();
        for number in 1..=rounds {
            for (server, is_ours) in [(&self.ours, true), (&self.peer, false)] {
                let (load, spent) = measured(server, &load)
                    .await
                    .map_err(|reason| format!("{name}, round {number}, {}: {reason}", server.name))?;
                score.add(is_ours, load, spent);
                note(&format!(
                    "{name}, round {number}, {}: {:.0} by second of processor time ({} answers, {:.2} s); {:.0} by second",
                    server.name,
                    load.answers as f64 / spent.as_secs_f64(),
                    load.answers,
                    spent.as_secs_f64(),
                    load.per_second,
                ));
            }
        }
        Ok(score)
    }

    async fn stop(self) {
        self.peer.stop().await;
        self.ours.stop().await;
    }
}

async fn measured(
    server: &Server,
    load: &impl AsyncFn(&Server) -> Result<Load, String>,
) -> Result<(Load, Duration), String> {
    let before = server.processor_time()?;
    let done = load(server).await?;
    let spent = server.processor_time()?.saturating_sub(before);
    if spent.is_zero() || done.answers == 0 {
        return Err("it used no measurable processor time; use more --seconds".to_owned());
    }
    Ok((done, spent))
}

/// Starts both, compares them and reports, until it is told to stop. Call it on the main thread.
///
/// # Errors
///
/// What kept it from comparing. A goal that was missed is in the table, not an error: figures depend on the machine.
pub(crate) async fn hold(
    start: impl Future<Output = Result<Duel, String>>,
    compare: impl AsyncFnOnce(&Duel) -> Result<Vec<Measure>, String>,
    as_json: bool,
) -> Result<(), String> {
    let mut stop = stop::signals().map_err(|error| format!("signals cannot be caught: {error}"))?;
    if cfg!(debug_assertions) {
        note("this is a debug build: its figures mean nothing; use one of `cargo build --release`");
    }
    let duel = tokio::select! {
        started = start => started?,
        () = stop.requested() => return Ok(()), // what runs is killed as it is dropped
    };
    let compared = tokio::select! {
        compared = compare(&duel) => compared,
        () = stop.requested() => Err("stopped before the end; nothing is reported".to_owned()),
    };
    duel.stop().await;
    measure::report(&compared?, as_json);
    Ok(())
}

/// Says what goes on. Standard output is the result alone.
fn note(text: &str) {
    eprintln!("{text}");
}
