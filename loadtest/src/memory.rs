//! How much memory and processor time processes use, from `/proc`.

use std::fs;
use std::path::Path;
use std::time::Duration;

/// Resident bytes of process `id`, now.
///
/// # Errors
///
/// When there is no such process.
pub(crate) fn resident_bytes(id: i32) -> Result<u64, String> {
    let path = format!("/proc/{id}/status");
    let text = fs::read_to_string(&path).map_err(|error| format!("{path} cannot be read: {error}"))?;
    field_kib(&text, "VmRSS")
        .map(|kib| kib * 1024)
        .ok_or_else(|| format!("{path} names no VmRSS"))
}

/// Processor time that process `id` has used, user and system, all its threads.
///
/// # Errors
///
/// When there is no such process.
pub(crate) fn processor_time(id: i32) -> Result<Duration, String> {
    let path = format!("/proc/{id}/stat");
    let text = fs::read_to_string(&path).map_err(|error| format!("{path} cannot be read: {error}"))?;
    ticks(&text)
        .map(|ticks| Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64))
        .ok_or_else(|| format!("{path} is not of the form of proc(5)"))
}

/// All descendants of process `id` and itself, as far as they can be seen now.
pub(crate) fn family(id: i32) -> Vec<i32> {
    let mut family = vec![id];
    let mut at = 0;
    while at < family.len() {
        let tasks = fs::read_dir(format!("/proc/{}/task", family[at]))
            .into_iter()
            .flatten()
            .flatten();
        let children = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
        let children: Vec<i32> = children
            .flat_map(|text| {
                text.split_whitespace()
                    .filter_map(|id| id.parse().ok())
                    .collect::<Vec<_>>()
            })
            .collect();
        family.extend(children);
        at += 1;
    }
    family
}

/// The process whose command line has the argument `config`, if there is one.
pub(crate) fn process_with_argument(config: &Path) -> Option<i32> {
    let wanted = config.as_os_str().as_encoded_bytes();
    fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let id = entry.file_name().to_str()?.parse().ok()?;
        let arguments = fs::read(entry.path().join("cmdline")).ok()?;
        let program = arguments.split(|byte| *byte == 0).next()?;
        let is_ours = program.windows(9).any(|part| part == b"millrace-");
        (is_ours
            && arguments
                .split(|byte| *byte == 0)
                .any(|argument| argument == wanted))
        .then_some(id)
    })
}

fn field_kib(status: &str, name: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// Fields 14 and 15 of proc(5)'s stat; counted after the last `)`, because the name before it may hold anything.
fn ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_and_time_and_is_its_own_family() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(resident_bytes(own).unwrap() > 1 << 20);
        processor_time(own).unwrap();
        assert!(family(own).contains(&own));
        assert!(resident_bytes(-1).is_err());
    }

    #[test]
    fn a_stat_line_is_read_past_a_malicious_name() {
        let line = "7 (a) b (x) S 1 7 7 0 -1 4194560 99 0 0 0 150 50 0 0 20 0 4 0 12 0 0";
        assert_eq!(ticks(line), Some(200));
        assert_eq!(ticks("7 (a"), None);
    }

    #[test]
    fn a_status_field_is_read_in_kib() {
        assert_eq!(field_kib("Name:\tx\nVmRSS:\t  1234 kB\n", "VmRSS"), Some(1234));
        assert_eq!(field_kib("Name:\tx\n", "VmRSS"), None);
    }
}
