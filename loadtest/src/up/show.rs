//! What `up` prints: the table of nodes, what to try, and the line of live totals. Pure.

use model::Tier;

use super::plan::Plan;
use crate::scrape::Totals;
use crate::table;

/// Node, site, URLs and state of everything that runs.
pub(crate) fn nodes(plan: &Plan) -> String {
    let mut rows: Vec<Vec<String>> = plan
        .nodes
        .iter()
        .map(|node| {
            let https = node
                .https
                .map(|address| format!("https://localhost:{}", address.port()));
            let http = node.http.map(|address| match node.tier {
                Tier::Edge => format!("http://localhost:{}", address.port()),
                Tier::Parent => format!("http://{address}"),
            });
            let urls: Vec<String> = https.into_iter().chain(http).collect();
            vec![
                node.name.clone(),
                node.site.clone(),
                urls.join("  "),
                format!("http://{}", node.admin),
                "ready".to_owned(),
            ]
        })
        .collect();
    rows.extend(plan.monitors.iter().map(|monitor| {
        vec![
            monitor.name.clone(),
            String::new(),
            format!("http://{}", monitor.http),
            format!("http://{}", monitor.admin),
            "ready".to_owned(),
        ]
    }));
    rows.extend(plan.routers.iter().map(|router| {
        let dns = router.dns.map(|address| format!("dns://{address}"));
        let http = router.http.map(|address| format!("http://{address}"));
        let https = router.https.map(|address| format!("https://{address}"));
        let urls: Vec<String> = dns.into_iter().chain(https).chain(http).collect();
        vec![
            router.name.clone(),
            String::new(),
            urls.join("  "),
            format!("http://{}", router.admin),
            "ready".to_owned(),
        ]
    }));
    rows.push(vec![
        "origin".to_owned(),
        String::new(),
        format!("http://{}", plan.origin),
        String::new(),
        "ready".to_owned(),
    ]);
    table::render(&["node", "site", "URL", "admin", "state"], &rows)
}

/// Commands for the curious.
pub(crate) fn suggestions(plan: &Plan) -> String {
    let https = plan
        .nodes
        .iter()
        .filter(|node| node.tier == Tier::Edge)
        .find_map(|node| node.https);
    let admin = plan
        .nodes
        .iter()
        .find(|node| node.tier == Tier::Edge)
        .map(|node| node.admin);
    let mut text = String::from("Try, in another terminal:\n");
    if let Some(port) = https.map(|address| address.port()) {
        text.push_str(&format!(
            "  curl -ki https://localhost:{port}/demo/master.m3u8            # twice: a miss, then a hit\n  \
             ffmpeg -tls_verify 0 -i https://localhost:{port}/demo/master.m3u8 -f null -\n"
        ));
    }
    text.push_str(&format!(
        "  curl http://{}/_origin/counts                       # how often the origin was asked\n",
        plan.origin
    ));
    if let Some(admin) = admin {
        text.push_str(&format!("  curl http://{admin}/metrics\n"));
    }
    if let Some(monitor) = plan.monitors.first() {
        text.push_str(&format!(
            "  curl http://{}/v1/state                            # how every node is; the same as a page at /\n",
            monitor.http
        ));
    }
    if let Some(router) = plan.routers.first() {
        if let Some(dns) = router.dns {
            text.push_str(&format!(
                "  dig @{} -p {} demo.cdn.test +subnet=192.0.2.0/24        # which edges a viewer there is sent to\n",
                dns.ip(),
                dns.port()
            ));
        }
        if let Some(http) = router.http {
            text.push_str(&format!(
                "  curl -iH 'Host: demo.cdn.test' http://{http}/demo/master.m3u8   # a redirect to the best edge\n"
            ));
        }
        text.push_str(&format!(
            "  millrace-router explain --config {} --client 192.0.2.9 --host demo.cdn.test   # and why\n",
            router.config.display()
        ));
    }
    text.push_str("Ctrl-C stops everything.\n");
    text
}

/// The live line: what happened in the last `seconds`, and since the start.
pub(crate) fn totals(lately: Totals, since_start: Totals, seconds: f64, origin_requests: u64) -> String {
    let ratio = since_start
        .hit_ratio()
        .map_or("–".to_owned(), |ratio| format!("{:.1} %", ratio * 100.0));
    let per_second = lately.requests as f64 / seconds.max(f64::MIN_POSITIVE);
    let mut text = format!(
        "{per_second:.0} requests/s, hit ratio {ratio}, {} requests, {origin_requests} at the origin",
        since_start.requests
    );
    if since_start.server_errors > 0 {
        text.push_str(&format!(", {} answered with 5xx", since_start.server_errors));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_totals_says_rate_ratio_and_origin() {
        let start = Totals {
            requests: 200,
            stored: 150,
            asked: 200,
            ..Totals::default()
        };
        let lately = Totals {
            requests: 30,
            ..Totals::default()
        };
        assert_eq!(
            totals(lately, start, 2.0, 7),
            "15 requests/s, hit ratio 75.0 %, 200 requests, 7 at the origin"
        );
        let failing = Totals {
            server_errors: 3,
            ..start
        };
        assert!(totals(lately, failing, 2.0, 7).ends_with(", 3 answered with 5xx"));
        assert_eq!(
            totals(Totals::default(), Totals::default(), 1.0, 0),
            "0 requests/s, hit ratio –, 0 requests, 0 at the origin"
        );
    }
}
