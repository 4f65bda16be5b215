//! Hit-for-miss: keys whose answers may not be stored, remembered so that requests for them do not queue.

use crate::key::Key;
use moka::Expiry;
use std::time::{Duration, Instant};

/// Keys remembered at most: 65,536, some 8 MiB. A key forgotten early costs one request that others wait for.
const REMEMBERED: u64 = 1 << 16;

/// By key hash alone: were two keys to share one, the other's requests would not wait for each other, no more.
pub(super) struct Uncacheable(moka::sync::Cache<u128, Duration>);

struct ForItsTime;

impl Expiry<u128, Duration> for ForItsTime {
    fn expire_after_create(&self, _: &u128, remember: &Duration, _: Instant) -> Option<Duration> {
        Some(*remember)
    }

    fn expire_after_update(
        &self,
        _: &u128,
        remember: &Duration,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(*remember)
    }
}

impl Uncacheable {
    pub(super) fn new() -> Uncacheable {
        Uncacheable(
            moka::sync::Cache::builder()
                .max_capacity(REMEMBERED)
                .expire_after(ForItsTime)
                .build(),
        )
    }

    pub(super) fn remember(&self, key: &Key, remember: Duration) {
        if !remember.is_zero() {
            self.0.insert(key.hash(), remember);
        }
    }

    pub(super) fn forget(&self, key: &Key) {
        self.0.invalidate(&key.hash());
    }

    pub(super) fn contains(&self, key: &Key) -> bool {
        self.0.contains_key(&key.hash())
    }
}
