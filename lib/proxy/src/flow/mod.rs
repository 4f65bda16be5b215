//! The life of a request, the same on edge and parent, whatever protocol it came by.
//!
//! ```text
//! route → guard → key → look up ─┬─ fresh ────────────────────────→ respond
//!                                ├─ stale, may serve → respond + refresh behind
//!                                ├─ being filled → join the fill ─→ respond as bytes arrive
//!                                ├─ absent → start a fill, join it → respond as bytes arrive
//!                                └─ not for caching → pass ───────→ relay
//! ```
//!
//! Where the answers of a URL vary, its key leads to another look-up, of the one that the request gets ([`variants`]).
//!
//! The deciders ([`route`], [`plan`], [`outgoing`]) are pure; the doers ([`fetch`], [`deliver`], [`relay`]) call them.
//! Nothing here knows Pingora: an answer leaves through a [`Downstream`].
//!
//! What a hit does not need is boxed: the future of a request is copied into its allocation at every request, and the
//! states of misses and relays would make it several times as large.

pub mod compression;
pub mod deliver;
pub mod downstream;
pub mod encode;
pub mod fetch;
mod freshen;
mod health;
mod invalidate;
pub mod outgoing;
pub mod own;
pub mod plan;
pub mod relay;
pub mod request;
pub mod route;
pub mod status;
pub mod trail;
mod upload;
pub mod variants;

use std::sync::Arc;

use cache::policy::Target;
use cache::policy::demands::Demands;
use cache::policy::verdict::request_forbids;
use cache::{Claim, Failure, Head, Key, LookUp, Object, Outcome};
use http::{HeaderMap, Method, StatusCode, header};
use model::service::ClientDirectives;

pub use downstream::{AnswerHead, Body, ClientGone, Downstream};
pub use request::Request;
pub use trail::Trail;

use crate::headers::{ErrorType, RequestId, Trace};
use crate::metrics::CacheResult;
use crate::node::Core;
use crate::upstream::RequestBody;
use crate::world::{ServiceWorld, World};
use deliver::Delivered;
use fetch::{Errand, Fetched};
use outgoing::Purpose;
use plan::{Plan, Wishes};
use route::{Refusal, Routed};
pub(crate) use status::Forwarded;
use variants::{Varied, accept_encoding};

/// How often a request starts over because what it found vanished before its first byte (evicted, reclaimed, a bad
/// checksum), or was another variant than the one it gets; then it fails.
const ATTEMPTS_MAX: usize = 4;

/// Serves one request from its head to the last byte of its answer.
pub async fn serve<D: Downstream>(core: &Arc<Core>, request: &Request<'_>, downstream: &mut D) -> Trail {
    let world = core.node.world.load_full();
    let mut trail = trail(world.clone(), request);
    let routed = route::route(&world, request);
    let mut reply = Reply {
        core,
        request,
        downstream,
        trail: &mut trail,
    };
    let ended = match routed {
        Ok(Routed::Content { service, target }) => {
            reply.trail.service = Some(service.clone());
            reply.trail.target = Some(target.clone());
            let key = Key::new(&service.name, target.as_str());
            let wishes = wishes(&service, request);
            Visit {
                reply,
                service,
                target,
                key,
                varied: None,
                wishes,
            }
            .serve()
            .await
        }
        Ok(Routed::Health) => Box::pin(reply.tell_health()).await,
        Err((refusal, service)) => {
            reply.trail.service = service;
            Box::pin(reply.refuse(&refusal)).await
        }
    };
    trail.cut = ended.is_err();
    trail
}

fn trail(world: Arc<World>, request: &Request<'_>) -> Trail {
    let random = &mut rand::rng();
    Trail::new(
        world,
        RequestId::random(random),
        Trace::of_request(request.fields, random, false),
    )
}

/// One request at work: what it is, where it answers, what it leaves behind.
pub(crate) struct Reply<'a, 'r, D> {
    core: &'a Arc<Core>,
    request: &'a Request<'r>,
    downstream: &'a mut D,
    trail: &'a mut Trail,
}

/// A request that found its service.
pub(crate) struct Visit<'a, 'r, D> {
    reply: Reply<'a, 'r, D>,
    service: Arc<ServiceWorld>,
    target: Target,
    /// The key of the answer that it gets: of its URL, or of one of its variants.
    key: Key,
    /// Where its URL's answers vary.
    varied: Option<Box<Varied>>,
    wishes: Wishes,
}

/// What the request asks of freshness, where the service follows that. The service's rules for requests come first: a
/// wish that they remove is none.
fn wishes(service: &ServiceWorld, request: &Request<'_>) -> Wishes {
    let wishing = [header::CACHE_CONTROL, header::PRAGMA];
    if service.service.client_directives == ClientDirectives::Ignore
        || !wishing.iter().any(|name| request.fields.contains_key(name))
    {
        return Wishes::default();
    }
    let floor = service.service.revalidation_floor.0;
    let demands = if service.rules.request.is_empty() {
        Demands::of(request.fields)
    } else {
        let mut fields = HeaderMap::new();
        for name in wishing {
            for value in request.fields.get_all(&name) {
                fields.append(&name, value.clone());
            }
        }
        service.rules.request.apply(&mut fields);
        Demands::of(&fields)
    };
    Wishes { demands, floor }
}

/// What is known of an object when upstream has to be asked for it.
enum Known {
    /// Nothing.
    Nothing,
    /// There is one, but not all its bytes can be had: fetch it whole.
    Unreadable(Object),
    /// There is one, no longer fresh: upstream may confirm it, and it may stand in for an upstream that fails.
    Stale(Object),
}

impl Known {
    fn head(&self) -> Option<&Arc<Head>> {
        match self {
            Known::Nothing => None,
            Known::Unreadable(object) | Known::Stale(object) => Some(object.head()),
        }
    }

    /// Whether `object` is what could not be read, perhaps with a new head: the bytes that were missing still are.
    fn is_the_same(&self, object: &Object) -> bool {
        match self {
            Known::Unreadable(old) => old.head().version == object.head().version && !object.is_growing(),
            Known::Nothing | Known::Stale(_) => false,
        }
    }

    fn stale(&self) -> Option<&Object> {
        match self {
            Known::Stale(object) => Some(object),
            Known::Nothing | Known::Unreadable(_) => None,
        }
    }
}

impl<D: Downstream> Visit<'_, '_, D> {
    async fn serve(&mut self) -> Result<(), ClientGone> {
        if !matches!(*self.reply.request.method, Method::GET | Method::HEAD) {
            return Box::pin(self.relay(Forwarded::Method)).await;
        }
        if self.goes_past_the_cache() {
            return Box::pin(self.relay(Forwarded::Request)).await;
        }
        let mut lost = false;
        for _ in 0..ATTEMPTS_MAX {
            let found = loop {
                let cache = &self.reply.core.node.cache;
                let found = match cache.peek(&self.key) {
                    Some(object) => LookUp::Hit(object),
                    None => Box::pin(cache.look_up(&self.key)).await,
                };
                match &found {
                    LookUp::Hit(object) if object.head().variation().is_some() && self.varied.is_none() => {
                        if !self.choose(&object.head().clone()) {
                            return Box::pin(self.relay(Forwarded::Bypass)).await;
                        }
                    }
                    _ => break found,
                }
            };
            let delivered = match found {
                LookUp::Hit(object) if object.is_growing() && !self.is_covered(&object) => {
                    // Its beginning is gone already: what this client wants cannot be had from the fill.
                    return Box::pin(self.relay(Forwarded::Bypass)).await;
                }
                LookUp::Hit(object) if object.is_growing() => Box::pin(self.joined(object)).await?,
                LookUp::Hit(object) if !lost => self.hit(object).await?,
                LookUp::Partial(object) if !lost && self.is_covered(&object) => self.hit(object).await?,
                LookUp::Hit(object) | LookUp::Partial(object) => {
                    Box::pin(self.miss(Known::Unreadable(object))).await?
                }
                LookUp::Absent => Box::pin(self.miss(Known::Nothing)).await?,
                LookUp::Uncacheable => return Box::pin(self.relay(Forwarded::Bypass)).await,
            };
            match delivered {
                Delivered::Done => return Ok(()),
                Delivered::Lost => lost = true,
                Delivered::Elsewhere => {}
            }
        }
        let why = "what was found in the cache vanished before it could be served";
        Box::pin(self.reply.fail(&Failure::new(
            StatusCode::BAD_GATEWAY,
            ErrorType::ProxyInternalError.token(),
            why,
        )))
        .await
    }

    /// Whether a GET or HEAD brings what the service passes on and no stored answer can be for: a body, or the wish to
    /// speak another protocol.
    fn goes_past_the_cache(&self) -> bool {
        let service = &self.service.service;
        (service.pass_get_bodies && self.reply.request.body != RequestBody::None)
            || (!service.upgrades.is_empty() && outgoing::upgrade(self.reply.request, service).is_some())
    }

    /// The object is there and whole: is it fresh enough?
    async fn hit(&mut self, object: Object) -> Result<Delivered, ClientGone> {
        let head = object.head();
        let wishes = Wishes {
            demands: self.wishes.demands.of_stored(&head.fields),
            floor: self.wishes.floor,
        };
        match plan::plan(&head.freshness, head.asked_at, &wishes, self.reply.request.now) {
            Plan::Serve => {
                self.reply.trail.cache = CacheResult::Hit;
                if let Some(demands) = plan::early(&head.freshness, head.asked_at, self.reply.request.now)
                    && rand::random_ratio(1, plan::EARLY_CHANCE)
                    && self.refresh_behind(&object, demands)
                {
                    self.reply.core.node.metrics.early_refreshes.inc();
                }
                self.deliver(&object, Forwarded::No).await
            }
            Plan::ServeAndRefresh => {
                self.reply.trail.cache = CacheResult::Stale;
                self.refresh_behind(&object, self.wishes.demands);
                self.deliver(&object, Forwarded::No).await
            }
            Plan::Revalidate => Box::pin(self.miss(Known::Stale(object))).await,
            Plan::GiveUp => Box::pin(self.give_up()).await,
        }
    }

    /// Has a new answer fetched, or the old one confirmed, for those who come later: nobody waits for the outcome. False
    /// when another does that already, or this request may not bring what is stored.
    fn refresh_behind(&self, object: &Object, demands: Demands) -> bool {
        let Reply { core, request, .. } = &self.reply;
        if request_forbids(request.method, request.fields).is_some() {
            return false;
        }
        let Claim::Lead(lead) = core.node.cache.claim(&self.key, Some(object.head())) else {
            return false;
        };
        drop(fetch::start(
            core,
            self.errand(Some(object.clone()), demands),
            lead,
        ));
        true
    }

    /// A fill is under way and its answer's head is known.
    async fn joined(&mut self, object: Object) -> Result<Delivered, ClientGone> {
        self.reply.trail.cache = CacheResult::Collapsed;
        self.deliver(
            &object,
            Forwarded::Miss {
                revalidated: false,
                collapsed: true,
            },
        )
        .await
    }

    /// Upstream would have to be asked, and the request wants that not.
    async fn give_up(&mut self) -> Result<Delivered, ClientGone> {
        self.reply.refuse(&Refusal::OnlyIfCached).await?;
        Ok(Delivered::Done)
    }

    /// Upstream has to be asked: by this request, or by another that already does.
    async fn miss(&mut self, known: Known) -> Result<Delivered, ClientGone> {
        if self.wishes.demands.only_if_cached {
            return self.give_up().await;
        }
        if request_forbids(self.reply.request.method, self.reply.request.fields).is_some() {
            // What it brings may not be stored, so nobody may wait for it.
            self.relay_beside(known.head(), Forwarded::Request).await?;
            return Ok(Delivered::Done);
        }
        let (outcome, collapsed) = match self.reply.core.node.cache.claim(&self.key, known.head()) {
            Claim::Lead(lead) => {
                let fetched = fetch::start(
                    self.reply.core,
                    self.errand(known.stale().cloned(), self.wishes.demands),
                    lead,
                )
                .await;
                match fetched {
                    Ok(Fetched::Relay(answer)) => {
                        self.reply.trail.cache = CacheResult::Pass;
                        self.relay_answer(
                            *answer,
                            Forwarded::Miss {
                                revalidated: false,
                                collapsed: false,
                            },
                        )
                        .await?;
                        return Ok(Delivered::Done);
                    }
                    Ok(Fetched::Object {
                        object,
                        upstream,
                        revalidated,
                    }) => {
                        self.reply.trail.upstream = Some(upstream);
                        self.reply.trail.cache = if revalidated {
                            CacheResult::Revalidated
                        } else {
                            CacheResult::Miss
                        };
                        let forwarded = Forwarded::Miss {
                            revalidated,
                            collapsed: false,
                        };
                        return self.deliver(&object, forwarded).await;
                    }
                    Ok(Fetched::Failed { failure, upstream }) => {
                        self.reply.trail.upstream = upstream;
                        (Outcome::Failed(failure), false)
                    }
                    Err(_) => (Outcome::Failed(fetch::vanished()), false),
                }
            }
            Claim::Join(flight) => {
                let patience = self.reply.core.node.collapse_timeout;
                match tokio::time::timeout(patience, flight.outcome()).await {
                    Ok(outcome) => (outcome, true),
                    Err(_) => {
                        // Who asked for all of us may be stuck. An upstream's bound on requests holds for this one too.
                        self.reply.core.node.metrics.collapses_timed_out.inc();
                        self.relay(Forwarded::Bypass).await?;
                        return Ok(Delivered::Done);
                    }
                }
            }
        };
        match outcome {
            Outcome::Object(object) if object.head().variation().is_some() => {
                // What came varies; this request may get another answer than the one who asked for it.
                let before = self.key.clone();
                if self.choose(object.head()) && self.key != before {
                    return Ok(Delivered::Elsewhere);
                }
                self.relay(Forwarded::Bypass).await?;
                Ok(Delivered::Done)
            }
            Outcome::Object(object) if known.is_the_same(&object) => Ok(Delivered::Lost),
            Outcome::Object(object) => {
                self.reply.trail.cache = CacheResult::Collapsed;
                let revalidated = known
                    .stale()
                    .is_some_and(|old| old.head().version == object.head().version);
                self.deliver(
                    &object,
                    Forwarded::Miss {
                        revalidated,
                        collapsed,
                    },
                )
                .await
            }
            Outcome::Uncacheable => {
                self.relay_beside(known.head(), Forwarded::Bypass).await?;
                Ok(Delivered::Done)
            }
            Outcome::Failed(failure) => match known.stale() {
                Some(old) if plan::may_stand_in(&old.head().freshness, self.reply.request.now) => {
                    self.reply.trail.cache = CacheResult::Stale;
                    self.deliver(old, Forwarded::StandIn).await
                }
                _ => {
                    self.reply.fail(&failure).await?;
                    Ok(Delivered::Done)
                }
            },
        }
    }

    fn errand(&self, stale: Option<Object>, demands: Demands) -> Errand {
        let purpose = Purpose::Fill {
            demands,
            accept_encoding: accept_encoding(&self.target, self.reply.request.fields),
        };
        let outgoing = outgoing::outgoing(
            &self.reply.trail.world,
            &self.service,
            self.reply.request,
            self.target.as_str(),
            &self.reply.trail.trace,
            purpose,
        );
        Errand {
            world: self.reply.trail.world.clone(),
            service: self.service.clone(),
            target: self.target.clone(),
            primary: self.primary().clone(),
            mark: self.varied.as_ref().map(|varied| varied.mark.clone()),
            request_fields: self.reply.request.fields.clone(),
            outgoing,
            stale,
        }
    }
}
