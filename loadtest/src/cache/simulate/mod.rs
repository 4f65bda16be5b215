//! The engine's placement policy against LRU, FIFO and S3-FIFO on synthetic CDN traffic: which bytes are missed, and
//! what it costs the drive. The policy is the engine's own code; nothing is read or written.
//!
//! Traffic is made up from a seed (`workload/`), a cache holds a share of the trace's footprint (`policy/`), the first
//! half of a trace fills it and the second counts (`play.rs`). All figures are of synthetic traces.

mod play;
mod policy;
mod report;
mod sizes;
mod trace;
mod workload;

use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use self::play::Score;
use self::policy::Kind;
use self::report::{Case, Report};
use self::trace::Trace;
use self::workload::Workload;
use crate::measure;

/// A quick run has this part of the requests and one seed: enough for a test, not for a verdict.
const QUICK_PART: usize = 20;

/// What to play, how much of it.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// Only these workloads
    #[arg(long, value_enum, value_delimiter = ',')]
    workloads: Vec<Workload>,
    /// Sizes of the cache in percent of the footprint
    #[arg(long, value_delimiter = ',', default_values_t = [1, 5, 10], value_parser = clap::value_parser!(u64).range(1..=100))]
    percents: Vec<u64>,
    /// Requests of each trace
    #[arg(long, default_value_t = 2_000_000, value_parser = clap::value_parser!(u64).range(100_000..=100_000_000))]
    requests: u64,
    /// Traces of each workload, each from a seed of its own
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=100))]
    seeds: u64,
    /// The first seed
    #[arg(long, default_value_t = 1)]
    first_seed: u64,
    /// A twentieth of the requests and one seed
    #[arg(long)]
    quick: bool,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// Simulates and reports.
///
/// # Errors
///
/// Never by itself: a goal that was missed is in the table.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    let report = simulate(options);
    if options.json {
        println!("{}", measure::json(&report.measures()));
    } else {
        print!("{}\n{}", report.details(), measure::render(&report.measures()));
    }
    Ok(())
}

/// Plays every trace on as many threads as there are cores.
fn simulate(options: &Options) -> Report {
    let (requests, seeds) = match options.quick {
        true => (options.requests as usize / QUICK_PART, 1),
        false => (options.requests as usize, options.seeds),
    };
    let workloads = match options.workloads.as_slice() {
        [] => &Workload::ALL[..],
        wanted => wanted,
    };
    let jobs: Vec<(Workload, u64)> = workloads
        .iter()
        .flat_map(|workload| (0..seeds).map(|number| (*workload, options.first_seed + number)))
        .collect();
    let next = AtomicUsize::new(0);
    let report = Mutex::new(Report::new(workloads, &options.percents));
    let work = || {
        while let Some((workload, seed)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let trace = workload.trace(requests, *seed);
            report.lock().describe(*workload, *seed, trace.character());
            for (case, score) in play_all(*workload, &options.percents, &trace) {
                report.lock().add(case, *seed, score);
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads.min(jobs.len()) {
            scope.spawn(work);
        }
    });
    report.into_inner()
}

/// The trace through every policy at every size.
fn play_all<'a>(
    workload: Workload,
    percents: &'a [u64],
    trace: &'a Trace,
) -> impl Iterator<Item = (Case, Score)> + 'a {
    let footprint_bytes = trace.character().footprint_bytes;
    percents.iter().flat_map(move |&percent| {
        let capacity_bytes = footprint_bytes * percent / 100;
        Kind::ALL.into_iter().map(move |policy| {
            let mut cache = policy.build(capacity_bytes, trace);
            let score = play::play(trace, &mut *cache, capacity_bytes);
            let case = Case {
                workload,
                percent,
                policy,
            };
            (case, score)
        })
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    #[test]
    fn a_quick_run_reports_every_workload_size_and_peer() {
        let options = Line::parse_from(["simulate", "--quick"]).options;
        let report = simulate(&options);
        let measures = report.measures();
        for workload in Workload::ALL {
            for percent in [1, 5, 10] {
                for peer in ["LRU", "FIFO", "S3-FIFO"] {
                    let name = format!("{}, {percent} %: byte misses", workload.name());
                    let found = measures
                        .iter()
                        .find(|measure| measure.name == name && measure.peer == peer);
                    let ratio = found.and_then(|measure| measure.ratio).unwrap_or_default();
                    assert!((0.5..1.5).contains(&ratio), "{name} {peer}: {ratio}");
                }
            }
        }
        assert!(report.details().contains("seed 1"), "{}", report.details());
    }
}
