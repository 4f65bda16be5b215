//! An edge under load is killed with SIGKILL and started again, many times: nothing wrong is ever served, only the last
//! second of fills is lost, and the first hit comes at once. An answer of a living edge that breaks off is no wrong one: it
//! is counted by itself.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::stage::{Answer, Client, Object, Objects, Stage, first_hit};
use crate::measure::{Goal, Measure};
use crate::stop;

/// What was filled longer than this before a kill must be there afterwards.
const GRACE: Duration = Duration::from_secs(1);

/// How long an edge lives under load: long enough that some of its fills are older than the grace.
const LIFE_MILLISECONDS: std::ops::Range<u64> = 1300..2600;

/// The edge's disk, of which three regions, 192 MiB, are for what was asked for once.
const DISK_BYTES: u64 = 4 << 30;

/// Only what was filled within the last so many bytes is expected, so that nothing was reclaimed.
const EXPECTED_BYTES: u64 = 128 << 20;

/// Share of requests for an object that was asked for before.
const REPEATED: f64 = 0.5;

/// How often, how many.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// How often the edge is killed
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    times: u32,
    /// Clients at once
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=100))]
    clients: u32,
    /// Milliseconds between an answer and the client's next request: without a pause so much is written that hardly
    /// anything is expected to be there still
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(0..=10_000))]
    pause_ms: u64,
    /// Seed of all chance but that of the machine; printed
    #[arg(long)]
    seed: Option<u64>,
    /// Folder for the caches; a temporary one is made inside
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// Kills and reports. Call it on the main thread.
///
/// # Errors
///
/// What kept it from running, or that something wrong was served. Another goal that was missed is in the table.
pub(crate) async fn run(options: &Options) -> Result<(), String> {
    let mut stop = stop::signals().map_err(|error| format!("signals cannot be caught: {error}"))?;
    let seed = options.seed.unwrap_or_else(rand::random);
    eprintln!(
        "{} kills, {} clients, seed {seed}",
        options.times, options.clients
    );
    let mut stage = Stage::start(options.folder.as_deref(), DISK_BYTES).await?;
    let mut tally = Tally::default();
    let outcome = tokio::select! {
        outcome = rounds(options, seed, &mut stage, &mut tally) => outcome,
        () = stop.requested() => Err("stopped before the end; nothing is reported".to_owned()),
    };
    stage.stop().await;
    outcome?;
    if tally.expected == 0 {
        return Err(format!(
            "in no life was anything held for {} s before the kill, among the last {} MiB: nothing is shown; give it more \
             kills, or a longer pause",
            GRACE.as_secs(),
            EXPECTED_BYTES >> 20
        ));
    }
    super::conclude(&tally.measures(), &tally.complaints, options.json)
}

/// What was seen in all rounds.
#[derive(Debug, Default)]
struct Tally {
    kills: u64,
    bodies: u64,
    wrong: u64,
    /// Answers that broke off or did not come while the edge was alive.
    broken: u64,
    expected: u64,
    lost: u64,
    first_hits_seconds: Vec<f64>,
    complaints: Vec<String>,
}

/// Complaints that are printed.
const MOST_COMPLAINTS: usize = 20;

impl Tally {
    fn note(&mut self, answer: &Answer) {
        match answer {
            Answer::Right { .. } => self.bodies += 1,
            Answer::Wrong(how) => {
                self.bodies += 1;
                self.wrong += 1;
                self.complain(how);
            }
            Answer::Failed(how) => {
                self.broken += 1;
                eprintln!("a living edge: {how}");
            }
        }
    }

    fn note_expected(&mut self, object: Object, is_there: bool) {
        self.expected += 1;
        if !is_there {
            self.lost += 1;
            eprintln!("kill {}: {} was lost", self.kills, object.path());
        }
    }

    fn complain(&mut self, how: &str) {
        if self.complaints.len() < MOST_COMPLAINTS {
            self.complaints.push(how.to_owned());
        }
    }

    fn measures(&self) -> Vec<Measure> {
        let none = Some(Goal::AtMost(0.0));
        let mut hits = self.first_hits_seconds.clone();
        hits.sort_by(f64::total_cmp);
        let at = |share: f64| {
            hits.get((hits.len().saturating_sub(1) as f64 * share) as usize)
                .copied()
        };
        let seconds =
            |name: &str, value: Option<f64>, goal| Measure::own(name, "s", value.unwrap_or(f64::NAN), goal);
        vec![
            Measure::own("kills", "", self.kills as f64, None),
            Measure::own("bodies compared", "", self.bodies as f64, None),
            Measure::own("wrong bodies", "", self.wrong as f64, none),
            Measure::own(
                "answers of a living edge broken off",
                "",
                self.broken as f64,
                none,
            ),
            Measure::own("objects that a kill must spare", "", self.expected as f64, None),
            Measure::own("of these fetched again", "", self.lost as f64, none),
            seconds("start to first hit, median", at(0.5), None),
            seconds("start to first hit, longest", at(1.0), Some(Goal::AtMost(1.0))),
        ]
    }
}

/// What clients did in one life of the edge.
#[derive(Debug, Default)]
struct Life {
    /// When each object that was fetched in this life was first held whole.
    held: BTreeMap<Object, Instant>,
    answers: Vec<(Instant, Answer)>,
    /// Objects that were asked for, ever.
    asked: u32,
}

async fn rounds(options: &Options, seed: u64, stage: &mut Stage, tally: &mut Tally) -> Result<(), String> {
    let mut chance = StdRng::seed_from_u64(seed);
    let objects = Objects::new(seed);
    // What must be there, the newest last.
    let mut kept: Vec<Object> = Vec::new();
    let mut asked = 0;
    for _ in 0..options.times {
        let started = Instant::now();
        stage.start_edge()?;
        let mut client = stage.client()?;
        if let Some(newest) = kept.pop() {
            let hit = first_hit(&mut client, newest, started).await?;
            tally.bodies += 1;
            tally.note_expected(newest, hit.is_some());
            tally
                .first_hits_seconds
                .extend(hit.map(|took| took.as_secs_f64()));
        }
        stage.edge_ready().await?;
        for object in &kept {
            let answer = client.fetch(*object).await;
            tally.note(&answer);
            tally.note_expected(*object, answer != Answer::Right { hit: false });
        }
        let life = Arc::new(Mutex::new(Life {
            asked,
            ..Life::default()
        }));
        let pause = Duration::from_millis(options.pause_ms);
        let mut clients = JoinSet::new();
        for _ in 0..options.clients {
            let chance = StdRng::seed_from_u64(chance.random());
            clients.spawn(ask_on(stage.client()?, objects, Arc::clone(&life), chance, pause));
        }
        let life_length = Duration::from_millis(chance.random_range(LIFE_MILLISECONDS));
        tokio::time::sleep(life_length).await;
        // Before the signal: what is noted later may have been cut by it.
        let killed = Instant::now();
        stage.kill_edge().await;
        clients.shutdown().await;
        tally.kills += 1;
        let life = std::mem::take(&mut *life.lock());
        asked = life.asked;
        for (_, answer) in life
            .answers
            .iter()
            .filter(|(at, answer)| *at < killed || is_wrong(answer))
        {
            tally.note(answer);
        }
        kept = spared(&life, killed);
    }
    Ok(())
}

fn is_wrong(answer: &Answer) -> bool {
    matches!(answer, Answer::Wrong(_))
}

/// Asks for new objects and for old ones, until the task is ended.
async fn ask_on(
    mut client: Client,
    objects: Objects,
    life: Arc<Mutex<Life>>,
    mut chance: StdRng,
    pause: Duration,
) {
    loop {
        let object = {
            let mut life = life.lock();
            if life.asked > 0 && chance.random_bool(REPEATED) {
                objects.object(chance.random_range(life.asked.saturating_sub(200)..life.asked))
            } else {
                life.asked += 1;
                objects.object(life.asked - 1)
            }
        };
        let answer = client.fetch(object).await;
        let now = Instant::now();
        {
            let mut life = life.lock();
            if answer == (Answer::Right { hit: false }) {
                life.held.entry(object).or_insert(now);
            }
            life.answers.push((now, answer));
        }
        tokio::time::sleep(pause).await;
    }
}

/// What the next life must have, the newest last: what this one fetched long enough before the kill. Each start seals the
/// region that was open, so what came in earlier lives may be given up already.
fn spared(life: &Life, killed: Instant) -> Vec<Object> {
    let mut held: Vec<(Object, Instant)> = life.held.iter().map(|(object, at)| (*object, *at)).collect();
    held.sort_by_key(|(_, at)| *at);
    let mut bytes = 0;
    let newest_first = held.into_iter().rev().take_while(|(object, _)| {
        bytes += object.bytes();
        bytes <= EXPECTED_BYTES
    });
    let mut spared: Vec<Object> = newest_first
        .filter(|(_, at)| *at + GRACE <= killed)
        .map(|(object, _)| object)
        .collect();
    spared.reverse();
    spared
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_what_was_held_a_second_before_the_kill_is_expected_and_the_oldest_is_forgotten() {
        let objects = Objects::new(1);
        let start = Instant::now();
        let killed = start + Duration::from_secs(3);
        let mut life = Life::default();
        life.held.insert(objects.object(0), start);
        life.held
            .insert(objects.object(1), killed - Duration::from_millis(900));
        assert_eq!(spared(&life, killed), [objects.object(0)]);
        let mut life = Life::default();
        for number in 2..400 {
            life.held.insert(
                objects.object(number),
                start + Duration::from_millis(u64::from(number)),
            );
        }
        let kept = spared(&life, killed);
        let bytes: u64 = kept.iter().map(|object| object.bytes()).sum();
        assert!(bytes <= EXPECTED_BYTES && bytes > EXPECTED_BYTES / 2, "{bytes}");
        assert_eq!(kept.last(), Some(&objects.object(399)));
    }
}
