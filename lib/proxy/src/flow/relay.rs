//! Answers that are not for caching: asked for one client and passed on as they come.

use std::collections::VecDeque;

use cache::policy::add_missing_date;
use http::header;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use model::Moment;

use super::downstream::{AnswerHead, Body, ClientGone, Downstream};
use super::outgoing::{Purpose, outgoing};
use super::{Forwarded, Visit, status};
use crate::headers::hop_by_hop;
use crate::metrics::CacheResult;
use crate::upstream::Asked;

impl<D: Downstream> Visit<'_, '_, D> {
    /// Asks upstream for this client alone and passes the answer on.
    pub(super) async fn relay(&mut self, forwarded: Forwarded) -> Result<(), ClientGone> {
        self.reply.trail.cache = CacheResult::Pass;
        let request = outgoing(
            &self.reply.trail.world,
            &self.service,
            self.reply.request,
            self.target.as_str(),
            &self.reply.trail.trace,
            Purpose::Relay,
        );
        let candidates = self.service.candidates.for_key(self.primary());
        let core = self.reply.core.clone();
        let now = Moment(daemon::clock::now_millis());
        match core
            .node
            .upstreams
            .ask(&core.connections, candidates, &request, now)
            .await
        {
            Ok(asked) => self.relay_answer(asked, forwarded).await,
            Err(unanswered) => {
                self.reply.trail.upstream.clone_from(&unanswered.upstream);
                self.reply.fail(&unanswered.failure()).await
            }
        }
    }

    /// Passes an answer on.
    pub(super) async fn relay_answer(
        &mut self,
        mut asked: Asked,
        forwarded: Forwarded,
    ) -> Result<(), ClientGone> {
        let status = asked.answer.status;
        self.reply.trail.upstream = Some(asked.upstream.clone());
        let body = relayed_body(self.reply.request.method, status, &asked.answer.fields);
        let fields = self.relayed_fields(&asked.answer.fields, forwarded, status);
        let mut pieces = VecDeque::new();
        self.reply
            .start(
                AnswerHead {
                    status,
                    stored: None,
                    own: fields,
                    body,
                },
                &mut pieces,
            )
            .await?;
        if matches!(body, Body::None | Body::Withheld(_)) {
            // Nothing follows for this client, though a fill's GET may have brought a body: that is not read.
            self.reply.downstream.finish().await?;
            asked.release(&self.reply.core.connections).await;
            return Ok(());
        }
        loop {
            match asked.answer.body().await {
                Ok(Some(bytes)) => {
                    let sent = bytes.len() as u64;
                    pieces.push_back(bytes);
                    self.reply.downstream.send(&mut pieces).await?;
                    self.reply.trail.bytes += sent;
                }
                Ok(None) => break,
                Err(error) => {
                    tracing::warn!(upstream = %asked.upstream, fault = error.fault.token(), detail = %error.detail,
                        "an answer broke off while it was relayed");
                    return Err(ClientGone);
                }
            }
        }
        self.reply.downstream.finish().await?;
        asked.release(&self.reply.core.connections).await;
        Ok(())
    }

    fn relayed_fields(
        &self,
        upstream: &HeaderMap,
        forwarded: Forwarded,
        status: StatusCode,
    ) -> Vec<(HeaderName, HeaderValue)> {
        let node = &self.reply.trail.world.identity.node;
        let mut fields = upstream.clone();
        hop_by_hop::strip(&mut fields);
        fields.remove(header::CONTENT_LENGTH);
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
    if *method == Method::HEAD {
        Body::Withheld(length)
    } else if status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED {
        Body::None
    } else {
        length.map_or(Body::Unsized, Body::Sized)
    }
}
