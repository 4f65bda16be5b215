//! Whether a node has more to do than it can: thresholds on what its metrics say, each with a memory of its own, so that
//! a value that dances around its threshold does not make the state dance.

use model::health::{Cause, CauseKind, DiskCounts};

/// Readings in a row above a threshold that make it count: one is an accident.
const READINGS_ON: u32 = 2;
/// Readings in a row clearly below it that end it.
const READINGS_OFF: u32 = 3;
/// What is clearly below: this share of the threshold.
const CLEARLY: f64 = 0.9;
/// A node never gets less than this for what strains it: somebody has to do the work.
const LEAST_WEIGHT: f64 = 0.1;
/// What a node gets whose devices are all lost: it still has its RAM, and its parents behind it.
const WEIGHT_WITHOUT_DISKS: f64 = 0.25;

/// What a node may be loaded with. A limit of 0 is none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Limits {
    /// Load average (1 minute) per core.
    pub(crate) load_per_core: f64,
    /// Bytes sent, as a share of what the network interface can.
    pub(crate) bandwidth_share: f64,
    /// Errors of cache devices in a minute.
    pub(crate) disk_errors_per_minute: f64,
    /// The least share of requests that its cache answers.
    pub(crate) hit_ratio_least: f64,
    /// Requests in the last minute below which the hit ratio says nothing.
    pub(crate) hit_ratio_requests: u64,
}

/// What one reading of a node's metrics says; what is not known is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Reading {
    pub(crate) load_per_core: Option<f64>,
    pub(crate) bandwidth_share: Option<f64>,
    pub(crate) disk_errors_per_minute: Option<f64>,
    /// The share of requests, and how many there were in the last minute.
    pub(crate) hit_ratio: Option<(f64, u64)>,
}

/// Everything that strains one node.
#[derive(Clone, Debug, Default)]
pub(crate) struct Strains {
    load: Latch,
    bandwidth: Latch,
    disk_errors: Latch,
    hit_ratio: Latch,
    disks: DiskCounts,
    last: Reading,
}

/// A threshold with a memory.
#[derive(Clone, Copy, Debug, Default)]
struct Latch {
    on: bool,
    streak: u32,
}

impl Latch {
    /// Takes in a reading as a share of its threshold: from 1 on it is too much.
    fn see(&mut self, share: f64) {
        let against = if self.on { share < CLEARLY } else { share >= 1.0 };
        self.streak = if against { self.streak + 1 } else { 0 };
        let needed = if self.on { READINGS_OFF } else { READINGS_ON };
        if self.streak >= needed {
            self.on = !self.on;
            self.streak = 0;
        }
    }

    /// What is not known any more is not held against a node.
    fn see_if_known(&mut self, share: Option<f64>) {
        match share {
            Some(share) => self.see(share),
            None => *self = Latch::default(),
        }
    }
}

impl Strains {
    /// Takes in what the node's metrics say.
    pub(crate) fn read(&mut self, reading: Reading, limits: &Limits) {
        let share = |value: Option<f64>, limit: f64| value.filter(|_| limit > 0.0).map(|value| value / limit);
        self.load
            .see_if_known(share(reading.load_per_core, limits.load_per_core));
        self.bandwidth
            .see_if_known(share(reading.bandwidth_share, limits.bandwidth_share));
        self.disk_errors.see_if_known(share(
            reading.disk_errors_per_minute,
            limits.disk_errors_per_minute,
        ));
        let hits = reading
            .hit_ratio
            .filter(|(_, requests)| *requests >= limits.hit_ratio_requests)
            .map(|(ratio, _)| ratio.max(f64::EPSILON));
        // Turned round: too little is too much.
        self.hit_ratio.see_if_known(
            hits.filter(|_| limits.hit_ratio_least > 0.0)
                .map(|ratio| limits.hit_ratio_least / ratio),
        );
        self.last = reading;
    }

    /// The node's metrics could not be read: nothing is known but what it says of its devices.
    pub(crate) fn lost_sight(&mut self) {
        *self = Strains {
            disks: self.disks,
            ..Strains::default()
        };
    }

    /// Takes in what the node says of its devices.
    pub(crate) fn hear_of_disks(&mut self, disks: DiskCounts) {
        self.disks = disks;
    }

    /// The share of its weight that is left, and the cause that weighs most; `None` when nothing strains it.
    pub(crate) fn verdict(&self, limits: &Limits) -> Option<(f64, Cause)> {
        let mut found: Vec<(f64, Cause)> = Vec::new();
        let over = |limit: f64, value: Option<f64>| (limit / value.unwrap_or(limit)).clamp(LEAST_WEIGHT, 1.0);
        if self.disks.read_only + self.disks.offline > 0 {
            let weight = self.disks.usable_share().max(WEIGHT_WITHOUT_DISKS);
            found.push((weight, Cause::new(CauseKind::Disks, describe(self.disks))));
        }
        if self.disk_errors.on {
            let errors = self.last.disk_errors_per_minute.unwrap_or_default();
            let cause = format!("{errors:.0} errors of cache devices in a minute");
            found.push((0.5, Cause::new(CauseKind::Disks, cause)));
        }
        if self.load.on {
            let load = self.last.load_per_core;
            let cause = format!("load average {:.1} per core", load.unwrap_or_default());
            found.push((
                over(limits.load_per_core, load),
                Cause::new(CauseKind::Load, cause),
            ));
        }
        if self.bandwidth.on {
            let share = self.last.bandwidth_share;
            let cause = format!(
                "{:.0} % of the interface's bandwidth",
                share.unwrap_or_default() * 100.0
            );
            found.push((
                over(limits.bandwidth_share, share),
                Cause::new(CauseKind::Bandwidth, cause),
            ));
        }
        if self.hit_ratio.on {
            let ratio = self.last.hit_ratio.unwrap_or_default().0;
            let cause = format!("{:.0} % of requests answered from the cache", ratio * 100.0);
            found.push((1.0, Cause::new(CauseKind::HitRatio, cause)));
        }
        found
            .into_iter()
            .min_by(|left, right| left.0.total_cmp(&right.0))
            .map(|(weight, cause)| (in_steps(weight), cause))
    }

    /// How much of what it can do it does, by the scarcest of its means. What has no limit does not count.
    pub(crate) fn utilisation(&self, limits: &Limits) -> Option<f64> {
        let load = self.last.load_per_core.filter(|_| limits.load_per_core > 0.0);
        let bandwidth = self.last.bandwidth_share.filter(|_| limits.bandwidth_share > 0.0);
        load.into_iter().chain(bandwidth).reduce(f64::max).map(in_steps)
    }
}

/// In steps of a twentieth: what changes by less is not worth a publication.
fn in_steps(share: f64) -> f64 {
    (share * 20.0).round() / 20.0
}

fn describe(disks: DiskCounts) -> String {
    let named = [(disks.offline, "offline"), (disks.read_only, "read only")];
    let parts: Vec<String> = named
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, state)| format!("{count} {state}"))
        .collect();
    format!("of {} cache devices {}", disks.total(), parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        load_per_core: 2.0,
        bandwidth_share: 0.9,
        disk_errors_per_minute: 10.0,
        hit_ratio_least: 0.5,
        hit_ratio_requests: 1000,
    };

    fn load(value: f64) -> Reading {
        Reading {
            load_per_core: Some(value),
            ..Reading::default()
        }
    }

    #[test]
    fn a_threshold_counts_after_two_readings_and_until_three_clearly_below() {
        let mut strains = Strains::default();
        for (value, on) in [
            (4.0, false),
            (1.0, false),
            (4.0, false),
            (4.0, true),
            (1.9, true),
            (1.0, true),
            (1.0, true),
            (1.9, true),
            (1.0, true),
            (1.0, true),
            (1.0, false),
        ] {
            strains.read(load(value), &LIMITS);
            assert_eq!(strains.verdict(&LIMITS).is_some(), on, "at {value}");
        }
    }

    #[test]
    fn what_is_too_much_takes_away_as_much_weight_and_the_heaviest_cause_is_named() {
        let mut strains = Strains::default();
        let reading = Reading {
            load_per_core: Some(4.0),
            bandwidth_share: Some(1.0),
            ..Reading::default()
        };
        for _ in 0..2 {
            strains.read(reading, &LIMITS);
        }
        let (weight, cause) = strains.verdict(&LIMITS).unwrap();
        assert_eq!((weight, cause.kind), (0.5, CauseKind::Load));
        assert!(cause.detail.contains("4.0"), "{cause}");
        assert_eq!(strains.utilisation(&LIMITS), Some(4.0));
        let of_network_alone = Limits {
            load_per_core: 0.0,
            ..LIMITS
        };
        assert_eq!(strains.utilisation(&of_network_alone), Some(1.0));
        strains.lost_sight();
        assert_eq!(
            (strains.verdict(&LIMITS), strains.utilisation(&LIMITS)),
            (None, None)
        );
    }

    #[test]
    fn lost_devices_take_away_their_share_at_once() {
        let mut strains = Strains::default();
        let disks = |healthy, read_only, offline| DiskCounts {
            healthy,
            suspect: 0,
            read_only,
            offline,
        };
        for (counts, weight, says) in [
            (disks(1, 1, 0), 0.75, "of 2 cache devices 1 read only"),
            (disks(0, 0, 2), 0.25, "of 2 cache devices 2 offline"),
            (disks(0, 1, 1), 0.25, "1 offline, 1 read only"),
        ] {
            strains.hear_of_disks(counts);
            let (found, cause) = strains.verdict(&LIMITS).unwrap();
            assert_eq!((found, cause.kind), (weight, CauseKind::Disks));
            assert!(cause.detail.contains(says), "{cause}");
        }
        strains.hear_of_disks(disks(2, 0, 0));
        assert_eq!(strains.verdict(&LIMITS), None);
    }

    #[test]
    fn a_low_hit_ratio_is_told_only_where_it_rests_on_enough_requests() {
        let hits = |ratio, requests| Reading {
            hit_ratio: Some((ratio, requests)),
            ..Reading::default()
        };
        let mut strains = Strains::default();
        for _ in 0..5 {
            strains.read(hits(0.1, 999), &LIMITS);
        }
        assert_eq!(strains.verdict(&LIMITS), None);
        for _ in 0..2 {
            strains.read(hits(0.1, 1000), &LIMITS);
        }
        let (weight, cause) = strains.verdict(&LIMITS).unwrap();
        assert_eq!((weight, cause.kind), (1.0, CauseKind::HitRatio));
    }

    #[test]
    fn a_limit_of_nothing_is_none() {
        let none = Limits {
            load_per_core: 0.0,
            bandwidth_share: 0.0,
            disk_errors_per_minute: 0.0,
            hit_ratio_least: 0.0,
            hit_ratio_requests: 0,
        };
        let mut strains = Strains::default();
        let reading = Reading {
            load_per_core: Some(1e9),
            bandwidth_share: Some(1e9),
            disk_errors_per_minute: Some(1e9),
            hit_ratio: Some((0.0, 1)),
        };
        for _ in 0..5 {
            strains.read(reading, &none);
        }
        assert_eq!(strains.verdict(&none), None);
    }
}
