//! The disk tier beside fio: the same file, the same sizes, the same depth, in turns. Reads are verified, fio's are not.
//!
//! The last figures need no fio: what live purges cost hits.
//!
//! A round is fio, ours, fio. When fio's two figures differ by more than a tenth the machine was busy with something
//! else: the round is repeated, and without a quiet one there is no verdict.

mod fio;
mod ours;
mod purged;

use std::path::PathBuf;
use std::time::Duration;

use model::Size;

use self::fio::{Fio, Job};
use self::ours::{Ours, Rate};
use crate::measure::{self, Goal, Measure};
use crate::stop;

/// Sizes of random reads, in bytes.
const BLOCK_SIZES: [u64; 3] = [4 << 10, 64 << 10, 256 << 10];

/// Reads at once.
const DEPTHS: [usize; 4] = [1, 4, 16, 32];

/// The size that goals are for.
const JUDGED_BYTES: u64 = 256 << 10;

/// From this depth on the drive and not the way to it sets the pace.
const DEEP: usize = 16;

/// What is written beside reads, a second: a parent's fill.
const MIXED_BYTES_PER_SECOND: u64 = 100_000_000;

/// How far fio's two figures may lie apart.
const BRACKET: f64 = 0.1;

/// Rounds until one is quiet.
const MOST_ROUNDS: u32 = 3;

/// Where and how long.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// The file to use; it is made, overwritten and removed. fio writes to another beside it
    #[arg(long)]
    file: PathBuf,
    /// Its size
    #[arg(long, default_value = "4GiB", value_parser = size)]
    size: u64,
    /// Seconds of each measurement
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Only what has one of these in its name, such as `256 KiB`
    #[arg(long)]
    only: Vec<String>,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

fn size(text: &str) -> Result<u64, String> {
    let size: Size = text.parse().map_err(|_| "not a size such as 4GiB".to_owned())?;
    match size.0 >= 512 << 20 {
        true => Ok(size.0),
        false => Err("at least 512MiB".to_owned()),
    }
}

/// Measures and reports.
///
/// # Errors
///
/// What kept it from measuring. A goal that was missed is in the table, not an error: figures depend on the machine.
pub(crate) async fn run(options: &Options) -> Result<(), String> {
    let mut stop = stop::signals().map_err(|error| format!("signals cannot be caught: {error}"))?;
    if options.file.exists() {
        return Err(format!(
            "{} is there already, and the bench would overwrite it: name another",
            options.file.display()
        ));
    }
    if cfg!(debug_assertions) {
        note("this is a debug build: its figures mean nothing; use one of `cargo build --release`");
    }
    let measured = tokio::select! {
        measured = measure_all(options) => measured,
        () = stop.requested() => Err("stopped before the end; nothing is reported".to_owned()),
    };
    // It may never have been made.
    let _ = std::fs::remove_file(&options.file);
    let measures = measured?;
    if options.json {
        println!("{}", measure::json(&measures));
    } else {
        print!("\n{}", measure::render(&measures));
    }
    Ok(())
}

/// Progress and complaints go here, so that standard output is the result alone.
fn note(text: &str) {
    eprintln!("{text}");
}

struct Bench<'a> {
    options: &'a Options,
    ours: Ours,
    fio: Option<Fio>,
    measures: Vec<Measure>,
}

async fn measure_all(options: &Options) -> Result<Vec<Measure>, String> {
    let fio = match Fio::find(&options.file, options.size) {
        Ok(fio) => {
            fio.prepare().await?;
            Some(fio)
        }
        Err(reason) => {
            note(&format!("{reason}: there is nothing to compare with"));
            None
        }
    };
    let mut ours = Ours::open(&options.file, options.size, 1)?;
    ours.fill(options.size / 4 * 3).await?;
    let mut bench = Bench {
        options,
        ours,
        fio,
        measures: Vec::new(),
    };
    for block_bytes in BLOCK_SIZES {
        for depth in DEPTHS {
            bench.reads(block_bytes, depth).await?;
        }
    }
    bench.mixed().await?;
    bench.writes().await?;
    bench.purged().await?;
    bench.ends().await
}

impl Bench<'_> {
    fn time(&self) -> Duration {
        Duration::from_secs(self.options.seconds)
    }

    fn is_wanted(&self, name: &str) -> bool {
        let only = &self.options.only;
        only.is_empty() || only.iter().any(|part| name.contains(part.as_str()))
    }

    async fn reads(&mut self, block_bytes: u64, depth: usize) -> Result<(), String> {
        let job = Job::Read { block_bytes, depth };
        let name = format!("read {} KiB, depth {depth}", block_bytes >> 10);
        if !self.is_wanted(&name) {
            return Ok(());
        }
        let goal =
            (block_bytes == JUDGED_BYTES).then_some(Goal::AtLeast(if depth >= DEEP { 0.95 } else { 0.9 }));
        let mut spent = 0.0;
        for round in 1..=MOST_ROUNDS {
            let before = self.fio_rate(job).await?;
            let Rate {
                bytes_per_second,
                processor_seconds_per_gb,
            } = self.ours.read(block_bytes as u32, depth, self.time()).await?;
            spent = processor_seconds_per_gb;
            let after = self.fio_rate(job).await?;
            if self.judge(&name, bytes_per_second, before.zip(after), goal, round) {
                break;
            }
        }
        if block_bytes == JUDGED_BYTES && depth == DEEP {
            let name = format!("{name}: processor time");
            self.measures
                .push(Measure::own(&name, "s/GB", spent, Some(Goal::AtMost(0.12))));
        }
        Ok(())
    }

    async fn mixed(&mut self) -> Result<(), String> {
        let job = Job::Mixed {
            block_bytes: JUDGED_BYTES,
            depth: DEEP,
            written_per_second: MIXED_BYTES_PER_SECOND,
        };
        let name = format!(
            "read {} KiB, depth {DEEP}, beside 100 MB/s of writes",
            JUDGED_BYTES >> 10
        );
        if !self.is_wanted(&name) {
            return Ok(());
        }
        for round in 1..=MOST_ROUNDS {
            let before = self.fio_rate(job).await?;
            let (reader, time) = (self.ours.reader(), self.time());
            let (read, written) = tokio::join!(
                reader.read(JUDGED_BYTES as u32, DEEP, time),
                self.ours.write(Some(MIXED_BYTES_PER_SECOND), time)
            );
            written?;
            let after = self.fio_rate(job).await?;
            if self.judge(&name, read?.bytes_per_second, before.zip(after), None, round) {
                break;
            }
        }
        Ok(())
    }

    async fn writes(&mut self) -> Result<(), String> {
        let name = "log write, 4 MiB parts";
        if !self.is_wanted(name) {
            return Ok(());
        }
        for round in 1..=MOST_ROUNDS {
            let before = self.fio_rate(Job::Write).await?;
            let time = self.time();
            let written = self.ours.write(None, time).await?;
            let after = self.fio_rate(Job::Write).await?;
            let goal = Some(Goal::AtLeast(0.95));
            if self.judge(name, written, before.zip(after), goal, round) {
                break;
            }
        }
        Ok(())
    }

    async fn purged(&mut self) -> Result<(), String> {
        if self.is_wanted("live purges") {
            self.measures.extend(purged::measure(self.time()).await?);
        }
        Ok(())
    }

    /// Closes the disk, opens it again, and gives all figures.
    async fn ends(mut self) -> Result<Vec<Measure>, String> {
        let failed = self.ours.failed_reads();
        self.measures.push(Measure::own(
            "reads refused or damaged",
            "",
            failed as f64,
            Some(Goal::AtMost(0.0)),
        ));
        self.ours.close().await;
        let again = Ours::open(&self.options.file, self.options.size, 1)?;
        self.measures.push(Measure::own(
            "opening this file again",
            "s",
            again.opened_in.as_secs_f64(),
            None,
        ));
        again.close().await;
        Ok(self.measures)
    }

    async fn fio_rate(&self, job: Job) -> Result<Option<f64>, String> {
        match &self.fio {
            Some(fio) => fio.rate(job, self.options.seconds).await.map(Some),
            None => Ok(None),
        }
    }

    /// Notes a round, if it was quiet or is the last. Rates are in bytes a second.
    fn judge(
        &mut self,
        name: &str,
        ours: f64,
        brackets: Option<(f64, f64)>,
        goal: Option<Goal>,
        round: u32,
    ) -> bool {
        let mebibytes = |rate: f64| rate / f64::from(1 << 20);
        let Some((before, after)) = brackets else {
            self.measures
                .push(Measure::own(name, "MiB/s", mebibytes(ours), None));
            return true;
        };
        let fio = f64::midpoint(before, after);
        let quiet = is_quiet(before, after);
        note(&format!(
            "{name}: fio {:.0}, ours {:.0}, fio {:.0} MiB/s{}",
            mebibytes(before),
            mebibytes(ours),
            mebibytes(after),
            if quiet { "" } else { ": not quiet" }
        ));
        if !quiet && round < MOST_ROUNDS {
            return false;
        }
        let goal = goal.filter(|_| quiet);
        let mut measure = Measure::against(name, "MiB/s", mebibytes(ours), "fio", mebibytes(fio), goal);
        measure.spread = (!quiet).then_some((before - after).abs() / fio);
        self.measures.push(measure);
        true
    }
}

/// Whether fio's two figures say that nothing else changed meanwhile.
fn is_quiet(before: f64, after: f64) -> bool {
    (before - after).abs() <= BRACKET * before.max(after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_between_unequal_brackets_is_not_judged() {
        assert!(is_quiet(100.0, 91.0) && is_quiet(91.0, 100.0));
        assert!(!is_quiet(100.0, 89.0));
    }

    #[test]
    fn a_size_is_read_and_one_that_holds_too_little_is_refused() {
        assert_eq!(size("1GiB"), Ok(1 << 30));
        assert!(size("1MiB").is_err() && size("much").is_err());
    }

    #[tokio::test]
    async fn a_file_that_is_there_is_not_overwritten() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let options = Options {
            file: file.path().to_owned(),
            size: 1 << 30,
            seconds: 1,
            only: Vec::new(),
            json: true,
        };
        assert!(run(&options).await.unwrap_err().contains("is there already"));
    }
}
