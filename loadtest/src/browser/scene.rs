//! What happens to the place a player plays from.

use super::cdn::{Cdn, EDGES};
use super::told::Places;

/// One story.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Scene {
    /// The document takes all edges of the site out of use; they go on serving.
    SiteTakenOut,
    /// The document takes the one edge out of use, and another of its site takes over.
    EdgeTakenOut,
    /// All edges of the site are told to end: they refuse connections from that moment on.
    SiteDrained,
    /// The one edge is told to end.
    EdgeDrained,
}

impl Scene {
    /// What people call it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Scene::SiteTakenOut => "site taken out",
            Scene::EdgeTakenOut => "edge taken out",
            Scene::SiteDrained => "site drained",
            Scene::EdgeDrained => "edge drained",
        }
    }

    /// Whether players are refused before they have heard of it.
    pub(super) fn refuses(self) -> bool {
        matches!(self, Scene::SiteDrained | Scene::EdgeDrained)
    }

    /// What counts as one place: a site or an edge.
    pub(super) fn places(self) -> Places {
        let places = EDGES.iter().map(|(edge, site, ip)| {
            let place = if self.is_of_edge() { edge } else { site };
            (ip.to_string(), (*place).to_owned())
        });
        places.collect()
    }

    /// Makes it happen to `place`.
    ///
    /// # Errors
    ///
    /// What could not be done.
    pub(super) fn happen(self, cdn: &Cdn, place: &str) -> Result<(), String> {
        let edges = self.edges(place);
        match self.refuses() {
            true => cdn.drain(&edges),
            false => cdn.take_out(&edges),
        }
    }

    fn edges(self, place: &str) -> Vec<&'static str> {
        let here = |(edge, site): (&str, &str)| {
            if self.is_of_edge() {
                edge == place
            } else {
                site == place
            }
        };
        let edges = EDGES.iter().filter(|(edge, site, _)| here((edge, site)));
        edges.map(|(edge, ..)| *edge).collect()
    }

    fn is_of_edge(self) -> bool {
        matches!(self, Scene::EdgeTakenOut | Scene::EdgeDrained)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_site_or_an_edge() {
        assert_eq!(Scene::SiteDrained.edges("ams"), ["edge-ams-1", "edge-ams-2"]);
        assert_eq!(Scene::EdgeTakenOut.edges("edge-ams-2"), ["edge-ams-2"]);
        let name = |scene: Scene| scene.places().get("127.0.1.2").cloned();
        assert_eq!(name(Scene::SiteTakenOut).as_deref(), Some("ams"));
        assert_eq!(name(Scene::EdgeDrained).as_deref(), Some("edge-ams-2"));
    }
}
