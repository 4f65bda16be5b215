//! Until when a record is fresh, in three bytes of its header and of its footer entry.
//!
//! ```text
//! 0  flags   1  bit 0: there is a validator, so it can be revalidated when it is stale
//!               bit 1: it was copied from a region that was about to be given up
//! 1  fresh   2  for so many units of 256 s after its region was opened, rounded up; 0 not known, 65535 that or longer
//! ```
//!
//! Asked only when room is made: what is stale and cannot be revalidated need not be copied. That it is a copy matters
//! to the next start: torn by a crash, it must not hide the original.

use model::Moment;

const REVALIDATES: u8 = 1;
const COPY: u8 = 2;
const UNIT_SECONDS: u64 = 256;

/// How long a record may be of use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::disk) struct Expiry {
    revalidates: bool,
    copy: bool,
    units: u16,
}

impl Expiry {
    /// Of a record in a region that was opened at `created_seconds`.
    pub(in crate::disk) fn new(
        fresh_until: Option<Moment>,
        revalidates: bool,
        created_seconds: u32,
    ) -> Expiry {
        let units = fresh_until.map_or(0, |until| {
            let seconds = until.seconds().saturating_sub(created_seconds.into());
            seconds.div_ceil(UNIT_SECONDS).clamp(1, u16::MAX.into()) as u16
        });
        Expiry {
            revalidates,
            copy: false,
            units,
        }
    }

    /// When it becomes stale, if that is known. For a region that was opened at `created_seconds`.
    pub(in crate::disk) fn fresh_until(self, created_seconds: u32) -> Option<Moment> {
        match self.units {
            0 => None,
            u16::MAX => Some(Moment(u64::MAX)),
            units => {
                let seconds = u64::from(created_seconds) + u64::from(units) * UNIT_SECONDS;
                Some(Moment::from_seconds(seconds))
            }
        }
    }

    /// The same of a copy.
    pub(in crate::disk) fn of_copy(self) -> Expiry {
        Expiry { copy: true, ..self }
    }

    pub(in crate::disk) fn is_of_copy(self) -> bool {
        self.copy
    }

    pub(in crate::disk) fn revalidates(self) -> bool {
        self.revalidates
    }

    /// Whether it is stale at `now` and cannot be revalidated.
    pub(in crate::disk) fn is_over(self, created_seconds: u32, now: Moment) -> bool {
        !self.revalidates && self.fresh_until(created_seconds).is_some_and(|until| until < now)
    }

    pub(in crate::disk) fn encode(self) -> [u8; 3] {
        let [low, high] = self.units.to_le_bytes();
        let revalidates = if self.revalidates { REVALIDATES } else { 0 };
        let copy = if self.copy { COPY } else { 0 };
        [revalidates | copy, low, high]
    }

    pub(in crate::disk) fn decode([flags, low, high]: [u8; 3]) -> Expiry {
        Expiry {
            revalidates: flags & REVALIDATES != 0,
            copy: flags & COPY != 0,
            units: u16::from_le_bytes([low, high]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_over_when_its_time_has_passed_unless_it_can_be_revalidated_or_never_ends() {
        let at = Moment::from_seconds;
        let expiry = Expiry::new(Some(at(1300)), false, 1000);
        assert!(!expiry.is_over(1000, at(1512)) && expiry.is_over(1000, at(1513)));
        let copied = Expiry::new(expiry.fresh_until(1000), expiry.revalidates(), 1500);
        assert!(!copied.is_over(1500, at(1756)) && copied.is_over(1500, at(1757)));
        for kept in [
            Expiry::new(Some(at(1300)), true, 1000),
            Expiry::new(None, false, 1000),
            Expiry::new(Some(Moment(u64::MAX)), false, 1000),
        ] {
            assert!(!kept.is_over(1000, at(1 << 40)), "{kept:?}");
        }
    }

    #[test]
    fn three_bytes_say_all_of_it() {
        for until in [
            None,
            Some(Moment(0)),
            Some(Moment::from_seconds(1300)),
            Some(Moment(u64::MAX)),
        ] {
            for revalidates in [true, false] {
                let expiry = Expiry::new(until, revalidates, 1000);
                for expiry in [expiry, expiry.of_copy()] {
                    assert_eq!(Expiry::decode(expiry.encode()), expiry);
                }
            }
        }
        assert_eq!(
            Expiry::new(Some(Moment::from_seconds(1300)), true, 1000).encode(),
            [1, 2, 0]
        );
        assert_eq!(
            Expiry::new(Some(Moment(0)), false, 1000).encode(),
            [0, 1, 0],
            "stale is not unknown"
        );
    }
}
