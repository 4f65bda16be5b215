//! Sites that have too many clients send the marginal ones to those near that have room.
//!
//! A pure state machine, stepped every few seconds with how busy each site is. What it gives out is two shares for each
//! site: which part of its own clients it keeps (`accept`), and which part of those that others send it takes in
//! (`take_in`). Whether one client belongs to such a part is drawn from its network ([`draw`](super::draw)), so a share
//! that falls from 1 to 0.9 moves a tenth of the networks, and always the same.
//!
//! What is steered by must not be what steering has changed already, half a minute late: answers live for a while, so a
//! site that sheds a third of its clients looks crowded for as long, and who sheds another third meanwhile swings back
//! and forth. So the machine keeps how many clients each site would have of its own (its demand), which shedding does
//! not change: the load that is seen, without what it expects to have been taken in by now, over the share that it
//! expects to be in effect by now.
//!
//! Nothing is shed that nobody has room for: a full site near its clients is better than a full one far away.

mod plan;
mod reaction;

use std::collections::BTreeMap;
use std::time::Duration;

use model::Moment;

use super::fleet::SiteId;

pub(crate) use plan::GUESTS_OF;

/// Where a site should be, and the band around it in which nothing is changed.
pub(crate) const TARGET: f64 = 0.80;
const BAND: std::ops::RangeInclusive<f64> = 0.75..=0.85;

/// Above this a site sheds at once, and all that it must.
const FULL: f64 = 1.0;

/// By no more than this factor a share falls in one step, unless the site is full.
const FALL: f64 = 0.8;

/// By so much a share rises in one step.
const RISE: f64 = 0.05;

/// One change in so long a time: what clients keep of an answer by default. Also how long it takes until all have it.
const SETTLE: Duration = Duration::from_secs(30);

/// The time constant by which demand is smoothed.
const SMOOTHING: Duration = Duration::from_secs(30);

/// Demand is never reckoned from a smaller share than this: the error would be larger than the demand.
const SHARE_LEAST: f64 = 0.05;

/// What is seen of one site.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SiteLoad<'a> {
    pub(crate) name: &'a str,
    /// How much of what it can do it does; `None` where it is not known or nothing there is up.
    pub(crate) utilisation: Option<f64>,
    /// What it can do at present, in any unit that is the same for all; 0 where nothing is up.
    pub(crate) capacity: f64,
    /// The other sites, nearest first.
    pub(crate) neighbours: &'a [SiteId],
}

/// What is given out for one site.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Share {
    /// Which part of its own clients it keeps.
    pub(crate) accept: f64,
    /// Which part of the clients of others that come by it takes in.
    pub(crate) take_in: f64,
    /// Which part of what it can do is free below the target; `None` where its load is not known.
    pub(crate) headroom: Option<f64>,
}

/// As long as nothing is known: everybody is kept, and nobody sent elsewhere.
pub(crate) const UNKNOWN: Share = Share {
    accept: 1.0,
    take_in: 0.0,
    headroom: None,
};

/// The machine.
#[derive(Clone, Debug, Default)]
pub(crate) struct Capacity {
    sites: BTreeMap<String, Control>,
    /// When it was last stepped.
    stepped: Moment,
}

/// What is kept of one site.
#[derive(Clone, Debug)]
struct Control {
    /// What its own clients would make it do, in units of capacity.
    demand: Option<f64>,
    accept: Setting,
    /// What it should have taken in of others' clients, in units of capacity.
    guests: Setting,
    /// When `accept` was last changed by the rules.
    changed: Moment,
    share: Share,
}

/// A value that comes into effect with each client's next question: what is in effect is its mean over [`SETTLE`].
#[derive(Clone, Debug)]
struct Setting {
    /// Since when it was what; the last is what it is. Those that have no effect any more are dropped, so there are no
    /// more than steps in [`SETTLE`], and one.
    values: Vec<(Moment, f64)>,
}

impl Capacity {
    /// Takes one step. Sites that are not among `loads` are forgotten; the order of `loads` is that of [`SiteId`].
    pub(crate) fn step(&mut self, loads: &[SiteLoad<'_>], now: Moment) {
        let elapsed = now.since(self.stepped);
        self.stepped = now;
        let mut controls: Vec<Control> = loads
            .iter()
            .map(|load| self.sites.remove(load.name).unwrap_or_else(Control::new))
            .collect();
        let wishes: Vec<f64> = loads
            .iter()
            .zip(&mut controls)
            .map(|(load, control)| control.react(load, elapsed, now))
            .collect();
        let demands: Vec<plan::Demand> = loads
            .iter()
            .zip(&controls)
            .zip(wishes)
            .map(|((load, control), accept)| plan::Demand {
                own: control.demand,
                capacity: load.capacity,
                accept,
                guests: control.guests.value(),
                neighbours: load.neighbours,
            })
            .collect();
        for ((load, control), planned) in loads.iter().zip(&mut controls).zip(plan::plan(&demands)) {
            control.adopt(load, planned, now);
        }
        self.sites = loads
            .iter()
            .map(|load| load.name.to_owned())
            .zip(controls)
            .collect();
    }

    /// What is given out for a site.
    pub(crate) fn share(&self, site: &str) -> Share {
        self.sites.get(site).map_or(UNKNOWN, |control| control.share)
    }
}

impl Setting {
    fn new(value: f64) -> Setting {
        Setting {
            values: vec![(Moment(0), value)],
        }
    }

    fn value(&self) -> f64 {
        self.values.last().map_or(0.0, |(_, value)| *value)
    }

    /// What is in effect.
    fn effect(&self, now: Moment) -> f64 {
        let begin = now - SETTLE;
        let mut until = now;
        let mut sum = 0.0;
        for (since, value) in self.values.iter().rev() {
            sum += value * until.since((*since).max(begin)).as_secs_f64();
            until = *since;
        }
        sum / now.since(begin).as_secs_f64().max(f64::MIN_POSITIVE)
    }

    fn set(&mut self, value: f64, now: Moment) {
        if value != self.value() {
            self.values.push((now, value));
        }
        let begin = now - SETTLE;
        while self.values.get(1).is_some_and(|(since, _)| *since <= begin) {
            self.values.remove(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_comes_into_effect_evenly() {
        let at = Moment::from_seconds;
        let mut setting = Setting::new(1.0);
        assert_eq!(setting.effect(at(1000)), 1.0);
        setting.set(0.4, at(1000));
        for (second, effect) in [(1000, 1.0), (1015, 0.7), (1030, 0.4), (2000, 0.4)] {
            assert!((setting.effect(at(second)) - effect).abs() < 1e-9, "{second}");
        }
        setting.set(0.7, at(1015));
        for (second, effect) in [(1015, 0.7), (1030, 0.55), (1045, 0.7)] {
            assert!((setting.effect(at(second)) - effect).abs() < 1e-9, "{second}");
        }
        setting.set(0.7, at(1100));
        assert_eq!(setting.values.len(), 1);
    }

    #[test]
    fn a_site_of_which_nothing_is_known_keeps_its_clients_and_takes_no_guests() {
        let mut capacity = Capacity::default();
        let load = SiteLoad {
            name: "ams",
            utilisation: None,
            capacity: 10.0,
            neighbours: &[],
        };
        capacity.step(&[load], Moment::from_seconds(1000));
        assert_eq!(capacity.share("ams"), UNKNOWN);
        assert_eq!(capacity.share("never heard of"), UNKNOWN);
    }
}
