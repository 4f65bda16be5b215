//! Single bits of the device of a running edge are flipped under load, wherever they are, and the edge is killed and
//! started on what is left: nothing wrong is ever served, and clients see a miss. An answer that breaks off in the middle
//! of its body is no wrong one, but no miss either: it is counted by itself.
//!
//! In each life of the edge, first one bit is flipped in a live record of an object that nobody else asks for, and the
//! object is asked for: the edge must count one read of damage more, and answer right. Then bits are flipped anywhere,
//! and everything is asked for. What the kill leaves damaged of superblock, journal, region headers and lists the next
//! start must count.

mod bits;
mod tally;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cache::Key;
use cache::disk::inspect::{Extent, Piece};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::bits::{Found, choose, flip};
use self::tally::{Met, Tally};
use super::stage::{Answer, Client, Objects, SERVICE, Stage};
use crate::{scrape, stop};

/// The edge's disk.
const DISK_BYTES: u64 = 2 << 30;

/// Objects that are asked for: about 100 MB, several times the edge's RAM.
const OBJECTS: u32 = 160;

/// The first so many of them are asked for only when one of their bits was flipped.
const TARGETS: u32 = 80;

/// Bits that are flipped anywhere in one life of the edge, while everything else is asked for.
const BATCH: u32 = 120;

/// How long the edge may take to have written what it was asked for.
const WRITE_PATIENCE: Duration = Duration::from_secs(20);

/// Pause between two looks whether it has.
const WRITE_POLL: Duration = Duration::from_millis(100);

/// Reads that the edge refused to believe.
const READS: &str = "millrace_cache_disk_reads_total";

/// Structures that a start found damaged.
const DAMAGED: &str = "millrace_cache_disk_damaged_total";

/// The structures, and what the edge calls them.
const STRUCTURES: [(Piece, &str); 4] = [
    (Piece::Superblock, "superblock"),
    (Piece::Journal, "journal"),
    (Piece::RegionHeader, "region_header"),
    (Piece::Footer, "footer"),
];

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

async fn lives(options: &Options, seed: u64, stage: &mut Stage, tally: &mut Tally) -> Result<(), String> {
    let mut chance = StdRng::seed_from_u64(seed);
    let objects = Objects::new(seed);
    fill(stage, objects, tally).await?;
    let mut left = options.count;
    let mut found = Found::on(stage.device()?, DISK_BYTES).await?;
    while left > 0 {
        start(stage, &found, tally).await?;
        sweep(&mut stage.client()?, objects, TARGETS..OBJECTS, tally).await;
        let ending = Arc::new(AtomicBool::new(false));
        let mut clients = JoinSet::new();
        for _ in 0..options.clients {
            let chance = StdRng::seed_from_u64(chance.random());
            clients.spawn(ask_on(stage.client()?, objects, Arc::clone(&ending), chance));
        }
        left -= flip_and_ask(stage, objects, left, &mut chance, tally).await?;
        let now = Found::on(stage.device()?, DISK_BYTES).await?;
        // Where both copies of a region's header were harmed nothing is seen any more, and what is there is still what the
        // edge reads.
        let seen = if now.holds_bodies() { &now } else { &found };
        let count = left.min(BATCH);
        flip_anywhere(stage, objects, seen, count, &mut chance, tally)?;
        left -= count;
        tally.missed += sweep(&mut stage.client()?, objects, TARGETS..OBJECTS, tally).await;
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
        found = Found::on(stage.device()?, DISK_BYTES).await?;
    }
    // What the last kill left is started once more.
    start(stage, &found, tally).await?;
    sweep(&mut stage.client()?, objects, 0..OBJECTS, tally).await;
    tally.detected += scrape::counter(stage.admin()?, READS, "corrupt").await?;
    Ok(())
}

/// Lets the edge fetch and write every object, and ends it in order, so that no memory of it holds any.
async fn fill(stage: &mut Stage, objects: Objects, tally: &mut Tally) -> Result<(), String> {
    stage.start_edge()?;
    stage.edge_ready().await?;
    sweep(&mut stage.client()?, objects, 0..OBJECTS, tally).await;
    let deadline = Instant::now() + WRITE_PATIENCE;
    while !Found::on(stage.device()?, DISK_BYTES).await?.holds_bodies() {
        if Instant::now() > deadline {
            return Err("the edge wrote nothing to its disk".to_owned());
        }
        tokio::time::sleep(WRITE_POLL).await;
    }
    stage.end_edge().await;
    Ok(())
}

/// Starts the edge on what was `found`, and compares what of that it counts as damaged.
async fn start(stage: &mut Stage, found: &Found, tally: &mut Tally) -> Result<(), String> {
    stage.start_edge()?;
    stage.edge_ready().await?;
    for (piece, name) in STRUCTURES {
        let counted = scrape::counter(stage.admin()?, DAMAGED, name).await?;
        tally.note_start(piece, found.damaged(piece), counted);
    }
    Ok(())
}

/// Flips a bit of a live record of each target, and asks for it at once; at most `most` flips. How many there were.
async fn flip_and_ask(
    stage: &Stage,
    objects: Objects,
    most: u32,
    chance: &mut StdRng,
    tally: &mut Tally,
) -> Result<u32, String> {
    let found = Found::on(stage.device()?, DISK_BYTES).await?;
    let mut client = stage.client()?;
    let mut flips = 0;
    for number in 0..TARGETS {
        let key_hash = key_hash(objects, number);
        let chosen = choose(&found.live_pieces(key_hash), chance).filter(|_| flips < most);
        let before = scrape::counter(stage.admin()?, READS, "corrupt").await?;
        if let Some(extent) = &chosen {
            flip(&stage.device()?, DISK_BYTES, extent, chance)?;
            tally.note_flip(extent.piece);
            flips += 1;
        }
        let answer = client.fetch(objects.object(number)).await;
        tally.note(&answer);
        if let Some(extent) = chosen {
            let met = match scrape::counter(stage.admin()?, READS, "corrupt").await? - before {
                0 => why_not_met(stage, &extent).await?,
                _ => Met::Detected,
            };
            if met == Met::Unnoticed {
                eprintln!("not noticed: {extent:?}, answered {answer:?}");
            }
            tally.note_met(extent.piece, met);
        }
    }
    Ok(flips)
}

/// Whether the record of a flip that was not met is still the one that a read would find.
async fn why_not_met(stage: &Stage, flipped: &Extent) -> Result<Met, String> {
    let found = Found::on(stage.device()?, DISK_BYTES).await?;
    Ok(
        match flipped.record.is_some_and(|record| found.is_live(&record)) {
            true => Met::Unnoticed,
            false => Met::Replaced,
        },
    )
}

/// Flips `count` bits anywhere but in the targets: each kind of piece is as likely as any other.
fn flip_anywhere(
    stage: &Stage,
    objects: Objects,
    found: &Found,
    count: u32,
    chance: &mut StdRng,
    tally: &mut Tally,
) -> Result<(), String> {
    let targets: Vec<u128> = (0..TARGETS).map(|number| key_hash(objects, number)).collect();
    // Both superblocks at once, or both copies of a block of the journal, mean an empty cache, which is right and teaches
    // nothing: in one life one of the copies is harmed.
    let copy = chance.random_range(0..2);
    let is_allowed = |extent: &&Extent| match extent.piece {
        Piece::Superblock | Piece::Journal => extent.copy == copy,
        _ => extent
            .record
            .is_none_or(|record| !targets.contains(&record.key_hash)),
    };
    let allowed: Vec<Extent> = found.extents.iter().filter(is_allowed).copied().collect();
    for _ in 0..count {
        let extent = choose(&allowed, chance).ok_or("there is nothing to damage")?;
        flip(&stage.device()?, DISK_BYTES, &extent, chance)?;
        tally.note_flip(extent.piece);
    }
    Ok(())
}

fn key_hash(objects: Objects, number: u32) -> u128 {
    Key::new(SERVICE, objects.object(number).path()).hash()
}

/// Asks for some objects once; how many were not there.
async fn sweep(
    client: &mut Client,
    objects: Objects,
    numbers: std::ops::Range<u32>,
    tally: &mut Tally,
) -> u64 {
    let mut missed = 0;
    for number in numbers {
        let answer = client.fetch(objects.object(number)).await;
        missed += u64::from(answer == Answer::Right { hit: false });
        tally.note(&answer);
    }
    missed
}

/// Asks for any of the objects that are no targets until the end.
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
                .fetch(objects.object(chance.random_range(TARGETS..OBJECTS)))
                .await,
        );
    }
    answers
}
