//! From a place on earth to the sites near it.

use model::Snapshot;

use super::ranking::{Evidence, RANKED, Ranking, SiteId};

/// The most sites a [`SiteId`] can number. CDNs have hundreds.
const MOST_SITES: usize = u16::MAX as usize;

/// An upper-case ISO 3166-1 alpha-2 code.
pub(crate) type Country = [u8; 2];

/// The code that `text` spells; `None` where it is no two letters.
pub(super) fn country(text: &str) -> Option<Country> {
    let letters: [u8; 2] = text.as_bytes().try_into().ok()?;
    let letters = letters.map(|letter| letter.to_ascii_uppercase());
    letters.iter().all(u8::is_ascii_uppercase).then_some(letters)
}

/// What a database knows of a net.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Place {
    /// Where on earth.
    pub(super) coordinates: Option<Coordinates>,
    /// In which country.
    pub(super) country: Option<Country>,
}

/// A point on earth, in radians, with the cosine that every distance to it needs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Coordinates {
    latitude: f64,
    longitude: f64,
    latitude_cosine: f64,
}

impl Coordinates {
    /// The point `latitude` degrees north, `longitude` degrees east; `None` where there is no such point.
    pub(super) fn new(latitude: f64, longitude: f64) -> Option<Coordinates> {
        let on_earth = (-90.0..=90.0).contains(&latitude) && (-180.0..=180.0).contains(&longitude);
        on_earth.then(|| Coordinates {
            latitude: latitude.to_radians(),
            longitude: longitude.to_radians(),
            latitude_cosine: latitude.to_radians().cos(),
        })
    }

    /// Grows with the great-circle distance as the haversine formula gives it (`model::Snapshot::distance_km`), and is
    /// cheaper: the last steps of the formula change no order.
    fn remoteness(&self, other: &Coordinates) -> f64 {
        let half = |from: f64, to: f64| ((to - from) / 2.0).sin().powi(2);
        half(self.latitude, other.latitude)
            + self.latitude_cosine * other.latitude_cosine * half(self.longitude, other.longitude)
    }
}

/// The sites of a snapshot, in name order.
pub(super) struct Sites {
    names: Vec<String>,
    coordinates: Vec<(SiteId, Coordinates)>,
}

impl Sites {
    /// The sites of `snapshot`.
    ///
    /// # Errors
    ///
    /// Sites that stand nowhere on earth, and too many of them.
    pub(super) fn of(snapshot: &Snapshot) -> Result<Sites, Vec<String>> {
        if snapshot.sites.len() > MOST_SITES {
            return Err(vec![format!(
                "sites: the snapshot has {} of them, at most {MOST_SITES} can be ranked; split the CDN",
                snapshot.sites.len()
            )]);
        }
        let mut sites = Sites {
            names: Vec::with_capacity(snapshot.sites.len()),
            coordinates: Vec::with_capacity(snapshot.sites.len()),
        };
        let mut complaints = Vec::new();
        for (id, (name, site)) in (0_u16..).zip(&snapshot.sites) {
            sites.names.push(name.clone());
            match Coordinates::new(site.latitude, site.longitude) {
                Some(coordinates) => sites.coordinates.push((SiteId(id), coordinates)),
                None => complaints.push(format!(
                    "sites.{name}: {}, {} is no place on earth; give degrees north (-90 to 90) and east (-180 to 180)",
                    site.latitude, site.longitude
                )),
            }
        }
        if complaints.is_empty() {
            Ok(sites)
        } else {
            Err(complaints)
        }
    }

    /// The site of this name.
    pub(super) fn id(&self, name: &str) -> Option<SiteId> {
        let index = self
            .names
            .binary_search_by(|known| known.as_str().cmp(name))
            .ok()?;
        u16::try_from(index).ok().map(SiteId)
    }

    /// The nearest sites to `place`; those equally far in name order.
    pub(super) fn nearest(&self, place: &Coordinates, evidence: Evidence) -> Ranking {
        // One more than are ranked, so that the last has a slot to be pushed into.
        let mut nearest = [(f64::INFINITY, SiteId::default()); RANKED + 1];
        let mut count = 0;
        for (site, coordinates) in &self.coordinates {
            let remoteness = place.remoteness(coordinates);
            let slot = nearest[..count].partition_point(|(other, _)| *other <= remoteness);
            if slot < RANKED {
                nearest.copy_within(slot..RANKED, slot + 1);
                nearest[slot] = (remoteness, *site);
                count = (count + 1).min(RANKED);
            }
        }
        Ranking::new(nearest[..count].iter().map(|(_, site)| *site), evidence)
    }

    /// `named` in the order given, and after them those nearest to the first: somebody has to serve when all of
    /// them are down.
    pub(super) fn completed(&self, named: &[SiteId], evidence: Evidence) -> Ranking {
        let first = named
            .first()
            .and_then(|site| self.coordinates.get(usize::from(site.0)));
        let rest = first.map(|(_, coordinates)| self.nearest(coordinates, evidence));
        let rest = rest.iter().flat_map(Ranking::sites);
        Ranking::new(named.iter().chain(rest).copied(), evidence)
    }

    /// For clients of whom nothing is known: the first in name order, which is at least the same for all routers.
    pub(super) fn default_ranking(&self) -> Ranking {
        let sites = self.coordinates.iter().map(|(site, _)| *site);
        Ranking::new(sites, Evidence::Default)
    }

    /// The names, by [`SiteId`].
    pub(super) fn into_names(self) -> Box<[String]> {
        self.names.into_boxed_slice()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::snapshot;
    use super::*;

    fn named(sites: &Sites, ranking: Ranking) -> Vec<&str> {
        let of = |site: &SiteId| sites.names[usize::from(site.0)].as_str();
        ranking.sites().iter().map(of).collect()
    }

    fn world() -> Sites {
        Sites::of(&snapshot(&[
            ("ams", 52.31, 4.77),
            ("ams-twin", 52.31, 4.77),
            ("fra", 50.04, 8.56),
            ("iad", 38.95, -77.46),
            ("nrt", 35.76, 140.39),
            ("syd", -33.95, 151.18),
        ]))
        .unwrap()
    }

    #[test]
    fn the_nearest_come_first_and_those_equally_far_in_name_order() {
        let sites = world();
        let near = |latitude, longitude| {
            let place = Coordinates::new(latitude, longitude).unwrap();
            named(&sites, sites.nearest(&place, Evidence::Geography))
        };
        assert_eq!(near(51.5, 0.0), ["ams", "ams-twin", "fra", "iad"]);
        assert_eq!(near(-41.3, 174.8), ["syd", "nrt", "iad", "fra"]);
        // Across the date line.
        assert_eq!(near(35.0, -179.0)[0], "nrt");
    }

    #[test]
    fn an_order_that_is_given_is_completed_by_distance_from_its_first_site() {
        let sites = world();
        let completed = |names: &[&str]| {
            let given: Vec<SiteId> = names.iter().map(|name| sites.id(name).unwrap()).collect();
            named(
                &sites,
                sites.completed(&given, Evidence::Coverage { deep: false }),
            )
        };
        assert_eq!(completed(&["fra"]), ["fra", "ams", "ams-twin", "iad"]);
        assert_eq!(completed(&["iad", "ams-twin"]), ["iad", "ams-twin", "ams", "fra"]);
        assert_eq!(
            completed(&["syd", "iad", "fra", "ams"]),
            ["syd", "iad", "fra", "ams"]
        );
        assert!(completed(&[]).is_empty());
    }

    #[test]
    fn fewer_sites_than_are_ranked_give_a_shorter_ranking() {
        let sites = Sites::of(&snapshot(&[("b", 0.0, 0.0), ("a", 10.0, 10.0)])).unwrap();
        let place = Coordinates::new(1.0, 1.0).unwrap();
        assert_eq!(
            named(&sites, sites.nearest(&place, Evidence::Geography)),
            ["b", "a"]
        );
        assert_eq!(named(&sites, sites.default_ranking()), ["a", "b"]);
        assert_eq!(sites.id("c"), None);
    }

    #[test]
    fn only_points_on_earth_and_two_letters_are_taken() {
        for (latitude, longitude) in [(90.1, 0.0), (0.0, -180.5), (f64::NAN, 0.0), (0.0, f64::INFINITY)] {
            assert_eq!(Coordinates::new(latitude, longitude), None);
        }
        assert_eq!(country("nl"), Some(*b"NL"));
        for text in ["", "N", "NLD", "N1", "é"] {
            assert_eq!(country(text), None, "{text}");
        }
        let nowhere = Sites::of(&snapshot(&[("a", 91.0, 0.0), ("b", 0.0, 0.0), ("c", 0.0, 181.0)]));
        let complaints = nowhere.err().unwrap();
        assert_eq!(complaints.len(), 2);
        assert!(complaints[0].starts_with("sites.a: 91, 0 is no place on earth"));
    }
}
