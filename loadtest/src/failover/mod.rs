//! How soon no client is sent any more to an edge that is gone, by DNS and by redirect, and how it comes back.

mod asker;
mod cdn;
mod dns;
mod ramp;
mod redirect;
mod report;
mod round;
mod series;
mod sightings;
mod stage;

use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;

use self::asker::Asker;
use self::report::Played;
use self::round::Times;
use self::series::Series;
use self::sightings::Way;
use self::stage::Stage;
use crate::measure;
use crate::stop;

/// How often.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// Edges that are killed at random moments while they send heartbeats
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    kills: u32,
    /// Edges that are killed while they send none; as many as --kills where it is not given
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    probe_kills: Option<u32>,
    /// Times that an edge is cut off from the network, with heartbeats and without
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    blackholes: u32,
    /// Seed of all chance but that of the machine; printed
    #[arg(long)]
    seed: Option<u64>,
    /// Print a list of measures instead of a table
    #[arg(long)]
    json: bool,
}

impl Options {
    fn rounds(&self, series: Series) -> u32 {
        match series {
            Series::Heartbeats => self.kills,
            Series::Probes => self.probe_kills.unwrap_or(self.kills),
            Series::Silence | Series::SilentProbes => self.blackholes,
        }
    }
}

/// Runs it. Call it on the main thread.
///
/// # Errors
///
/// What kept it from running, or that goals were missed.
pub(crate) async fn run(options: &Options) -> Result<(), String> {
    let mut stop = stop::signals().map_err(|error| format!("signals cannot be caught: {error}"))?;
    // What runs is killed as its stage is dropped.
    tokio::select! {
        outcome = measure_all(options) => outcome,
        () = stop.requested() => Err("stopped before the end; nothing is reported".to_owned()),
    }
}

async fn measure_all(options: &Options) -> Result<(), String> {
    let seed = options.seed.unwrap_or_else(rand::random);
    eprintln!("seed {seed}");
    let mut chance = StdRng::seed_from_u64(seed);
    let mut played = Vec::new();
    for series in Series::ALL {
        played.push(play(series, options.rounds(series), &mut chance).await?);
    }
    let looks = ramp::play(&mut chance).await?;
    let measures = report::measures(&played, &looks);
    if options.json {
        println!("{}", measure::json(&measures));
    } else {
        print!("{}", report::render(&played, &looks));
    }
    let missed: Vec<&str> = measures
        .iter()
        .filter(|measure| measure.holds == Some(false))
        .map(|measure| measure.name.as_str())
        .collect();
    match missed.is_empty() {
        true => Ok(()),
        false => Err(format!("missed: {}", missed.join("; "))),
    }
}

/// All rounds of one series, with a CDN of their own.
async fn play(series: Series, rounds: u32, chance: &mut StdRng) -> Result<Played, String> {
    let mut stage = Stage::start(series, Duration::ZERO).await?;
    let asker = Asker::start(stage.doors).await?;
    let mut times = Vec::new();
    for number in 1..=rounds {
        let round = round::play(&mut stage, &asker, chance)
            .await
            .map_err(|reason| format!("{}, round {number}: {reason}", series.name()))?;
        eprintln!("{}, {number} of {rounds}: {}", series.name(), told(&round));
        times.push(round);
    }
    let unanswered = asker.sightings().unanswered;
    drop(asker);
    stage.stop().await;
    Ok(Played {
        series,
        times,
        unanswered,
    })
}

/// A round in a line, for who looks on.
fn told(times: &Times) -> String {
    let ways = Way::ALL.into_iter().zip(times.gone).zip(times.back);
    let parts: Vec<String> = ways
        .map(|((way, gone), back)| {
            let (gone, back) = (gone.as_secs_f64(), back.as_secs_f64());
            format!("{} named it for {gone:.2} s, again after {back:.2} s", way.name())
        })
        .collect();
    let early = times.early.map_or(String::new(), |early| {
        format!("; {} ms before its monitors", early.as_millis())
    });
    parts.join("; ") + &early
}
