//! `GET /`: the page for people, made on the server: who is how, why, since when, and what happened.

mod parts;
mod spark;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use maud::{DOCTYPE, Markup, html};
use model::Moment;
use model::health::MergedNode;

use crate::alert::fold::Alert;
use crate::api::Room;
use crate::board::Published;
use crate::journal::{Numbered, Scope};
use crate::stats::{Rollup, Vitals};

/// How far back the small curves go.
const HISTORY: Duration = Duration::from_secs(3600);

/// Events shown.
const EVENTS: usize = 60;

/// A page that is left open shows what is new so often, seconds.
const REFRESH: &str = "5";

/// The page loads its style sheet and nothing else, and nobody may frame it.
const POLICY: &str =
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const STYLE: &str = include_str!("style.css");

/// Everything the page is made of.
struct Shown {
    published: Arc<Published>,
    now: Moment,
    nodes: BTreeMap<String, NodeShown>,
    events: Vec<Numbered>,
    firing: Arc<Vec<Alert>>,
}

/// What is known of a node besides its state.
struct NodeShown {
    vitals: Option<Vitals>,
    minutes: Vec<Rollup>,
}

/// The style sheet.
pub(crate) async fn style() -> Response {
    let fields = [
        (CONTENT_TYPE, "text/css; charset=utf-8"),
        (CACHE_CONTROL, "no-cache"),
    ];
    (fields, STYLE).into_response()
}

/// The page.
pub(crate) async fn show(State(room): State<Arc<Room>>) -> Response {
    let published = room.published.load_full();
    let now = room.clock.now();
    let names: Vec<String> = published.merged.nodes.keys().cloned().collect();
    let stats = Arc::clone(&room.stats);
    let gathered = tokio::task::spawn_blocking(move || {
        let of_node = |name: String| {
            let minutes = stats.history(&name, now - HISTORY, now).unwrap_or_default();
            let vitals = stats.latest(&name);
            (name, NodeShown { vitals, minutes })
        };
        names.into_iter().map(of_node).collect()
    });
    let shown = Shown {
        published,
        now,
        nodes: gathered.await.unwrap_or_default(),
        events: room.journal.newest(None, usize::MAX),
        firing: room.alerts.firing(),
    };
    let fields = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, "no-store"),
        (CONTENT_SECURITY_POLICY, POLICY),
    ];
    (fields, page(&shown).into_string()).into_response()
}

fn page(shown: &Shown) -> Markup {
    let published = &shown.published;
    let cdn = &published.snapshot.cdn;
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="refresh" content=(REFRESH);
                title { (cdn) " – Millrace monitor" }
                link rel="stylesheet" href="/style.css";
            }
            body {
                header {
                    h1 { (cdn) }
                    p.who {
                        "seen by " strong { (published.view.monitor) } ", snapshot " (published.snapshot.number)
                        ", " (parts::date_and_time(shown.now))
                    }
                    (parts::monitors(published, shown.now))
                }
                main {
                    (parts::summary(published))
                    (parts::alerts(&shown.firing, shown.now))
                    (sites(shown))
                    (parts::events(&latest(&shown.events), shown.now))
                }
                footer { a href="/v1/state" { "state" } " · " a href="/v1/events" { "events" } " · "
                    a href="/v1/stats" { "statistics" } " · " a href="/v1/openapi.json" { "API" } }
            }
        }
    }
}

/// The newest first; what one monitor alone sees is left to the API.
fn latest(events: &[Numbered]) -> Vec<&Numbered> {
    let told = events
        .iter()
        .rev()
        .filter(|one| one.happening.scope != Scope::Own);
    told.take(EVENTS).collect()
}

fn sites(shown: &Shown) -> Markup {
    let snapshot = &shown.published.snapshot;
    let mut by_site: BTreeMap<&str, Vec<(&String, &MergedNode)>> = BTreeMap::new();
    for (name, node) in &shown.published.merged.nodes {
        if let Some(described) = snapshot.nodes.get(name) {
            by_site.entry(&described.site).or_default().push((name, node));
        }
    }
    html! {
        @for (site, nodes) in &by_site {
            section.site {
                h2 { (site)
                    @if let Some(described) = snapshot.sites.get(*site) { " " small { (described.region) } }
                    " " small { (nodes.iter().filter(|(_, node)| node.available).count()) " of " (nodes.len()) " available" }
                }
                table {
                    thead { tr {
                        th { "node" } th { "tier" } th { "status" } th { "state" } th { "for" } th { "weight" }
                        th { "why" } th.number { "requests/s" } th { "hit ratio, 1 h" } th { "sent, 1 h" }
                    } }
                    tbody {
                        @for (name, node) in nodes { (row(shown, name, node)) }
                    }
                }
            }
        }
    }
}

fn row(shown: &Shown, name: &str, node: &MergedNode) -> Markup {
    let known = shown.nodes.get(name);
    let vitals = known.and_then(|known| known.vitals.as_ref());
    let minutes = known.map_or(&[][..], |known| &known.minutes);
    let tier = shown.published.snapshot.nodes.get(name).map(|node| node.tier);
    let first = (shown.now - HISTORY).seconds() / 60;
    let curve = |value: fn(&Rollup) -> Option<f64>| -> Vec<(u64, f64)> {
        minutes
            .iter()
            .filter_map(|minute| {
                Some((
                    (minute.minute.seconds() / 60).saturating_sub(first),
                    value(minute)?,
                ))
            })
            .collect()
    };
    let hits = curve(Rollup::hit_ratio);
    let sent = curve(Rollup::transmit_bytes_per_second);
    html! {
        tr class=(node.state.as_str()) {
            td.name { (name) (parts::families(node)) }
            td { (parts::tier(tier)) }
            td { (parts::status(node.status)) }
            td.state { span.dot {} (node.state.as_str()) }
            td { (parts::ago(node.since, shown.now)) }
            td.number { (format!("{:.0} %", node.weight * 100.0)) }
            td.why { @if let Some(cause) = &node.cause { strong { (cause.kind.as_str()) } " " (cause.detail) } }
            td.number { @if let Some(rate) = vitals.and_then(|vitals| vitals.requests_per_second) { (format!("{rate:.1}")) } }
            td { (spark::line(&hits, Some(1.0))) " "
                @if let Some(ratio) = vitals.and_then(|vitals| vitals.hit_ratio) { (format!("{:.1} %", ratio * 100.0)) } }
            td { (spark::line(&sent, None)) " "
                @if let Some(rate) = vitals.and_then(|vitals| vitals.transmit_bytes_per_second) { (parts::bits(rate)) } }
        }
    }
}
