//! One round: the load of a case on one contestant, and the processor time it cost the server.

use std::process::Command;
use std::time::Instant;

use super::case::{Case, Wire, Work};
use super::contestant::{Contestant, DiskReads};
use super::evict::Evictor;
use super::wrk::Paths;
use super::{Bench, generator, h2load, handshakes, paced, wrk};

/// One round's figure in the unit of the case, and the requests a second it was reached with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Figure {
    pub(super) value: f64,
    pub(super) per_second: f64,
}

/// Runs one round.
///
/// # Errors
///
/// What went wrong: a request that failed makes a figure worthless.
pub(super) async fn round(
    bench: &Bench,
    case: &Case,
    contestant: &Contestant,
    number: u32,
) -> Result<Figure, String> {
    let _evictor = match (&case.work, &contestant.disk_reads) {
        (Work::Disk, DiskReads::Files(folder)) => Some(Evictor::start(folder.clone(), bench.cores.load)),
        _ => None,
    };
    let before = contestant.processor_time()?;
    let began = Instant::now();
    let done = match case.work {
        Work::HalfLoad => {
            let rate = bench
                .half_of_nginx()
                .ok_or("its rate is half of nginx's maximum, and nginx is not installed")?;
            let path = case.path();
            let (address, seconds, core) = (contestant.http, bench.seconds, bench.cores.load);
            let latency = blocking(move || paced::run(address, &path, rate, seconds, core)).await?;
            return Ok(Figure {
                value: latency.p99.as_secs_f64() * 1e6,
                per_second: latency.per_second,
            });
        }
        Work::Handshake { resumed } => {
            let address = contestant.https.ok_or("it has no TLS")?;
            let (seconds, core) = (bench.seconds, bench.cores.load);
            let path = case.path();
            blocking(move || handshakes::run(address, &path, resumed, seconds, core)).await?
        }
        Work::Hit { .. } | Work::Disk | Work::Miss => {
            let url = contestant.url(case).ok_or("it does not speak this protocol")?;
            if case.wire == Wire::TlsHttp2 {
                h2load::parse(
                    &bench
                        .run(h2load::command(bench.h2load()?, &url, bench.seconds))
                        .await?,
                )?
            } else {
                let paths = match case.work {
                    Work::Disk => Paths::Disk,
                    Work::Miss => Paths::New(format!("{}-{number}", contestant.name)),
                    _ => Paths::One,
                };
                let command = wrk::command(&bench.wrk, bench.folder.path(), &url, &paths, bench.seconds)?;
                wrk::parse(&bench.run(command).await?)?
            }
        }
    };
    let spent = contestant.processor_time()?.saturating_sub(before);
    if spent.is_zero() || began.elapsed().is_zero() {
        return Err("the server used no measurable processor time; use more --seconds".to_owned());
    }
    Ok(Figure {
        value: done.requests as f64 / spent.as_secs_f64(),
        per_second: done.per_second,
    })
}

impl Bench {
    /// Runs a load generator on its core and gives back what it printed.
    async fn run(&self, command: Command) -> Result<String, String> {
        generator::run(self.cores.load, self.seconds, command).await
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| format!("the load generator broke: {error}"))?
}
