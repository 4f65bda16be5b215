//! Header values with names in braces: `{site}`, `{region}` and `{node}` stand for the node's own.
//!
//! A name is one or more lower-case letters, digits, `-` or `_`; any other brace stands for itself, so that JSON may
//! be a value.

/// The names that a value may have in braces.
pub const NAMES: [&str; 3] = ["site", "region", "node"];

/// What the names stand for on one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// The name of its site.
    pub site: &'a str,
    /// The region of its site.
    pub region: &'a str,
    /// Its own name.
    pub node: &'a str,
}

/// `value` with what its names stand for at `place`. A name that is none of [`NAMES`] stays as it is; the check of a
/// snapshot refuses it.
#[must_use]
pub fn expand(value: &str, place: &Place<'_>) -> String {
    let mut text = String::with_capacity(value.len());
    for piece in pieces(value) {
        text.push_str(match piece {
            Piece::Text(text) => text,
            Piece::Name { name: "site", .. } => place.site,
            Piece::Name { name: "region", .. } => place.region,
            Piece::Name { name: "node", .. } => place.node,
            Piece::Name { written, .. } => written,
        });
    }
    text
}

/// The names in braces that stand for nothing.
pub(crate) fn unknown_names(value: &str) -> impl Iterator<Item = &str> {
    pieces(value).filter_map(|piece| match piece {
        Piece::Name { name, .. } if !NAMES.contains(&name) => Some(name),
        _ => None,
    })
}

enum Piece<'a> {
    Text(&'a str),
    Name { name: &'a str, written: &'a str },
}

fn pieces(value: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = value;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        if let Some(name) = name_at_start(rest) {
            let (written, after) = rest.split_at(name.len() + 2);
            rest = after;
            return Some(Piece::Name { name, written });
        }
        // At least one byte of text, up to the next brace that may begin a name.
        let end = rest
            .bytes()
            .skip(1)
            .position(|byte| byte == b'{')
            .map_or(rest.len(), |at| at + 1);
        let (text, after) = rest.split_at(end);
        rest = after;
        Some(Piece::Text(text))
    })
}

/// `site` of `{site} and more`.
fn name_at_start(text: &str) -> Option<&str> {
    let (name, _) = text.strip_prefix('{')?.split_once('}')?;
    let legal = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
    (!name.is_empty() && name.bytes().all(legal)).then_some(name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HERE: Place<'_> = Place {
        site: "ams",
        region: "eu-west",
        node: "edge-ams-1",
    };

    #[test]
    fn names_stand_for_the_nodes_own_and_other_braces_for_themselves() {
        for (value, expanded) in [
            ("", ""),
            ("plain", "plain"),
            ("{site}", "ams"),
            ("{region}/{site}/{node}", "eu-west/ams/edge-ams-1"),
            ("at {site}.", "at ams."),
            ("{{site}}", "{ams}"),
            ("{\"group\":\"{site}\"}", "{\"group\":\"ams\"}"),
            ("{planet}", "{planet}"),
            ("{Site}", "{Site}"),
            ("{ site }", "{ site }"),
            ("{}", "{}"),
            ("{site", "{site"),
            ("\u{f6}{site}\u{f6}", "\u{f6}ams\u{f6}"),
        ] {
            assert_eq!(expand(value, &HERE), expanded, "{value}");
        }
    }

    #[test]
    fn what_stands_for_nothing_is_found() {
        assert_eq!(
            unknown_names("{planet}{site}{ x }{moon-1}").collect::<Vec<_>>(),
            ["planet", "moon-1"]
        );
    }

    proptest! {
        #[test]
        fn no_value_makes_the_reader_panic_or_lose_text(value in "[{}a-z \u{f6}]{0,40}") {
            let itself = Place { site: "{site}", region: "{region}", node: "{node}" };
            prop_assert_eq!(expand(&value, &itself), value);
        }
    }
}
