//! The parts of the page: values in, markup out.

use maud::{Markup, html};
use model::health::{FamilyView, MergedNode, Standing, State};
use model::{Moment, Status, Tier};

use crate::alert::fold::Alert;
use crate::board::Published;
use crate::journal::Numbered;

/// Every monitor, and whether its view counts.
pub(super) fn monitors(published: &Published, now: Moment) -> Markup {
    let merged = &published.merged;
    html! {
        ul.monitors {
            @for (name, standing) in &merged.monitors {
                @let peer = published.peers.get(name);
                li class=(standing_word(*standing)) {
                    span.dot {} (name) " " (standing_word(*standing))
                    @if let Some(why) = suspicion(published, name) { ": " (why) }
                    @if let Some(peer) = peer {
                        @if let Some(lost) = &peer.lost { ": " (lost) }
                        @if *standing == Standing::Silent {
                            @if let Some(heard) = peer.heard { ", last heard " (ago(heard, now)) " ago" }
                        }
                    }
                }
            }
            @if !merged.quorum { li.suspect { "no majority of monitors: no node is taken out" } }
        }
    }
}

fn suspicion<'p>(published: &'p Published, name: &str) -> Option<&'p str> {
    if name == published.view.monitor {
        return published.view.suspect.as_deref();
    }
    published.peers.get(name)?.view.as_ref()?.suspect.as_deref()
}

fn standing_word(standing: Standing) -> &'static str {
    match standing {
        Standing::Counts => "counts",
        Standing::Suspect => "suspect",
        Standing::Silent => "silent",
    }
}

/// How many nodes are how.
pub(super) fn summary(published: &Published) -> Markup {
    let count = |state| {
        let nodes = published.merged.nodes.values();
        nodes.filter(|node| node.state == state).count()
    };
    html! {
        ul.summary {
            @for state in [State::Up, State::Degraded, State::Draining, State::Down, State::Unknown] {
                @if count(state) > 0 || state == State::Up {
                    li class=(state.as_str()) { strong { (count(state)) } " " (state.as_str()) }
                }
            }
        }
    }
}

/// What people are told of.
pub(super) fn alerts(firing: &[Alert], now: Moment) -> Markup {
    html! {
        @if !firing.is_empty() {
            section.alerts {
                h2 { "Alerts" }
                ul {
                    @for alert in firing {
                        li class=(alert.severity.name()) {
                            strong { (alert.severity.name()) } " " (alert.summary) " " small { "for " (ago(alert.since, now)) }
                        }
                    }
                }
            }
        }
    }
}

/// What happened.
pub(super) fn events(events: &[&Numbered], now: Moment) -> Markup {
    html! {
        section.events {
            h2 { "Events" }
            @if events.is_empty() { p { "Nothing has happened yet." } }
            table {
                tbody {
                    @for Numbered { happening, .. } in events {
                        tr {
                            td { (time(happening.at, now)) }
                            td { @if let Some(node) = &happening.node { (node) } @else { "monitors" } }
                            td { (happening.from) " → " strong { (happening.to) } }
                            td.why { @if let Some(cause) = &happening.cause { strong { (cause.kind.as_str()) } " " (cause.detail) } }
                        }
                    }
                }
            }
        }
    }
}

/// Which family of addresses a node is not reached over.
pub(super) fn families(node: &MergedNode) -> Markup {
    let down = |family| family == Some(FamilyView::Down);
    html! {
        @if node.state != State::Down {
            @if down(node.ipv4) { " " span.badge { "no IPv4" } }
            @if down(node.ipv6) { " " span.badge { "no IPv6" } }
        }
    }
}

pub(super) fn tier(tier: Option<Tier>) -> &'static str {
    match tier {
        Some(Tier::Edge) => "edge",
        Some(Tier::Parent) => "parent",
        None => "",
    }
}

pub(super) fn status(status: Status) -> &'static str {
    match status {
        Status::Online => "ONLINE",
        Status::Reported => "REPORTED",
        Status::AdminDown => "ADMIN_DOWN",
        Status::Offline => "OFFLINE",
    }
}

/// How long ago, in one unit or two.
pub(super) fn ago(then: Moment, now: Moment) -> String {
    let seconds = now.since(then).as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// The time of day where it is today, and else the date with it.
fn time(then: Moment, now: Moment) -> String {
    let (then, now) = (then.to_rfc3339(), now.to_rfc3339());
    let (date, time) = then.split_at(10);
    let time = &time[1..9];
    if now.starts_with(date) {
        time.to_owned()
    } else {
        format!("{date} {time}")
    }
}

/// A moment for people, UTC.
pub(super) fn date_and_time(moment: Moment) -> String {
    let text = moment.to_rfc3339();
    format!("{} {} UTC", &text[..10], &text[11..19])
}

/// Bytes a second as networks are sold: bits.
pub(super) fn bits(bytes_per_second: f64) -> String {
    let bits = bytes_per_second * 8.0;
    match bits {
        ..1e6 => format!("{:.0} kb/s", bits / 1e3),
        1e6..1e9 => format!("{:.1} Mb/s", bits / 1e6),
        _ => format!("{:.2} Gb/s", bits / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_read_as_people_say_them() {
        let now = Moment::from_seconds(1_000_000);
        let before = |seconds: u64| ago(Moment::from_seconds(1_000_000 - seconds), now);
        assert_eq!(before(0), "0 s");
        assert_eq!(before(61), "1 min 1 s");
        assert_eq!(before(7200), "2 h 0 min");
        assert_eq!(before(90_000), "1 d 1 h");
        assert_eq!(bits(100.0), "1 kb/s");
        assert_eq!(bits(1.25e6), "10.0 Mb/s");
        assert_eq!(bits(1.25e9), "10.00 Gb/s");
        assert_eq!(time(now, now), "13:46:40");
        assert_eq!(time(Moment::from_seconds(0), now), "1970-01-01 00:00:00");
        assert_eq!(date_and_time(now), "1970-01-12 13:46:40 UTC");
    }
}
