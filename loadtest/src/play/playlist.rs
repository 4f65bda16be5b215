//! Playlists as a player reads them (RFC 8216): from the master to renditions, from a rendition to segments.

use m3u8_rs::{AlternativeMediaType, MasterPlaylist, MediaPlaylist};

/// What a master playlist offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Master {
    /// Paths of the video renditions with their bits per second, as listed.
    pub(crate) videos: Vec<(u64, String)>,
    /// Path of the sound, when it is apart.
    pub(crate) sound: Option<String>,
}

/// What a media playlist lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Media {
    /// Path of the init segment.
    pub(crate) init: Option<String>,
    /// Paths of the segments with their milliseconds.
    pub(crate) segments: Vec<(u64, String)>,
}

/// Reads the master playlist at `path`.
///
/// # Errors
///
/// When it is none or offers no video.
pub(crate) fn master(path: &str, text: &[u8]) -> Result<Master, String> {
    let (_, playlist): (_, MasterPlaylist) =
        m3u8_rs::parse_master_playlist(text).map_err(|_| format!("{path} is no master playlist"))?;
    let videos: Vec<(u64, String)> = playlist
        .variants
        .iter()
        .filter(|variant| !variant.is_i_frame)
        .map(|variant| (variant.bandwidth, resolve(path, &variant.uri)))
        .collect();
    if videos.is_empty() {
        return Err(format!("{path} offers no video"));
    }
    let sound = playlist
        .alternatives
        .iter()
        .filter(|other| other.media_type == AlternativeMediaType::Audio)
        .find_map(|other| other.uri.as_deref())
        .map(|uri| resolve(path, uri));
    Ok(Master { videos, sound })
}

/// Reads the media playlist at `path`.
///
/// # Errors
///
/// When it is none or lists nothing.
pub(crate) fn media(path: &str, text: &[u8]) -> Result<Media, String> {
    let (_, playlist): (_, MediaPlaylist) =
        m3u8_rs::parse_media_playlist(text).map_err(|_| format!("{path} is no media playlist"))?;
    let init = playlist
        .segments
        .iter()
        .find_map(|segment| segment.map.as_ref())
        .map(|map| resolve(path, &map.uri));
    let segments: Vec<(u64, String)> = playlist
        .segments
        .iter()
        .map(|segment| {
            (
                (f64::from(segment.duration) * 1000.0) as u64,
                resolve(path, &segment.uri),
            )
        })
        .collect();
    if segments.is_empty() {
        Err(format!("{path} lists no segment"))
    } else {
        Ok(Media { init, segments })
    }
}

/// The path that `uri`, found in the document at `base`, leads to on the same server.
fn resolve(base: &str, uri: &str) -> String {
    if uri.starts_with('/') {
        return uri.to_owned();
    }
    let folder = base.rfind('/').map_or("", |slash| &base[..=slash]);
    format!("{folder}{uri}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::{Content, Library};

    #[test]
    fn a_player_finds_its_way_from_the_master_to_every_segment_of_the_library() {
        let library = Library {
            titles: 1,
            segments: 3,
        };
        let text = |path: &str| match Content::of(path, &library) {
            Some(Content::Text(text)) => text,
            other => panic!("{path} is {other:?}"),
        };
        let path = Library::master_path(0);
        let found = master(&path, &text(&path)).unwrap();
        assert_eq!(
            found
                .videos
                .iter()
                .map(|(bandwidth, _)| *bandwidth)
                .collect::<Vec<_>>(),
            [6_000_000, 3_000_000, 1_000_000]
        );
        for rendition in found.videos.iter().map(|(_, path)| path).chain(&found.sound) {
            let listed = media(rendition, &text(rendition)).unwrap();
            assert_eq!(listed.segments.len(), 3);
            assert!(
                listed
                    .segments
                    .iter()
                    .all(|(milliseconds, _)| *milliseconds == 4000)
            );
            for path in listed.segments.iter().map(|(_, path)| path).chain(&listed.init) {
                assert!(Content::of(path, &library).is_some(), "{path}");
            }
        }
    }

    #[test]
    fn the_demo_asset_is_read() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../conf/local/media");
        let text = |path: &str| std::fs::read(format!("{folder}{path}")).unwrap();
        let found = master("/demo/master.m3u8", &text("/demo/master.m3u8")).unwrap();
        assert_eq!(found.videos.len(), 2);
        let sound = found.sound.unwrap();
        for rendition in found.videos.iter().map(|(_, path)| path).chain([&sound]) {
            let listed = media(rendition, &text(rendition)).unwrap();
            let seconds = listed
                .segments
                .iter()
                .map(|(milliseconds, _)| milliseconds)
                .sum::<u64>()
                / 1000;
            assert!((59..=60).contains(&seconds), "{rendition}: {seconds} s");
            for path in listed.segments.iter().map(|(_, path)| path).chain(&listed.init) {
                assert!(!text(path).is_empty());
            }
        }
    }

    #[test]
    fn what_is_no_playlist_is_an_error() {
        for text in ["", "<html>", "#EXTM3U\n"] {
            assert!(master("/m", text.as_bytes()).is_err(), "{text:?}");
            assert!(media("/m", text.as_bytes()).is_err(), "{text:?}");
        }
    }

    #[test]
    fn uris_are_resolved_against_their_playlist() {
        for (base, uri, path) in [
            ("/a/b/c.m3u8", "d/e.m4s", "/a/b/d/e.m4s"),
            ("/a/b.m3u8", "/c.m4s", "/c.m4s"),
        ] {
            assert_eq!(resolve(base, uri), path);
        }
    }
}
