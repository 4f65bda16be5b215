//! Answers that are not for caching: asked for one client and passed on as they come, both ways at once.
//!
//! ```text
//!  client ── body ──→ upstream        a piece is read when the one before is written: the slower side sets the pace
//!  client ←─ 1xx ─── upstream
//!  client ←─ answer ─ upstream        may come before the body has ended, which then goes on as long as it lasts
//! ```

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use cache::Head;
use cache::policy::add_missing_date;
use http::header;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use model::Moment;

use super::downstream::{AnswerHead, Body, ClientGone, Downstream};
use super::invalidate::Invalidation;
use super::outgoing::{Purpose, outgoing};
use super::route::Refusal;
use super::upload::{Upload, UploadFault, Uploading};
use super::{Forwarded, Visit, status};
use crate::front::BodyEnd;
use crate::headers::{hop_by_hop, tags};
use crate::metrics::CacheResult;
use crate::upstream::Asked;
use crate::upstream::exchange::Interrupted;

/// How long nothing may pass on a connection that speaks another protocol, in either direction: WebSocket's own pings
/// come every half minute or so.
const TUNNEL_IDLE_MAX: Duration = Duration::from_secs(300);

impl<D: Downstream> Visit<'_, '_, D> {
    /// Asks upstream for this client alone and passes the answer on.
    pub(super) async fn relay(&mut self, forwarded: Forwarded) -> Result<(), ClientGone> {
        self.relay_beside(None, forwarded).await
    }

    /// The same, where `stored` is what the cache has for the request and could not answer it with.
    pub(super) async fn relay_beside(
        &mut self,
        stored: Option<&Arc<Head>>,
        forwarded: Forwarded,
    ) -> Result<(), ClientGone> {
        self.reply.trail.cache = CacheResult::Pass;
        let mut upload = self.upload();
        let request = outgoing(
            &self.reply.trail.world,
            &self.service,
            self.reply.request,
            self.target.as_str(),
            &self.reply.trail.trace,
            Purpose::Relay(upload.body()),
        );
        let candidates = self.service.candidates.for_key(self.primary());
        let core = self.reply.core.clone();
        let now = Moment(daemon::clock::now_millis());
        let mut client = Uploading {
            downstream: &mut *self.reply.downstream,
            upload: &mut upload,
        };
        let asked = core
            .node
            .upstreams
            .ask(&core.connections, candidates, &request, &mut client, now)
            .await;
        match asked {
            Ok(asked) => {
                if let Some(stored) = stored {
                    self.freshen(stored, &asked, now);
                }
                self.pass_on(asked, forwarded, upload).await
            }
            Err(unanswered) => {
                self.reply.trail.upstream.clone_from(&unanswered.upstream);
                match upload.fault() {
                    None => self.reply.fail(&unanswered.failure()).await,
                    Some(UploadFault::TooLarge) => self.reply.refuse(&Refusal::BodyTooLarge).await,
                    Some(UploadFault::Client(BodyEnd::Slow)) => self.reply.refuse(&Refusal::SlowBody).await,
                    Some(UploadFault::Client(BodyEnd::Malformed)) => {
                        let how = "the body is not framed as RFC 9112 has it\n";
                        self.reply.refuse(&Refusal::Malformed(how)).await
                    }
                    Some(UploadFault::Client(BodyEnd::Gone) | UploadFault::Gone) => Err(ClientGone),
                }
            }
        }
    }

    /// What goes upstream of the request's body: that of a GET only where the service says so.
    fn upload(&self) -> Upload {
        let request = self.reply.request;
        let is_dropped =
            matches!(*request.method, Method::GET | Method::HEAD) && !self.service.service.pass_get_bodies;
        if is_dropped {
            Upload::none()
        } else {
            Upload::of(request, &self.service)
        }
    }

    /// Passes on the answer to a fill's request, which has no body.
    pub(super) async fn relay_answer(
        &mut self,
        asked: Asked,
        forwarded: Forwarded,
    ) -> Result<(), ClientGone> {
        self.pass_on(asked, forwarded, Upload::none()).await
    }

    async fn pass_on(
        &mut self,
        mut asked: Asked,
        forwarded: Forwarded,
        mut upload: Upload,
    ) -> Result<(), ClientGone> {
        let status = asked.answer.status;
        self.reply.trail.upstream = Some(asked.upstream.clone());
        if let Some(invalidation) = self.invalidate(status, &asked.answer.fields) {
            invalidation.settle().await;
        }
        let body = relayed_body(self.reply.request.method, status, &asked.answer.fields);
        let own = self.relayed_fields(&asked.answer.fields, forwarded, status);
        let mut pieces = VecDeque::new();
        let head = AnswerHead {
            status,
            stored: None,
            own,
            body,
        };
        self.reply.start(head, &mut pieces).await?;
        match body {
            // Nothing follows for this client, though a fill's GET may have brought a body: that is not read.
            Body::None | Body::Withheld(_) => {}
            Body::Tunnel => {
                upload.become_tunnel();
                return self.tunnel(asked, upload).await;
            }
            Body::Sized(_) | Body::Unsized => self.pass_body_on(&mut asked, &mut upload, None).await?,
        }
        let trailers = asked.answer.take_trailers();
        if trailers.is_empty() {
            self.reply.downstream.finish().await?;
        } else {
            self.reply.downstream.finish_with(trailers).await?;
        }
        asked.release(&self.reply.core.connections);
        Ok(())
    }

    /// Passes bytes both ways until either side ends, or nothing passes for too long.
    async fn tunnel(&mut self, mut asked: Asked, mut upload: Upload) -> Result<(), ClientGone> {
        let service = self.service.clone();
        let _open = service.metrics.open_tunnel();
        self.pass_body_on(&mut asked, &mut upload, Some(TUNNEL_IDLE_MAX))
            .await?;
        self.reply.downstream.finish().await
    }

    /// Passes the rest of the answer on, while the rest of the request's body goes up.
    async fn pass_body_on(
        &mut self,
        asked: &mut Asked,
        upload: &mut Upload,
        idle_max: Option<Duration>,
    ) -> Result<(), ClientGone> {
        let mut pieces = VecDeque::new();
        loop {
            let bytes_before = upload.bytes();
            let mut client = Uploading {
                downstream: &mut *self.reply.downstream,
                upload: &mut *upload,
            };
            let passing = asked.answer.body_beside(&mut client);
            let passed = match idle_max {
                None => passing.await,
                Some(idle_max) => match tokio::time::timeout(idle_max, passing).await {
                    Ok(passed) => passed,
                    Err(_) if upload.bytes() > bytes_before => continue,
                    Err(_) => return Ok(()),
                },
            };
            match passed {
                Ok(Some(bytes)) => {
                    let sent = bytes.len() as u64;
                    pieces.push_back(bytes);
                    self.reply.downstream.send(&mut pieces).await?;
                    self.reply.trail.bytes += sent;
                }
                Ok(None) => return Ok(()),
                Err(Interrupted::Client) => return Err(ClientGone),
                Err(Interrupted::Upstream(error)) => {
                    tracing::warn!(upstream = %asked.upstream, fault = error.fault.token(), detail = %error.detail,
                        "an answer broke off while it was relayed");
                    return Err(ClientGone);
                }
            }
        }
    }

    /// What an answer of `status` and `fields` to this request makes invalid (RFC 9111 §4.4), in force at once.
    fn invalidate(&self, status: StatusCode, fields: &HeaderMap) -> Option<Invalidation> {
        let invalidation = Invalidation::of(
            self.reply.request,
            status,
            fields,
            &self.service,
            &self.target,
            &self.reply.core.node.cache,
        )?;
        self.service.metrics.invalidations.inc();
        Some(invalidation)
    }

    fn relayed_fields(
        &self,
        upstream: &HeaderMap,
        forwarded: Forwarded,
        status: StatusCode,
    ) -> Vec<(HeaderName, HeaderValue)> {
        let node = &self.reply.trail.world.identity.node;
        let mut fields = upstream.clone();
        let protocol = (status == StatusCode::SWITCHING_PROTOCOLS)
            .then(|| fields.remove(header::UPGRADE))
            .flatten();
        hop_by_hop::strip(&mut fields);
        fields.remove(header::CONTENT_LENGTH);
        if let Some(protocol) = protocol {
            fields.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
            fields.insert(header::UPGRADE, protocol);
        }
        tags::withhold(self.reply.trail.world.identity.tier, &mut fields);
        self.service.rules.response.apply(&mut fields);
        self.reply
            .trail
            .world
            .via
            .append(&mut fields, http::Version::HTTP_11);
        add_missing_date(&mut fields, Moment(daemon::clock::now_millis()));
        fields.extend(self.strict_transport_security());
        fields.append(
            header::CACHE_STATUS,
            status::of_relay(node.as_str(), forwarded, status),
        );
        let mut list = Vec::with_capacity(fields.len());
        let mut last = None;
        for (name, value) in fields {
            // A HeaderMap names a field once and then leaves its further values nameless.
            if name.is_some() {
                last = name;
            }
            if let Some(name) = last.clone() {
                list.push((name, value));
            }
        }
        list
    }
}

fn relayed_body(method: &Method, status: StatusCode, fields: &HeaderMap) -> Body {
    let length = super::fetch::content_length(fields);
    if status == StatusCode::SWITCHING_PROTOCOLS {
        Body::Tunnel
    } else if *method == Method::HEAD {
        Body::Withheld(length)
    } else if status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED {
        Body::None
    } else {
        length.map_or(Body::Unsized, Body::Sized)
    }
}
