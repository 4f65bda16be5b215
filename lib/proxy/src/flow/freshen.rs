//! What a relayed HEAD tells of the answer to GET that is stored beside it (RFC 9111 §4.3.5).

use std::sync::Arc;

use cache::policy::freshening::{Freshening, Stored, Told, freshening};
use cache::{Head, Varying};
use http::{Method, StatusCode};
use model::Moment;

use super::fetch::{Asking, Renewal, Times, content_length};
use super::outgoing::are_personal;
use super::{Downstream, Visit};
use crate::upstream::Asked;

impl<D: Downstream> Visit<'_, '_, D> {
    /// Updates or expires `stored`, which was found before upstream was asked at `request_time`, where `asked` is the
    /// answer to a HEAD that says so. What was purged since stays purged.
    pub(super) fn freshen(&self, stored: &Arc<Head>, asked: &Asked, request_time: Moment) {
        let request = self.reply.request;
        if *request.method != Method::HEAD || asked.answer.status != StatusCode::OK {
            return;
        }
        let times = Times {
            request_time,
            response_time: Moment(daemon::clock::now_millis()),
        };
        let known = self
            .varied
            .as_ref()
            .and_then(|varied| Some((varied, varied.mark.variation()?.names())));
        let renewal = Renewal {
            asking: Asking {
                service: &self.service,
                target: &self.target,
                request_fields: request.fields,
            },
            known: known.map(|(_, names)| names),
            old: stored,
        };
        let renewed = renewal.head(asked, times);
        let becomes = freshening(
            &Stored {
                status: stored.status,
                fields: &stored.fields,
                length: stored.length,
                state: stored.freshness.state(times.response_time),
            },
            &Told {
                fields: &asked.answer.fields,
                length: content_length(&asked.answer.fields),
                refused: renewed.as_ref().err().copied(),
                is_personal: are_personal(request.fields),
            },
        );
        let cache = &self.reply.core.node.cache;
        match (becomes, renewed) {
            (Freshening::Update, Ok(head)) => {
                let object = cache.refresh(stored, head);
                if let Some((varied, names)) = known {
                    let varying = Varying {
                        primary: &varied.primary,
                        names,
                        variant: &object.head().key,
                        seen: Some(&varied.mark),
                    };
                    cache.mark(&varying, object.head());
                }
            }
            (Freshening::Expire, _) => drop(cache.refresh(stored, stored.expired(times.response_time))),
            (Freshening::Update | Freshening::Leave, _) => {}
        }
    }
}
