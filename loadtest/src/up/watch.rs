//! The line of live totals, rewritten in place on a terminal.

use std::convert::Infallible;
use std::io::{IsTerminal, Write};
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use model::Tier;
use tokio::time::{Instant, MissedTickBehavior};

use super::plan::Plan;
use super::show;
use crate::client::ask;
use crate::scrape::{self, Totals};

/// How often the totals are read.
const PERIOD: Duration = Duration::from_secs(1);

/// Prints totals for ever: on a terminal one line, rewritten; else a line whenever there is something new to say.
pub(crate) async fn totals(plan: &Plan) -> Infallible {
    let in_place = std::io::stdout().is_terminal();
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut before, mut read_at) = (edges(plan).await, Instant::now());
    let mut shown = String::new();
    loop {
        ticks.tick().await;
        let now = edges(plan).await;
        let line = show::totals(
            now.since(before),
            now,
            read_at.elapsed().as_secs_f64(),
            origin_requests(plan).await,
        );
        (before, read_at) = (now, Instant::now());
        if line != shown {
            print(&line, in_place);
            shown = line;
        }
    }
}

fn print(line: &str, in_place: bool) {
    let mut out = std::io::stdout().lock();
    // Nobody may be reading any more; that is no reason to stop the CDN.
    let _ = if in_place {
        write!(out, "\r\x1b[K{line}")
    } else {
        writeln!(out, "{line}")
    };
    let _ = out.flush();
}

/// The totals of all edges; one that does not answer counts nothing this time.
async fn edges(plan: &Plan) -> Totals {
    let mut sum = Totals::default();
    for node in plan.nodes.iter().filter(|node| node.tier == Tier::Edge) {
        sum += scrape::totals(node.admin).await.unwrap_or_default();
    }
    sum
}

async fn origin_requests(plan: &Plan) -> u64 {
    let answer = ask(plan.origin, Method::GET, "/_origin/totals", Bytes::new(), PERIOD).await;
    answer
        .ok()
        .and_then(|(_, text)| serde_json::from_slice::<serde_json::Value>(&text).ok()?["requests"].as_u64())
        .unwrap_or(0)
}
