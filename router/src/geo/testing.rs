//! Snapshots made up for tests.

use std::collections::BTreeMap;

use model::{Site, Snapshot};

pub(crate) use testkit::geography::{BUILT, database, records};

/// A snapshot of sites only: name, degrees north and east.
pub(crate) fn snapshot(sites: &[(&str, f64, f64)]) -> Snapshot {
    let site = |(name, latitude, longitude): &(&str, f64, f64)| {
        let site = Site {
            region: "somewhere".to_owned(),
            latitude: *latitude,
            longitude: *longitude,
            capacity_bytes_per_second: None,
        };
        ((*name).to_owned(), site)
    };
    Snapshot {
        cdn: "test".to_owned(),
        number: 1,
        sites: sites.iter().map(site).collect(),
        nodes: BTreeMap::new(),
        services: BTreeMap::new(),
        zones: BTreeMap::new(),
    }
}
