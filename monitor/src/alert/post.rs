//! One HTTP request, and what came of it.

use std::time::Duration;

use ureq::Agent;
use ureq::http::header::RETRY_AFTER;

use super::retry::Answer;
use super::sink::Request;

/// What is read of an answer that is not a success: it goes into a log line.
const MAX_MESSAGE_BYTES: u64 = 4096;

pub(super) struct Poster {
    agent: Agent,
}

impl Poster {
    pub(super) fn new(timeout: Duration) -> Poster {
        let config = Agent::config_builder()
            .timeout_global(Some(timeout))
            .http_status_as_error(false)
            .user_agent("millrace")
            // Nothing but the configuration says where to connect.
            .proxy(None)
            // A POST that is sent elsewhere is not what was configured, and would become a GET.
            .max_redirects(0)
            .max_redirects_will_error(false)
            // Alerts are rare: a connection that was kept would be one that the receiver has closed.
            .max_idle_connections(0)
            .build();
        Poster { agent: config.into() }
    }

    pub(super) fn post(&self, request: &Request) -> Answer {
        let mut post = self.agent.post(&request.url);
        for (name, value) in &request.headers {
            post = post.header(*name, value);
        }
        let mut response = match post.send(request.body.as_slice()) {
            Ok(response) => response,
            Err(error) => return Answer::Nothing(request.blot(&error.to_string())),
        };
        let code = response.status().as_u16();
        let retry_after = response.headers().get(RETRY_AFTER);
        let retry_after = retry_after
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned);
        let message = if response.status().is_success() {
            String::new()
        } else {
            let body = response.body_mut().with_config().limit(MAX_MESSAGE_BYTES);
            // The status counts, whatever becomes of the words.
            request.blot(&body.lossy_utf8(true).read_to_string().unwrap_or_default())
        };
        Answer::Status {
            code,
            retry_after,
            message,
        }
    }
}
