//! `/healthz`: this node says how it is, to monitors and load balancers.

use http::StatusCode;
use model::Tier;
use model::health::DiskCounts;
use serde::Serialize;

use super::downstream::{ClientGone, Downstream};
use super::{Reply, own};
use crate::condition::Report;
use crate::world::Identity;

/// What is said, one line of JSON. A load balancer reads the status alone.
#[derive(Serialize)]
struct Statement<'a> {
    node: &'a str,
    tier: Tier,
    state: &'static str,
    started: u64,
    disks: DiskCounts,
}

impl<D: Downstream> Reply<'_, '_, D> {
    /// Says how the node is: 200 while it wants clients, 503 while it sees them out. A cache device that is lost costs
    /// hits, not clients, so it is told and changes no status.
    pub(super) async fn tell_health(&mut self) -> Result<(), ClientGone> {
        self.trail.is_health_check = true;
        let node = &self.core.node;
        let report = node.condition.report();
        node.metrics.health_checks(report.draining).inc();
        let status = if report.draining {
            StatusCode::SERVICE_UNAVAILABLE
        } else {
            StatusCode::OK
        };
        let line = statement(&self.trail.world.identity, node.condition.started, &report);
        self.answer(status, Vec::new(), own::JSON, &line).await
    }
}

fn statement(identity: &Identity, started: u64, report: &Report) -> String {
    let statement = Statement {
        node: identity.node.as_str(),
        tier: identity.tier,
        state: if report.draining { "draining" } else { "serving" },
        started,
        disks: report.disks,
    };
    // Numbers and texts always have a form in JSON.
    let mut line = serde_json::to_string(&statement).unwrap_or_default();
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::headers::Pseudonym;

    #[test]
    fn a_statement_is_one_line_that_names_its_node() {
        let identity = Identity {
            node: Pseudonym::new("edge-1").unwrap(),
            tier: Tier::Edge,
            site: "ams".into(),
            region: "eu".into(),
        };
        let report = Report {
            draining: true,
            disks: DiskCounts {
                healthy: 1,
                offline: 2,
                ..DiskCounts::default()
            },
        };
        assert_eq!(
            statement(&identity, 5, &report),
            "{\"node\":\"edge-1\",\"tier\":\"edge\",\"state\":\"draining\",\"started\":5,\
             \"disks\":{\"healthy\":1,\"suspect\":0,\"read_only\":0,\"offline\":2}}\n"
        );
    }
}
