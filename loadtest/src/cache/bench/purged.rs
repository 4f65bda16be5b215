//! What purges that may still cover something cost the hits that they do not cover: the same hits without them and with
//! them, in turns.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cache::disk::{Disk, DiskMetrics, MemoryDevice, Options};
use cache::policy::freshness::Freshness;
use cache::purge::{Mode, Purge, What};
use cache::{Cache, Claim, Disks, Head, Key, Limits, LookUp, Metrics, Source};
use http::{HeaderMap, HeaderValue, StatusCode};
use model::Moment;
use prometheus::Registry;
use tokio::time::Instant;

use crate::measure::{Goal, Measure};

/// Live purges.
const PURGES: u32 = 100_000;

/// Objects that are hit in turn.
const OBJECTS: usize = 2000;

/// Each way of it is measured so often, in turns.
const ROUNDS: usize = 5;

/// The device in memory: the journal of a smaller one has no room for so many purges. Only what is written takes memory.
const DEVICE_BYTES: u64 = 64 << 30;

/// RAM that holds every object, or next to none.
const MUCH_RAM: u64 = 256 << 20;
const LITTLE_RAM: u64 = 64 << 10;

/// How long the disk may take to hold what it was given.
const WRITE_PATIENCE: Duration = Duration::from_secs(60);

/// The moment of all that is stored and purged.
const NOW: Moment = Moment(1_700_000_000_000);

const SERVICE: &str = "bench";

/// Hits of RAM and of disk.
///
/// # Errors
///
/// When something is not hit that should be.
pub(super) async fn measure(time: Duration) -> Result<Vec<Measure>, String> {
    let each = time / (2 * ROUNDS as u32);
    let mut measures = Vec::new();
    for (name, on_disk) in [("RAM", false), ("disk", true)] {
        let (without, with) = (Hits::prepare(on_disk).await?, Hits::prepare(on_disk).await?);
        with.purge()?;
        let mut rates = [Vec::new(), Vec::new()];
        for _ in 0..ROUNDS {
            for (hits, rates) in [&without, &with].into_iter().zip(&mut rates) {
                rates.push(hits.rate(each).await?);
            }
        }
        let [without, with] = rates.map(median);
        measures.push(Measure::against(
            &format!("hits of {name}, {PURGES} live purges"),
            "hits/s",
            with,
            "no purges",
            without,
            Some(Goal::AtLeast(0.97)),
        ));
    }
    Ok(measures)
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

/// A cache full of small objects.
struct Hits {
    cache: Cache,
    keys: Vec<Key>,
    source: Source,
}

impl Hits {
    async fn prepare(on_disk: bool) -> Result<Hits, String> {
        let failed = |error: &dyn std::fmt::Display| error.to_string();
        let metrics = DiskMetrics::register(&Registry::new(), "bench").map_err(|error| failed(&error))?;
        let disks = match on_disk {
            true => {
                let device = Arc::new(MemoryDevice::new(DEVICE_BYTES));
                let disk = Disk::open(device, Options::default(), metrics.clone());
                Some(Disks::from(disk.map_err(|error| failed(&error))?))
            }
            false => None,
        };
        let limits = Limits {
            ram_bytes: if on_disk { LITTLE_RAM } else { MUCH_RAM },
            fill_bytes: MUCH_RAM,
        };
        let counters = Metrics::new(&Registry::new()).map_err(|error| failed(&error))?;
        let hits = Hits {
            cache: Cache::new(limits, disks, counters),
            keys: (0..OBJECTS)
                .map(|number| Key::new(SERVICE, format!("/films/{number}/video/segment.m4s")))
                .collect(),
            source: if on_disk { Source::Disk } else { Source::Ram },
        };
        for key in &hits.keys {
            hits.fill(key).await?;
        }
        let deadline = Instant::now() + WRITE_PATIENCE;
        while on_disk && (metrics.committed.heads.get() as usize) < OBJECTS {
            if Instant::now() > deadline {
                return Err("the disk did not take what it was given".to_owned());
            }
            tokio::task::yield_now().await;
        }
        Ok(hits)
    }

    async fn fill(&self, key: &Key) -> Result<(), String> {
        let body = Bytes::from_static(&[7; 1024]);
        let Claim::Lead(lead) = self.cache.claim(key, None) else {
            return Err(format!("{} is there already", key.text()));
        };
        let mut filler = lead.start(head(key, body.len() as u64));
        filler.append(body).await.map_err(|error| format!("{error:?}"))?;
        drop(filler.finish());
        Ok(())
    }

    /// Purges as a busy site has them: by URL, by path and by tag, of nothing that is here.
    fn purge(&self) -> Result<(), String> {
        for number in 0..PURGES {
            let (service, gone) = (SERVICE.into(), format!("/gone/{number}"));
            let what = match number % 4 {
                0 | 1 => What::Url(Key::new(SERVICE, gone)),
                2 => What::Prefix {
                    service,
                    path: gone.into(),
                },
                _ => What::Tag {
                    service,
                    tag: gone.into(),
                },
            };
            let purge = Purge {
                what,
                mode: Mode::Hard,
                not_before: 0,
            };
            let purges = self.cache.purges();
            purges.record(&purge, NOW).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// Hits a second.
    async fn rate(&self, time: Duration) -> Result<f64, String> {
        let start = Instant::now();
        let mut hits: u64 = 0;
        while start.elapsed() < time {
            for key in &self.keys {
                let object = match self.source {
                    Source::Ram => self.cache.peek(key),
                    _ => match self.cache.look_up(key).await {
                        LookUp::Hit(object) => Some(object),
                        _ => None,
                    },
                };
                if object.is_none_or(|object| object.whole().is_none()) {
                    return Err(format!("{} was not hit", key.text()));
                }
                hits += 1;
            }
        }
        Ok(hits as f64 / start.elapsed().as_secs_f64())
    }
}

fn head(key: &Key, length: u64) -> Head {
    let mut fields = HeaderMap::new();
    fields.insert("content-type", HeaderValue::from_static("video/mp4"));
    fields.insert(
        "surrogate-key",
        HeaderValue::from_static("film-1 season-2 studio-3"),
    );
    let freshness = Freshness {
        generated_at: NOW,
        lifetime: Duration::from_secs(3600),
        stale_while_revalidate: Duration::ZERO,
        stale_if_error: Duration::ZERO,
        must_revalidate: false,
    };
    Head::new(key.clone(), StatusCode::OK, fields, Some(length), freshness)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn hits_of_ram_and_disk_are_measured_without_and_with_purges_that_all_stay_live() {
        let measures = measure(Duration::from_millis(10)).await.unwrap();
        assert_eq!(measures.len(), 2);
        assert!(measures.iter().all(|measure| measure.ratio.is_some()));
        // Were they folded into one of the whole service, nothing would be hit any more.
        let hits = Hits::prepare(true).await.unwrap();
        hits.purge().unwrap();
        assert!(hits.rate(Duration::from_millis(1)).await.is_ok());
    }
}
