//! HLS sessions: titles by Zipf's law, a ladder of five bitrates, segments watched one after the other until the viewer
//! has had enough. What is popular shifts while the trace runs.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use model::Moment;
use rand::Rng;
use rand::rngs::StdRng;

use super::super::trace::{Object, Request, Trace};
use crate::zipf::Zipf;

/// The ladder in bits per second, and the share of sessions that begin on each rung.
const LADDER: [(u64, f64); 5] = [
    (400_000, 0.08),
    (900_000, 0.17),
    (1_800_000, 0.3),
    (3_500_000, 0.3),
    (6_000_000, 0.15),
];

const RUNGS: u32 = LADDER.len() as u32;

/// Titles: one for this many requests.
const REQUESTS_PER_TITLE: usize = 4000;

/// Segments of a title: clips, episodes and a few films.
const SEGMENTS: std::ops::Range<u32> = 20..400;

/// Playlists of a title come before its segments: the master, and one for each rung.
const PLAYLISTS: u32 = 1 + RUNGS;

/// Segments that a player asks for at once before it plays.
const BUFFERED_SEGMENTS: u32 = 3;

/// How long each of these takes, and the answers to the playlists.
const HURRY_MILLISECONDS: u64 = 300;

/// Viewers at once, in the mean.
const VIEWERS: u64 = 400;

/// Share of sessions that are given up within the first segments.
const SAMPLERS: f64 = 0.35;

/// The longest such look, in segments.
const LOOK_SEGMENTS: u32 = 8;

/// Share of sessions that begin somewhere in the middle.
const RESUMED: f64 = 0.15;

/// Share of segments before which the player changes the rung.
const SWITCHED: f64 = 0.03;

/// How fast taste changes: the share of sessions before which a title becomes popular that was not, in place of another.
#[derive(Clone, Copy, Debug)]
pub(super) enum Drift {
    /// A tenth of the titles in the hours of a trace: a catalogue of films and series.
    Slow,
    /// All titles in these hours: clips of the day. No policy by past requests has much to go by.
    Fast,
}

impl Drift {
    fn share(self) -> f64 {
        match self {
            Drift::Slow => 0.002,
            Drift::Fast => 0.02,
        }
    }
}

/// Exponents of popularity: each trace has one of its own.
const EXPONENTS: std::ops::RangeInclusive<f64> = 0.8..=1.0;

#[derive(Clone, Copy, Debug)]
struct Title {
    /// The master playlist; those of the rungs follow, then the segments rung by rung.
    first: Object,
    segments: u32,
    segment_milliseconds: u64,
}

/// A viewer between two requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Viewer {
    /// When the next request is due; first, because the heap goes by it.
    at: Moment,
    title: u32,
    rung: u32,
    step: Step,
    /// The segment behind the last one that will be watched.
    end: u32,
    asked: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    /// The master playlist, then segments from this one on.
    Master(u32),
    /// The playlist of the rung, then segments from this one on.
    Playlist(u32),
    Segment(u32),
}

struct Catalogue {
    titles: Vec<Title>,
    sizes: Vec<u32>,
    popularity: Zipf,
    /// Titles by rank.
    ranks: Vec<u32>,
}

pub(super) fn trace(requests: usize, drift: Drift, chance: &mut StdRng) -> Trace {
    let mut catalogue = Catalogue::new(requests.div_ceil(REQUESTS_PER_TITLE), chance);
    let mut viewers: BinaryHeap<Reverse<Viewer>> = BinaryHeap::new();
    let mut made = Vec::with_capacity(requests);
    let mut arrival = Moment(0);
    while made.len() < requests {
        let next = viewers.peek().map(|viewer| viewer.0.at);
        if next.is_none_or(|next| arrival <= next) {
            let (viewer, stay_milliseconds) = catalogue.viewer(arrival, drift, chance);
            viewers.push(Reverse(viewer));
            arrival = Moment(arrival.0 + chance.random_range(0..=2 * stay_milliseconds / VIEWERS));
        } else if let Some(Reverse(viewer)) = viewers.pop() {
            let title = catalogue.titles[viewer.title as usize];
            made.push(Request {
                at: viewer.at,
                object: viewer.object(title),
            });
            viewers.extend(viewer.after(title, chance).map(Reverse));
        }
    }
    Trace {
        sizes: catalogue.sizes,
        requests: made,
    }
}

impl Catalogue {
    fn new(count: usize, chance: &mut StdRng) -> Catalogue {
        let mut sizes = Vec::new();
        let titles: Vec<Title> = (0..count)
            .map(|_| {
                let title = Title {
                    first: sizes.len() as Object,
                    segments: chance.random_range(SEGMENTS),
                    segment_milliseconds: chance.random_range(2..=6) * 1000,
                };
                sizes.extend((0..PLAYLISTS).map(|rung| match rung {
                    0 => 1200,
                    _ => 300 + 60 * title.segments,
                }));
                for (bandwidth, _) in LADDER {
                    let usual = bandwidth / 8 * title.segment_milliseconds / 1000;
                    let swing = usual * 3 / 4..=usual * 5 / 4;
                    sizes.extend((0..title.segments).map(|_| chance.random_range(swing.clone()) as u32));
                }
                title
            })
            .collect();
        Catalogue {
            sizes,
            popularity: Zipf::new(count as u32, chance.random_range(EXPONENTS)),
            ranks: (0..count as u32).collect(),
            titles,
        }
    }

    /// Who comes next, and how long such a session takes in the mean.
    fn viewer(&mut self, at: Moment, drift: Drift, chance: &mut StdRng) -> (Viewer, u64) {
        if chance.random_bool(drift.share()) {
            let (risen, fallen) = (
                chance.random_range(0..self.ranks.len()),
                self.popularity.choose(chance),
            );
            self.ranks.swap(risen, fallen as usize);
        }
        let number = self.ranks[self.popularity.choose(chance) as usize];
        let title = self.titles[number as usize];
        let start = match chance.random_bool(RESUMED) {
            true => chance.random_range(0..title.segments),
            false => 0,
        };
        let left = title.segments - start;
        let watched = match chance.random_bool(SAMPLERS) {
            true => chance.random_range(1..=LOOK_SEGMENTS.min(left)),
            false => chance.random_range(1..=left),
        };
        let viewer = Viewer {
            at,
            title: number,
            rung: rung(chance),
            step: Step::Master(start),
            end: start + watched,
            asked: 0,
        };
        (viewer, u64::from(watched) * title.segment_milliseconds)
    }
}

fn rung(chance: &mut StdRng) -> u32 {
    let mut at: f64 = chance.random();
    let shares = LADDER.iter().take_while(|(_, share)| {
        at -= share;
        at >= 0.0
    });
    (shares.count() as u32).min(RUNGS - 1)
}

impl Viewer {
    fn object(&self, title: Title) -> Object {
        match self.step {
            Step::Master(_) => title.first,
            Step::Playlist(_) => title.first + 1 + self.rung,
            Step::Segment(segment) => title.first + PLAYLISTS + self.rung * title.segments + segment,
        }
    }

    /// The viewer's next request, if it stays.
    fn after(mut self, title: Title, chance: &mut StdRng) -> Option<Viewer> {
        let mut pause = HURRY_MILLISECONDS;
        self.step = match self.step {
            Step::Master(start) => Step::Playlist(start),
            Step::Playlist(segment) => Step::Segment(segment),
            Step::Segment(segment) => {
                self.asked += 1;
                if self.asked >= BUFFERED_SEGMENTS {
                    pause = title.segment_milliseconds;
                }
                if chance.random_bool(SWITCHED) {
                    let up = chance.random_bool(0.5) && self.rung + 1 < RUNGS;
                    self.rung = if up {
                        self.rung + 1
                    } else {
                        self.rung.saturating_sub(1)
                    };
                    Step::Playlist(segment + 1)
                } else {
                    Step::Segment(segment + 1)
                }
            }
        };
        let (Step::Master(next) | Step::Playlist(next) | Step::Segment(next)) = self.step;
        self.at = Moment(self.at.0 + pause);
        (next < self.end).then_some(self)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn a_viewer_watches_in_order_and_leaves() {
        let mut chance = StdRng::seed_from_u64(7);
        let mut catalogue = Catalogue::new(3, &mut chance);
        let (mut viewer, _) = catalogue.viewer(Moment(5), Drift::Slow, &mut chance);
        let title = catalogue.titles[viewer.title as usize];
        assert_eq!(viewer.object(title), title.first);
        let mut segments = Vec::new();
        while let Some(next) = viewer.after(title, &mut chance) {
            assert!(next.at > viewer.at);
            if let Step::Segment(segment) = next.step {
                segments.push(segment);
                let inside = next.object(title) - title.first - PLAYLISTS;
                assert_eq!(
                    (inside / title.segments, inside % title.segments),
                    (next.rung, segment)
                );
            }
            viewer = next;
        }
        assert!(
            segments.windows(2).all(|pair| pair[1] == pair[0] + 1),
            "{segments:?}"
        );
        assert_eq!(segments.last(), Some(&(viewer.end - 1)));
    }

    #[test]
    fn the_trace_has_segments_of_a_megabyte_and_objects_that_come_once() {
        let character = trace(300_000, Drift::Slow, &mut StdRng::seed_from_u64(1)).character();
        assert!(
            (0.6e6..1.6e6).contains(&character.mean_request_bytes),
            "{character:?}"
        );
        assert!((0.15..0.6).contains(&character.one_hit_objects), "{character:?}");
        assert!((0.05..0.4).contains(&character.compulsory_bytes), "{character:?}");
    }
}
