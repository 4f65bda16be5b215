//! A roll-up as bytes.
//!
//! ```text
//!  1 byte        the number of this layout; a value with another is not read
//!  varint        covered milliseconds
//!  15 varints    counters, gathered
//!  15 varints    counters, ungathered
//!  11 gauges     varint     0: never seen; else samples × 2, and 1 more when its values differ
//!                8 bytes    least, as f64, little endian: only when seen
//!                24 bytes   mean, most and last: only when they differ from it
//! ```
//!
//! Varints (LEB128, as in protobuf) because most counts of a minute are small, and what is ungathered is nearly
//! always 0; one value in place of four because half of the gauges never move. A minute takes 150 to 350 bytes, a
//! day of 1000 nodes about 350 MB. The name of the node and the minute are in the key.

use model::Moment;

use super::counters::{COUNTERS, Counters};
use super::gauges::{Gauges, Spread};
use super::rollup::{Gathered, Rollup};

/// This layout.
const LAYOUT: u8 = 1;

/// Bytes of a u64 at seven bits each.
const LONGEST_VARINT: usize = 10;

pub(super) fn encode(rollup: &Rollup) -> Vec<u8> {
    let mut bytes = vec![LAYOUT];
    put_varint(&mut bytes, rollup.gathered.covered_ms);
    let ungathered = rollup.ungathered.to_array();
    for value in rollup.gathered.counters.to_array().into_iter().chain(ungathered) {
        put_varint(&mut bytes, value);
    }
    for spread in rollup.gauges.into_array() {
        put_spread(&mut bytes, spread);
    }
    bytes
}

/// None when `bytes` are not exactly what [`encode`] makes of some roll-up.
pub(super) fn decode(minute: Moment, bytes: &[u8]) -> Option<Rollup> {
    let mut bytes = bytes.strip_prefix(&[LAYOUT])?;
    let covered_ms = take_varint(&mut bytes)?;
    let counters = take_counters(&mut bytes)?;
    let ungathered = take_counters(&mut bytes)?;
    let mut spreads = Gauges::<Spread>::default().into_array();
    for spread in &mut spreads {
        *spread = take_spread(&mut bytes)?;
    }
    bytes.is_empty().then(|| Rollup {
        minute,
        gathered: Gathered { covered_ms, counters },
        ungathered,
        gauges: Gauges::from_array(spreads),
    })
}

fn put_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for place in 0..LONGEST_VARINT {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let bits = u64::from(byte & 0x7f);
        let shifted = bits << (7 * place);
        if shifted >> (7 * place) != bits {
            return None;
        }
        value |= shifted;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn take_counters(bytes: &mut &[u8]) -> Option<Counters> {
    let mut values = [0; COUNTERS];
    for value in &mut values {
        *value = take_varint(bytes)?;
    }
    Some(Counters::from_array(values))
}

fn put_spread(bytes: &mut Vec<u8>, spread: Option<Spread>) {
    let Some(spread) = spread else {
        return put_varint(bytes, 0);
    };
    let is_moving = spread.min != spread.max;
    put_varint(bytes, u64::from(spread.samples) << 1 | u64::from(is_moving));
    bytes.extend(spread.min.to_le_bytes());
    if is_moving {
        for value in [spread.mean, spread.max, spread.last] {
            bytes.extend(value.to_le_bytes());
        }
    }
}

fn take_spread(bytes: &mut &[u8]) -> Option<Option<Spread>> {
    let head = take_varint(bytes)?;
    if head == 0 {
        return Some(None);
    }
    let samples = u32::try_from(head >> 1).ok().filter(|samples| *samples > 0)?;
    let min = take_float(bytes)?;
    let mut spread = Spread {
        samples,
        ..Spread::of(min)
    };
    if head & 1 == 1 {
        spread.mean = take_float(bytes)?;
        spread.max = take_float(bytes)?;
        spread.last = take_float(bytes)?;
    }
    Some(Some(spread))
}

/// Only finite values are ever written.
fn take_float(bytes: &mut &[u8]) -> Option<f64> {
    let (value, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(f64::from_le_bytes(*value)).filter(|value| value.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::gauges::GAUGES;
    use proptest::array::uniform15;
    use proptest::prelude::*;

    const MINUTE: Moment = Moment(60_000);

    fn spread() -> impl Strategy<Value = Option<Spread>> {
        let values = prop::collection::vec(-1e15_f64..1e15, 1..8);
        prop::option::of(values).prop_map(|values| {
            let mut gauges = Gauges::<Spread>::default();
            for value in values? {
                gauges.add(Gauges {
                    load1: Some(value),
                    ..Gauges::default()
                });
            }
            gauges.load1
        })
    }

    fn rollup() -> impl Strategy<Value = Rollup> {
        let spreads = prop::collection::vec(spread(), GAUGES);
        (
            any::<u64>(),
            uniform15(any::<u64>()),
            uniform15(0_u64..300),
            spreads,
        )
            .prop_map(|(covered_ms, counters, ungathered, spreads)| Rollup {
                minute: MINUTE,
                gathered: Gathered {
                    covered_ms,
                    counters: Counters::from_array(counters),
                },
                ungathered: Counters::from_array(ungathered),
                gauges: Gauges::from_array(spreads.try_into().unwrap()),
            })
    }

    #[test]
    fn a_minute_in_which_nothing_happened_is_a_byte_for_each_number() {
        let nothing = Rollup {
            minute: MINUTE,
            gathered: Gathered::default(),
            ungathered: Counters::default(),
            gauges: Gauges::default(),
        };
        let bytes = encode(&nothing);
        assert_eq!(bytes.len(), 1 + 1 + 2 * COUNTERS + GAUGES);
        assert_eq!(decode(MINUTE, &bytes), Some(nothing));
        let other_layout = [&[LAYOUT + 1], &bytes[1..]].concat();
        assert_eq!(decode(MINUTE, &other_layout), None);
        assert_eq!(decode(MINUTE, &[]), None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(rollup in rollup()) {
            prop_assert_eq!(decode(MINUTE, &encode(&rollup)), Some(rollup));
        }

        #[test]
        fn what_is_cut_short_or_goes_on_is_not_read(rollup in rollup(), cut in any::<prop::sample::Index>()) {
            let mut bytes = encode(&rollup);
            prop_assert_eq!(decode(MINUTE, &bytes[..cut.index(bytes.len())]), None);
            bytes.push(0);
            prop_assert_eq!(decode(MINUTE, &bytes), None);
        }

        #[test]
        fn no_bytes_make_it_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = decode(MINUTE, &bytes);
            bytes.insert(0, LAYOUT);
            let _ = decode(MINUTE, &bytes);
        }
    }
}
