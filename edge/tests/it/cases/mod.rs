//! The table of cases (`edge/tests/cases`): what RFC 9111 and its neighbours ask of a shared cache, shown through a real
//! edge, its parent and a scripted origin. The README there says how to add one.

mod play;
mod rfc;
mod story;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use model::service::{ClientDirectives, Service};
use model::{Period, Tier};
use testkit::cdn::Cdn;
use testkit::client::run;

use crate::{EDGE, PARENT, builder};
use play::{Play, Protocol, Stage};
use story::Case;

/// Cases at play at once: the daemons have two cores, and most of a case is waiting.
const AT_ONCE: usize = 8;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases")
}

/// The host of a service.
fn host(service: &str) -> String {
    format!("{service}.media.test")
}

/// What makes a service of its own of the sample.
type Change = fn(&mut Service);

/// The services that a case may name. On `plain` the RFCs and the origin alone decide.
const SERVICES: [(&str, Change); 9] = [
    ("plain", plain),
    ("open", |service| {
        plain(service);
        service.methods = vec!["*".to_owned()];
    }),
    ("rules", |service| {
        service.revalidation_floor = Period(Duration::ZERO);
    }),
    ("yielding", |service| {
        service.revalidation_floor = Period(Duration::ZERO);
        if let Some(rules) = &mut service.ttl {
            rules.override_origin = false;
        }
    }),
    ("negative", |service| {
        service.revalidation_floor = Period(Duration::ZERO);
        if let Some(rules) = &mut service.ttl {
            rules.override_origin = false;
            rules.statuses =
                BTreeMap::from([404, 410, 500, 503, 302, 429].map(|status| (status, seconds(600))));
        }
    }),
    ("floor", |service| {
        plain(service);
        service.revalidation_floor = seconds(3600);
    }),
    ("deaf", |service| {
        plain(service);
        service.client_directives = ClientDirectives::Ignore;
    }),
    ("lenient", |service| {
        plain(service);
        service.stale_if_error = seconds(86_400);
    }),
    ("refreshing", |service| {
        plain(service);
        service.stale_while_revalidate = seconds(86_400);
    }),
];

fn plain(service: &mut Service) {
    service.ttl = None;
    service.header_rules.clear();
    service.revalidation_floor = Period(Duration::ZERO);
}

fn seconds(seconds: u64) -> Period {
    Period(Duration::from_secs(seconds))
}

/// One edge and its parent with all the services, each with a disk.
fn stage() -> Cdn {
    let mut cdn = builder().parents("ams", 1).edges("ams", 1);
    for (name, change) in SERVICES {
        cdn = cdn.service(name, move |service| {
            service.hosts = vec![host(name)];
            change(service);
        });
    }
    for tier in [Tier::Edge, Tier::Parent] {
        cdn = cdn.settings(tier, |settings| {
            settings.disk("512MiB");
        });
    }
    cdn.start()
}

/// Plays a part of each case, several cases at once, and gives back what did not hold.
fn play<'a>(
    stage: &Arc<Stage>,
    cases: &[(&'a Case, Play<'a>)],
    part: impl Fn(&'a Case) -> &'a [story::Step],
) -> Vec<String> {
    let mut failed = run(async {
        let mut failed = Vec::new();
        for some in cases.chunks(AT_ONCE) {
            let plays = some.iter().map(|(case, play)| play.steps(part(case)));
            for outcome in futures_util::future::join_all(plays).await {
                failed.extend(outcome.err());
            }
        }
        failed
    });
    failed.extend(stage.left_over());
    failed
}

#[track_caller]
fn no_complaints(failed: &[String], of: usize) {
    assert!(
        failed.is_empty(),
        "{} of {of} cases do not hold:\n\n{}",
        failed.len(),
        failed.join("\n\n")
    );
}

#[test]
fn every_case_holds_over_http_1_and_over_http_2() {
    let cases = story::all(&folder());
    let cdn = stage();
    let stage = Stage::set(&cdn);
    let mut failed = Vec::new();
    for (protocol, pass) in [(Protocol::Http1, "h1"), (Protocol::Http2, "h2")] {
        let plays: Vec<_> = cases
            .iter()
            .map(|case| (case, Play::new(&cdn, &stage, case, protocol, pass)))
            .collect();
        failed.extend(play(&stage, &plays, |case| &case.steps));
    }
    no_complaints(&failed, 2 * cases.len());
}

#[test]
fn what_is_to_outlast_a_restart_comes_from_disk_and_is_the_same() {
    let cases = story::all(&folder());
    let cases: Vec<&Case> = cases
        .iter()
        .filter(|case| case.before_restart.is_some())
        .collect();
    let mut cdn = stage();
    let stage = Stage::set(&cdn);
    let half = |case: &&Case| case.before_restart.unwrap_or(case.steps.len());
    let plays: Vec<_> = cases
        .iter()
        .enumerate()
        .map(|(number, case)| {
            let protocol = if number % 2 == 0 {
                Protocol::Http1
            } else {
                Protocol::Http2
            };
            (*case, Play::new(&cdn, &stage, case, protocol, "disk"))
        })
        .collect();
    let mut failed = play(&stage, &plays, |case| &case.steps[..half(&case)]);
    for node in [EDGE, PARENT] {
        cdn.daemon(node).terminate();
        assert!(cdn.daemon_mut(node).await_end(Duration::from_secs(20)).success());
        cdn.daemon_mut(node).launch_again();
    }
    for node in [PARENT, EDGE] {
        cdn.daemon_mut(node).await_ready();
    }
    failed.extend(play(&stage, &plays, |case| &case.steps[half(&case)..]));
    no_complaints(&failed, cases.len());
}

#[test]
fn a_third_of_the_cases_is_told_again_from_disk() {
    let cases = story::all(&folder());
    let again = cases.iter().filter(|case| case.before_restart.is_some()).count();
    assert!(cases.len() >= 250, "{} cases", cases.len());
    assert!(3 * again >= cases.len(), "{again} of {} cases", cases.len());
}
