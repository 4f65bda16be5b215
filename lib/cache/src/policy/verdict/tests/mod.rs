//! Stories of requests and responses, and what becomes of them.

mod lifetimes;
mod storing;

use model::{Period, service::TtlRules};

use super::*;

/// Sun, 06 Nov 1994 08:49:37 GMT.
const THEN: Moment = Moment(784_111_777_000);
const THEN_TEXT: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const TEN_SECONDS_EARLIER: &str = "Sun, 06 Nov 1994 08:49:27 GMT";
const A_MINUTE_LATER: &str = "Sun, 06 Nov 1994 08:50:37 GMT";

type Lines = &'static [(&'static str, &'static str)];

fn fields(lines: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for (name, value) in lines {
        fields.append(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    fields
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A GET, answered at once with 200 by an upstream whose rules do not apply.
struct Story {
    method: Method,
    request: HeaderMap,
    status: u16,
    response: HeaderMap,
    rules: Option<TtlRules>,
    path: &'static str,
    hint: Option<Duration>,
    delay: Duration,
    service: StaleDefaults,
}

impl Story {
    fn of(response: Lines) -> Story {
        Story {
            method: Method::GET,
            request: HeaderMap::new(),
            status: 200,
            response: fields(response),
            rules: None,
            path: "/demo/master.m3u8",
            hint: None,
            delay: Duration::ZERO,
            service: StaleDefaults::default(),
        }
    }

    /// The rules of the sample: manifests 15 s, all else an hour, whatever the origin says.
    fn with_rules(self, override_origin: bool) -> Story {
        let hour = Some(Period(seconds(3600)));
        let rules = TtlRules {
            override_origin,
            paths: Vec::new(),
            manifest: Some(Period(seconds(15))),
            segment: hour,
            default: hour,
            ..TtlRules::default()
        };
        Story {
            rules: Some(rules),
            ..self
        }
    }

    fn judge(&self) -> Verdict {
        judge(&Exchange {
            method: &self.method,
            request: &self.request,
            status: StatusCode::from_u16(self.status).expect("a status"),
            response: &self.response,
            exact_age: None,
            request_time: THEN - self.delay,
            response_time: THEN,
            entry: self.rules.as_ref().map(|rules| Entry {
                rules,
                path: self.path,
                hint: self.hint,
            }),
            service: self.service,
        })
    }

    fn freshness(&self) -> Freshness {
        match self.judge() {
            Verdict::Store { freshness, .. } => freshness,
            Verdict::Pass(reason) => panic!("passed: {reason}"),
        }
    }

    /// The fields as they are stored.
    fn rewritten(&self) -> HeaderMap {
        let mut fields = self.response.clone();
        self.judge().rewrite(&mut fields);
        fields
    }
}

const FRESH: Lines = &[("cache-control", "max-age=60")];
