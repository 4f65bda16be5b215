//! The truth, replayed: a node whose every request is known, restarts, a monitor that loses, repeats, delays and
//! reorders what it asked. The roll-ups have to be exact.

use std::collections::BTreeMap;

use model::Moment;
use testkit::chance::{Chance, seed};

use crate::stats::counters::Counters;
use crate::stats::gauges::Gauges;
use crate::stats::rollup::{Rollup, WINDOW};
use crate::stats::sample::{REACH, Sample};
use crate::stats::series::{Outcome, Series};

/// When everything begins: a minute, as any other.
const BEGIN: u64 = 1_700_000_040_000;
/// For how long it goes on.
const LENGTH: u64 = 40 * 60_000;
/// Runs of each kind.
const RUNS: u64 = 60;

const MINUTE: u64 = 60_000;

/// One thing that the node counted.
#[derive(Debug, Clone, Copy)]
struct Event {
    at: u64,
    counted: Counters,
}

/// One process of the node: from when it counts.
#[derive(Debug, Clone, Copy)]
struct Life {
    from: u64,
    /// The machine was started anew as well, so that its own counts begin at 0.
    is_of_new_machine: bool,
}

/// All that happened, by time.
#[derive(Debug)]
struct Truth {
    lives: Vec<Life>,
    events: Vec<Event>,
    /// Sums of the events before each.
    sums: Vec<Counters>,
}

impl Truth {
    fn by(chance: &mut Chance) -> Truth {
        // The machine ran for long before, so that its counts fall when it is started anew, once at most: a machine
        // that is up again for longer than before when it is asked for the first time could not be told from one
        // that went on.
        let mut lives = vec![Life {
            from: BEGIN - 3 * LENGTH - chance.below(LENGTH),
            is_of_new_machine: true,
        }];
        let mut reboots = chance.below(2);
        let mut begin_life = |at: u64, chance: &mut Chance| {
            let is_of_new_machine = reboots > 0 && chance.below(2) == 0;
            reboots -= u64::from(is_of_new_machine);
            lives.push(Life {
                from: at,
                is_of_new_machine,
            });
        };
        let mut at = BEGIN;
        loop {
            at += 60_000 + chance.below(15 * MINUTE);
            if at >= BEGIN + LENGTH {
                break;
            }
            // Sometimes it falls again soon after, so that a life may go by between two samples.
            if chance.below(3) == 0 {
                begin_life(at, chance);
                at += 3_000 + chance.below(9_000);
            }
            begin_life(at, chance);
        }
        let mut events = Vec::new();
        let mut at = lives[0].from;
        while at < BEGIN + LENGTH {
            // Bursts and silence.
            at += if chance.below(200) == 0 {
                chance.below(60_000)
            } else {
                1 + chance.below(900)
            };
            events.push(event(at, chance));
        }
        let mut sum = Counters::default();
        let mut sums = vec![sum];
        for event in &events {
            sum = sum.plus(event.counted);
            sums.push(sum);
        }
        Truth { lives, events, sums }
    }

    /// What was counted after `from` and up to `to`.
    fn between(&self, from: u64, to: u64) -> Counters {
        let until = |moment| self.sums[self.events.partition_point(|event| event.at <= moment)];
        until(to).minus(until(from))
    }

    fn life_at(&self, moment: u64) -> usize {
        self.lives.partition_point(|life| life.from <= moment) - 1
    }

    /// What a monitor is told at `moment`.
    fn sample(&self, moment: u64) -> Sample {
        let life = self.life_at(moment);
        let machine_from = self.lives[..=life]
            .iter()
            .rev()
            .find(|life| life.is_of_new_machine);
        let of_process = self.between(self.lives[life].from, moment);
        let of_machine = self.between(machine_from.unwrap().from, moment);
        Sample {
            at: Moment(moment),
            started: self.lives[life].from as f64 / 1000.0,
            counters: joined(of_process, of_machine),
            gauges: Gauges {
                load1: Some((moment % 7_919) as f64),
                ..Gauges::default()
            },
        }
    }

    /// What can be known of the time between two samples: all of it in one life, and after a restart what the
    /// process counts that runs at the second; the machine's counts go on until it is started anew itself.
    fn knowable(&self, earlier: u64, later: u64) -> Counters {
        let (first, last) = (self.life_at(earlier), self.life_at(later));
        let process_from = if first == last {
            earlier
        } else {
            self.lives[last].from
        };
        let reboot = self.lives[first + 1..=last]
            .iter()
            .rev()
            .find(|life| life.is_of_new_machine);
        let machine_from = reboot.map_or(earlier, |life| life.from);
        joined(
            self.between(process_from, later),
            self.between(machine_from, later),
        )
    }
}

fn event(at: u64, chance: &mut Chance) -> Event {
    let bytes = chance.below(1 << 20);
    let is_hit = chance.below(10) > 0;
    let counted = Counters {
        requests: 1,
        server_errors: u64::from(chance.below(50) == 0),
        cache_asked: 1,
        cache_hits: u64::from(is_hit),
        body_bytes: bytes,
        asked_body_bytes: bytes,
        hit_body_bytes: if is_hit { bytes } else { 0 },
        process_cpu_milliseconds: chance.below(3),
        disk_errors: u64::from(chance.below(500) == 0),
        machine_busy_milliseconds: chance.below(9),
        machine_idle_milliseconds: 1 + chance.below(900),
        received_bytes: 1 + bytes / 9,
        transmitted_bytes: 1 + bytes + bytes / 30,
        disk_read_bytes: chance.below(4096),
        disk_written_bytes: chance.below(4096),
    };
    Event { at, counted }
}

/// What the process counts of one, what the machine counts of the other.
fn joined(process: Counters, machine: Counters) -> Counters {
    Counters {
        machine_busy_milliseconds: machine.machine_busy_milliseconds,
        machine_idle_milliseconds: machine.machine_idle_milliseconds,
        received_bytes: machine.received_bytes,
        transmitted_bytes: machine.transmitted_bytes,
        disk_read_bytes: machine.disk_read_bytes,
        disk_written_bytes: machine.disk_written_bytes,
        ..process
    }
}

/// How well a monitor asks.
#[derive(Debug, Clone, Copy)]
struct Weather {
    /// By how much the moment of asking varies.
    jitter: u64,
    /// Of 100 samples, how many come up to 9 s late, 25 s late, twice.
    delayed: u64,
    too_late: u64,
    twice: u64,
    /// Of 100 samples, how many are lost, and at how many nobody asks for up to five minutes.
    lost: u64,
    outages: u64,
}

const CALM: Weather = Weather {
    jitter: 0,
    delayed: 30,
    too_late: 0,
    twice: 10,
    lost: 0,
    outages: 1,
};

const ROUGH: Weather = Weather {
    jitter: 4_000,
    delayed: 30,
    too_late: 5,
    twice: 10,
    lost: 10,
    outages: 2,
};

/// What came of a run.
#[derive(Debug, Default)]
struct Run {
    /// The samples that count, by time.
    accepted: Vec<u64>,
    refused: Vec<(u64, Outcome)>,
    rollups: Vec<Rollup>,
}

fn run(truth: &Truth, weather: Weather, chance: &mut Chance) -> Run {
    // By when they arrive; the moment they are of.
    let mut arrivals: Vec<(u64, u64)> = Vec::new();
    let mut at = BEGIN;
    while at < BEGIN + LENGTH {
        let asked = at + chance.below(weather.jitter + 1);
        let kind = chance.below(100);
        if chance.below(100) >= weather.lost {
            let delay = if kind < weather.delayed {
                chance.below(9_000)
            } else if kind < weather.delayed + weather.too_late {
                10_000 + chance.below(15_000)
            } else {
                chance.below(300)
            };
            arrivals.push((asked + delay, asked));
            if chance.below(100) < weather.twice {
                arrivals.push((asked + delay + chance.below(9_000), asked));
            }
        }
        at += 10_000;
        if chance.below(100) < weather.outages {
            at += 10_000 * chance.below(30);
        }
    }
    arrivals.sort_unstable();
    let mut run = Run::default();
    let mut series = Series::default();
    let mut second = BEGIN;
    for (arrival, moment) in arrivals {
        while second <= arrival {
            run.rollups.extend(series.close(Moment(second)));
            second += 1_000;
        }
        match series.add(truth.sample(moment)) {
            Outcome::Accepted => run.accepted.push(moment),
            refused => run.refused.push((moment, refused)),
        }
    }
    run.rollups.extend(series.close(Moment(second + 10 * MINUTE)));
    run.accepted.sort_unstable();
    run
}

fn sum(counters: impl Iterator<Item = Counters>) -> Counters {
    counters.fold(Counters::default(), Counters::plus)
}

/// What holds in any weather.
fn check(truth: &Truth, run: &Run) {
    let pairs: Vec<(u64, u64)> = run.accepted.windows(2).map(|pair| (pair[0], pair[1])).collect();
    let known = sum(pairs
        .iter()
        .map(|(earlier, later)| truth.knowable(*earlier, *later)));
    let gathered = sum(run.rollups.iter().map(|rollup| rollup.gathered.counters));
    let ungathered = sum(run.rollups.iter().map(|rollup| rollup.ungathered));
    assert_eq!(
        gathered.plus(ungathered),
        known,
        "gathered and ungathered are all there is"
    );

    let mut last = None;
    for rollup in &run.rollups {
        assert!(last < Some(rollup.minute), "one roll-up a minute, in order");
        last = Some(rollup.minute);
        assert_eq!(rollup.minute.0 % MINUTE, 0);
        check_minute(truth, rollup, &pairs);
        check_gauges(rollup, &run.accepted);
    }
}

/// A minute has all of what was counted between samples inside it, and of pairs that lie across its ends no more
/// than there is. A pair whose second sample came after the minute was closed may be missing in it.
fn check_minute(truth: &Truth, rollup: &Rollup, pairs: &[(u64, u64)]) {
    let (start, end) = (rollup.minute.0, rollup.minute.0 + MINUTE);
    let reaching = || {
        pairs
            .iter()
            .filter(|(earlier, later)| Moment(*later).since(Moment(*earlier)) <= REACH)
    };
    let inside = reaching().filter(|(earlier, later)| *earlier >= start && *later < end);
    let least = sum(inside
        .clone()
        .map(|(earlier, later)| truth.knowable(*earlier, *later)));
    let least_ms: u64 = inside.map(|(earlier, later)| later - earlier).sum();
    // A sample at the very end may come when the minute is closed, too, so that its pair lies across.
    let across = |at: u64| reaching().find(|(earlier, later)| *earlier < at && *later >= at);
    let mut most = least;
    let mut most_ms = least_ms;
    let at_start = across(start).map(|(earlier, later)| (earlier, later, later - start));
    let at_end = across(end).map(|(earlier, later)| (earlier, later, end - earlier));
    for (earlier, later, length) in at_start.into_iter().chain(at_end) {
        // Rounded up: the share is a difference of two that are rounded down.
        let share = truth.knowable(*earlier, *later).share(length, later - earlier);
        most = most.plus(Counters::from_array(share.to_array().map(|value| value + 1)));
        most_ms += length;
    }
    let counters = rollup.gathered.counters.to_array();
    for (index, value) in counters.into_iter().enumerate() {
        let (least, most) = (least.to_array()[index], most.to_array()[index]);
        assert!(
            (least..=most).contains(&value),
            "{index}: {least} {value} {most} in {rollup:?}"
        );
    }
    assert!(
        (least_ms..=most_ms).contains(&rollup.gathered.covered_ms),
        "{least_ms} {most_ms} {rollup:?}"
    );
    assert!(rollup.gathered.covered_ms <= MINUTE);
}

fn check_gauges(rollup: &Rollup, accepted: &[u64]) {
    let (start, end) = (rollup.minute.0, rollup.minute.0 + MINUTE);
    let values: Vec<f64> = accepted
        .iter()
        .filter(|at| (start..end).contains(at))
        .map(|at| (at % 7_919) as f64)
        .collect();
    let load = rollup.gauges.load1.expect("a roll-up without a sample");
    assert_eq!(load.samples as usize, values.len());
    assert_eq!(load.last, *values.last().unwrap());
    assert_eq!(load.min, values.iter().copied().fold(f64::MAX, f64::min));
    assert_eq!(load.max, values.iter().copied().fold(f64::MIN, f64::max));
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    assert!((load.mean - mean).abs() < 1e-6);
}

#[test]
fn in_calm_weather_every_covered_minute_is_the_truth_to_the_last_byte() {
    let seed = seed();
    let mut whole_minutes = 0;
    for number in 0..RUNS {
        let mut chance = Chance::new(seed ^ number << 32);
        let truth = Truth::by(&mut chance);
        let run = run(&truth, CALM, &mut chance);
        check(&truth, &run);
        for (moment, outcome) in &run.refused {
            assert_eq!(*outcome, Outcome::Duplicate, "{moment}");
        }
        for rollup in &run.rollups {
            let (start, end) = (rollup.minute.0, rollup.minute.0 + MINUTE);
            // Where a single sample was lost at the edge of a minute, its neighbours share out what lies between them.
            let has_edges = [start, end]
                .iter()
                .all(|edge| run.accepted.binary_search(edge).is_ok());
            let is_whole = rollup.gathered.covered_ms == MINUTE && has_edges;
            if !is_whole || truth.life_at(start) != truth.life_at(end) {
                continue;
            }
            whole_minutes += 1;
            assert_eq!(rollup.gathered.counters, truth.between(start, end), "{start}");
        }
    }
    assert!(whole_minutes > RUNS * 10, "{whole_minutes}");
}

#[test]
fn in_rough_weather_nothing_is_counted_twice_and_nothing_is_left_out() {
    let seed = seed();
    let mut seen = BTreeMap::new();
    for number in 0..RUNS {
        let mut chance = Chance::new(seed ^ number << 32);
        let truth = Truth::by(&mut chance);
        let run = run(&truth, ROUGH, &mut chance);
        check(&truth, &run);
        for (_, outcome) in &run.refused {
            *seen.entry(format!("{outcome:?}")).or_insert(0) += 1;
        }
        let ungathered = run
            .rollups
            .iter()
            .filter(|rollup| rollup.ungathered != Counters::default());
        *seen.entry("ungathered".to_owned()).or_insert(0) += ungathered.count();
        *seen.entry("restarts".to_owned()).or_insert(0) += truth.lives.len() - 1;
    }
    // The weather was rough indeed.
    for what in ["Late", "Duplicate", "ungathered", "restarts"] {
        assert!(
            seen.get(what).is_some_and(|count| *count > 10),
            "{what}: {seen:?}"
        );
    }
}

fn counted(at: u64, requests: u64) -> Sample {
    Sample {
        at: Moment(BEGIN + at),
        started: 1.0,
        counters: Counters {
            requests,
            ..Counters::default()
        },
        gauges: Gauges::default(),
    }
}

fn told(series: &mut Series, samples: &[(u64, u64)]) {
    for (at, requests) in samples {
        assert_eq!(series.add(counted(*at, *requests)), Outcome::Accepted);
    }
}

/// Covered, gathered and ungathered of each minute that is closed by then.
fn closed(series: &mut Series, at: u64) -> Vec<(u64, u64, u64)> {
    let numbers = |rollup: Rollup| {
        let requests = rollup.gathered.counters.requests;
        (rollup.gathered.covered_ms, requests, rollup.ungathered.requests)
    };
    series
        .close(Moment(BEGIN + at))
        .into_iter()
        .map(numbers)
        .collect()
}

#[test]
fn what_lies_across_the_end_of_a_minute_is_shared_out_in_whole_numbers() {
    let mut series = Series::default();
    told(&mut series, &[(53_000, 0), (63_000, 9)]);
    assert_eq!(closed(&mut series, 69_999), []);
    assert_eq!(closed(&mut series, 70_000), [(7_000, 6, 0)]);
    assert_eq!(closed(&mut series, 130_000), [(3_000, 3, 0)]);
}

#[test]
fn a_second_sample_that_comes_when_the_minute_is_closed_gives_its_share_as_ungathered() {
    let mut series = Series::default();
    told(&mut series, &[(40_000, 0), (50_000, 10)]);
    assert_eq!(closed(&mut series, 70_000), [(10_000, 10, 0)]);
    told(&mut series, &[(75_000, 35)]);
    assert_eq!(closed(&mut series, 130_000), [(15_000, 15, 10)]);
}

#[test]
fn a_sample_within_what_was_shared_out_already_is_late() {
    let mut series = Series::default();
    told(&mut series, &[(55_000, 0), (68_000, 13)]);
    assert_eq!(closed(&mut series, 70_000), [(5_000, 5, 0)]);
    assert_eq!(series.add(counted(61_000, 1)), Outcome::Late);
    assert_eq!(series.add(counted(68_000, 13)), Outcome::Duplicate);
    told(&mut series, &[(78_000, 23), (70_000, 15)]);
    assert_eq!(closed(&mut series, 130_000), [(18_000, 18, 0)]);
}

#[test]
fn a_late_sample_may_still_fall_into_a_gap_across_the_end_of_a_minute() {
    let mut series = Series::default();
    told(&mut series, &[(45_000, 0), (55_000, 10), (85_000, 40)]);
    assert_eq!(closed(&mut series, 85_500), [(10_000, 10, 0)]);
    told(&mut series, &[(76_000, 31)]);
    assert_eq!(closed(&mut series, 130_000), [(25_000, 25, 5)]);
}

#[test]
fn a_sample_at_the_very_end_of_a_minute_belongs_to_the_next_and_ends_the_one_before() {
    let mut series = Series::default();
    told(&mut series, &[(0, 0), (20_000, 2), (40_000, 4), (60_000, 6)]);
    assert_eq!(closed(&mut series, 70_000), [(60_000, 6, 0)]);
    told(&mut series, &[(80_000, 8)]);
    assert_eq!(closed(&mut series, 130_000), [(20_000, 2, 0)]);
}

#[test]
fn a_node_that_is_silent_for_a_year_closes_at_once() {
    let mut series = Series::default();
    told(&mut series, &[(0, 0)]);
    let year = 365 * 24 * 60 * MINUTE;
    assert_eq!(closed(&mut series, year), [(0, 0, 0)]);
    told(&mut series, &[(year, 7)]);
    assert_eq!(
        closed(&mut series, year + WINDOW.as_millis() as u64 * 2),
        [(0, 0, 7)]
    );
}
