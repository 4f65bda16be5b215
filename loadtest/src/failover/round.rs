//! One edge goes and comes back while clients ask: how long it was named, and whether it was named too early again.

use std::net::Ipv4Addr;
use std::time::Duration;

use model::Moment;
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use tokio::time::Instant;

use super::asker::Asker;
use super::sightings::Way;
use super::stage::{PATIENCE, Stage};
use crate::monitor::watchers;

/// The moment of a fault lies anywhere in the interval of probes, after what came back has settled.
const PAUSE_MILLISECONDS: std::ops::Range<u64> = 2_000..12_000;

/// How often it is looked whether an address is gone, or named again.
const POLL: Duration = Duration::from_millis(20);

/// Before an edge goes it was named so lately.
const LATELY: Duration = Duration::from_millis(500);

/// By so much the clocks of processes on one machine differ: they go on from where the machine's stood at their start.
const CLOCKS: Duration = Duration::from_millis(20);

/// What was measured, by [`Way`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// From the fault to the last answer that named the edge.
    pub(super) gone: [Duration; 2],
    /// From its start to the first that named it again.
    pub(super) back: [Duration; 2],
    /// How long it was named before most monitors said that it is up, where it was.
    pub(super) early: Option<Duration>,
}

/// Who goes, and where it is.
#[derive(Clone, Debug)]
pub(super) struct Victim {
    pub(super) edge: String,
    pub(super) address: Ipv4Addr,
}

/// Lets one edge go and come back.
///
/// # Errors
///
/// What does not happen in time.
pub(super) async fn play(stage: &mut Stage, asker: &Asker, chance: &mut StdRng) -> Result<Times, String> {
    let victim = choose(stage, asker, chance).await?;
    tokio::time::sleep(Duration::from_millis(chance.random_range(PAUSE_MILLISECONDS))).await;
    let gone = take_away(stage, asker, &victim).await?;
    asker.sightings().forget(victim.address);
    let began = Instant::now();
    stage.bring_back(&victim.edge).await?;
    let mut back = [Duration::ZERO; 2];
    let mut first = began + PATIENCE;
    for (took, way) in back.iter_mut().zip(Way::ALL) {
        let what = format!("{} is not named again by {}", victim.edge, way.name());
        await_until(&what, asker, || {
            asker.sightings().first(way, victim.address).is_some()
        })
        .await?;
        if let Some(named) = asker.sightings().first(way, victim.address) {
            *took = named - began;
            first = first.min(named);
        }
    }
    stage.await_up(&victim.edge).await?;
    let early = how_early(stage, &victim, first).await?;
    Ok(Times { gone, back, early })
}

/// Takes the victim away, and gives the time to its last appearance by each way to ask.
///
/// # Errors
///
/// When it was not named before, or is named on and on.
pub(super) async fn take_away(
    stage: &mut Stage,
    asker: &Asker,
    victim: &Victim,
) -> Result<[Duration; 2], String> {
    for way in Way::ALL {
        let named = asker.sightings().last(way, victim.address);
        if named.is_none_or(|named| named.elapsed() > LATELY) {
            return Err(format!("{} was not named by {} lately", victim.edge, way.name()));
        }
    }
    let went = Instant::now();
    stage.take_away(&victim.edge)?;
    let mut gone = [Duration::ZERO; 2];
    for (took, way) in gone.iter_mut().zip(Way::ALL) {
        let what = format!("{} is still named by {}", victim.edge, way.name());
        await_until(&what, asker, || asker.sightings().is_gone(way, victim.address)).await?;
        let named = asker.sightings().last(way, victim.address);
        *took = named.map_or(Duration::ZERO, |named| named.saturating_duration_since(went));
    }
    Ok(gone)
}

/// Chooses an edge, and a client of it for each way to ask, who ask every time from now on.
///
/// # Errors
///
/// When nobody is sent to it.
pub(super) async fn choose(stage: &Stage, asker: &Asker, chance: &mut StdRng) -> Result<Victim, String> {
    let candidates = stage.candidates();
    let (edge, address) = candidates.choose(chance).ok_or("there are no edges")?.clone();
    for way in Way::ALL {
        let clients = asker.clients_of(way, address).await?;
        let client = clients.choose(chance);
        let client = client.ok_or_else(|| format!("nobody is sent to {edge} by {}", way.name()))?;
        asker.fix(way, *client);
    }
    Ok(Victim { edge, address })
}

/// How long before most monitors said that it is up the victim was named, where it was.
async fn how_early(stage: &Stage, victim: &Victim, named: Instant) -> Result<Option<Duration>, String> {
    let watcher = stage.watchers.first().ok_or("there are no monitors")?;
    let state = watcher.state().await?;
    let up = watchers::majority_since(&state, &victim.edge, "up")
        .ok_or_else(|| format!("{} does not say since when {} is up", watcher.name, victim.edge))?;
    let named = Moment(daemon::clock::now_millis()) - named.elapsed();
    Ok(early(named, up))
}

fn early(named: Moment, up: Moment) -> Option<Duration> {
    Some(up.since(named)).filter(|early| *early > CLOCKS)
}

/// Waits until `is_so`, for [`PATIENCE`] at most.
///
/// # Errors
///
/// `what`, when it does not come to it.
pub(super) async fn await_until(what: &str, asker: &Asker, is_so: impl Fn() -> bool) -> Result<(), String> {
    let began = Instant::now();
    while !is_so() {
        if began.elapsed() > PATIENCE {
            let problem = asker.sightings().problem.clone();
            let problem = problem.map_or(String::new(), |problem| {
                format!("; the last failure was: {problem}")
            });
            return Err(format!("{what} after {} s{problem}", PATIENCE.as_secs()));
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn to_be_named_before_a_majority_says_up_is_early_by_more_than_clocks_differ() {
        let up = Moment(10_000);
        assert_eq!(early(Moment(10_000), up), None);
        assert_eq!(early(Moment(9_980), up), None);
        assert_eq!(early(Moment(9_900), up), Some(Duration::from_millis(100)));
        assert_eq!(early(Moment(10_400), up), None);
    }
}
