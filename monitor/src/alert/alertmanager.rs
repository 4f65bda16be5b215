//! Prometheus Alertmanager, by its API v2: `POST /api/v2/alerts`.
//!
//! Alertmanager forgets what nobody repeats: an alert ends at its `endsAt`, so what fires is sent again every minute
//! with an end in the future. It knows an alert by all of its labels, which therefore never change while it fires.

use std::time::Duration;

use model::Moment;
use serde::Serialize;

use super::authorization::Authorization;
use super::fold::{Alert, Component};
use super::outbox::entry::{Action, Entry};
use super::sink::{Request, Sink};

/// As Prometheus does.
const REFRESH_INTERVAL: Duration = Duration::from_secs(60);
/// Three refreshes may fail before an alert ends that still fires.
const LIFETIME: Duration = Duration::from_secs(4 * 60);

/// An Alertmanager.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Alertmanager {
    /// Where it is, without `/api/v2/alerts`.
    pub(crate) url: String,
    pub(crate) authorization: Option<Authorization>,
}

pub(super) struct AlertmanagerSink {
    config: Alertmanager,
    cdn: String,
    console_url: Option<String>,
}

impl AlertmanagerSink {
    pub(super) const NAME: &str = "alertmanager";

    pub(super) fn new(config: Alertmanager, cdn: &str, console_url: Option<String>) -> AlertmanagerSink {
        AlertmanagerSink {
            config,
            cdn: cdn.to_owned(),
            console_url,
        }
    }
}

#[derive(Serialize)]
struct Posted<'a> {
    labels: Labels<'a>,
    annotations: Annotations<'a>,
    #[serde(rename = "startsAt")]
    starts_at: String,
    #[serde(rename = "endsAt")]
    ends_at: String,
    #[serde(rename = "generatorURL", skip_serializing_if = "Option::is_none")]
    generator_url: Option<&'a str>,
}

/// Alertmanager refuses labels without a value.
#[derive(Serialize)]
struct Labels<'a> {
    alertname: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    node: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    site: &'a str,
    /// Of what one monitor says for itself.
    #[serde(skip_serializing_if = "str::is_empty")]
    monitor: &'a str,
    severity: &'static str,
    check: &'a str,
    cdn: &'a str,
}

#[derive(Serialize)]
struct Annotations<'a> {
    summary: &'a str,
    cause: &'a str,
}

impl AlertmanagerSink {
    fn posted<'a>(&'a self, alert: &'a Alert, ends_at: Moment) -> Posted<'a> {
        let (node, monitor) = match alert.component {
            Component::Node => (alert.source.as_str(), ""),
            Component::Monitor if alert.source != self.cdn => ("", alert.source.as_str()),
            Component::Site | Component::Monitor => ("", ""),
        };
        Posted {
            labels: Labels {
                alertname: alert_name(alert),
                node,
                site: &alert.group,
                monitor,
                severity: alert.severity.name(),
                check: &alert.class,
                cdn: &self.cdn,
            },
            annotations: Annotations {
                summary: &alert.summary,
                cause: &alert.cause,
            },
            starts_at: alert.since.to_rfc3339(),
            // An end before the beginning would be refused: clocks are set.
            ends_at: ends_at.max(alert.since).to_rfc3339(),
            generator_url: self.console_url.as_deref(),
        }
    }

    fn post(&self, alerts: &[Posted<'_>]) -> Result<Request, String> {
        let mut headers = vec![("content-type", "application/json".to_owned())];
        let mut secrets = Vec::new();
        if let Some(authorization) = &self.config.authorization {
            let (value, within) = authorization
                .reveal()
                .map_err(|error| format!("the authorization for Alertmanager: {error}"))?;
            headers.push(("authorization", value));
            secrets = within;
        }
        let body = serde_json::to_vec(alerts)
            .map_err(|error| format!("cannot write alerts for Alertmanager: {error}"))?;
        Ok(Request {
            url: format!("{}/api/v2/alerts", self.config.url.trim_end_matches('/')),
            headers,
            body,
            secrets,
        })
    }
}

impl Sink for AlertmanagerSink {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn request(&self, entry: &Entry, now: Moment) -> Result<Request, String> {
        let ends_at = match entry.action {
            Action::Trigger => now + LIFETIME,
            Action::Resolve => now,
        };
        self.post(&[self.posted(&entry.alert, ends_at)])
    }

    fn refresh_interval(&self) -> Option<Duration> {
        Some(REFRESH_INTERVAL)
    }

    fn refresh(&self, alerts: &[Alert], now: Moment) -> Result<Option<Request>, String> {
        let posted: Vec<Posted<'_>> = alerts
            .iter()
            .map(|alert| self.posted(alert, now + LIFETIME))
            .collect();
        self.post(&posted).map(Some)
    }
}

/// `MillraceNodeHitRatio`: what it is about and the check, as Prometheus names its alerts.
fn alert_name(alert: &Alert) -> String {
    let mut name = "Millrace".to_owned();
    let words = [alert.component.name(), &alert.class];
    for word in words
        .iter()
        .flat_map(|text| text.split(|c: char| !c.is_alphanumeric()))
    {
        let mut letters = word.chars();
        name.extend(letters.next().into_iter().flat_map(char::to_uppercase));
        name.push_str(letters.as_str());
    }
    name
}

#[cfg(test)]
mod tests {
    use daemon::config::Secret;
    use serde_json::{Value, json};

    use super::super::fold::{fold, storm_alert};
    use super::super::tests::cdn::{MAIN, down, seconds, wrong};
    use super::super::wrong::Wrong;
    use super::*;

    fn sink(authorization: Option<Authorization>) -> AlertmanagerSink {
        let config = Alertmanager {
            url: "http://alertmanager.example:9093/".to_owned(),
            authorization,
        };
        AlertmanagerSink::new(config, MAIN, Some("https://console.example/".to_owned()))
    }

    fn entry(action: Action) -> Entry {
        let mut node = down("edge-1", "ams");
        node.check = "hit_ratio".to_owned();
        let wanted = fold(MAIN, &wrong([node]), seconds(9));
        Entry {
            sequence: 1,
            action,
            alert: wanted.alerts.into_values().next().unwrap(),
            queued_at: seconds(100),
            attempts: 0,
            next_try: seconds(100),
        }
    }

    fn body(request: &Request) -> Value {
        serde_json::from_slice(&request.body).unwrap()
    }

    fn posted(ends_at: &str) -> Value {
        json!([{
            "labels": {
                "alertname": "MillraceNodeHitRatio",
                "node": "edge-1",
                "site": "ams",
                "severity": "error",
                "check": "hit_ratio",
                "cdn": "main",
            },
            "annotations": {
                "summary": "node edge-1 (ams): hit_ratio: connection refused",
                "cause": "connection refused",
            },
            "startsAt": "1970-01-01T00:00:05.000Z",
            "endsAt": ends_at,
            "generatorURL": "https://console.example/",
        }])
    }

    #[test]
    fn a_trigger_ends_in_four_minutes_and_a_resolve_now() {
        let sink = sink(None);
        let request = sink.request(&entry(Action::Trigger), seconds(200)).unwrap();
        assert_eq!(request.url, "http://alertmanager.example:9093/api/v2/alerts");
        assert_eq!(request.headers, [("content-type", "application/json".to_owned())]);
        assert_eq!(body(&request), posted("1970-01-01T00:07:20.000Z"));
        let request = sink.request(&entry(Action::Resolve), seconds(200)).unwrap();
        assert_eq!(body(&request), posted("1970-01-01T00:03:20.000Z"));
        let early = sink.request(&entry(Action::Resolve), seconds(1)).unwrap();
        assert_eq!(body(&early), posted("1970-01-01T00:00:05.000Z"));
    }

    #[test]
    fn a_refresh_repeats_all_of_them_at_once() {
        let sink = sink(None);
        let alerts = [entry(Action::Trigger).alert, entry(Action::Trigger).alert];
        let request = sink.refresh(&alerts, seconds(200)).unwrap().unwrap();
        let refreshed = body(&request);
        assert_eq!(refreshed.as_array().unwrap().len(), 2);
        assert_eq!(refreshed[0], posted("1970-01-01T00:07:20.000Z")[0]);
    }

    #[test]
    fn what_is_about_no_node_has_no_such_label() {
        let lost = Wrong {
            quorum_lost: Some("1 of 3".to_owned()),
            ..Wrong::default()
        };
        let site = wrong([down("edge-1", "ams"), down("edge-2", "ams")]);
        let sink = sink(None);
        let names: Vec<Value> = [lost, site]
            .iter()
            .flat_map(|wrong| fold(MAIN, wrong, seconds(9)).alerts.into_values())
            .map(|alert| serde_json::to_value(sink.posted(&alert, seconds(9))).unwrap()["labels"].clone())
            .collect();
        assert_eq!(
            names,
            [
                json!({ "alertname": "MillraceMonitorQuorum", "severity": "critical", "check": "quorum", "cdn": "main" }),
                json!({
                    "alertname": "MillraceSiteDown", "site": "ams", "severity": "critical", "check": "down",
                    "cdn": "main",
                }),
            ]
        );
    }

    #[test]
    fn storms_of_two_monitors_are_two_alerts() {
        let sink = sink(None);
        let labels = ["m1", "m2"].map(|monitor| {
            let alert = storm_alert(MAIN, monitor, 7, seconds(9));
            serde_json::to_value(sink.posted(&alert, seconds(9))).unwrap()["labels"]["monitor"].clone()
        });
        assert_eq!(labels, ["m1", "m2"]);
    }

    #[test]
    fn credentials_go_into_a_header_and_nowhere_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "s3cret").unwrap();
        let sink = sink(Some(Authorization::Bearer(Secret::File(path.clone()))));
        let request = sink.request(&entry(Action::Trigger), seconds(200)).unwrap();
        assert_eq!(request.headers[1], ("authorization", "Bearer s3cret".to_owned()));
        assert!(!format!("{request:?}").contains("s3cret"));
        assert_eq!(request.blot("who is s3cret?"), "who is [secret]?");
        std::fs::remove_file(path).unwrap();
        let error = sink.request(&entry(Action::Trigger), seconds(200)).unwrap_err();
        assert!(error.contains("the authorization for Alertmanager"), "{error}");
    }
}
