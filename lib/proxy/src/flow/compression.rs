//! Compressed forms of text, made at an edge once for each object and coding and kept beside it.
//!
//! A form is an object of its own, under the object's key, a mark and the coding's name. It is only ever found through
//! the object that it was made of, so it is as fresh as that, goes with it, and needs no look-up of its own where a
//! request takes no coding. A part of an object ([`http::header::RANGE`]) is always one of its plain bytes.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cache::policy::coding::{Accepted, Coding};
use cache::policy::vary::{Names, VARIANT_MARK};
use cache::policy::{Target, forbids_transformation};
use cache::{Claim, Head, Key, Lead, LookUp, Made, Object, Outcome};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use super::Visit;
use super::deliver::prepared;
use super::downstream::Downstream;
use super::encode::encode;
use super::fetch::HIT_FOR_MISS;
use super::variants::is_media;
use crate::metrics::ServiceMetrics;
use crate::node::Core;
use crate::world::ServiceWorld;

/// How long a request waits for its turn to have something compressed; then it gets the plain bytes.
const TURN_TIME_MAX: Duration = Duration::from_secs(1);

/// Fields that speak of the plain bytes alone.
const OF_PLAIN_BYTES: [HeaderName; 5] = [
    header::ACCEPT_RANGES,
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("repr-digest"),
];

/// Whether requests that take a coding get a compressed form of the object of `head`. One whose length is not known yet
/// may turn out to be too long or too short for that.
#[must_use]
pub fn is_compressible(service: &ServiceWorld, target: &Target, head: &Head) -> bool {
    let Some(rules) = &service.compression else {
        return false;
    };
    let sizes: RangeInclusive<u64> = rules.min_size.0..=rules.max_size.0;
    let content_type = head.fields.get(header::CONTENT_TYPE);
    head.status == StatusCode::OK
        && !head.is_made()
        && !is_media(target)
        && content_type.is_some_and(|value| value.to_str().is_ok_and(|text| rules.covers(text)))
        && !head.fields.contains_key(header::CONTENT_ENCODING)
        && head.length.is_none_or(|length| sizes.contains(&length))
        && !forbids_transformation(&head.fields)
}

/// Says that other requests may get another form.
pub fn add_vary(fields: &mut HeaderMap) {
    let says_so = Names::of(fields).map_or(true, |names| {
        names.iter().any(|name| *name == header::ACCEPT_ENCODING)
    });
    if !says_so {
        fields.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    }
}

impl<D: Downstream> Visit<'_, '_, D> {
    /// The coding in which this request gets `object`, if it gets it compressed.
    pub(super) fn coding_for(&self, object: &Object) -> Option<Coding> {
        let fields = self.reply.request.fields;
        if self.service.compression.is_none()
            || !fields.contains_key(header::ACCEPT_ENCODING)
            || fields.contains_key(header::RANGE)
        {
            return None;
        }
        let head = object.head();
        let prepared = prepared(&self.reply.trail.world, &self.service, &self.target, head);
        if !prepared.compressible || head.length.is_none() {
            return None;
        }
        Accepted::of(fields).compressed()
    }

    /// `object` in `coding`; `None` where it is better sent as it is.
    pub(super) async fn compressed(&self, object: &Object, coding: Coding) -> Option<Box<Object>> {
        let cache = &self.reply.core.node.cache;
        let source = object.head();
        let key = key_of_form(&source.key, coding);
        let found = match cache.peek(&key) {
            Some(found) => Some(found),
            None => match cache.look_up(&key).await {
                LookUp::Hit(found) => Some(found),
                LookUp::Uncacheable => return None,
                LookUp::Partial(_) | LookUp::Absent => None,
            },
        };
        if let Some(form) = &found {
            match (form.head().was_made_of(source), form.head().length) {
                (Made::OfIt, _) => return Some(Box::new(form.clone())),
                // Upstream has confirmed the object since: the bytes hold, and what is said of them is new.
                (Made::OfItsBytes, Some(length)) if !form.is_growing() => {
                    let head = head_of_form(source, &key, coding, length);
                    return Some(Box::new(cache.refresh(form.head(), head)));
                }
                _ => {}
            }
        }
        match cache.claim(&key, found.as_ref().map(Object::head)) {
            Claim::Lead(lead) => {
                let work = Work {
                    core: self.reply.core.clone(),
                    metrics: self.service.metrics.clone(),
                    object: object.clone(),
                    coding,
                };
                // Others wait for it, so it goes on when this client leaves.
                tokio::spawn(work.make(lead)).await.ok()?.map(Box::new)
            }
            Claim::Join(flight) => match flight.outcome().await {
                Outcome::Object(form) if form.head().was_made_of(source) == Made::OfIt => {
                    Some(Box::new(form))
                }
                _ => None,
            },
        }
    }
}

/// One object to be compressed.
struct Work {
    core: Arc<Core>,
    metrics: ServiceMetrics,
    object: Object,
    coding: Coding,
}

impl Work {
    /// Makes the form and keeps it.
    async fn make(self, lead: Lead) -> Option<Object> {
        let Some(plain) = self.plain().await else {
            lead.uncacheable(Duration::ZERO);
            return None;
        };
        let length = plain.len() as u64;
        let Some(encoded) = self.encode_in_turn(plain).await else {
            lead.uncacheable(Duration::ZERO);
            return None;
        };
        self.metrics.compressed_from.inc_by(length);
        self.metrics.compressed_to.inc_by(encoded.len() as u64);
        if encoded.len() as u64 >= length {
            // Text that is none. The next request need not find that out again.
            lead.uncacheable(HIT_FOR_MISS);
            return None;
        }
        let head = head_of_form(self.object.head(), lead.key(), self.coding, encoded.len() as u64);
        let mut filler = lead.start(head);
        filler.append(Bytes::from(encoded)).await.ok()?;
        Some(filler.finish())
    }

    /// All bytes of the object, as soon as they are there; `None` where they cannot be had.
    async fn plain(&self) -> Option<Vec<u8>> {
        let announced = self.object.head().length?;
        let mut plain = Vec::with_capacity(usize::try_from(announced).ok()?);
        let mut reader = self.object.reader(..);
        while let Some(bytes) = reader.next().await.ok()? {
            plain.extend_from_slice(&bytes);
        }
        (plain.len() as u64 == announced).then_some(plain)
    }

    /// Compresses on a thread that serves nobody, a few at a time.
    async fn encode_in_turn(&self, plain: Vec<u8>) -> Option<Vec<u8>> {
        let turns = &self.core.node.compressions;
        let Ok(Ok(_turn)) = tokio::time::timeout(TURN_TIME_MAX, turns.acquire()).await else {
            self.core.node.metrics.compressions_refused.inc();
            return None;
        };
        let coding = self.coding;
        match tokio::task::spawn_blocking(move || encode(coding, &plain)).await {
            Ok(Ok(encoded)) => Some(encoded),
            Ok(Err(error)) => {
                tracing::warn!(coding = coding.token(), %error, "an object is sent as it is: it could not be compressed");
                None
            }
            Err(_) => None,
        }
    }
}

/// The key of a form: no field's name holds a slash, so no variant has it.
fn key_of_form(source: &Key, coding: Coding) -> Key {
    Key::from_text(format!("{}{VARIANT_MARK}/{}", source.text(), coding.token()))
}

/// What is said of a form: what is said of the plain bytes, but for what holds for those alone. A strong entity tag
/// becomes a weak one (RFC 9110 §8.8.1): the meaning is the same, the bytes are not.
fn head_of_form(source: &Head, key: &Key, coding: Coding, length: u64) -> Head {
    let mut fields = source.fields.clone();
    for name in OF_PLAIN_BYTES {
        fields.remove(name);
    }
    fields.remove(header::CONTENT_LENGTH);
    if let Some(tag) = fields.get(header::ETAG)
        && !tag.as_bytes().starts_with(b"W/")
    {
        let weak = [b"W/", tag.as_bytes()].concat();
        match HeaderValue::from_bytes(&weak) {
            Ok(weak) => fields.insert(header::ETAG, weak),
            Err(_) => fields.remove(header::ETAG),
        };
    }
    add_vary(&mut fields);
    fields.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding.token()));
    Head::made_of(source, key.clone(), fields, length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cache::policy::Freshness;
    use model::Moment;

    fn fields(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut fields = HeaderMap::new();
        for (name, value) in lines {
            fields.append(*name, HeaderValue::from_static(value));
        }
        fields
    }

    #[test]
    fn vary_names_codings_once() {
        for (before, after) in [
            (&[][..], &["Accept-Encoding"][..]),
            (&[("vary", "origin")], &["origin", "Accept-Encoding"]),
            (
                &[("vary", "origin, accept-ENCODING")],
                &["origin, accept-ENCODING"],
            ),
            (&[("vary", "*")], &["*"]),
        ] {
            let mut found = fields(before);
            add_vary(&mut found);
            let lines: Vec<_> = found.get_all(header::VARY).iter().collect();
            assert_eq!(lines, after, "{before:?}");
        }
    }

    /// RFC 9110 §8.8.1, §8.8.3; RFC 9530.
    #[test]
    fn what_is_said_of_a_form_holds_for_its_bytes() {
        let source = Head::new(
            Key::new("demo", "/a"),
            StatusCode::OK,
            fields(&[
                ("accept-ranges", "bytes"),
                ("content-digest", "sha-256=:x:"),
                ("content-length", "2000"),
                ("content-type", "text/plain"),
                ("etag", "\"one\""),
                ("repr-digest", "sha-256=:x:"),
                ("surrogate-key", "film"),
            ]),
            Some(2000),
            Freshness {
                generated_at: Moment(5),
                lifetime: Duration::from_secs(60),
                stale_while_revalidate: Duration::ZERO,
                stale_if_error: Duration::ZERO,
                must_revalidate: false,
            },
        );
        let key = key_of_form(&source.key, Coding::Gzip);
        assert_eq!(key.text(), "demo/a#/gzip");
        let form = head_of_form(&source, &key, Coding::Gzip, 100);
        let expected = fields(&[
            ("content-encoding", "gzip"),
            ("content-type", "text/plain"),
            ("etag", "W/\"one\""),
            ("surrogate-key", "film"),
            ("vary", "Accept-Encoding"),
        ]);
        assert_eq!(form.fields, expected);
        assert_eq!((form.length, form.freshness), (Some(100), source.freshness));
        assert_eq!(form.was_made_of(&source), Made::OfIt);
        let again = head_of_form(&form, &key, Coding::Gzip, 100);
        assert_eq!(again.fields, expected, "a weak tag stays as it is");
    }
}
