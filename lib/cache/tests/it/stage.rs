//! What the stories share: a cache with its counters, answers of an imaginary upstream, bodies that can be checked.

use bytes::Bytes;
use cache::{
    Cache, Claim, Disk, Disks, Filler, Head, Key, Lead, Limits, LookUp, Metrics, Object, Outcome, ReadError,
    policy::freshness::Freshness,
};
use http::{HeaderMap, HeaderValue, StatusCode};
use model::Moment;
use prometheus::Registry;
use std::{future::Future, ops::RangeBounds, sync::LazyLock, time::Duration};

pub(crate) const KIB: u64 = 1 << 10;
pub(crate) const MIB: u64 = 1 << 20;
/// No story takes longer than this, even on a busy machine; one that hangs fails here.
const PATIENCE: Duration = Duration::from_secs(60);

/// A cache and what it counts.
pub(crate) struct Stage {
    pub(crate) cache: Cache,
    registry: Registry,
}

impl Stage {
    pub(crate) fn in_memory(ram_bytes: u64, fill_bytes: u64) -> Stage {
        Stage::over(None, ram_bytes, fill_bytes)
    }

    pub(crate) fn over(disk: Option<Disk>, ram_bytes: u64, fill_bytes: u64) -> Stage {
        Stage::over_disks(disk.map(Disks::from), ram_bytes, fill_bytes)
    }

    pub(crate) fn over_disks(disks: Option<Disks>, ram_bytes: u64, fill_bytes: u64) -> Stage {
        let registry = Registry::new();
        let metrics = Metrics::new(&registry).expect("a registry of its own");
        Stage {
            cache: Cache::new(
                Limits {
                    ram_bytes,
                    fill_bytes,
                },
                disks,
                metrics,
            ),
            registry,
        }
    }

    /// The value of a counter or gauge, such as `joins_total` or `fills_total{finished}`.
    pub(crate) fn count(&self, name: &str) -> u64 {
        let (family, label) = match name.split_once('{') {
            Some((family, label)) => (family, Some(label.trim_end_matches('}'))),
            None => (name, None),
        };
        let full = format!("millrace_cache_{family}");
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name() == full).expect(&full);
        let metric = family
            .get_metric()
            .iter()
            .find(|metric| label.is_none_or(|label| metric.get_label()[0].value() == label))
            .expect(name);
        let value = metric.get_counter().get_value() + metric.get_gauge().get_value();
        value as u64
    }

    /// Claims what must be absent and led by us.
    pub(crate) fn lead(&self, key: &Key) -> Lead {
        match self.cache.claim(key, None) {
            Claim::Lead(lead) => lead,
            Claim::Join(_) => panic!("somebody leads {key} already"),
        }
    }

    /// Fills `key` with `body`, in pieces as a network would bring them.
    pub(crate) async fn fill(&self, key: &Key, body: &Bytes) -> Object {
        let mut filler = self.lead(key).start(head(key, Some(body.len() as u64)));
        pour(&mut filler, body).await;
        filler.finish()
    }

    /// What a look-up hits.
    pub(crate) async fn hit(&self, key: &Key) -> Object {
        match self.cache.look_up(key).await {
            LookUp::Hit(object) => object,
            LookUp::Partial(_) => panic!("{key} is there in part only"),
            LookUp::Uncacheable => panic!("{key} is uncacheable"),
            LookUp::Absent => panic!("{key} is absent"),
        }
    }

    pub(crate) async fn is_absent(&self, key: &Key) -> bool {
        matches!(self.cache.look_up(key).await, LookUp::Absent)
    }
}

/// Runs a story on a runtime of two threads.
pub(crate) fn story<T>(story: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        tokio::time::timeout(PATIENCE, story)
            .await
            .expect("the story hangs")
    })
}

/// Polls until `holds` does.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let poll = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, poll).await.expect(what);
}

pub(crate) fn key(path: &str) -> Key {
    Key::new("demo", path)
}

/// The head of an answer that is fresh for an hour.
pub(crate) fn head(key: &Key, length: Option<u64>) -> Head {
    head_fresh_for(key, length, Duration::from_secs(3600))
}

pub(crate) fn head_fresh_for(key: &Key, length: Option<u64>, lifetime: Duration) -> Head {
    let mut fields = HeaderMap::new();
    fields.insert("content-type", HeaderValue::from_static("video/mp4"));
    let freshness = Freshness {
        generated_at: Moment::from_seconds(1_700_000_000),
        lifetime,
        stale_while_revalidate: Duration::ZERO,
        stale_if_error: Duration::ZERO,
        must_revalidate: false,
    };
    Head::new(key.clone(), StatusCode::OK, fields, length, freshness)
}

/// Noise of a length that no chunk, part or page divides, over and over: two places of one body, or of two bodies with
/// different seeds, look alike only by a multiple of it.
static NOISE: LazyLock<Bytes> = LazyLock::new(|| {
    let words =
        (0..125_001_u64).flat_map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (at << 7)).to_le_bytes());
    words.take(1_000_003).collect::<Vec<u8>>().repeat(70).into()
});

/// A body of up to 64 MiB whose bytes tell their position and its `seed`.
pub(crate) fn body(length: u64, seed: u64) -> Bytes {
    let start = seed.wrapping_mul(7919) % 1_000_003;
    NOISE.slice(start as usize..(start + length) as usize)
}

/// Appends `body` in pieces of uneven sizes.
pub(crate) async fn pour(filler: &mut Filler, body: &Bytes) {
    let mut rest = body.clone();
    for size in [1, 1000, 16 * 1024, 65_536, 3, 40_000].into_iter().cycle() {
        if rest.is_empty() {
            return;
        }
        filler
            .append(rest.split_to(size.min(rest.len())))
            .await
            .expect("within the announced length");
    }
}

/// Reads `range` of `object` to its end.
pub(crate) async fn read(object: &Object, range: impl RangeBounds<u64>) -> Result<Vec<u8>, ReadError> {
    let mut reader = object.reader(range);
    let mut bytes = Vec::new();
    while let Some(piece) = reader.next().await? {
        assert!(!piece.is_empty(), "a piece without bytes");
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

/// Reads all of `object` and compares as it goes: a thousand readers need not hold a thousand copies.
pub(crate) async fn reads_as(object: &Object, body: &Bytes) -> bool {
    let mut reader = object.reader(..);
    loop {
        let start = reader.position() as usize;
        match reader.next().await {
            Ok(Some(piece)) if body.get(start..start + piece.len()) == Some(&piece[..]) => {}
            Ok(None) => return start == body.len(),
            Ok(Some(_)) | Err(_) => return false,
        }
    }
}

/// Waits for the object of a joined flight.
pub(crate) async fn joined(claim: Claim) -> Object {
    match outcome(claim).await {
        Outcome::Object(object) => object,
        Outcome::Uncacheable => panic!("uncacheable"),
        Outcome::Failed(failure) => panic!("{failure}"),
    }
}

pub(crate) async fn outcome(claim: Claim) -> Outcome {
    match claim {
        Claim::Lead(_) => panic!("a second lead"),
        Claim::Join(flight) => flight.outcome().await,
    }
}
