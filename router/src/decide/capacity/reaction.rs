//! What one site wishes to keep of its own clients, by the load that it sees.

use std::time::Duration;

use model::Moment;

use super::plan::Planned;
use super::{
    BAND, Control, FALL, FULL, RISE, SETTLE, SHARE_LEAST, SMOOTHING, Setting, Share, SiteLoad, TARGET,
    UNKNOWN,
};

impl Control {
    pub(super) fn new() -> Control {
        Control {
            demand: None,
            accept: Setting::new(1.0),
            guests: Setting::new(0.0),
            // The first change waits for nothing.
            changed: Moment(0),
            share: UNKNOWN,
        }
    }

    /// Takes in what is seen, and says which share of its own clients the site should keep.
    pub(super) fn react(&mut self, load: &SiteLoad<'_>, elapsed: Duration, now: Moment) -> f64 {
        let accept = self.accept.value();
        let may_change = now.since(self.changed) >= SETTLE;
        let Some(seen) = load.utilisation.filter(|_| load.capacity > 0.0) else {
            // Step by step back to where nobody is sent elsewhere without a reason that holds.
            self.demand = None;
            return if may_change {
                (accept + RISE).min(1.0)
            } else {
                accept
            };
        };
        let own = (seen * load.capacity - self.guests.effect(now)).max(0.0);
        let raw = own / self.accept.effect(now).max(SHARE_LEAST);
        let full = raw * accept > FULL * load.capacity;
        let smooth = 1.0 - (-elapsed.as_secs_f64() / SMOOTHING.as_secs_f64()).exp();
        let demand = match self.demand {
            Some(before) if !full => before + (raw - before) * smooth,
            _ => raw,
        };
        self.demand = Some(demand);
        // How busy the site will be with its own clients once all have heard of its present share.
        let expected = demand * accept / load.capacity;
        if full {
            accept * TARGET / expected
        } else if !may_change {
            accept
        } else if expected > *BAND.end() {
            accept * (TARGET / expected).max(FALL)
        } else if expected < *BAND.start() && accept < 1.0 {
            let enough = TARGET * load.capacity / demand.max(f64::MIN_POSITIVE);
            (accept + RISE).min(enough).min(1.0)
        } else {
            accept
        }
    }

    /// Takes over what was planned with the other sites.
    pub(super) fn adopt(&mut self, load: &SiteLoad<'_>, planned: Planned, now: Moment) {
        if planned.accept != self.accept.value() {
            self.changed = now;
        }
        self.accept.set(planned.accept, now);
        self.guests.set(planned.guests, now);
        let seen = load.utilisation.filter(|_| load.capacity > 0.0);
        self.share = Share {
            accept: planned.accept,
            take_in: planned.take_in,
            headroom: seen.map(|seen| (TARGET - seen).max(0.0)),
        };
    }
}
