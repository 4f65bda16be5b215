//! The detached task that asks upstream on behalf of the cache.
//!
//! It belongs to the cache, not to the request that started it: it runs to its end whoever leaves, and everybody who
//! asks meanwhile reads what it brings.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cache::policy::vary::Names;
use cache::policy::{
    self, Entry, Exchange, Reason, StaleDefaults, Target, Verdict, add_missing_date, conditional, merge_304,
    storable_fields,
};
use cache::{Failure, Filler, Head, Key, Lead, Object, Varying};
use http::header;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use model::Moment;
use tokio::sync::oneshot;

use super::variants;
use crate::headers::ErrorType;
use crate::node::Core;
use crate::upstream::exchange::Outgoing;
use crate::upstream::{Asked, Nobody, Source, Unanswered};
use crate::world::{ServiceWorld, World};

/// How long an uncacheable answer is remembered, so that later requests for it do not queue behind each other.
pub(super) const HIT_FOR_MISS: Duration = Duration::from_secs(10);

/// How long a fill may take in all: a film at a tenth of the pace it is watched at.
const FILL_TIME_MAX: Duration = Duration::from_secs(24 * 3600);

/// What is to be fetched, and what is known already.
pub struct Errand {
    /// The world the request was routed by.
    pub world: Arc<World>,
    /// The service it is for.
    pub service: Arc<ServiceWorld>,
    /// What is asked for.
    pub target: Target,
    /// The key of its URL. What is claimed may be one of the URL's variants.
    pub primary: Key,
    /// What was found under that key, where the URL's answers vary.
    pub mark: Option<Arc<Head>>,
    /// The fields of the request that caused it; some of them bear on whether the answer may be stored.
    pub request_fields: HeaderMap,
    /// The request to send, but for conditions.
    pub outgoing: Outgoing,
    /// What is stored and no longer fresh, if anything: upstream may confirm it.
    pub stale: Option<Object>,
}

impl Errand {
    /// What the URL's answers are known to vary by.
    fn names(&self) -> Option<&Names> {
        let variation = self.mark.as_ref()?.variation()?;
        Some(variation.names())
    }

    fn asking(&self) -> Asking<'_> {
        Asking {
            service: &self.service,
            target: &self.target,
            request_fields: &self.request_fields,
        }
    }
}

/// What the one who started the fetch gets at header time; everybody else learns it from the flight.
pub enum Fetched {
    /// An object, perhaps still growing.
    Object {
        /// The object.
        object: Object,
        /// Whom it came from.
        upstream: Arc<str>,
        /// Whether upstream confirmed what was stored.
        revalidated: bool,
    },
    /// An answer that is not for caching: its body is to be relayed.
    Relay(Box<Asked>),
    /// Nothing usable.
    Failed {
        /// What went wrong.
        failure: Failure,
        /// Who failed last, if anybody was asked.
        upstream: Option<Arc<str>>,
    },
}

/// Starts the fetch on this core. The receiver may be dropped: the fetch goes on for the cache.
pub fn start(core: &Arc<Core>, errand: Errand, lead: Lead) -> oneshot::Receiver<Fetched> {
    let (tell, told) = oneshot::channel();
    let core = core.clone();
    tokio::spawn(async move { run(core, errand, lead, tell).await });
    told
}

/// What a request is told whose fetch ended without a word.
#[must_use]
pub fn vanished() -> Failure {
    Failure::new(
        StatusCode::BAD_GATEWAY,
        ErrorType::ProxyInternalError.token(),
        "the fetch ended without an answer",
    )
}

async fn run(core: Arc<Core>, errand: Errand, lead: Lead, tell: oneshot::Sender<Fetched>) {
    let mut asked = ask(&core, &errand, conditions(&errand)).await;
    if let (Ok((answered, times)), Some(stale)) = (&asked, &errand.stale)
        && answered.answer.status == StatusCode::NOT_MODIFIED
    {
        if let Some(head) = confirmed(&errand, stale.head(), answered, *times) {
            let object = lead.refreshed(stale.head(), head);
            remember_variant(&core, &errand, object.head());
            let upstream = answered.upstream.clone();
            let _ = tell.send(Fetched::Object {
                object,
                upstream,
                revalidated: true,
            });
            if let Ok((answered, _)) = asked {
                answered.release(&core.connections);
            }
            return;
        }
        // It may be kept no longer, or the 304 speaks of something else: fetch it whole.
        if let Ok((answered, _)) = asked {
            // Given back first: the next question may need the very permit.
            answered.release(&core.connections);
        }
        asked = ask(&core, &errand, Vec::new()).await;
    }
    let failed = match asked {
        Ok((answered, _)) if errand.stale.is_some() && answered.answer.status.is_server_error() => {
            // What is stored may stand in; the rest of this answer is not worth reading.
            Fetched::Failed {
                failure: refused(&answered),
                upstream: Some(answered.upstream.clone()),
            }
        }
        Ok((answered, times)) => return store_or_relay(&core, &errand, lead, tell, answered, times).await,
        Err(unanswered) => Fetched::Failed {
            failure: unanswered.failure(),
            upstream: unanswered.upstream,
        },
    };
    if let Fetched::Failed { failure, .. } = &failed {
        lead.failed(failure.clone());
    }
    let _ = tell.send(failed);
}

/// When the request went out and when the answer's head came in (RFC 9111 §4.2.3).
#[derive(Clone, Copy)]
pub(super) struct Times {
    pub(super) request_time: Moment,
    pub(super) response_time: Moment,
}

/// Sends the errand's request with `conditions` and waits for the answer's head.
async fn ask(
    core: &Arc<Core>,
    errand: &Errand,
    conditions: Vec<(HeaderName, HeaderValue)>,
) -> Result<(Asked, Times), Unanswered> {
    let mut outgoing = errand.outgoing.clone();
    outgoing.fields.extend(conditions);
    let request_time = Moment(daemon::clock::now_millis());
    let candidates = errand.service.candidates.for_key(&errand.primary);
    let asked = core
        .node
        .upstreams
        .ask(
            &core.connections,
            candidates,
            &outgoing,
            &mut Nobody,
            request_time,
        )
        .await?;
    Ok((
        asked,
        Times {
            request_time,
            response_time: Moment(daemon::clock::now_millis()),
        },
    ))
}

fn conditions(errand: &Errand) -> Vec<(HeaderName, HeaderValue)> {
    errand.stale.as_ref().map_or_else(Vec::new, |stale| {
        conditional::revalidation_fields(&stale.head().fields)
    })
}

/// The head that a 304 gives to what is stored, if it speaks of that and it may be kept on.
fn confirmed(errand: &Errand, old: &Head, asked: &Asked, times: Times) -> Option<Head> {
    if !conditional::confirms(&asked.answer.fields, &old.fields) {
        return None;
    }
    let renewal = Renewal {
        asking: errand.asking(),
        known: errand.names(),
        old,
    };
    renewal.head(asked, times).ok()
}

/// A stored answer that upstream speaks of again, without its body.
pub(super) struct Renewal<'a> {
    /// What upstream was asked.
    pub(super) asking: Asking<'a>,
    /// What the URL's answers are known to vary by.
    pub(super) known: Option<&'a Names>,
    /// What is stored.
    pub(super) old: &'a Head,
}

impl Renewal<'_> {
    /// The head that an answer which confirms what is stored gives to it, or why that may not be kept on with it.
    pub(super) fn head(&self, asked: &Asked, times: Times) -> Result<Head, Reason> {
        let old = self.old;
        let merged = merge_304(&old.fields, &asked.answer.fields);
        let verdict = self.asking.judge(asked, old.status, &merged, times);
        let freshness = match &verdict {
            Verdict::Store { freshness, .. } => *freshness,
            Verdict::Pass(reason) => return Err(*reason),
        };
        let own = variants::names(self.asking.target, old.status, &merged, None);
        if !self.known.map_or(own.is_empty(), |known| known.contain(&own)) {
            // It varies by more than it did: what is stored is for whoever asked for it then.
            return Err(Reason::Vary);
        }
        let mut fields = storable_fields(&merged);
        verdict.rewrite(&mut fields);
        add_missing_date(&mut fields, times.response_time);
        let head = Head::new(old.key.clone(), old.status, fields, old.length, freshness);
        Ok(head.asked_at(times.request_time))
    }
}

/// A whole answer: for the cache if it may be stored, otherwise for the one who asked.
async fn store_or_relay(
    core: &Arc<Core>,
    errand: &Errand,
    lead: Lead,
    tell: oneshot::Sender<Fetched>,
    asked: Asked,
    times: Times,
) {
    let (status, fields) = (asked.answer.status, &asked.answer.fields);
    let verdict = errand.asking().judge(&asked, status, fields, times);
    match &verdict {
        Verdict::Store { freshness, .. } => {
            let mut fields = storable_fields(&asked.answer.fields);
            verdict.rewrite(&mut fields);
            add_missing_date(&mut fields, times.response_time);
            let length = content_length(&asked.answer.fields);
            let head = Head::new(
                errand.primary.clone(),
                asked.answer.status,
                fields,
                length,
                *freshness,
            )
            .asked_at(times.request_time);
            let filler = match begin(core, errand, lead, head, &asked) {
                Ok(filler) => filler,
                Err(lead) => {
                    // Only this once: the next request may find a place for it.
                    lead.uncacheable(Duration::ZERO);
                    let _ = tell.send(Fetched::Relay(Box::new(asked)));
                    return;
                }
            };
            let object = filler.object();
            let _ = tell.send(Fetched::Object {
                object,
                upstream: asked.upstream.clone(),
                revalidated: false,
            });
            fill(core, asked, filler).await;
        }
        Verdict::Pass(reason) => {
            if asked.answer.status.is_server_error() {
                lead.failed(refused(&asked));
            } else {
                lead.uncacheable(remember(*reason));
            }
            let _ = tell.send(Fetched::Relay(Box::new(asked)));
        }
    }
}

/// Begins the object of `head` under the key where it belongs: its URL's, or that of one of the URL's variants. The lead
/// comes back where it cannot be kept.
fn begin(core: &Core, errand: &Errand, lead: Lead, head: Head, asked: &Asked) -> Result<Filler, Lead> {
    let (status, fields) = (asked.answer.status, &asked.answer.fields);
    let names = variants::names(&errand.target, status, fields, errand.names());
    if names.is_empty() {
        return lead.start_plain(&errand.primary, head);
    }
    let Some(variant) = names.variant(&errand.primary, &errand.outgoing.fields) else {
        core.node.cache.refuse_variant();
        return Err(lead);
    };
    let varying = Varying {
        primary: &errand.primary,
        names: &names,
        variant: &variant,
        seen: errand.mark.as_deref(),
    };
    lead.start_variant(&varying, head)
}

/// What leads to a variant is to last as long as that does.
fn remember_variant(core: &Core, errand: &Errand, head: &Head) {
    if let Some(names) = errand.names() {
        let varying = Varying {
            primary: &errand.primary,
            names,
            variant: &head.key,
            seen: errand.mark.as_deref(),
        };
        core.node.cache.mark(&varying, head);
    }
}

/// How long to remember that an answer was not for the cache: not at all where the one request is to blame, or a status
/// (401, 429 …) that another request may not get, or one client could keep an object out of the cache for all.
fn remember(reason: Reason) -> Duration {
    match reason {
        Reason::Status => Duration::ZERO,
        reason if reason.lies_in_the_response() => HIT_FOR_MISS,
        _ => Duration::ZERO,
    }
}

fn refused(asked: &Asked) -> Failure {
    let status = asked.answer.status;
    Failure::new(
        status,
        ErrorType::HttpProtocolError.token(),
        format!("{} answered {status}", asked.upstream),
    )
}

/// Reads the body into the cache.
///
/// Bounded in time: an upstream that drips for ever must not hold a place for ever.
async fn fill(core: &Arc<Core>, mut asked: Asked, mut filler: Filler) {
    let started = Instant::now();
    loop {
        if started.elapsed() > FILL_TIME_MAX {
            let detail = format!(
                "the answer of {} takes longer than {FILL_TIME_MAX:?}",
                asked.upstream
            );
            let error = ErrorType::HttpResponseTimeout;
            filler.abort(Failure::new(error.status(), error.token(), detail));
            return;
        }
        match asked.answer.body().await {
            Ok(Some(bytes)) => {
                if filler.append(bytes).await.is_err() {
                    // The object outgrew what may be held for it; its readers have been told.
                    return;
                }
            }
            Ok(None) => {
                filler.finish();
                asked.release(&core.connections);
                return;
            }
            Err(error) => {
                tracing::warn!(upstream = %asked.upstream, fault = error.fault.token(), detail = %error.detail,
                    "an answer broke off; what came of it is not kept");
                filler.abort(Failure::new(
                    error.fault.status(),
                    error.fault.token(),
                    error.detail,
                ));
                return;
            }
        }
    }
}

/// What was asked, as far as it bears on whether the answer may be stored.
pub(super) struct Asking<'a> {
    /// The service it is for.
    pub(super) service: &'a ServiceWorld,
    /// The target.
    pub(super) target: &'a Target,
    /// The fields of the request that caused it.
    pub(super) request_fields: &'a HeaderMap,
}

impl Asking<'_> {
    fn judge(&self, asked: &Asked, status: StatusCode, fields: &HeaderMap, times: Times) -> Verdict {
        let service = &self.service.service;
        let entry = match (asked.source, &service.ttl) {
            (Source::Origin, Some(rules)) => Some(Entry {
                rules,
                path: self.target.path(),
                hint: None,
            }),
            _ => None,
        };
        policy::judge(&Exchange {
            method: &Method::GET,
            request: self.request_fields,
            status,
            response: fields,
            exact_age: asked.exact_age,
            request_time: times.request_time,
            response_time: times.response_time,
            entry,
            service: StaleDefaults {
                stale_while_revalidate: service.stale_while_revalidate.0,
                stale_if_error: service.stale_if_error.0,
            },
        })
    }
}

pub(super) fn content_length(fields: &HeaderMap) -> Option<u64> {
    if fields.contains_key(header::TRANSFER_ENCODING) {
        return None;
    }
    fields
        .get(header::CONTENT_LENGTH)
        .map(HeaderValue::as_bytes)
        .and_then(|text| std::str::from_utf8(text).ok()?.parse().ok())
}
