//! A trace: who was asked for when, of objects that have a size. Pure.

use model::Moment;

/// An object by its number in [`Trace::sizes`].
pub(super) type Object = u32;

/// One request for a whole object.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Request {
    pub(super) at: Moment,
    pub(super) object: Object,
}

/// Requests in order of time, and the sizes of all objects that they may name.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Trace {
    /// In bytes, by object.
    pub(super) sizes: Vec<u32>,
    pub(super) requests: Vec<Request>,
}

/// What is known of a trace before any cache sees it: the figures by which published traces are described.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Character {
    /// Bytes of all objects that are asked for at all: a cache of this size misses each of them once.
    pub(super) footprint_bytes: u64,
    /// The mean of a request, in bytes.
    pub(super) mean_request_bytes: f64,
    /// Share of these objects that are asked for once.
    pub(super) one_hit_objects: f64,
    /// Share of the footprint in these.
    pub(super) one_hit_bytes: f64,
    /// Share of requests for at most 64 KiB.
    pub(super) small_requests: f64,
    /// The footprint as a share of all bytes asked for: the byte misses of an endless cache.
    pub(super) compulsory_bytes: f64,
}

/// What is called small.
const SMALL_BYTES: u32 = 64 << 10;

impl Trace {
    pub(super) fn size(&self, object: Object) -> u32 {
        self.sizes[object as usize]
    }

    pub(super) fn character(&self) -> Character {
        let mut counts = vec![0_u32; self.sizes.len()];
        let (mut bytes, mut small) = (0_u64, 0_u64);
        for request in &self.requests {
            counts[request.object as usize] += 1;
            bytes += u64::from(self.size(request.object));
            small += u64::from(self.size(request.object) <= SMALL_BYTES);
        }
        let asked = || counts.iter().zip(&self.sizes).filter(|(count, _)| **count > 0);
        let once = || asked().filter(|(count, _)| **count == 1);
        let sum = |sizes: &mut dyn Iterator<Item = &u32>| sizes.map(|size| u64::from(*size)).sum::<u64>();
        let footprint_bytes = sum(&mut asked().map(|(_, size)| size));
        let share = |part: u64, whole: u64| part as f64 / whole.max(1) as f64;
        let requests = self.requests.len() as u64;
        Character {
            footprint_bytes,
            mean_request_bytes: share(bytes, requests),
            one_hit_objects: share(once().count() as u64, asked().count() as u64),
            one_hit_bytes: share(sum(&mut once().map(|(_, size)| size)), footprint_bytes),
            small_requests: share(small, requests),
            compulsory_bytes: share(footprint_bytes, bytes),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Requests a second apart for objects of the given sizes.
    pub(in crate::cache::simulate) fn trace(sizes: &[u32], objects: &[Object]) -> Trace {
        let requests = objects.iter().enumerate().map(|(second, object)| Request {
            at: Moment::from_seconds(second as u64),
            object: *object,
        });
        Trace {
            sizes: sizes.to_vec(),
            requests: requests.collect(),
        }
    }

    #[test]
    fn a_trace_is_described_by_its_sizes_and_by_what_comes_once() {
        let character = trace(&[1000, 3000, 1 << 20, 7], &[0, 1, 0, 0]).character();
        assert_eq!(
            character,
            Character {
                footprint_bytes: 4000,
                mean_request_bytes: 1500.0,
                one_hit_objects: 0.5,
                one_hit_bytes: 0.75,
                small_requests: 1.0,
                compulsory_bytes: 4000.0 / 6000.0,
            }
        );
    }
}
