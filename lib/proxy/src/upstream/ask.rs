//! Asks upstream: candidate after candidate, until one answers or asking on would do more harm than good.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cache::Failure;
use http::header;
use model::Moment;
use prometheus::Registry;

use super::budget::RetryBudget;
use super::choose::{Candidate, Candidates, CandidatesForKey, Source};
use super::client::Client;
use super::error::ExchangeError;
use super::exchange::{Answer, Connections, Hop, Outgoing};
use super::health::Health;
use super::limit::{self, Limits, Permit};
use super::metrics::Metrics;
use super::names::{self, Names};
use crate::config::UpstreamConfig;
use crate::headers::{ErrorType, exact_age};
use crate::world::World;

/// Kept connections that are tried before a new one is asked for: after an upstream's restart several may be dead.
const KEPT_CONNECTIONS_MAX: usize = 3;

/// What all cores share about upstreams.
pub struct Upstreams {
    /// Which of them are up.
    pub health: Health,
    budget: RetryBudget,
    limits: Limits,
    names: Names,
    metrics: Metrics,
}

/// An upstream that answered: the head is here, the body is to be read.
pub struct Asked {
    /// Its answer.
    pub answer: Answer,
    /// What logs call it.
    pub upstream: Arc<str>,
    /// Whom it belongs to.
    pub source: Source,
    /// Its age as a parent tells it; `Age` has whole seconds.
    pub exact_age: Option<Duration>,
    permit: Option<Permit>,
}

/// Nobody answered.
#[derive(Debug)]
pub struct Unanswered {
    /// What went wrong with the last one that was asked.
    pub error: ErrorType,
    /// What happened, for the log.
    pub detail: String,
    /// Who it was, if anybody was asked.
    pub upstream: Option<Arc<str>>,
    /// Whether another may be asked: nothing of the request can have been acted on, or it does no harm twice.
    pub may_be_asked_again: bool,
}

impl Upstreams {
    /// All up, nothing resolved.
    ///
    /// # Errors
    ///
    /// When the system's resolver configuration cannot be read, or a metric's name is taken.
    pub fn new(config: &UpstreamConfig, registry: &Registry) -> Result<Upstreams, String> {
        let metrics = Metrics::register(registry).map_err(|error| error.to_string())?;
        Ok(Upstreams {
            health: Health::new(config.mark_down, metrics.health.clone()),
            budget: RetryBudget::new(config.retry_budget_percent),
            limits: Limits::new(metrics.limits.clone()),
            names: Names::start(names::Options::default(), metrics.names.clone())
                .map_err(|error| error.to_string())?,
            metrics,
        })
    }

    /// Forgets the upstreams that `world` does not name.
    pub(super) fn retain(&self, world: &World) {
        let wanted = Candidates::names(world.services().iter().map(|service| &service.candidates));
        self.health.retain(|name| wanted.contains(name));
        self.limits.retain(|name| wanted.contains(name));
    }

    /// Sends `request` to the candidates in turn and gives the first answer, whatever its status. What is not repeatable
    /// and may have reached one of them goes to no other (RFC 9110 §9.2.2).
    ///
    /// # Errors
    ///
    /// When no candidate answered, or the retry budget forbids to go on.
    pub async fn ask(
        &self,
        connections: &Connections,
        candidates: CandidatesForKey<'_>,
        request: &Outgoing,
        client: &mut impl Client,
        now: Moment,
    ) -> Result<Asked, Unanswered> {
        let started = Instant::now();
        self.budget.count_request(now);
        let mut last: Option<Unanswered> = None;
        for chosen in candidates.choose_by_health(&self.health, now) {
            let Some(ticket) = chosen.admit(&self.health, now) else {
                continue;
            };
            if last.is_some() {
                if !self.budget.try_retry(now) {
                    self.metrics.retries_refused.inc();
                    break;
                }
                self.metrics.retries.inc();
            }
            match self
                .ask_one(connections, chosen.candidate, request, client, now)
                .await
            {
                Ok(asked) => {
                    ticket.succeeded();
                    return Ok(asked);
                }
                Err(failed) => {
                    tracing::info!(upstream = %chosen.candidate.name, reason = chosen.reason.as_str(),
                        error = failed.error.token(), detail = failed.detail, "no answer from upstream");
                    if failed.is_upstreams_fault() {
                        ticket.failed(now + started.elapsed());
                    }
                    let is_over = !failed.may_be_asked_again || client.has_begun();
                    last = Some(failed);
                    if is_over {
                        break;
                    }
                }
            }
        }
        Err(last.unwrap_or_else(|| Unanswered {
            error: ErrorType::DestinationUnavailable,
            detail: "there is nobody to ask".to_owned(),
            upstream: None,
            may_be_asked_again: true,
        }))
    }

    /// Sends `request` to one candidate.
    pub(super) async fn ask_one(
        &self,
        connections: &Connections,
        candidate: &Arc<Candidate>,
        request: &Outgoing,
        client: &mut impl Client,
        now: Moment,
    ) -> Result<Asked, Unanswered> {
        let unanswered = |error: ErrorType, detail: String| Unanswered {
            error,
            detail,
            upstream: Some(candidate.name.clone()),
            may_be_asked_again: true,
        };
        // The name first: a slow look-up holds no place.
        let addresses = self
            .names
            .resolve(&candidate.host, candidate.private_allowed, now)
            .await
            .map_err(|error| unanswered(error.error_type(), error.to_string()))?;
        let permit = match candidate.connections_max {
            Some(size) => {
                let limit = self.limits.of(&candidate.name, size);
                let refused = |refused: limit::Refused| {
                    unanswered(ErrorType::ConnectionLimitReached, refused.to_string())
                };
                Some(limit.acquire().await.map_err(refused)?)
            }
            None => None,
        };
        let mut request = request.clone();
        if let Some(host) = &candidate.host_header {
            request.fields.insert(header::HOST, host.clone());
        }
        let server_name = match &candidate.server_name {
            Some(name) => name.to_string(),
            None => request.host(),
        };
        let mut failed = unanswered(ErrorType::DnsError, format!("{} has no address", candidate.host));
        for address in addresses {
            let address = SocketAddr::new(address, candidate.port);
            let hop = Hop {
                address,
                tls: candidate.tls,
                server_name: &server_name,
            };
            match exchange(connections, &hop, &request, client).await {
                Ok(mut answer) => {
                    let told = exact_age::take(&mut answer.fields);
                    return Ok(Asked {
                        answer,
                        upstream: candidate.name.clone(),
                        source: candidate.source,
                        exact_age: told.filter(|_| candidate.source == Source::Parent),
                        permit,
                    });
                }
                Err(error) => {
                    let may_be_elsewhere = error.is_before_request();
                    failed = Unanswered {
                        may_be_asked_again: may_be_elsewhere || request.is_repeatable,
                        ..unanswered(error.fault, error.detail)
                    };
                    if !may_be_elsewhere {
                        break;
                    }
                }
            }
        }
        Err(failed)
    }
}

/// One exchange; kept connections that turn out dead do not count.
async fn exchange(
    connections: &Connections,
    hop: &Hop<'_>,
    request: &Outgoing,
    client: &mut impl Client,
) -> Result<Answer, ExchangeError> {
    for _ in 0..KEPT_CONNECTIONS_MAX {
        match connections.exchange(hop, request, client).await {
            // Only what is repeatable goes over a kept connection.
            Err(error) if error.on_kept_connection => {}
            settled => return settled,
        }
    }
    connections.exchange(hop, request, client).await
}

impl Asked {
    /// Gives back what the exchange used: the connection, if the answer was read to its end, and the permit.
    pub fn release(self, connections: &Connections) {
        connections.release(self.answer);
        drop(self.permit);
    }
}

impl Unanswered {
    /// Whether the failure says something of the upstream's health, rather than of this node or of one request.
    #[must_use]
    pub fn is_upstreams_fault(&self) -> bool {
        !matches!(
            self.error,
            ErrorType::ConnectionLimitReached
                | ErrorType::HttpRequestError
                | ErrorType::DestinationIpProhibited
                | ErrorType::DnsError
                | ErrorType::DnsTimeout
        )
    }

    /// What those who wait are told.
    #[must_use]
    pub fn failure(&self) -> Failure {
        Failure::new(self.error.status(), self.error.token(), self.detail.as_str())
    }
}
