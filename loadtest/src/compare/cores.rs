//! One core for the server that is measured, another for everything else.

use std::io;
use std::process::Command;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The two cores.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cores {
    /// That of the server.
    pub(crate) server: usize,
    /// That of the load generators, and of whatever else has to run.
    pub(crate) load: usize,
}

impl Cores {
    /// The first two cores that this process may use.
    ///
    /// # Errors
    ///
    /// When there are not two.
    pub(crate) fn pick() -> Result<Cores, String> {
        let allowed = sched_getaffinity(None)
            .map_err(|error| format!("the cores of this machine are unknown: {error}"))?;
        let mut cores = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core));
        match (cores.next(), cores.next()) {
            (Some(server), Some(load)) => Ok(Cores { server, load }),
            _ => Err("a comparison needs two cores: one for the server, one for the load".to_owned()),
        }
    }
}

/// `command`, kept on one core with all it starts.
pub(crate) fn pinned(core: usize, command: Command) -> Command {
    let mut pinned = Command::new("taskset");
    pinned
        .arg("-c")
        .arg(core.to_string())
        .arg(command.get_program())
        .args(command.get_args());
    if let Some(folder) = command.get_current_dir() {
        pinned.current_dir(folder);
    }
    pinned
}

/// Keeps the calling thread on one core.
///
/// # Errors
///
/// When the kernel refuses.
pub(crate) fn pin_this_thread(core: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    Ok(sched_setaffinity(None, &set)?)
}
