//! What edges compress for players that take it: manifests and other text, never media.

use serde::{Deserialize, Serialize};

use crate::Size;

/// Media types that are compressed where a service names none: what players and pages read as text.
const TYPES: [&str; 11] = [
    "text/*",
    "application/vnd.apple.mpegurl",
    "application/x-mpegurl",
    "audio/mpegurl",
    "audio/x-mpegurl",
    "application/dash+xml",
    "application/json",
    "application/javascript",
    "application/xml",
    "application/*+json",
    "application/*+xml",
];

/// The most that may be compressed: it is held in memory, with what comes of it, for the time that takes.
pub const COMPRESSED_SIZE_MAX: Size = Size(16 << 20);

/// What an edge compresses, once for each object and coding, and keeps beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compression {
    /// Whether anything is. What origins have compressed is passed on either way.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Media types, lower case, without parameters; one `*` stands for any part of a subtype. Default: text, JSON, XML,
    /// JavaScript, SVG and the manifests of HLS and DASH.
    #[serde(default = "text")]
    pub types: Vec<String>,
    /// Smaller objects are sent as they are: a coding would save no packet.
    #[serde(default = "a_packet")]
    pub min_size: Size,
    /// Larger objects are sent as they are: nobody should wait for them to be compressed. 16 MiB at most.
    #[serde(default = "two_mebibytes")]
    pub max_size: Size,
}

fn yes() -> bool {
    true
}

fn text() -> Vec<String> {
    let svg = ["image/svg+xml"];
    TYPES.into_iter().chain(svg).map(str::to_owned).collect()
}

fn a_packet() -> Size {
    Size(1024)
}

fn two_mebibytes() -> Size {
    Size(2 << 20)
}

impl Default for Compression {
    fn default() -> Compression {
        Compression {
            enabled: yes(),
            types: text(),
            min_size: a_packet(),
            max_size: two_mebibytes(),
        }
    }
}

impl Compression {
    /// Whether a `Content-Type` is of one of the types, in any case and whatever its parameters.
    #[must_use]
    pub fn covers(&self, content_type: &str) -> bool {
        let media_type = content_type.split(';').next().unwrap_or_default().trim();
        self.types.iter().any(|pattern| matches(pattern, media_type))
    }
}

/// Whether a media type is as `pattern` says.
fn matches(pattern: &str, media_type: &str) -> bool {
    let Some((before, after)) = pattern.split_once('*') else {
        return pattern.eq_ignore_ascii_case(media_type);
    };
    let Some(middle) = media_type.len().checked_sub(before.len() + after.len()) else {
        return false;
    };
    let ends = (
        media_type.get(..before.len()),
        media_type.get(before.len() + middle..),
    );
    matches!(ends, (Some(start), Some(end)) if start.eq_ignore_ascii_case(before) && end.eq_ignore_ascii_case(after))
}

/// Whether `pattern` may stand among the types: a type and a subtype, one `*` in the latter at most, and none of media,
/// whose bytes no coding makes smaller.
#[must_use]
pub fn is_pattern(pattern: &str) -> bool {
    let Some((kind, subtype)) = pattern.split_once('/') else {
        return false;
    };
    let is_token = |text: &str, extra: &str| {
        !text.is_empty()
            && text.bytes().all(|byte| {
                byte.is_ascii_lowercase()
                    || byte.is_ascii_digit()
                    || b"!#$&-^_.+".contains(&byte)
                    || extra.as_bytes().contains(&byte)
            })
    };
    let playlist = subtype.ends_with("mpegurl");
    let media =
        kind == "video" || (kind == "audio" && !playlist) || (kind == "image" && !subtype.ends_with("+xml"));
    is_token(kind, "") && is_token(subtype, "*") && subtype.matches('*').count() <= 1 && !media
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_covered_and_media_is_not() {
        let compression = Compression::default();
        for (content_type, covered) in [
            ("text/html; charset=utf-8", true),
            ("TEXT/VTT", true),
            ("application/vnd.apple.mpegurl", true),
            ("application/x-mpegURL", true),
            ("audio/mpegurl", true),
            ("application/dash+xml", true),
            ("application/ld+json ; x=y", true),
            ("image/svg+xml", true),
            ("application/json", true),
            ("application/+json", true),
            ("application/jsonp", false),
            ("application/octet-stream", false),
            ("video/mp4", false),
            ("audio/mp4", false),
            ("image/png", false),
            ("text", false),
            ("", false),
            ("+json", false),
            ("\u{e4}\u{e4}\u{e4}/\u{e4}", false),
        ] {
            assert_eq!(compression.covers(content_type), covered, "{content_type}");
        }
    }

    #[test]
    fn a_pattern_has_one_star_at_most_and_names_no_media() {
        assert!(
            Compression::default()
                .types
                .iter()
                .all(|pattern| is_pattern(pattern))
        );
        for wrong in [
            "",
            "text",
            "*/*",
            "text/",
            "/html",
            "text/*x*",
            "Text/html",
            "text/html; charset=utf-8",
            "video/*",
            "video/mp4",
            "audio/*",
            "image/*",
            "image/png",
        ] {
            assert!(!is_pattern(wrong), "{wrong}");
        }
    }
}
