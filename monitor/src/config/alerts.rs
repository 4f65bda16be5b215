//! `[alerts]`: whom to tell of what is wrong, how soon, and how patiently.

use std::time::Duration;

use daemon::config::Table;
use model::Period;

use crate::alert::AlertConfig;
use crate::alert::alertmanager::Alertmanager;
use crate::alert::authorization::Authorization;
use crate::alert::firing::Patience;
use crate::alert::pagerduty::{DEFAULT_ENDPOINT, PagerDuty};
use crate::alert::retry::Pace;

/// Whom to tell.
#[derive(Clone, Debug)]
pub(crate) struct AlertsConfig {
    patience: Patience,
    pace: Pace,
    console_url: Option<String>,
    pagerduty: Option<PagerDuty>,
    alertmanager: Option<Alertmanager>,
}

impl AlertsConfig {
    /// What alerting is told, for this CDN and this monitor.
    pub(crate) fn for_cdn(&self, cdn: &str, monitor: &str, has_peers: bool) -> AlertConfig {
        AlertConfig {
            cdn: cdn.to_owned(),
            monitor: monitor.to_owned(),
            has_peers,
            patience: self.patience,
            pace: self.pace,
            pagerduty: self.pagerduty.clone(),
            alertmanager: self.alertmanager.clone(),
            console_url: self.console_url.clone(),
        }
    }
}

pub(super) fn read(root: &Table<'_>) -> Option<AlertsConfig> {
    let seconds = |count| Period(Duration::from_secs(count));
    let milliseconds = |count| Period(Duration::from_millis(count));
    let table = root.table("alerts");
    let patience = Patience {
        pending: table.within("pending", seconds(10), seconds(0)..=seconds(3600)).0,
        clear: table.within("clear", seconds(60), seconds(0)..=seconds(86_400)).0,
    };
    let pace = Pace {
        first_pause: table
            .within("first_pause", seconds(1), milliseconds(1)..=seconds(60))
            .0,
        longest_pause: table
            .within("longest_pause", seconds(60), milliseconds(1)..=seconds(3600))
            .0,
        timeout: table
            .within("timeout", seconds(10), milliseconds(10)..=seconds(60))
            .0,
    };
    if pace.longest_pause < pace.first_pause {
        table.complain(
            "longest_pause",
            "is shorter than first_pause",
            "write the same or more",
        );
    }
    let console_url = table.optional("console_url");
    let pagerduty = table.optional_table("pagerduty").map(|table| pagerduty(&table));
    let alertmanager = table
        .optional_table("alertmanager")
        .map(|table| alertmanager(&table));
    Some(AlertsConfig {
        patience,
        pace,
        console_url,
        // A table that is written and wrong was complained of.
        pagerduty: pagerduty.flatten(),
        alertmanager: alertmanager.flatten(),
    })
}

fn pagerduty(table: &Table<'_>) -> Option<PagerDuty> {
    let endpoint = table.or("endpoint", DEFAULT_ENDPOINT.to_owned());
    check_url(table, "endpoint", &endpoint);
    let routing_key = table.required_secret("routing_key");
    Some(PagerDuty {
        endpoint,
        routing_key: routing_key?,
    })
}

fn alertmanager(table: &Table<'_>) -> Option<Alertmanager> {
    let url: Option<String> = table.required("url");
    url.iter().for_each(|url| check_url(table, "url", url));
    let authorization = match (
        table.secret("token"),
        table.optional::<String>("user"),
        table.secret("password"),
    ) {
        (Some(token), None, None) => Some(Authorization::Bearer(token)),
        (None, Some(user), Some(password)) => Some(Authorization::Basic { user, password }),
        (None, None, None) => None,
        _ => {
            table.complain(
                "token",
                "does not go with the rest",
                "write token, or user and password, or none of them",
            );
            None
        }
    };
    Some(Alertmanager {
        url: url?,
        authorization,
    })
}

fn check_url(table: &Table<'_>, key: &str, url: &str) {
    if !url.starts_with("https://") && !url.starts_with("http://") {
        table.complain(key, "is no URL", "write https://host/path");
    }
}
