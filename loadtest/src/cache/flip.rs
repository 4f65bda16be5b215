//! Single bits of the device of a running edge are flipped under load, wherever they are, and the edge is killed and
//! started on what is left: nothing wrong is ever served, and clients see a miss. An answer that breaks off in the middle
//! of its body is no wrong one, but no miss either: it is counted by itself.
//!
//! What is damaged is found by reading: after every batch each object is asked for once, so whatever of it was damaged
//! and live was met. What was met is counted by the edge's own metrics.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cache::disk::inspect::{Extent, Piece, inspect};
use cache::disk::{BLOCK_BYTES, Device, FileDevice};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::stage::{Answer, Client, Objects, Stage};
use crate::measure::{Goal, Measure};
use crate::{scrape, stop};

/// The edge's disk.
const DISK_BYTES: u64 = 2 << 30;

/// Objects that are asked for: about 100 MB, several times the edge's RAM.
const OBJECTS: u32 = 160;

/// Bits that are flipped between two looks at everything.
const BATCH: u32 = 100;

/// The edge is killed and started again after so many batches.
const BATCHES_PER_LIFE: u32 = 5;

/// How long the edge may take to have written what it was asked for.
const WRITE_PATIENCE: Duration = Duration::from_secs(20);

/// Pause between two looks whether it has.
const WRITE_POLL: Duration = Duration::from_millis(100);

/// Reads that the edge refused to believe.
const READS: &str = "millrace_cache_disk_reads_total";

/// How many flips.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// Bits that are flipped
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    count: u32,
    /// Clients at once
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=100))]
    clients: u32,
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

/// Flips and reports. Call it on the main thread.
///
/// # Errors
///
/// What kept it from running, or that something wrong was served. Another goal that was missed is in the table.
pub(crate) async fn run(options: &Options) -> Result<(), String> {
    let mut stop = stop::signals().map_err(|error| format!("signals cannot be caught: {error}"))?;
    let seed = options.seed.unwrap_or_else(rand::random);
    eprintln!(
        "{} flips, {} clients, seed {seed}",
        options.count, options.clients
    );
    let mut stage = Stage::start(options.folder.as_deref(), DISK_BYTES).await?;
    let mut tally = Tally::default();
    let outcome = tokio::select! {
        outcome = lives(options, seed, &mut stage, &mut tally) => outcome,
        () = stop.requested() => Err("stopped before the end; nothing is reported".to_owned()),
    };
    stage.stop().await;
    outcome?;
    super::conclude(&tally.measures(), &tally.complaints, options.json)
}

/// What was done and seen.
#[derive(Debug, Default)]
struct Tally {
    flips: BTreeMap<Piece, u64>,
    lives: u64,
    bodies: u64,
    wrong: u64,
    /// Answers that broke off or did not come.
    broken: u64,
    /// Answers after a batch that the edge had to fetch again.
    missed: u64,
    /// Reads of the edge that met damage.
    detected: u64,
    complaints: Vec<String>,
}

/// Complaints that are printed.
const MOST_COMPLAINTS: usize = 20;

impl Tally {
    fn note(&mut self, answer: &Answer) {
        self.bodies += 1;
        match answer {
            Answer::Right { .. } => {}
            Answer::Wrong(how) => {
                self.wrong += 1;
                if self.complaints.len() < MOST_COMPLAINTS {
                    self.complaints.push(how.clone());
                }
            }
            Answer::Failed(_) => self.broken += 1,
        }
    }

    fn measures(&self) -> Vec<Measure> {
        let own = |name: &str, value: u64, goal| Measure::own(name, "", value as f64, goal);
        let none = Some(Goal::AtMost(0.0));
        let flips = self
            .flips
            .iter()
            .map(|(piece, count)| own(&format!("flips in: {piece}"), *count, None));
        let rest = [
            own("starts on a damaged device", self.lives, None),
            own("answers", self.bodies, None),
            own("wrong bodies", self.wrong, none),
            own("answers broken off", self.broken, none),
            own("answers fetched again", self.missed, None),
            own("damage met by reads", self.detected, Some(Goal::AtLeast(1.0))),
        ];
        flips.chain(rest).collect()
    }
}

async fn lives(options: &Options, seed: u64, stage: &mut Stage, tally: &mut Tally) -> Result<(), String> {
    let mut chance = StdRng::seed_from_u64(seed);
    let objects = Objects::new(seed);
    let mut left = options.count;
    while left > 0 {
        stage.start_edge()?;
        stage.edge_ready().await?;
        let mut client = stage.client()?;
        sweep(&mut client, objects, tally).await;
        let ending = Arc::new(AtomicBool::new(false));
        let mut clients = JoinSet::new();
        for _ in 0..options.clients {
            let chance = StdRng::seed_from_u64(chance.random());
            clients.spawn(ask_on(stage.client()?, objects, Arc::clone(&ending), chance));
        }
        let mut extents = written(&stage.device()?).await?;
        for _ in 0..BATCHES_PER_LIFE {
            // Where both copies of a region's header were harmed nothing is seen any more, and what is there is still
            // what the edge reads.
            let seen = look(stage.device()?).await?;
            if holds_bodies(&seen) {
                extents = seen;
            }
            let count = left.min(BATCH);
            flip(&stage.device()?, &extents, count, &mut chance, tally)?;
            left -= count;
            if count == 0 {
                break;
            }
            tally.missed += sweep(&mut client, objects, tally).await;
        }
        ending.store(true, Ordering::Relaxed);
        while let Some(answers) = clients.join_next().await {
            answers
                .unwrap_or_default()
                .iter()
                .for_each(|answer| tally.note(answer));
        }
        tally.detected += scrape::counter(stage.admin()?, READS, "corrupt").await?;
        tally.lives += 1;
        stage.kill_edge().await;
    }
    // What the last kill left is started once more.
    stage.start_edge()?;
    stage.edge_ready().await?;
    sweep(&mut stage.client()?, objects, tally).await;
    tally.detected += scrape::counter(stage.admin()?, READS, "corrupt").await?;
    Ok(())
}

/// Asks for every object once; how many were not there.
async fn sweep(client: &mut Client, objects: Objects, tally: &mut Tally) -> u64 {
    let mut missed = 0;
    for number in 0..OBJECTS {
        let answer = client.fetch(objects.object(number)).await;
        missed += u64::from(answer == Answer::Right { hit: false });
        tally.note(&answer);
    }
    missed
}

/// Asks for any of the objects until the end.
async fn ask_on(
    mut client: Client,
    objects: Objects,
    ending: Arc<AtomicBool>,
    mut chance: StdRng,
) -> Vec<Answer> {
    let mut answers = Vec::new();
    while !ending.load(Ordering::Relaxed) {
        answers.push(
            client
                .fetch(objects.object(chance.random_range(0..OBJECTS)))
                .await,
        );
    }
    answers
}

/// What lies on the device, once something does.
async fn written(device: &Path) -> Result<Vec<Extent>, String> {
    let deadline = Instant::now() + WRITE_PATIENCE;
    loop {
        let extents = look(device.to_owned()).await?;
        if holds_bodies(&extents) {
            return Ok(extents);
        }
        if Instant::now() > deadline {
            return Err("the edge wrote nothing to its disk".to_owned());
        }
        tokio::time::sleep(WRITE_POLL).await;
    }
}

fn holds_bodies(extents: &[Extent]) -> bool {
    extents.iter().any(|extent| extent.piece == Piece::Body)
}

async fn look(device: PathBuf) -> Result<Vec<Extent>, String> {
    let looked = tokio::task::spawn_blocking(move || {
        let device = open(&device)?;
        let mut extents = Vec::new();
        match inspect(&device, &mut |extent| extents.push(extent)) {
            Ok(_) => Ok(extents),
            Err(refusal) => Err(refusal.to_string()),
        }
    });
    looked.await.map_err(|error| error.to_string())?
}

fn open(device: &Path) -> Result<FileDevice, String> {
    FileDevice::open(device, DISK_BYTES).map_err(|error| error.to_string())
}

/// Flips `count` bits: each kind of piece is as likely as any other.
fn flip(
    path: &Path,
    extents: &[Extent],
    count: u32,
    chance: &mut StdRng,
    tally: &mut Tally,
) -> Result<(), String> {
    let device = open(path)?;
    let mut pieces: BTreeMap<Piece, Vec<&Extent>> = BTreeMap::new();
    for extent in extents.iter().filter(|extent| extent.bytes > 0) {
        pieces.entry(extent.piece).or_default().push(extent);
    }
    // Both superblocks at once, or both copies of a block of the journal, mean an empty cache, which is right and teaches
    // nothing: only the last is harmed.
    let pieces: Vec<(Piece, Vec<&Extent>)> = pieces.into_iter().collect();
    for _ in 0..count {
        let (piece, extents) = pieces.choose(chance).ok_or("there is nothing to damage")?;
        let extent = match piece {
            Piece::Superblock | Piece::Journal => extents.last(),
            _ => extents.choose(chance),
        };
        let extent = extent.ok_or("there is nothing to damage")?;
        let offset = extent.offset + chance.random_range(0..extent.bytes);
        flip_bit(&device, offset, chance.random_range(0..8)).map_err(|error| error.to_string())?;
        *tally.flips.entry(*piece).or_default() += 1;
    }
    Ok(())
}

fn flip_bit(device: &FileDevice, offset: u64, bit: u32) -> std::io::Result<()> {
    // Past the page cache, as the edge reads it: the memory has to begin at a block.
    let mut memory = [0; 2 * BLOCK_BYTES];
    let begin = memory.as_ptr().addr().wrapping_neg() % BLOCK_BYTES;
    let block = &mut memory[begin..begin + BLOCK_BYTES];
    let start = offset - offset % BLOCK_BYTES as u64;
    device.read_at(start, block)?;
    block[(offset - start) as usize] ^= 1 << bit;
    device.write_at(start, block)
}
