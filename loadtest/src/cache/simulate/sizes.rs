//! Sizes of objects as video CDNs have them: many small ones (playlists, init segments, captions, sound) beside
//! segments around a megabyte.

use rand::Rng;

/// The log-normal distribution: its logarithm has the mean `ln(median)` and the deviation `spread`.
#[derive(Clone, Copy, Debug)]
struct LogNormal {
    median_bytes: f64,
    spread: f64,
}

/// Share of objects that are small.
const SMALL_SHARE: f64 = 0.4;

/// Playlists, captions, thumbnails, init segments.
const SMALL: LogNormal = LogNormal {
    median_bytes: 12.0 * 1024.0,
    spread: 1.0,
};

/// Segments of all rungs of a ladder.
const SEGMENTS: LogNormal = LogNormal {
    median_bytes: 1.15 * 1024.0 * 1024.0,
    spread: 0.75,
};

/// What is larger is stored in parts of this size anyway, each by itself.
pub(super) const LARGEST_BYTES: u32 = 4 << 20;

/// The smallest answer worth a cache.
const SMALLEST_BYTES: u32 = 256;

/// The size of one more object.
pub(super) fn choose(chance: &mut impl Rng) -> u32 {
    if chance.random_bool(SMALL_SHARE) {
        SMALL.sample(chance)
    } else {
        SEGMENTS.sample(chance)
    }
}

impl LogNormal {
    fn sample(self, chance: &mut impl Rng) -> u32 {
        let bytes = self.median_bytes * (self.spread * normal(chance)).exp();
        (bytes as u32).clamp(SMALLEST_BYTES, LARGEST_BYTES)
    }
}

/// A sample of the standard normal distribution (Box and Muller).
fn normal(chance: &mut impl Rng) -> f64 {
    // The logarithm of 0 is not to be asked for: `random` is below 1, so the difference is above 0.
    let radius = (-2.0 * (1.0 - chance.random::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * chance.random::<f64>()).cos()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn sizes_have_the_mean_and_the_small_share_of_video_traces() {
        let mut chance = StdRng::seed_from_u64(1);
        let sizes: Vec<u32> = (0..50_000).map(|_| choose(&mut chance)).collect();
        let mean = sizes.iter().map(|size| f64::from(*size)).sum::<f64>() / sizes.len() as f64;
        assert!((750e3..1000e3).contains(&mean), "{mean}");
        let small = sizes.iter().filter(|size| **size <= 64 << 10).count() as f64 / sizes.len() as f64;
        assert!((0.35..0.45).contains(&small), "{small}");
        assert!(
            sizes
                .iter()
                .all(|size| (SMALLEST_BYTES..=LARGEST_BYTES).contains(size))
        );
    }
}
