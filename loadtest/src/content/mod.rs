//! Content that its URL determines: what the demo origin makes up, any client can make up too and compare.
//!
//! Nothing here does I/O. `/objects/{name}/{size}` is any number of bytes; `/library/…` is a library of HLS titles.

pub(crate) mod bytes;
pub(crate) mod library;

use ::bytes::Bytes;
use model::Size;

pub(crate) use self::bytes::Generated;
pub(crate) use self::library::Library;

/// The largest object that is made up on request; a size in a URL is a stranger's word.
pub(crate) const LARGEST_OBJECT_BYTES: u64 = 16 << 30;

/// What a URL stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// Bytes made up as they are sent.
    Generated(Generated),
    /// A short text, whole.
    Text(Bytes),
}

impl Content {
    /// What `path` (no query) stands for, or none when it names nothing of ours.
    pub(crate) fn of(path: &str, library: &Library) -> Option<Content> {
        if let Some(rest) = path.strip_prefix("/objects/") {
            let (name, size) = rest.split_once('/')?;
            let length = size.parse::<Size>().ok()?.0;
            let named = !name.is_empty() && length <= LARGEST_OBJECT_BYTES;
            return named.then(|| Content::Generated(Generated::named(path, length)));
        }
        library.content(path.strip_prefix("/library/")?, path)
    }

    /// How many bytes it has.
    pub(crate) fn length(&self) -> u64 {
        match self {
            Content::Generated(generated) => generated.length(),
            Content::Text(text) => text.len() as u64,
        }
    }

    /// Whether `bytes` are what stands at `offset`.
    pub(crate) fn matches(&self, offset: u64, bytes: &[u8]) -> bool {
        match self {
            Content::Generated(generated) => generated.matches(offset, bytes),
            Content::Text(text) => {
                let begin = usize::try_from(offset).unwrap_or(usize::MAX);
                text.get(begin..).is_some_and(|rest| rest.starts_with(bytes))
            }
        }
    }
}

/// The media type that goes with a path's ending.
pub(crate) fn media_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map_or("", |(_, ending)| ending) {
        "m3u8" => "application/vnd.apple.mpegurl",
        "mpd" => "application/dash+xml",
        "m4s" => "video/iso.segment",
        "mp4" => "video/mp4",
        "ts" => "video/mp2t",
        "vtt" => "text/vtt",
        "js" => "text/javascript; charset=utf-8",
        "html" => "text/html; charset=utf-8",
        "txt" | "md" => "text/plain; charset=utf-8",
        "json" => "application/json",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_an_object_or_nothing() {
        let library = Library {
            titles: 2,
            segments: 3,
        };
        let length = |path: &str| Content::of(path, &library).map(|content| content.length());
        assert_eq!(length("/objects/a/1KiB"), Some(1024));
        assert_eq!(length("/objects/a/0"), Some(0));
        for nothing in [
            "/objects/a",
            "/objects//1KiB",
            "/objects/a/many",
            "/objects/a/17GiB",
            "/",
            "/demo/master.m3u8",
        ] {
            assert_eq!(length(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn a_text_is_compared_at_its_offset() {
        let text = Content::Text(Bytes::from_static(b"hello"));
        assert!(text.matches(1, b"ell"));
        assert!(!text.matches(1, b"hell"));
        assert!(!text.matches(9, b"x"));
        assert!(!text.matches(3, b"lo!"));
    }
}
