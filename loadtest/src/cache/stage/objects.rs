//! The objects that are asked for: their number determines path, size and bytes.

use crate::content::{Content, Library};

/// From a few header fields to more than one part on disk, in bytes; half of all objects are smaller than the geometric mean.
const SIZES: std::ops::RangeInclusive<u64> = 600..=(6 << 20);

/// One object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::cache) struct Object {
    number: u32,
    /// Of the run: another run asks for other bytes.
    seed: u64,
}

/// All objects of a run, by number.
#[derive(Clone, Copy, Debug)]
pub(in crate::cache) struct Objects {
    seed: u64,
}

impl Objects {
    pub(in crate::cache) fn new(seed: u64) -> Objects {
        Objects { seed }
    }

    pub(in crate::cache) fn object(self, number: u32) -> Object {
        Object {
            number,
            seed: self.seed,
        }
    }
}

impl Object {
    pub(in crate::cache) fn bytes(self) -> u64 {
        // 2^64 / golden ratio: neighbours get sizes far apart.
        let spread = (u64::from(self.number) ^ self.seed).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 11;
        let share = spread as f64 / (1_u64 << 53) as f64;
        let (least, most) = (*SIZES.start() as f64, *SIZES.end() as f64);
        (least * (most / least).powf(share)) as u64
    }

    pub(in crate::cache) fn path(self) -> String {
        format!("/objects/{:x}-{}/{}", self.seed, self.number, self.bytes())
    }

    /// Whether `body` is the whole object.
    pub(in crate::cache) fn is(self, body: &[u8]) -> bool {
        let library = Library {
            titles: 1,
            segments: 1,
        };
        let content = Content::of(&self.path(), &library);
        content.is_some_and(|content| content.length() == body.len() as u64 && content.matches(0, body))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_knows_its_bytes_and_sizes_spread_over_the_range() {
        let objects = Objects::new(9);
        let sizes: Vec<u64> = (0..1000).map(|number| objects.object(number).bytes()).collect();
        assert!(sizes.iter().all(|size| SIZES.contains(size)));
        let (small, large) = (
            sizes.iter().filter(|size| **size < 64 << 10),
            sizes.iter().filter(|size| **size > 4 << 20),
        );
        assert!(small.count() > 300 && large.count() > 20);
        let object = objects.object(3);
        let content = Content::of(
            &object.path(),
            &Library {
                titles: 1,
                segments: 1,
            },
        )
        .unwrap();
        let Content::Generated(generated) = content else {
            panic!("{content:?}")
        };
        let mut body = generated.piece(0, usize::MAX).to_vec();
        assert!(object.is(&body));
        assert!(!object.is(&body[1..]));
        body[100] ^= 1;
        assert!(!object.is(&body));
    }
}
