//! Everything known of an object but its bytes, in memory and as the record a disk keeps.
//!
//! A record is little-endian and needs nothing but itself:
//!
//! ```text
//!  1  format (FORMAT)                                   first, so that another format is refused before anything is read
//!  8  sequence     8  checked                           of purges: validated after the one, judged up to the other
//!  8  version      4  revision      2  status
//!  8  length (u64::MAX = not known)
//!  8  asked_at (milliseconds, as the four that follow)
//!  8  generated_at   8  lifetime   8  stale-while-revalidate   8  stale-if-error
//!  1  flags (bit 0: must-revalidate; bit 1: no answer, but what its URL's answers vary by; bit 2: made of another)
//!     8  version     4  revision                        of the object that it was made of, where bit 2 is set
//!  2  n, then n bytes of key text                       the key is proved by its text, not by its hash
//!  2  number of fields, then for each
//!       2  n, then n bytes of name      4  n, then n bytes of value
//! ```
//!
//! Fields keep their order and their duplicates. There is no checksum: the disk's records have one of their own.

use crate::{key::Key, policy::freshness::Freshness, variation::Variation};
use arc_swap::ArcSwapOption;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use model::Moment;
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// The layout drawn above. A record of another format is not read: the object counts as absent.
const FORMAT: u8 = 2;
/// What `length` holds when it is not known.
const LENGTH_UNKNOWN: u64 = u64::MAX;
const MUST_REVALIDATE: u8 = 1;
const VARIATION: u8 = 2;
const MADE: u8 = 4;
/// Memory of one header field beside its name and value: entry, hash slot and allocation overhead of `http::HeaderMap`.
const FIELD_OVERHEAD_BYTES: usize = 112;

/// What a stored answer says of itself. Shared as `Arc<Head>`; never changed, only replaced.
pub struct Head {
    pub key: Key,
    /// Names the bytes: unique for every fill and growing, also over restarts (see [`crate::cache`]). A refresh by
    /// 304 keeps it. Zero until [`crate::Lead::start`] gives one.
    pub version: u64,
    pub status: StatusCode,
    /// Storable fields as they are served, without `Age`.
    pub fields: HeaderMap,
    /// Bytes of the body; `None` while it grows without `Content-Length`.
    pub length: Option<u64>,
    pub freshness: Freshness,
    /// When upstream was last asked for it, or whether it still holds, by this node's clock.
    pub asked_at: Moment,
    /// The latest purge that was known before upstream was asked for it, or to confirm it (see [`crate::purge`]): drawn
    /// by the claim, given by [`crate::Lead`].
    pub sequence: u64,
    /// No purge up to here covers it.
    checked: AtomicU64,
    /// Counts the refreshes of this version: of two heads with one version the higher revision is the newer.
    pub(crate) revision: u32,
    variation: Option<Arc<Variation>>,
    /// Version and revision of the object that it was made of.
    source: Option<(u64, u32)>,
    prepared: ArcSwapOption<Prepared>,
}

/// The wire form of a response head, made by whoever serves the object and thrown away when `epoch` has moved on.
pub struct Prepared {
    pub epoch: u64,
    pub bytes: Bytes,
    /// A request that takes a coding gets a compressed form of it.
    pub compressible: bool,
}

/// How an object stands to the one that it may have been made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    /// It was made of that.
    OfIt,
    /// It was made of the same bytes, which have a newer head since.
    OfItsBytes,
    /// It was made of something else, or of nothing.
    Otherwise,
}

/// Why bytes are not a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadError {
    /// Written by another format of this program.
    Format(u8),
    /// Ends early.
    Short,
    /// Goes on after the last field.
    Long,
    /// The named part holds what it never may.
    Invalid(&'static str),
}

impl fmt::Display for HeadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HeadError::Format(found) => write!(f, "head record of format {found}, expected {FORMAT}"),
            HeadError::Short => f.write_str("head record ends early"),
            HeadError::Long => f.write_str("head record has bytes after its last field"),
            HeadError::Invalid(part) => write!(f, "head record has an invalid {part}"),
        }
    }
}

impl std::error::Error for HeadError {}

impl Head {
    /// A head that has no version yet; `fields` are what is stored and served ([`crate::policy`] says which).
    #[must_use]
    pub fn new(
        key: Key,
        status: StatusCode,
        fields: HeaderMap,
        length: Option<u64>,
        freshness: Freshness,
    ) -> Head {
        Head {
            key,
            version: 0,
            status,
            fields,
            length,
            freshness,
            asked_at: freshness.generated_at,
            sequence: 0,
            checked: AtomicU64::new(0),
            revision: 0,
            variation: None,
            source: None,
            prepared: ArcSwapOption::empty(),
        }
    }

    /// What lies under the key of a URL whose answers vary.
    pub(crate) fn of_variation(key: Key, variation: Variation, freshness: Freshness) -> Head {
        let head = Head::new(key, StatusCode::OK, variation.to_fields(), Some(0), freshness);
        Head {
            variation: Some(Arc::new(variation)),
            ..head
        }
    }

    /// By what the answers of its URL vary, where this is no answer itself: look for the one that the request gets.
    #[must_use]
    pub fn variation(&self) -> Option<&Arc<Variation>> {
        self.variation.as_ref()
    }

    /// The head of what is made of the object of `source` without asking upstream, such as a compressed form: under a key
    /// of its own, and as fresh as that.
    #[must_use]
    pub fn made_of(source: &Head, key: Key, fields: HeaderMap, length: u64) -> Head {
        let head = Head::new(key, source.status, fields, Some(length), source.freshness);
        Head {
            source: Some((source.version, source.revision)),
            ..head.asked_at(source.asked_at)
        }
    }

    /// Whether it was made of the object of `source`.
    #[must_use]
    pub fn was_made_of(&self, source: &Head) -> Made {
        match self.source {
            Some((version, revision)) if version == source.version && revision == source.revision => {
                Made::OfIt
            }
            Some((version, _)) if version == source.version => Made::OfItsBytes,
            _ => Made::Otherwise,
        }
    }

    /// Whether it was made of another object here, and never came from upstream.
    #[must_use]
    pub fn is_made(&self) -> bool {
        self.source.is_some()
    }

    /// Up to which purge it was judged.
    pub(crate) fn checked(&self) -> u64 {
        // It orders nothing: what it is compared with does.
        self.checked.load(Ordering::Relaxed)
    }

    /// No purge up to `sequence` covers it.
    pub(crate) fn raise_checked(&self, sequence: u64) {
        self.checked.fetch_max(sequence, Ordering::Relaxed);
    }

    /// It was validated after the purge of `sequence`, as its claim drew it.
    pub(crate) fn set_sequence(&mut self, sequence: u64) {
        self.sequence = sequence;
        self.checked = AtomicU64::new(sequence);
    }

    /// The same head, stale from `since` on, and judged up to `judged`: it was purged softly.
    pub(crate) fn stale_since(&self, since: Moment, judged: u64) -> Head {
        let mut head = self.with_same_length();
        let age = since.since(head.freshness.generated_at);
        head.freshness.lifetime = head.freshness.lifetime.min(age);
        head.raise_checked(judged);
        head
    }

    /// The same head, to be validated before it is used from `now` on: upstream has been heard to have another. It may
    /// still stand in for an upstream that fails.
    #[must_use]
    pub fn expired(&self, now: Moment) -> Head {
        let mut head = self.stale_since(now, 0);
        head.freshness.stale_while_revalidate = Duration::ZERO;
        head
    }

    /// The same head, which upstream gave or confirmed when it was asked at `asked_at`.
    #[must_use]
    pub fn asked_at(self, asked_at: Moment) -> Head {
        Head { asked_at, ..self }
    }

    /// The slot for the response head in wire form.
    #[must_use]
    pub fn prepared(&self) -> &ArcSwapOption<Prepared> {
        &self.prepared
    }

    /// The same head once its length is known.
    pub(crate) fn with_length(&self, length: u64) -> Head {
        Head {
            length: Some(length),
            ..self.with_same_length()
        }
    }

    fn with_same_length(&self) -> Head {
        Head {
            key: self.key.clone(),
            version: self.version,
            status: self.status,
            fields: self.fields.clone(),
            length: self.length,
            freshness: self.freshness,
            asked_at: self.asked_at,
            sequence: self.sequence,
            checked: AtomicU64::new(self.checked()),
            revision: self.revision,
            variation: self.variation.clone(),
            source: self.source,
            prepared: ArcSwapOption::empty(),
        }
    }

    /// The order of heads of one key: newer fills before older ones, later refreshes before earlier ones.
    pub(crate) fn age_rank(&self) -> (u64, u32) {
        (self.version, self.revision)
    }

    /// Bytes of memory this head holds, the prepared wire form included: an estimate from above.
    pub(crate) fn memory_bytes(&self) -> usize {
        let fields: usize = self
            .fields
            .iter()
            .map(|(name, value)| 2 * (name.as_str().len() + value.len()) + FIELD_OVERHEAD_BYTES)
            .sum();
        let variation = self
            .variation
            .as_ref()
            .map_or(0, |variation| variation.memory_bytes());
        size_of::<Head>() + size_of::<Prepared>() + self.key.text().len() + fields + variation
    }

    /// The record of this head, as drawn at the top of the file. `None` when a part is too long for its length field
    /// (a key or name over 64 KiB, more than 65,535 fields): such an object is not kept on disk.
    #[must_use]
    pub fn encode(&self) -> Option<Vec<u8>> {
        self.encode_checked(u64::MAX)
    }

    /// The same, saying that it was judged up to `durable` at most: the latest purge that its disk knows.
    pub(crate) fn encode_checked(&self, durable: u64) -> Option<Vec<u8>> {
        let text = self.key.text().as_bytes();
        let mut record = Vec::with_capacity(88 + text.len() + self.fields.len() * 48);
        record.push(FORMAT);
        record.extend_from_slice(&self.sequence.to_le_bytes());
        record.extend_from_slice(&self.checked().min(durable).to_le_bytes());
        record.extend_from_slice(&self.version.to_le_bytes());
        record.extend_from_slice(&self.revision.to_le_bytes());
        record.extend_from_slice(&self.status.as_u16().to_le_bytes());
        record.extend_from_slice(&self.length.unwrap_or(LENGTH_UNKNOWN).to_le_bytes());
        record.extend_from_slice(&self.asked_at.0.to_le_bytes());
        record.extend_from_slice(&self.freshness.generated_at.0.to_le_bytes());
        for span in [
            self.freshness.lifetime,
            self.freshness.stale_while_revalidate,
            self.freshness.stale_if_error,
        ] {
            record.extend_from_slice(&milliseconds(span).to_le_bytes());
        }
        let mut flags = 0;
        if self.freshness.must_revalidate {
            flags |= MUST_REVALIDATE;
        }
        if self.variation.is_some() {
            flags |= VARIATION;
        }
        if self.source.is_some() {
            flags |= MADE;
        }
        record.push(flags);
        if let Some((version, revision)) = self.source {
            record.extend_from_slice(&version.to_le_bytes());
            record.extend_from_slice(&revision.to_le_bytes());
        }
        record.extend_from_slice(&u16::try_from(text.len()).ok()?.to_le_bytes());
        record.extend_from_slice(text);
        record.extend_from_slice(&u16::try_from(self.fields.len()).ok()?.to_le_bytes());
        for (name, value) in &self.fields {
            let name = name.as_str().as_bytes();
            record.extend_from_slice(&u16::try_from(name.len()).ok()?.to_le_bytes());
            record.extend_from_slice(name);
            record.extend_from_slice(&u32::try_from(value.len()).ok()?.to_le_bytes());
            record.extend_from_slice(value.as_bytes());
        }
        Some(record)
    }

    /// The head that was encoded to `record`.
    ///
    /// # Errors
    /// [`HeadError`] for anything [`Head::encode`] does not write; never a panic, whatever the bytes.
    pub fn decode(record: &[u8]) -> Result<Head, HeadError> {
        let mut rest = Rest(record);
        match u8::from_le_bytes(rest.array()?) {
            FORMAT => {}
            other => return Err(HeadError::Format(other)),
        }
        let sequence = u64::from_le_bytes(rest.array()?);
        let checked = u64::from_le_bytes(rest.array()?);
        let version = u64::from_le_bytes(rest.array()?);
        let revision = u32::from_le_bytes(rest.array()?);
        let status = StatusCode::from_u16(u16::from_le_bytes(rest.array()?))
            .map_err(|_| HeadError::Invalid("status"))?;
        let length = Some(u64::from_le_bytes(rest.array()?)).filter(|length| *length != LENGTH_UNKNOWN);
        let asked_at = Moment(u64::from_le_bytes(rest.array()?));
        let generated_at = Moment(u64::from_le_bytes(rest.array()?));
        let lifetime = Duration::from_millis(u64::from_le_bytes(rest.array()?));
        let stale_while_revalidate = Duration::from_millis(u64::from_le_bytes(rest.array()?));
        let stale_if_error = Duration::from_millis(u64::from_le_bytes(rest.array()?));
        let flags = u8::from_le_bytes(rest.array()?);
        if flags & !(MUST_REVALIDATE | VARIATION | MADE) != 0 {
            return Err(HeadError::Invalid("flag"));
        }
        let source = match flags & MADE {
            0 => None,
            _ => Some((
                u64::from_le_bytes(rest.array()?),
                u32::from_le_bytes(rest.array()?),
            )),
        };
        let text_length = u16::from_le_bytes(rest.array()?);
        let text = std::str::from_utf8(rest.bytes(text_length.into())?)
            .map_err(|_| HeadError::Invalid("key text"))?;
        let key = Key::from_text(text);
        let count = u16::from_le_bytes(rest.array()?);
        let mut fields = HeaderMap::new();
        for _ in 0..count {
            let name_length = u16::from_le_bytes(rest.array()?);
            let name = HeaderName::from_bytes(rest.bytes(name_length.into())?)
                .map_err(|_| HeadError::Invalid("field name"))?;
            let value_length = u32::from_le_bytes(rest.array()?);
            let value = rest.bytes(usize::try_from(value_length).map_err(|_| HeadError::Short)?)?;
            let value = HeaderValue::from_bytes(value).map_err(|_| HeadError::Invalid("field value"))?;
            fields
                .try_append(name, value)
                .map_err(|_| HeadError::Invalid("number of fields"))?;
        }
        if !rest.0.is_empty() {
            return Err(HeadError::Long);
        }
        let freshness = Freshness {
            generated_at,
            lifetime,
            stale_while_revalidate,
            stale_if_error,
            must_revalidate: flags & MUST_REVALIDATE != 0,
        };
        let variation = match flags & VARIATION {
            0 => None,
            _ => Some(Variation::from_fields(&fields).ok_or(HeadError::Invalid("variation"))?),
        };
        Ok(Head {
            variation: variation.map(Arc::new),
            source,
            sequence,
            checked: AtomicU64::new(checked),
            asked_at,
            version,
            revision,
            ..Head::new(key, status, fields, length, freshness)
        })
    }
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Head")
            .field("key", &self.key.text())
            .field("version", &self.version)
            .field("revision", &self.revision)
            .field("status", &self.status)
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}

/// What of a record has not been read yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn bytes(&mut self, count: usize) -> Result<&'a [u8], HeadError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(HeadError::Short)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], HeadError> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or(HeadError::Short)?;
        self.0 = rest;
        Ok(*taken)
    }
}

fn milliseconds(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample() -> Head {
        let mut fields = HeaderMap::new();
        fields.append("content-type", HeaderValue::from_static("video/mp4"));
        fields.append("link", HeaderValue::from_static("</a>; rel=preload"));
        fields.append("etag", HeaderValue::from_static("\"v1\""));
        fields.append("link", HeaderValue::from_static("</b>; rel=preload"));
        fields.append("x-raw", HeaderValue::from_bytes(&[0xe4, 0x20, 0xff]).unwrap());
        let freshness = Freshness {
            generated_at: Moment(1_700_000_000_123),
            lifetime: Duration::from_secs(3600),
            stale_while_revalidate: Duration::from_secs(30),
            stale_if_error: Duration::from_millis(86_400_001),
            must_revalidate: true,
        };
        let key = Key::new("demo", "/demo/master.m3u8?a=1");
        Head {
            version: 7 << 40,
            sequence: 5 << 40,
            checked: AtomicU64::new(6 << 40),
            revision: 3,
            ..Head::new(key, StatusCode::PARTIAL_CONTENT, fields, Some(1 << 33), freshness)
        }
    }

    fn lines(fields: &HeaderMap) -> Vec<(String, Vec<u8>)> {
        fields
            .iter()
            .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
            .collect()
    }

    #[test]
    fn a_head_survives_its_record_with_order_duplicates_and_raw_bytes() {
        let head = sample();
        let back = Head::decode(&head.encode().unwrap()).unwrap();
        assert_eq!(back.key, head.key);
        assert_eq!(back.age_rank(), head.age_rank());
        assert_eq!((back.sequence, back.checked()), (5 << 40, 6 << 40));
        assert_eq!(back.status, head.status);
        assert_eq!(back.length, head.length);
        assert_eq!(back.freshness, head.freshness);
        assert_eq!(lines(&back.fields), lines(&head.fields));
        assert!(back.prepared().load().is_none());

        let unknown = Head {
            length: None,
            ..sample()
        };
        assert_eq!(Head::decode(&unknown.encode().unwrap()).unwrap().length, None);
    }

    #[test]
    fn what_leads_to_variants_survives_its_record_and_a_wrong_one_is_refused() {
        let mut vary = HeaderMap::new();
        vary.insert("vary", HeaderValue::from_static("accept-encoding"));
        let names = crate::policy::vary::Names::of(&vary).unwrap();
        let key = Key::new("demo", "/a");
        let mut variation = Variation::new(names);
        variation.add(&key, &Key::from_text("demo/a#accept-encoding=gzip"));
        let head = Head::of_variation(key, variation, sample().freshness);
        let record = head.encode().unwrap();
        let back = Head::decode(&record).unwrap();
        assert_eq!(back.variation(), head.variation());
        assert!(back.freshness.must_revalidate);
        assert!(sample().variation().is_none());
        let at = memchr_of(&record, b"vary");
        let mut wrong = record;
        wrong[at] = b'x';
        assert_eq!(Head::decode(&wrong).unwrap_err(), HeadError::Invalid("variation"));
    }

    #[test]
    fn what_was_made_of_another_knows_of_which_also_after_its_record() {
        let source = sample();
        let made = Head::made_of(&source, Key::new("demo", "/a"), HeaderMap::new(), 7);
        let back = Head::decode(&made.encode().unwrap()).unwrap();
        assert_eq!((back.length, back.freshness), (Some(7), source.freshness));
        let refreshed = Head {
            revision: 4,
            ..sample()
        };
        let newer = Head {
            version: 8 << 40,
            ..sample()
        };
        for (other, expected) in [
            (&source, Made::OfIt),
            (&refreshed, Made::OfItsBytes),
            (&newer, Made::Otherwise),
        ] {
            assert_eq!(back.was_made_of(other), expected);
        }
        assert!(back.is_made() && !source.is_made());
        assert_eq!(source.was_made_of(&source), Made::Otherwise);
    }

    fn memchr_of(record: &[u8], text: &[u8]) -> usize {
        record
            .windows(text.len())
            .position(|window| window == text)
            .unwrap()
    }

    #[test]
    fn a_record_never_says_more_of_purges_than_is_durable() {
        let record = sample().encode_checked(9).unwrap();
        let back = Head::decode(&record).unwrap();
        assert_eq!((back.sequence, back.checked()), (5 << 40, 9));
    }

    #[test]
    fn what_is_purged_softly_is_stale_from_then_on_and_never_fresh_for_longer_than_it_was() {
        let generated_at = sample().freshness.generated_at;
        for (after, lifetime) in [(0, 0), (60, 60), (3600, 3600), (9999, 3600)] {
            let stale = sample().stale_since(generated_at + Duration::from_secs(after), 7 << 40);
            assert_eq!(stale.freshness.lifetime, Duration::from_secs(lifetime));
            assert_eq!(
                (stale.checked(), stale.age_rank()),
                (7 << 40, sample().age_rank())
            );
        }
        let before = sample().stale_since(Moment(5), 7 << 40);
        assert_eq!(
            before.freshness.lifetime,
            Duration::ZERO,
            "the clock was set back"
        );
    }

    #[test]
    fn every_cut_and_every_extra_byte_is_refused() {
        let record = sample().encode().unwrap();
        for cut in 0..record.len() {
            assert!(Head::decode(&record[..cut]).is_err(), "cut at {cut}");
        }
        let mut long = record.clone();
        long.push(0);
        assert_eq!(Head::decode(&long).unwrap_err(), HeadError::Long);
        let mut other = record;
        other[0] = 9;
        assert_eq!(Head::decode(&other).unwrap_err(), HeadError::Format(9));
    }

    #[test]
    fn a_key_too_long_for_its_record_is_not_encoded() {
        let key = Key::new("demo", format!("/{}", "a".repeat(70_000)));
        let head = Head { key, ..sample() };
        assert!(head.encode().is_none());
    }

    proptest! {
        #[test]
        fn no_bytes_make_decode_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            drop(Head::decode(&bytes));
        }

        #[test]
        fn no_flipped_byte_makes_decode_panic(at in 0_usize..200, with in any::<u8>()) {
            let mut record = sample().encode().unwrap();
            let at = at % record.len();
            record[at] = with;
            if let Ok(head) = Head::decode(&record) {
                prop_assert!(head.encode().is_some());
            }
        }
    }
}
