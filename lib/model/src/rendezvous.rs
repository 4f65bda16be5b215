//! Weighted rendezvous hashing: which of some nodes a key belongs to, such that a node's departure moves its keys only.
//!
//! Each node draws a number for the key; the highest wins. With `u` uniform in (0, 1) the score `-weight / ln(u)`
//! gives every node a share proportional to its weight, and changing one weight moves keys only to or from that node
//! (Schindelhauer and Schomaker, "Weighted distributed hash tables", SPAA 2005). Nothing is kept between calls, so all
//! that know the same nodes agree without a word.
//!
//! The hashes are XXH3-64 and must never change: a change would move every key of a running CDN at once.

use xxhash_rust::xxh3::xxh3_64;

/// The hash by which a node takes part.
#[must_use]
pub fn node_hash(name: &str) -> u64 {
    xxh3_64(name.as_bytes())
}

/// The hash by which a key takes part.
#[must_use]
pub fn key_hash(text: &str) -> u64 {
    xxh3_64(text.as_bytes())
}

/// The nodes in the order in which they should be asked for a key, best first.
///
/// A node is `(node_hash, weight, what it stands for)`; weights are above 0, which
/// [`Snapshot::check`](crate::Snapshot::check) sees to. Equal scores (one name twice) are ordered by node hash, so the
/// order of `nodes` never matters.
#[must_use]
pub fn rank<T>(key_hash: u64, nodes: &[(u64, f64, T)]) -> Vec<&T> {
    let mut scored: Vec<(f64, u64, &T)> = nodes
        .iter()
        .map(|(node, weight, what)| (score(key_hash, *node, *weight), *node, what))
        .collect();
    scored.sort_by(|left, right| right.0.total_cmp(&left.0).then(left.1.cmp(&right.1)));
    scored.into_iter().map(|(_, _, what)| what).collect()
}

/// What a node draws for a key; the highest draw has the key. A node of weight 0 draws 0, below all others.
#[must_use]
pub fn score(key_hash: u64, node_hash: u64, weight: f64) -> f64 {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&key_hash.to_le_bytes());
    bytes[8..].copy_from_slice(&node_hash.to_le_bytes());
    -weight / uniform(xxh3_64(&bytes)).ln()
}

/// A number strictly between 0 and 1: 52 bits and a half, which an `f64` holds exactly. (With 53 bits the largest
/// would round to 1, whose logarithm is 0.)
#[expect(clippy::cast_precision_loss, reason = "52 bits fit an f64's mantissa")]
#[must_use]
pub fn uniform(hash: u64) -> f64 {
    ((hash >> 12) as f64 + 0.5) / (1_u64 << 52) as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn nodes(weights: &[f64]) -> Vec<(u64, f64, usize)> {
        weights
            .iter()
            .enumerate()
            .map(|(n, weight)| (node_hash(&format!("node-{n}")), *weight, n))
            .collect()
    }

    /// The numbers come from another implementation (Python with the reference C library of xxHash).
    #[test]
    fn hashes_and_orders_are_the_same_for_ever() {
        assert_eq!(node_hash("parent-ams-1"), 11_582_775_032_723_334_306);
        assert_eq!(key_hash("demo/demo/master.m3u8"), 14_774_253_300_057_722_869);
        let nodes = nodes(&[1.0, 1.0, 2.0, 0.5, 1.0]);
        let golden: [(&str, [usize; 5]); 3] = [
            ("demo/demo/master.m3u8", [1, 0, 2, 3, 4]),
            ("demo/demo/v0/segment-1.m4s", [4, 2, 3, 1, 0]),
            ("demo/demo/v0/segment-2.m4s", [1, 4, 0, 2, 3]),
        ];
        for (key, order) in golden {
            assert_eq!(
                rank(key_hash(key), &nodes)
                    .into_iter()
                    .copied()
                    .collect::<Vec<_>>(),
                order,
                "{key}"
            );
        }
    }

    #[test]
    fn the_extreme_hashes_give_finite_positive_scores() {
        for hash in [0, 1, u64::MAX, u64::MAX - 1] {
            let drawn = uniform(hash);
            assert!(drawn > 0.0 && drawn < 1.0, "{hash}");
            assert!((-1.0 / drawn.ln()).is_finite());
        }
    }

    #[test]
    fn no_nodes_give_no_order() {
        assert!(rank::<usize>(7, &[]).is_empty());
    }

    #[test]
    fn shares_are_proportional_to_weights() {
        let weights = [1.0, 1.0, 2.0, 4.0];
        let nodes = nodes(&weights);
        let mut won = [0_f64; 4];
        let keys = 40_000;
        for key in 0..keys {
            won[*rank(key_hash(&format!("key-{key}")), &nodes)[0]] += 1.0;
        }
        for (node, weight) in weights.iter().enumerate() {
            let expected = f64::from(keys) * weight / 8.0;
            // Five standard deviations of a binomial share; the keys are fixed, so this never flickers.
            let bound = 5.0 * (expected * (1.0 - weight / 8.0)).sqrt();
            assert!(
                (won[node] - expected).abs() < bound,
                "node {node}: {} of {expected} ± {bound}",
                won[node]
            );
        }
    }

    proptest! {
        #[test]
        fn a_node_that_leaves_moves_only_its_own_keys(
            key: u64,
            weights in prop::collection::vec(0.1_f64..10.0, 2..12),
            leaver: prop::sample::Index,
        ) {
            let all = nodes(&weights);
            let mut fewer = all.clone();
            let gone = leaver.index(all.len());
            fewer.remove(gone);
            let before: Vec<usize> = rank(key, &all).into_iter().copied().filter(|node| *node != gone).collect();
            let after: Vec<usize> = rank(key, &fewer).into_iter().copied().collect();
            prop_assert_eq!(before, after);
        }

        #[test]
        fn the_order_in_which_nodes_are_listed_does_not_matter(
            key: u64,
            weights in prop::collection::vec(0.1_f64..10.0, 1..12),
        ) {
            let listed = nodes(&weights);
            let mut reversed = listed.clone();
            reversed.reverse();
            prop_assert_eq!(rank(key, &listed), rank(key, &reversed));
        }

        #[test]
        fn a_heavier_node_never_loses_a_key(key: u64, weights in prop::collection::vec(0.1_f64..10.0, 2..12)) {
            let before = nodes(&weights);
            let mut after = before.clone();
            let winner = *rank(key, &before)[0];
            after[winner].1 *= 2.0;
            prop_assert_eq!(*rank(key, &after)[0], winner);
        }
    }
}
