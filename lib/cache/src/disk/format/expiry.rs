//! Until when a record is fresh, in three bytes of its header and of its footer entry.
//!
//! ```text
//! 0  flags   1  bit 0: there is a validator, so it can be revalidated when it is stale
//! 1  fresh   2  for so many units of 256 s after its region was opened, rounded up; 0 not known, 65535 that or longer
//! ```
//!
//! Asked only when room is made: what is stale and cannot be revalidated need not be copied.

use model::Moment;

const REVALIDATES: u8 = 1;
const UNIT_SECONDS: u64 = 256;

/// How long a record may be of use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::disk) struct Expiry {
    revalidates: bool,
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
        Expiry { revalidates, units }
    }

    pub(in crate::disk) fn encode(self) -> [u8; 3] {
        let [low, high] = self.units.to_le_bytes();
        [if self.revalidates { REVALIDATES } else { 0 }, low, high]
    }

    pub(in crate::disk) fn decode([flags, low, high]: [u8; 3]) -> Expiry {
        Expiry {
            revalidates: flags & REVALIDATES != 0,
            units: u16::from_le_bytes([low, high]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
                assert_eq!(Expiry::decode(expiry.encode()), expiry);
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
