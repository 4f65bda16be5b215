//! Answers from an object of the cache: whole, a part, its head only, or "not modified".

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use cache::policy::{Target, conditional, range};
use cache::{Claim, Head, Object, Outcome, Prepared, ReadError, Reader};
use http::header;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use model::{Moment, Tier};

use super::downstream::{AnswerHead, Body, ClientGone, Downstream, Stored};
use super::fetch::{self, Fetched};
use super::{Forwarded, Visit, compression, status};
use crate::headers::{ErrorType, age, exact_age, tags};
use crate::world::{ServiceWorld, World};

/// Bytes gathered for one write: enough to keep a core busy with copying rather than with system calls, little enough
/// that a thousand slow clients do not hold much.
const WRITE_BYTES_MAX: usize = 1 << 20;

/// How often one answer goes on from a new fill after bytes of its object were lost; a disk that loses them again and
/// again is given up.
const RESUMES_MAX: usize = 3;

/// How a delivery ended, when the client is still there.
#[derive(Debug, PartialEq, Eq)]
pub enum Delivered {
    /// The answer is out.
    Done,
    /// The object's bytes were gone before the first was sent: nothing is out, try again.
    Lost,
    /// The request gets another object than the one it waited for: nothing is out, look that one up.
    Elsewhere,
}

/// Which part of the object the answer holds.
enum Part {
    Whole,
    Range(Range<u64>),
    Unsatisfiable(u64),
    NotModified,
}

impl<D: Downstream> Visit<'_, '_, D> {
    /// Answers from `object`.
    pub(super) async fn deliver(
        &mut self,
        object: &Object,
        forwarded: Forwarded,
    ) -> Result<Delivered, ClientGone> {
        let form = match self.coding_for(object) {
            Some(coding) => Box::pin(self.compressed(object, coding)).await,
            None => None,
        };
        let object = form.as_deref().unwrap_or(object);
        let head = object.head();
        let part = part_of(self.reply.request.method, self.reply.request.fields, head);
        let mut pieces = VecDeque::new();
        let mut reader = None;
        let (status, body) = match &part {
            Part::NotModified => (StatusCode::NOT_MODIFIED, Body::None),
            Part::Unsatisfiable(_) => (StatusCode::RANGE_NOT_SATISFIABLE, Body::Sized(0)),
            _ if head.status == StatusCode::NO_CONTENT => (head.status, Body::None),
            _ if *self.reply.request.method == Method::HEAD => (head.status, Body::Withheld(head.length)),
            Part::Whole => match object.whole() {
                Some(bytes) => {
                    pieces.push_back(bytes.clone());
                    (head.status, Body::Sized(bytes.len() as u64))
                }
                None => {
                    reader = Some(object.reader(..));
                    (head.status, head.length.map_or(Body::Unsized, Body::Sized))
                }
            },
            Part::Range(range) => {
                reader = Some(object.reader(range.clone()));
                (StatusCode::PARTIAL_CONTENT, Body::Sized(range.end - range.start))
            }
        };
        // The first bytes come before the head, so that an object whose bytes are gone can still be fetched anew.
        if let Some(reader) = &mut reader
            && !object.is_growing()
        {
            match Box::pin(gather_first(reader, &mut pieces)).await {
                Ok(()) => {}
                Err(ReadError::Gone | ReadError::Lagged) => return Ok(Delivered::Lost),
                Err(ReadError::Aborted(failure)) => {
                    // The fill that this request joined has failed meanwhile: one failure, not a reason for another.
                    Box::pin(self.reply.fail(&failure)).await?;
                    return Ok(Delivered::Done);
                }
            }
        }
        let own = self.own_fields(head, &part, forwarded);
        let world = self.reply.trail.world.clone();
        let service = self.service.clone();
        let prepared = prepared(&world, &service, &self.target, head);
        let fields = || answer_fields(&world, &service, head, prepared.compressible);
        let stored = Some(Stored {
            wire: &prepared.bytes,
            fields: &fields,
        });
        self.reply.trail.bytes += pieces.iter().map(|piece| piece.len() as u64).sum::<u64>();
        self.reply
            .start(
                AnswerHead {
                    status,
                    stored,
                    own,
                    body,
                },
                &mut pieces,
            )
            .await?;
        if let Some(reader) = &mut reader {
            Box::pin(self.pour(head, reader)).await?;
        }
        self.reply.downstream.finish().await?;
        Ok(Delivered::Done)
    }

    /// Whether what is there of an incomplete object suffices for this request.
    pub(super) fn is_covered(&self, object: &Object) -> bool {
        if *self.reply.request.method == Method::HEAD {
            return true;
        }
        match part_of(
            self.reply.request.method,
            self.reply.request.fields,
            object.head(),
        ) {
            // A fill that ends at this moment covers all the same: whether it grows is not asked here.
            Part::Whole => object.covers(&(0..object.head().length.unwrap_or(1))),
            Part::Range(range) => object.covers(&range),
            Part::Unsatisfiable(_) | Part::NotModified => true,
        }
    }

    /// Sends what a reader still brings of the object with `head`. Bytes that the cache loses meanwhile (a bad checksum,
    /// a disk that fails) come from a new fill, so that the client does not notice.
    async fn pour(&mut self, head: &Arc<Head>, reader: &mut Reader) -> Result<(), ClientGone> {
        let mut pieces = VecDeque::new();
        let mut resumed = 0;
        // Of what is read now: a new fill whose bytes are lost as well will not do either, so it is not joined again.
        let mut head = Arc::clone(head);
        loop {
            let first = match reader.next().await {
                Ok(Some(first)) => first,
                Ok(None) => return Ok(()),
                Err(ReadError::Gone) if resumed < RESUMES_MAX => {
                    resumed += 1;
                    let Some(rest) = self.resume(&head, reader.rest()).await else {
                        return Err(self.cut_short(&ReadError::Gone));
                    };
                    head = Arc::clone(rest.object().head());
                    *reader = rest;
                    continue;
                }
                Err(error) => return Err(self.cut_short(&error)),
            };
            let mut gathered = first.len();
            pieces.push_back(first);
            while gathered < WRITE_BYTES_MAX
                && let Some(next) = reader.try_next()
            {
                gathered += next.len();
                pieces.push_back(next);
            }
            self.reply.downstream.send(&mut pieces).await?;
            self.reply.trail.bytes += gathered as u64;
        }
    }

    /// A reader for the rest of an answer whose object lost bytes, if upstream still has the same representation.
    async fn resume(&mut self, old: &Arc<Head>, rest: Range<u64>) -> Option<Reader> {
        if old.is_made() {
            // Upstream has only what it was made of.
            return None;
        }
        let outcome = match self.reply.core.node.cache.claim(&old.key, Some(old)) {
            Claim::Lead(lead) => {
                match fetch::start(self.reply.core, self.errand(None, self.wishes.demands), lead)
                    .await
                    .ok()?
                {
                    Fetched::Object { object, .. } => object,
                    Fetched::Relay(_) | Fetched::Failed { .. } => return None,
                }
            }
            Claim::Join(flight) => match flight.outcome().await {
                Outcome::Object(object) => object,
                Outcome::Uncacheable | Outcome::Failed(_) => return None,
            },
        };
        let new = outcome.head();
        let goes_on = new.version != old.version
            && new.status == old.status
            && new.length.is_some()
            && new.length == old.length
            && conditional::is_same_representation(&old.fields, &new.fields);
        tracing::debug!(
            key = old.key.text(),
            from = rest.start,
            goes_on,
            "bytes were lost under an answer"
        );
        if !goes_on {
            return None;
        }
        self.service.metrics.resumed.inc();
        Some(outcome.reader(rest))
    }

    /// The object's bytes end before the answer's: the client is told by breaking off.
    fn cut_short(&mut self, error: &ReadError) -> ClientGone {
        let kind = match error {
            ReadError::Aborted(failure) => ErrorType::from_token(failure.error),
            ReadError::Gone | ReadError::Lagged => None,
        };
        self.reply.trail.error = Some(kind.unwrap_or(ErrorType::ProxyInternalError));
        // What failed was logged once, where it failed; a thousand clients may see it.
        tracing::debug!(key = self.key.text(), %error, "an answer is broken off");
        ClientGone
    }

    /// RFC 6797, on answers over TLS where the node is configured to send it.
    pub(super) fn strict_transport_security(&self) -> Option<(HeaderName, HeaderValue)> {
        let max_age = self.reply.core.node.hsts?;
        self.reply.request.tls?;
        let value = HeaderValue::from_str(&format!("max-age={}", max_age.as_secs())).ok()?;
        Some((header::STRICT_TRANSPORT_SECURITY, value))
    }

    fn own_fields(&self, head: &Head, part: &Part, forwarded: Forwarded) -> Vec<(HeaderName, HeaderValue)> {
        // What had to be waited for is older than its request.
        let now = match forwarded {
            Forwarded::No => self.reply.request.now,
            _ => Moment(daemon::clock::now_millis()),
        };
        let identity = &self.reply.trail.world.identity;
        let node = identity.node.as_str();
        let mut own = Vec::with_capacity(5);
        let age = head.freshness.age(now);
        own.push((header::AGE, age::value(age)));
        if identity.tier == Tier::Parent {
            own.push((exact_age::MILLRACE_AGE, exact_age::value(age)));
        }
        own.push((
            header::CACHE_STATUS,
            status::of_object(node, forwarded, self.varied.is_some(), &head.freshness, now),
        ));
        own.extend(self.strict_transport_security());
        let content_range = match (part, head.length) {
            (Part::Range(range), Some(length)) => Some(format!(
                "bytes {}-{}/{length}",
                range.start,
                range.end.saturating_sub(1)
            )),
            (Part::Unsatisfiable(length), _) => Some(format!("bytes */{length}")),
            _ => None,
        };
        if let Some(value) = content_range.and_then(|text| HeaderValue::from_str(&text).ok()) {
            own.push((header::CONTENT_RANGE, value));
        }
        own
    }
}

/// Brings what is there at once, or the first piece if nothing is.
async fn gather_first(reader: &mut Reader, pieces: &mut VecDeque<Bytes>) -> Result<(), ReadError> {
    pieces.extend(reader.next().await?);
    let mut gathered = pieces.iter().map(Bytes::len).sum::<usize>();
    while gathered < WRITE_BYTES_MAX
        && let Some(next) = reader.try_next()
    {
        gathered += next.len();
        pieces.push_back(next);
    }
    Ok(())
}

/// RFC 9110 §13.2.2: preconditions first, then the range.
fn part_of(method: &Method, request: &HeaderMap, head: &Head) -> Part {
    if head.status == StatusCode::OK
        && conditional::precondition(request, &head.fields, method) == conditional::Outcome::NotModified
    {
        return Part::NotModified;
    }
    let (Some(wanted), Some(length)) = (range::field(request), head.length) else {
        return Part::Whole;
    };
    if *method != Method::GET
        || head.status != StatusCode::OK
        || !conditional::if_range_matches(request, &head.fields)
    {
        return Part::Whole;
    }
    match range::single(wanted, length) {
        range::RangeOutcome::Whole => Part::Whole,
        range::RangeOutcome::Part(range) => Part::Range(range),
        range::RangeOutcome::Unsatisfiable => Part::Unsatisfiable(length),
    }
}

/// The fields that are the same for every answer from `head`: what is stored, by the service's rules, and our `Via`.
fn answer_fields(world: &World, service: &ServiceWorld, head: &Head, compressible: bool) -> HeaderMap {
    let mut fields = head.fields.clone();
    fields.remove(header::CONTENT_LENGTH);
    if compressible {
        compression::add_vary(&mut fields);
    }
    if head.status == StatusCode::OK && !head.is_made() {
        fields.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    }
    tags::withhold(world.identity.tier, &mut fields);
    service.rules.response.apply(&mut fields);
    world.via.append(&mut fields, http::Version::HTTP_11);
    fields
}

/// The same as lines of an HTTP/1 head, made once per object and world.
pub(super) fn prepared(world: &World, service: &ServiceWorld, target: &Target, head: &Head) -> Arc<Prepared> {
    if let Some(ready) = head.prepared().load_full()
        && ready.epoch == world.epoch
    {
        return ready;
    }
    let compressible = compression::is_compressible(service, target, head);
    let fields = answer_fields(world, service, head, compressible);
    let mut bytes = BytesMut::with_capacity(fields.len() * 48);
    for (name, value) in &fields {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    let ready = Arc::new(Prepared {
        epoch: world.epoch,
        bytes: bytes.freeze(),
        compressible,
    });
    head.prepared().store(Some(ready.clone()));
    ready
}
