//! What a node counts, and the arithmetic of counts: whole numbers only, so that sums stay exact.

use serde::Serialize;
use utoipa::ToSchema;

/// How many there are.
pub(super) const COUNTERS: usize = 15;

/// The place of the first that the machine counts, not the process: it goes on through a restart of the process.
const FIRST_OF_MACHINE: usize = 9;

/// Totals since a start, or what came to them in some time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Counters {
    /// Requests answered.
    pub(crate) requests: u64,
    /// Those of them answered with 5xx.
    pub(crate) server_errors: u64,
    /// Answers that the cache was asked for: all but those the node makes up itself.
    pub(crate) cache_asked: u64,
    /// Those of them that cost upstream no whole answer: hit, stale, revalidated, collapsed.
    pub(crate) cache_hits: u64,
    /// Body bytes sent to clients.
    pub(crate) body_bytes: u64,
    /// Those of them that the cache was asked for; 0 on nodes that do not tell bytes by result.
    pub(crate) asked_body_bytes: u64,
    /// Those of them that were hits.
    pub(crate) hit_body_bytes: u64,
    /// CPU time of the process.
    pub(crate) process_cpu_milliseconds: u64,
    /// Operations that a disk of the cache refused, and reads that returned other bytes than were written.
    pub(crate) disk_errors: u64,
    /// CPU time of the machine, all cores, in which something ran.
    pub(crate) machine_busy_milliseconds: u64,
    /// CPU time of the machine, all cores, in which nothing ran: idle or waiting for a disk.
    pub(crate) machine_idle_milliseconds: u64,
    /// Bytes that came in over the network interfaces.
    pub(crate) received_bytes: u64,
    /// Bytes that went out over them.
    pub(crate) transmitted_bytes: u64,
    /// Bytes read from the machine's disks.
    pub(crate) disk_read_bytes: u64,
    /// Bytes written to them.
    pub(crate) disk_written_bytes: u64,
}

/// Whether two readings are of one life of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lives {
    One,
    /// The process was started anew in between.
    Two,
    /// It does not tell when it was started.
    Untold,
}

impl Counters {
    /// In the order of the fields.
    pub(super) fn to_array(self) -> [u64; COUNTERS] {
        // Taken apart by name, so that a field that is forgotten here does not compile.
        let Counters {
            requests,
            server_errors,
            cache_asked,
            cache_hits,
            body_bytes,
            asked_body_bytes,
            hit_body_bytes,
            process_cpu_milliseconds,
            disk_errors,
            machine_busy_milliseconds,
            machine_idle_milliseconds,
            received_bytes,
            transmitted_bytes,
            disk_read_bytes,
            disk_written_bytes,
        } = self;
        [
            requests,
            server_errors,
            cache_asked,
            cache_hits,
            body_bytes,
            asked_body_bytes,
            hit_body_bytes,
            process_cpu_milliseconds,
            disk_errors,
            machine_busy_milliseconds,
            machine_idle_milliseconds,
            received_bytes,
            transmitted_bytes,
            disk_read_bytes,
            disk_written_bytes,
        ]
    }

    /// The inverse of [`Counters::to_array`].
    pub(super) fn from_array(values: [u64; COUNTERS]) -> Counters {
        let [
            requests,
            server_errors,
            cache_asked,
            cache_hits,
            body_bytes,
            asked_body_bytes,
            hit_body_bytes,
            process_cpu_milliseconds,
            disk_errors,
            machine_busy_milliseconds,
            machine_idle_milliseconds,
            received_bytes,
            transmitted_bytes,
            disk_read_bytes,
            disk_written_bytes,
        ] = values;
        Counters {
            requests,
            server_errors,
            cache_asked,
            cache_hits,
            body_bytes,
            asked_body_bytes,
            hit_body_bytes,
            process_cpu_milliseconds,
            disk_errors,
            machine_busy_milliseconds,
            machine_idle_milliseconds,
            received_bytes,
            transmitted_bytes,
            disk_read_bytes,
            disk_written_bytes,
        }
    }

    /// What was counted from `earlier` to now.
    ///
    /// A counter of the process that fell, or whose process was started anew, counts from 0. One of the machine lives
    /// through a restart of the process; when it falls, the machine was started anew, unless the process lives on:
    /// then a device is gone and took its share of the sum along, and what the others did meanwhile is not known.
    /// (A machine that is up again for longer than it was before, when it is asked for the first time, looks as if it
    /// had gone on.)
    pub(super) fn since(self, earlier: Counters, lives: Lives) -> Counters {
        let (now, before) = (self.to_array(), earlier.to_array());
        Counters::from_array(std::array::from_fn(|index| {
            let is_of_machine = index >= FIRST_OF_MACHINE;
            match now[index].checked_sub(before[index]) {
                Some(more) if is_of_machine || lives != Lives::Two => more,
                None if is_of_machine && lives == Lives::One => 0,
                Some(_) | None => now[index],
            }
        }))
    }

    /// The share that belongs to the first `part` of a time of length `whole`, rounded down. As a function of `part`
    /// it never falls and ends at all there is, so that shares taken as differences add up to exactly that.
    pub(super) fn share(self, part: u64, whole: u64) -> Counters {
        if part >= whole {
            return self;
        }
        self.map(|value| {
            let share = u128::from(value) * u128::from(part) / u128::from(whole);
            u64::try_from(share).unwrap_or(u64::MAX)
        })
    }

    pub(super) fn plus(self, other: Counters) -> Counters {
        self.with(other, u64::saturating_add)
    }

    pub(super) fn minus(self, other: Counters) -> Counters {
        self.with(other, u64::saturating_sub)
    }

    fn map(self, change: impl Fn(u64) -> u64) -> Counters {
        Counters::from_array(self.to_array().map(change))
    }

    fn with(self, other: Counters, combine: impl Fn(u64, u64) -> u64) -> Counters {
        let (left, right) = (self.to_array(), other.to_array());
        Counters::from_array(std::array::from_fn(|index| combine(left[index], right[index])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn counted(requests: u64, received_bytes: u64) -> Counters {
        Counters {
            requests,
            received_bytes,
            ..Counters::default()
        }
    }

    #[test]
    fn a_restart_of_the_process_resets_what_it_counts_and_not_what_the_machine_counts() {
        let before = counted(10, 1000);
        assert_eq!(counted(15, 1500).since(before, Lives::One), counted(5, 500));
        assert_eq!(counted(15, 1500).since(before, Lives::Untold), counted(5, 500));
        assert_eq!(counted(15, 1500).since(before, Lives::Two), counted(15, 500));
        assert_eq!(counted(3, 1500).since(before, Lives::Untold), counted(3, 500));
        assert_eq!(counted(3, 1500).since(before, Lives::One), counted(3, 500));
    }

    #[test]
    fn a_restart_of_the_machine_resets_both() {
        assert_eq!(
            counted(3, 30).since(counted(10, 1000), Lives::Two),
            counted(3, 30)
        );
        assert_eq!(
            counted(3, 30).since(counted(10, 1000), Lives::Untold),
            counted(3, 30)
        );
    }

    #[test]
    fn a_device_that_goes_away_is_no_flood_of_bytes() {
        assert_eq!(
            counted(12, 900).since(counted(10, 1000), Lives::One),
            counted(2, 0)
        );
    }

    #[test]
    fn every_counter_keeps_its_place() {
        let values: [u64; COUNTERS] = std::array::from_fn(|index| index as u64 + 1);
        let counters = Counters::from_array(values);
        assert_eq!(counters.to_array(), values);
        assert_eq!(
            (
                counters.requests,
                counters.disk_errors,
                counters.disk_written_bytes
            ),
            (1, 9, 15)
        );
        assert_eq!(counters.machine_busy_milliseconds, FIRST_OF_MACHINE as u64 + 1);
    }

    proptest! {
        #[test]
        fn shares_add_up(value in any::<u64>(), whole in 1_u64..100_000, cuts in prop::collection::vec(0_u64..100_000, 0..6)) {
            let mut cuts: Vec<u64> = cuts.into_iter().map(|cut| cut.min(whole)).collect();
            cuts.extend([0, whole]);
            cuts.sort_unstable();
            let all = counted(value, value / 3);
            let sum = cuts
                .windows(2)
                .map(|pair| all.share(pair[1], whole).minus(all.share(pair[0], whole)))
                .fold(Counters::default(), Counters::plus);
            prop_assert_eq!(sum, all);
        }
    }
}
