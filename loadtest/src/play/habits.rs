//! How viewers behave.

use rand::Rng;

use crate::client::Protocol;

/// Shares and rates, all adjustable.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Habits {
    /// How many times faster than real viewers these ones watch
    #[arg(long, default_value_t = 8.0, value_parser = speed)]
    pub(crate) speed: f64,
    /// Share of sessions that begin in the middle of a title
    #[arg(long, default_value_t = 0.2, value_parser = share)]
    pub(crate) seek: f64,
    /// Chance to leave after each segment
    #[arg(long, default_value_t = 0.05, value_parser = share)]
    pub(crate) leave_after_segment: f64,
    /// Chance to break off in the middle of each request
    #[arg(long, default_value_t = 0.01, value_parser = share)]
    pub(crate) break_off: f64,
    /// Share of sessions whose reader is slow
    #[arg(long, default_value_t = 0.03, value_parser = share)]
    pub(crate) slow_readers: f64,
    /// Share of sessions over TLS and h2
    #[arg(long, default_value_t = 0.5, value_parser = share)]
    pub(crate) h2: f64,
    /// Share of the other sessions that use plain HTTP
    #[arg(long, default_value_t = 0.4, value_parser = share)]
    pub(crate) plain: f64,
}

impl Habits {
    /// How the next session speaks.
    pub(crate) fn protocol(&self, chance: &mut impl Rng) -> Protocol {
        if chance.random_bool(self.h2) {
            Protocol::TlsHttp2
        } else if chance.random_bool(self.plain) {
            Protocol::Plain
        } else {
            Protocol::TlsHttp1
        }
    }
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("write a share between 0 and 1, such as 0.05".to_owned()),
    }
}

fn speed(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(speed) if (0.1..=1000.0).contains(&speed) => Ok(speed),
        _ => Err("write a number between 0.1 and 1000".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn shares_lie_between_nothing_and_all() {
        assert_eq!(share("0.25"), Ok(0.25));
        for text in ["-0.1", "1.1", "NaN", "half", ""] {
            assert!(share(text).is_err(), "{text}");
            assert!(speed(&format!("-{text}")).is_err(), "{text}");
        }
    }

    #[test]
    fn protocols_are_mixed_as_the_shares_say() {
        let habits = Habits {
            speed: 1.0,
            seek: 0.0,
            leave_after_segment: 0.0,
            break_off: 0.0,
            slow_readers: 0.0,
            h2: 0.5,
            plain: 0.4,
        };
        let mut chance = StdRng::seed_from_u64(3);
        let chosen: Vec<Protocol> = (0..10_000).map(|_| habits.protocol(&mut chance)).collect();
        for (protocol, expected) in [
            (Protocol::TlsHttp2, 5000.0),
            (Protocol::Plain, 2000.0),
            (Protocol::TlsHttp1, 3000.0),
        ] {
            let count = chosen.iter().filter(|other| **other == protocol).count() as f64;
            assert!((count / expected - 1.0_f64).abs() < 0.1, "{protocol:?}: {count}");
        }
    }
}
