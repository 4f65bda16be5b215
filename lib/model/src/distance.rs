//! How far sites are apart, and in which order one site should try the others.

use crate::{Site, Snapshot};

/// The earth's mean radius (IUGG), km.
const EARTH_RADIUS_KM: f64 = 6371.0088;

impl Snapshot {
    /// Kilometres between two sites along the great circle; `None` when the snapshot does not know one of them.
    #[must_use]
    pub fn distance_km(&self, from: &str, to: &str) -> Option<f64> {
        Some(haversine_km(self.sites.get(from)?, self.sites.get(to)?))
    }

    /// Every site by its distance from `from`, nearest first and `from` itself before all others; those equally far
    /// in name order. Empty when the snapshot does not know `from`.
    #[must_use]
    pub fn sites_by_distance(&self, from: &str) -> Vec<&str> {
        let Some(origin) = self.sites.get(from) else {
            return Vec::new();
        };
        let mut sites: Vec<(bool, f64, &str)> = self
            .sites
            .iter()
            .map(|(name, site)| (name != from, haversine_km(origin, site), name.as_str()))
            .collect();
        // The map is in name order and the sort keeps it among equals.
        sites.sort_by(|left, right| left.0.cmp(&right.0).then(left.1.total_cmp(&right.1)));
        sites.into_iter().map(|(_, _, name)| name).collect()
    }
}

/// The haversine formula, exact enough (0.5 %) to order PoPs.
fn haversine_km(from: &Site, to: &Site) -> f64 {
    let half = |from: f64, to: f64| ((to - from).to_radians() / 2.0).sin().powi(2);
    let chord = half(from.latitude, to.latitude)
        + from.latitude.to_radians().cos()
            * to.latitude.to_radians().cos()
            * half(from.longitude, to.longitude);
    2.0 * EARTH_RADIUS_KM * chord.clamp(0.0, 1.0).sqrt().asin()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn world() -> Snapshot {
        let site = |latitude, longitude| Site {
            region: "somewhere".to_owned(),
            latitude,
            longitude,
            capacity_bytes_per_second: None,
        };
        Snapshot {
            cdn: "test".to_owned(),
            number: 1,
            sites: BTreeMap::from([
                ("ams".to_owned(), site(52.3105, 4.7683)),
                ("ams-twin".to_owned(), site(52.3105, 4.7683)),
                ("fra".to_owned(), site(50.0379, 8.5622)),
                ("iad".to_owned(), site(38.9531, -77.4565)),
                ("nrt".to_owned(), site(35.7647, 140.3864)),
            ]),
            nodes: BTreeMap::new(),
            services: BTreeMap::new(),
            zones: BTreeMap::new(),
        }
    }

    #[test]
    fn distances_agree_with_the_spherical_law_of_cosines() {
        let world = world();
        for (from, to, expected) in [
            ("ams", "fra", 366.0),
            ("ams", "iad", 6_207.0),
            ("iad", "nrt", 10_844.0),
            ("ams", "ams", 0.0),
        ] {
            let there = world.distance_km(from, to).expect("both are known");
            let back = world.distance_km(to, from).expect("both are known");
            assert!((there - expected).abs() <= 0.5, "{from} to {to}: {there} km");
            assert!((there - back).abs() < 1e-9);
        }
        assert_eq!(world.distance_km("ams", "nowhere"), None);
    }

    #[test]
    fn a_site_comes_first_in_its_own_order_and_the_rest_by_distance() {
        let world = world();
        assert_eq!(
            world.sites_by_distance("ams"),
            ["ams", "ams-twin", "fra", "iad", "nrt"]
        );
        assert_eq!(
            world.sites_by_distance("ams-twin"),
            ["ams-twin", "ams", "fra", "iad", "nrt"]
        );
        assert_eq!(
            world.sites_by_distance("nrt"),
            ["nrt", "ams", "ams-twin", "fra", "iad"]
        );
        assert!(world.sites_by_distance("nowhere").is_empty());
    }
}
