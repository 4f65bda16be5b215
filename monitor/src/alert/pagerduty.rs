//! PagerDuty, by its Events API v2: <https://developer.pagerduty.com/docs/send-alert-event>.
//!
//! An entry gives the same bytes whenever it is sent, so that a repetition is one.

use daemon::config::Secret;
use model::Moment;
use serde::Serialize;
use serde_json::{Value, json};

use super::fold::Alert;
use super::outbox::entry::{Action, Entry};
use super::sink::{Request, Sink};

/// Where events go unless the configuration says otherwise; accounts in Europe use `events.eu.pagerduty.com`.
pub(crate) const DEFAULT_ENDPOINT: &str = "https://events.pagerduty.com/v2/enqueue";
/// PagerDuty takes no larger body.
const MAX_BODY_BYTES: usize = 512 * 1024;
const CLIENT: &str = "Millrace";

/// A service of PagerDuty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PagerDuty {
    pub(crate) endpoint: String,
    pub(crate) routing_key: Secret,
}

pub(super) struct PagerDutySink {
    config: PagerDuty,
    console_url: Option<String>,
}

impl PagerDutySink {
    pub(super) const NAME: &str = "pagerduty";

    pub(super) fn new(config: PagerDuty, console_url: Option<String>) -> PagerDutySink {
        PagerDutySink { config, console_url }
    }
}

#[derive(Serialize)]
struct Event<'a> {
    routing_key: &'a str,
    event_action: &'static str,
    dedup_key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<Payload<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_url: Option<&'a str>,
}

#[derive(Serialize)]
struct Payload<'a> {
    summary: &'a str,
    source: &'a str,
    severity: &'static str,
    timestamp: String,
    component: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    group: &'a str,
    class: &'a str,
    custom_details: &'a Value,
}

impl<'a> Payload<'a> {
    fn of(alert: &'a Alert, custom_details: &'a Value) -> Payload<'a> {
        Payload {
            summary: &alert.summary,
            source: &alert.source,
            severity: alert.severity.name(),
            timestamp: alert.since.to_rfc3339(),
            component: alert.component.name(),
            group: &alert.group,
            class: &alert.class,
            custom_details,
        }
    }
}

impl PagerDutySink {
    fn encode(&self, entry: &Entry, routing_key: &str, details: &Value) -> Result<Vec<u8>, String> {
        let is_trigger = entry.action == Action::Trigger;
        let event = Event {
            routing_key,
            event_action: entry.action.name(),
            dedup_key: entry.key().as_str(),
            payload: is_trigger.then(|| Payload::of(&entry.alert, details)),
            client: is_trigger.then_some(CLIENT),
            client_url: self.console_url.as_deref().filter(|_| is_trigger),
        };
        serde_json::to_vec(&event).map_err(|error| format!("cannot write an event for PagerDuty: {error}"))
    }
}

impl Sink for PagerDutySink {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn request(&self, entry: &Entry, _now: Moment) -> Result<Request, String> {
        let routing_key = self
            .config
            .routing_key
            .reveal()
            .map_err(|error| format!("the routing key of PagerDuty: {error}"))?;
        let mut body = self.encode(entry, &routing_key, &entry.alert.details)?;
        if body.len() > MAX_BODY_BYTES {
            let left_out = json!({ "left_out": "the details are larger than PagerDuty takes" });
            body = self.encode(entry, &routing_key, &left_out)?;
        }
        Ok(Request {
            url: self.config.endpoint.clone(),
            headers: vec![("content-type", "application/json".to_owned())],
            body,
            secrets: vec![routing_key],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::fold::{fold, storm_alert};
    use super::super::key::Key;
    use super::super::tests::cdn::{FIRST, MAIN, down, seconds, wrong};
    use super::*;

    fn sink(folder: &tempfile::TempDir) -> PagerDutySink {
        let path = folder.path().join("routing-key");
        std::fs::write(&path, "0123456789abcdef0123456789abcdef\n").unwrap();
        let config = PagerDuty {
            endpoint: DEFAULT_ENDPOINT.to_owned(),
            routing_key: Secret::File(path),
        };
        PagerDutySink::new(config, Some("https://console.example/".to_owned()))
    }

    fn entry(action: Action, alert: Alert) -> Entry {
        Entry {
            sequence: 1,
            action,
            alert,
            queued_at: seconds(100),
            attempts: 0,
            next_try: seconds(100),
        }
    }

    fn node() -> Alert {
        let mut wanted = fold(MAIN, &wrong([down("edge-1", "ams")]), seconds(9)).alerts;
        wanted.remove(&Key::node(MAIN, "edge-1", "down")).unwrap()
    }

    fn body(request: &Request) -> Value {
        serde_json::from_slice(&request.body).unwrap()
    }

    #[test]
    fn a_trigger_is_an_event_with_everything_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let request = sink(&folder)
            .request(&entry(Action::Trigger, node()), seconds(200))
            .unwrap();
        assert_eq!(request.url, "https://events.pagerduty.com/v2/enqueue");
        assert_eq!(request.headers, [("content-type", "application/json".to_owned())]);
        assert_eq!(
            body(&request),
            json!({
                "routing_key": "0123456789abcdef0123456789abcdef",
                "event_action": "trigger",
                "dedup_key": "cdn/main/node/edge-1/down",
                "payload": {
                    "summary": "node edge-1 (ams): down: connection refused",
                    "source": "edge-1",
                    "severity": "error",
                    "timestamp": "1970-01-01T00:00:05.000Z",
                    "component": "node",
                    "group": "ams",
                    "class": "down",
                    "custom_details": {
                        "node": "edge-1", "site": "ams", "check": "down", "cause": "connection refused",
                    },
                },
                "client": "Millrace",
                "client_url": "https://console.example/",
            })
        );
    }

    #[test]
    fn a_resolve_needs_no_more_than_the_key() {
        let folder = tempfile::tempdir().unwrap();
        let request = sink(&folder)
            .request(&entry(Action::Resolve, node()), seconds(200))
            .unwrap();
        assert_eq!(
            body(&request),
            json!({
                "routing_key": "0123456789abcdef0123456789abcdef",
                "event_action": "resolve",
                "dedup_key": "cdn/main/node/edge-1/down",
            })
        );
    }

    #[test]
    fn what_belongs_to_no_site_has_no_group() {
        let folder = tempfile::tempdir().unwrap();
        let mut sink = sink(&folder);
        sink.console_url = None;
        let storm = entry(Action::Trigger, storm_alert(MAIN, FIRST, 7, seconds(9)));
        let event = body(&sink.request(&storm, seconds(200)).unwrap());
        assert_eq!(event["payload"].get("group"), None);
        assert_eq!(event["payload"]["source"], FIRST);
        assert_eq!(event.get("client_url"), None);
    }

    #[test]
    fn details_that_are_too_large_are_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let mut alert = node();
        alert.details = json!({ "long": "x".repeat(MAX_BODY_BYTES) });
        let request = sink(&folder)
            .request(&entry(Action::Trigger, alert), seconds(200))
            .unwrap();
        assert!(request.body.len() < 2_000);
        assert!(
            body(&request)["payload"]["custom_details"]
                .get("left_out")
                .is_some()
        );
    }

    #[test]
    fn a_routing_key_that_cannot_be_read_is_a_mistake_that_names_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let sink = sink(&folder);
        std::fs::remove_file(folder.path().join("routing-key")).unwrap();
        let error = sink
            .request(&entry(Action::Trigger, node()), seconds(200))
            .unwrap_err();
        assert!(
            error.starts_with("the routing key of PagerDuty: cannot read the file "),
            "{error}"
        );
    }

    #[test]
    fn nothing_that_is_printed_holds_the_routing_key() {
        let folder = tempfile::tempdir().unwrap();
        let request = sink(&folder)
            .request(&entry(Action::Trigger, node()), seconds(200))
            .unwrap();
        assert!(!format!("{request:?}").contains("0123"), "{request:?}");
        assert_eq!(
            request.blot("bad key 0123456789abcdef0123456789abcdef!"),
            "bad key [secret]!"
        );
    }
}
