//! An explanation as people read it.

use std::fmt::Write;

use super::{Answer, Explanation, Told, family};
use crate::decide::{Standing, Step};

/// Writes all of `explanation`, a line for each step.
pub(super) fn tell(explanation: &Explanation) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write(&mut text, explanation);
    text
}

fn write(out: &mut String, of: &Explanation) -> std::fmt::Result {
    writeln!(
        out,
        "client {} asks for {} (service {})",
        of.client, of.host, of.service
    )?;
    let network = &of.network;
    write!(
        out,
        "its network, a /{}, is known by {}",
        network.prefix_length, network.evidence
    )?;
    if let Some(country) = &network.country {
        write!(out, ", in {country}")?;
    }
    writeln!(out, ": {}", list(&network.ranking))?;
    if !of.dns.steered {
        writeln!(
            out,
            "\nDNS: this name is in no zone of this router, or has records of its own. If it were steered:"
        )?;
    }
    answer(out, "A", &of.dns.a)?;
    answer(out, "AAAA", &of.dns.aaaa)?;
    let http = &of.http;
    writeln!(out, "\nHTTP GET {}", http.path)?;
    steps(out, &http.why)?;
    if let Some(order) = http
        .steering
        .as_ref()
        .map(|manifest| &manifest["PATHWAY-PRIORITY"])
    {
        writeln!(out, "  => steering: {order}")?;
    }
    match &http.location {
        Some(location) => writeln!(out, "  => {} to {location}", http.status),
        None => writeln!(out, "  => {}", http.status),
    }
}

fn answer(out: &mut String, kind: &str, answer: &Answer) -> std::fmt::Result {
    writeln!(out, "\nDNS {kind}")?;
    steps(out, &answer.why)?;
    let addresses: Vec<String> = answer.addresses.iter().map(ToString::to_string).collect();
    writeln!(
        out,
        "  => {} {}, for {} s, for the whole /{}",
        answer.verdict,
        list(&addresses),
        answer.ttl,
        answer.scope
    )
}

fn steps(out: &mut String, told: &Told) -> std::fmt::Result {
    for step in &told.steps {
        out.push_str("  ");
        line(out, step)?;
        out.push('\n');
    }
    if !told.others.is_empty() {
        writeln!(out, "  other sites that serve: {}", list(&told.others))?;
    }
    Ok(())
}

fn line(out: &mut String, step: &Step) -> std::fmt::Result {
    match step {
        Step::Asked {
            sites,
            wants,
            snapshot,
            health,
            panic,
            ..
        } => {
            write!(
                out,
                "asked for {}, of {}, by snapshot {snapshot}",
                family(*wants),
                list(sites)
            )?;
            write!(out, "; the monitors' word is {}", word(health))?;
            match panic {
                true => write!(out, ", and is not believed: too much seems to be down"),
                false => Ok(()),
            }
        }
        Step::SiteDown { site } => write!(out, "{site}: none of its nodes may be used"),
        Step::Stays {
            site,
            drawn,
            accept,
            headroom,
            stays,
        } => {
            write!(
                out,
                "{site}: the best; it keeps {} of its own clients",
                percent(*accept)
            )?;
            room(out, *headroom)?;
            draw(out, *drawn)?;
            write!(
                out,
                ": the client {}",
                if *stays { "stays" } else { "is passed on" }
            )
        }
        Step::TakenIn {
            site,
            drawn,
            take_in,
            headroom,
            taken_in,
        } => {
            write!(
                out,
                "{site}: it takes in {} of those passed on",
                percent(*take_in)
            )?;
            room(out, *headroom)?;
            draw(out, *drawn)?;
            write!(
                out,
                ": the client {}",
                if *taken_in { "is taken in" } else { "is not" }
            )
        }
        Step::Kept { site } => write!(out, "{site}: nobody has room, so it keeps the client"),
        Step::Node {
            node,
            standing,
            reach,
            weight,
            score,
            skip,
            drawn,
        } => {
            write!(out, "node {node}: {}", word(standing))?;
            match (reach.ipv4, reach.ipv6) {
                (true, true) => write!(out, " over both families")?,
                (true, false) => write!(out, " over IPv4")?,
                (false, true) => write!(out, " over IPv6")?,
                (false, false) => {}
            }
            if standing.is_usable() {
                write!(out, ", weight {weight:.2}, score {score:.4}")?;
            }
            if *skip > 0.0 {
                write!(out, "; it passes on {} of its keys", percent(*skip))?;
                draw(out, *drawn)?;
            }
            if *standing == Standing::Unknown {
                write!(
                    out,
                    "; it was down when monitors were last heard, which is too long ago"
                )?;
            }
            Ok(())
        }
        Step::Spread { over, hot } => {
            let why = if *hot {
                "the key is asked for too often"
            } else {
                "the service says so"
            };
            write!(out, "clients are spread over the first {over} nodes: {why}")
        }
        Step::Place { node, why } => write!(out, "then {node} ({})", word(why)),
        Step::OtherFamilyOnly { site } => write!(out, "{site}: it serves, but not over what was asked for"),
        Step::Decided { reason, by_prefix } => {
            write!(out, "decided: {}", word(reason))?;
            match by_prefix {
                true => write!(out, ", by the client's own network among others"),
                false => Ok(()),
            }
        }
    }
}

fn room(out: &mut String, headroom: Option<f64>) -> std::fmt::Result {
    match headroom {
        Some(free) => write!(out, " ({} of it is free)", percent(free)),
        None => write!(out, " (its load is not known)"),
    }
}

fn draw(out: &mut String, drawn: Option<f64>) -> std::fmt::Result {
    match drawn {
        Some(drawn) => write!(out, "; drawn {}", percent(drawn)),
        None => Ok(()),
    }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        "nothing".to_owned()
    } else {
        names.join(", ")
    }
}

/// The word that JSON has for it.
fn word(of: &impl serde::Serialize) -> String {
    let json = serde_json::to_value(of).unwrap_or_default();
    json.as_str().unwrap_or_default().to_owned()
}
