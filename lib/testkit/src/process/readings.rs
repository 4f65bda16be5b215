//! What /proc says of a process.

use std::time::Duration;

/// Memory and processor time of a process at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Readings {
    /// Bytes of memory that are in RAM now.
    pub resident_bytes: u64,
    /// The most bytes that were in RAM at once.
    pub most_resident_bytes: u64,
    /// Processor time, user and system, over all threads.
    pub processor_time: Duration,
    /// Threads now.
    pub threads: u64,
    /// Open files, sockets among them.
    pub open_files: usize,
}

impl Readings {
    /// Reads them; `None` when there is no such process any more.
    #[must_use]
    pub fn of(process_id: u32) -> Option<Readings> {
        let status = std::fs::read_to_string(format!("/proc/{process_id}/status")).ok()?;
        let stat = std::fs::read_to_string(format!("/proc/{process_id}/stat")).ok()?;
        let open_files = std::fs::read_dir(format!("/proc/{process_id}/fd")).ok()?.count();
        Some(Readings {
            resident_bytes: field(&status, "VmRSS:")? * 1024,
            most_resident_bytes: field(&status, "VmHWM:")? * 1024,
            processor_time: processor_time(&stat)?,
            threads: field(&status, "Threads:")?,
            open_files,
        })
    }
}

fn field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// User and system ticks are the 12th and 13th field after the name, which may itself contain spaces (proc(5)).
fn processor_time(stat: &str) -> Option<Duration> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(11);
    let ticks: u64 = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    Some(Duration::from_secs_f64(
        ticks as f64 / rustix::param::clock_ticks_per_second() as f64,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_can_read_itself() {
        let own = Readings::of(std::process::id()).unwrap();
        assert!(own.resident_bytes > 0 && own.most_resident_bytes >= own.resident_bytes / 2);
        assert!(own.threads >= 1 && own.open_files >= 3);
    }

    #[test]
    fn ticks_are_found_behind_a_name_with_spaces_and_brackets() {
        let stat = "7 (a b) c) S 1 7 7 0 -1 4194560 100 0 0 0 150 50 0 0 20 0 1 0 5 6 7";
        let ticks = rustix::param::clock_ticks_per_second() as f64;
        assert_eq!(processor_time(stat), Some(Duration::from_secs_f64(200.0 / ticks)));
    }
}
