//! Answers that this node gives itself: refusals, redirects, failures of upstreams, and how it is.

use std::collections::VecDeque;

use bytes::Bytes;
use cache::Failure;
use http::header;
use http::{HeaderName, HeaderValue, Method, StatusCode};

use super::downstream::{AnswerHead, Body, ClientGone, Downstream};
use super::route::Refusal;
use super::{Forwarded, Reply, status};
use crate::headers::proxy_status::PROXY_STATUS;
use crate::headers::{ErrorType, ProxyStatus, date};
use crate::metrics::CacheResult;

/// What a person is told.
const TEXT: &str = "text/plain; charset=utf-8";

/// What a program is told.
pub(super) const JSON: &str = "application/json";

impl<D: Downstream> Reply<'_, '_, D> {
    /// Answers a request that is not answered by content.
    pub(super) async fn refuse(&mut self, refusal: &Refusal) -> Result<(), ClientGone> {
        if *refusal == Refusal::Misdirected {
            self.core.node.metrics.misdirected.inc();
        }
        self.trail.error = refusal.error();
        let mut fields: Vec<_> = refusal.field().into_iter().collect();
        if let Some(error) = refusal.error() {
            fields.push((PROXY_STATUS, ProxyStatus::new(self.node(), error).value()));
        }
        self.answer(refusal.status(), fields, TEXT, &refusal.message())
            .await
    }

    /// Answers a request whose upstream failed, when nothing stored can stand in.
    pub(super) async fn fail(&mut self, failure: &Failure) -> Result<(), ClientGone> {
        self.trail.cache = CacheResult::Error;
        let error = ErrorType::from_token(failure.error).unwrap_or(ErrorType::ProxyInternalError);
        self.trail.error = Some(error);
        let next_hop = self.trail.upstream.as_deref();
        let proxy_status = ProxyStatus {
            next_hop,
            ..ProxyStatus::new(self.node(), error)
        };
        let asked = Forwarded::Miss {
            revalidated: false,
            collapsed: false,
        };
        let fields = vec![
            (PROXY_STATUS, proxy_status.value()),
            (
                header::CACHE_STATUS,
                status::of_relay(self.node(), asked, failure.status),
            ),
        ];
        let message = match failure.status {
            StatusCode::GATEWAY_TIMEOUT => "upstream did not answer in time\n",
            StatusCode::SERVICE_UNAVAILABLE => "too many requests wait for upstream; try again\n",
            _ => "upstream gave no usable answer\n",
        };
        self.answer(failure.status, fields, TEXT, message).await
    }

    fn node(&self) -> &str {
        self.trail.world.identity.node.as_str()
    }

    /// Sends an answer that is nowhere stored, and no client is to store either.
    pub(super) async fn answer(
        &mut self,
        status: StatusCode,
        mut fields: Vec<(HeaderName, HeaderValue)>,
        content_type: &'static str,
        message: &str,
    ) -> Result<(), ClientGone> {
        fields.push((header::DATE, date::value(self.request.now)));
        fields.push((header::CACHE_CONTROL, HeaderValue::from_static("no-store")));
        let mut pieces = VecDeque::new();
        let body = if status == StatusCode::NO_CONTENT {
            Body::None
        } else {
            fields.push((header::CONTENT_TYPE, HeaderValue::from_static(content_type)));
            let length = message.len() as u64;
            if *self.request.method == Method::HEAD {
                Body::Withheld(Some(length))
            } else {
                pieces.push_back(Bytes::copy_from_slice(message.as_bytes()));
                self.trail.bytes = length;
                Body::Sized(length)
            }
        };
        self.start(
            AnswerHead {
                status,
                stored: None,
                own: fields,
                body,
            },
            &mut pieces,
        )
        .await?;
        self.downstream.finish().await
    }

    /// Sends an answer's head with the first of its body, and notes both.
    pub(super) async fn start(
        &mut self,
        head: AnswerHead<'_>,
        pieces: &mut VecDeque<Bytes>,
    ) -> Result<(), ClientGone> {
        self.trail.status = Some(head.status);
        self.trail.first_byte = Some(self.request.started.elapsed());
        self.downstream.start(head, pieces).await
    }
}
