//! Content codings: which of those the CDN knows a request takes, best first (RFC 9110 §12.5.3).
//!
//! Players spell `Accept-Encoding` in dozens of ways that mean the same. A fill sends the normal form of what the one
//! who asked said, and variants are told apart by it, so that there are as many as there are meanings.

use http::{HeaderMap, HeaderValue, header};

use super::directives::members;

/// A coding that the CDN knows. The order is the one in which equally welcome ones are preferred: how small they make
/// text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// RFC 7932.
    Brotli,
    /// RFC 8878.
    Zstandard,
    /// RFC 1952.
    Gzip,
    /// No coding.
    Identity,
}

/// How many codings there are.
const CODINGS: usize = 4;

/// A weight of 1 in thousandths, the finest there are (RFC 9110 §12.4.2).
const WEIGHT_MAX: u16 = 1000;

impl Coding {
    /// All of them, the most preferred first.
    pub const ALL: [Coding; CODINGS] = [Coding::Brotli, Coding::Zstandard, Coding::Gzip, Coding::Identity];

    /// Its name in `Accept-Encoding` and `Content-Encoding`.
    #[must_use]
    pub fn token(self) -> &'static str {
        match self {
            Coding::Brotli => "br",
            Coding::Zstandard => "zstd",
            Coding::Gzip => "gzip",
            Coding::Identity => "identity",
        }
    }

    /// The coding of that name, in any case; `x-gzip` is gzip (RFC 9110 §8.4.1.3).
    fn named(token: &[u8]) -> Option<Coding> {
        if token.eq_ignore_ascii_case(b"x-gzip") {
            return Some(Coding::Gzip);
        }
        Coding::ALL
            .into_iter()
            .find(|coding| token.eq_ignore_ascii_case(coding.token().as_bytes()))
    }
}

/// What a request takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Thousandths for each of [`Coding::ALL`]; 0 is not taken.
    weights: [u16; CODINGS],
}

impl Accepted {
    /// Nothing but the plain bytes. A request without the field takes any coding by the RFC, but whoever does not speak
    /// of codings is rarely able to undo one.
    pub const IDENTITY: Accepted = Accepted {
        weights: [0, 0, 0, WEIGHT_MAX],
    };

    /// What `request` says. A weight that is none takes its coding away: what is not said clearly is not sent.
    #[must_use]
    pub fn of(request: &HeaderMap) -> Accepted {
        if !request.contains_key(header::ACCEPT_ENCODING) {
            return Accepted::IDENTITY;
        }
        let mut said: [Option<u16>; CODINGS] = [None; CODINGS];
        let mut others = None;
        let lines = request.get_all(header::ACCEPT_ENCODING).iter();
        for member in lines.flat_map(|line| members(line.as_bytes())) {
            let (token, weight) = split_weight(member);
            if token == b"*" {
                others = others.max(Some(weight));
            } else if let Some(coding) = Coding::named(token) {
                let known = &mut said[coding as usize];
                *known = (*known).max(Some(weight));
            }
        }
        let mut weights = said.map(|weight| weight.or(others).unwrap_or(0));
        if said[Coding::Identity as usize].or(others).is_none() {
            // Taken unless it is excluded, and the least welcome.
            weights[Coding::Identity as usize] = weights
                .iter()
                .copied()
                .filter(|weight| *weight > 0)
                .min()
                .unwrap_or(WEIGHT_MAX);
        }
        Accepted { weights }
    }

    /// The best coding other than none, where the request likes none no better.
    #[must_use]
    pub fn compressed(self) -> Option<Coding> {
        self.in_order()
            .next()
            .filter(|coding| *coding != Coding::Identity)
    }

    /// What is taken, best first; those that are equally welcome in the order of [`Coding::ALL`].
    fn in_order(self) -> impl Iterator<Item = Coding> {
        let mut order = Coding::ALL;
        order.sort_by_key(|coding| std::cmp::Reverse(self.weight(*coding)));
        order.into_iter().filter(move |coding| self.weight(*coding) > 0)
    }

    fn weight(self, coding: Coding) -> u16 {
        self.weights[coding as usize]
    }

    /// The normal form: what is taken in order, with a weight where one is less welcome than the one before it;
    /// `identity` only where it is more welcome than another, excluded, or all there is.
    #[must_use]
    pub fn text(self) -> String {
        let mut text = String::new();
        let mut push = |token: &str, weight: u16| {
            if !text.is_empty() {
                text.push_str(", ");
            }
            text.push_str(token);
            if weight < 10 {
                text.push_str(";q=0.");
                text.push(char::from(b'0' + weight as u8));
            }
        };
        let last = self.in_order().last();
        let mut tenths: u16 = 10;
        let mut before = None;
        for coding in self.in_order() {
            let weight = self.weight(coding);
            if before.is_some_and(|before| before > weight) {
                tenths -= 1;
            }
            if coding == Coding::Identity && last == Some(coding) && before.is_some() {
                break;
            }
            push(coding.token(), tenths);
            before = Some(weight);
        }
        if self.weight(Coding::Identity) == 0 {
            push("identity;q=0", 10);
        }
        text
    }

    /// The normal form as a field's value.
    #[must_use]
    pub fn value(self) -> HeaderValue {
        // The usual ones without an allocation.
        match self.text().as_str() {
            "identity" => HeaderValue::from_static("identity"),
            "gzip" => HeaderValue::from_static("gzip"),
            "br, gzip" => HeaderValue::from_static("br, gzip"),
            "br, zstd, gzip" => HeaderValue::from_static("br, zstd, gzip"),
            text => HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("identity")),
        }
    }
}

/// A member of the list as its coding and its weight in thousandths.
fn split_weight(member: &[u8]) -> (&[u8], u16) {
    let mut parts = member.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    let token = parts.next().unwrap_or_default();
    let weight = parts.find_map(|part| match part {
        [b'q' | b'Q', b'=', value @ ..] => Some(thousandths(value).unwrap_or(0)),
        _ => None,
    });
    (token, weight.unwrap_or(WEIGHT_MAX))
}

/// A weight as RFC 9110 §12.4.2 writes it: 0 or 1, with up to three digits after the point.
fn thousandths(value: &[u8]) -> Option<u16> {
    let (whole, fraction) = match value {
        [whole] => (*whole, &[][..]),
        [whole, b'.', fraction @ ..] if fraction.len() <= 3 => (*whole, fraction),
        _ => return None,
    };
    let mut parts = 0;
    for place in 0..3 {
        let digit = fraction.get(place).copied().unwrap_or(b'0');
        parts = parts * 10 + u16::from(digit.is_ascii_digit().then(|| digit - b'0')?);
    }
    match (whole, parts) {
        (b'0', parts) => Some(parts),
        (b'1', 0) => Some(WEIGHT_MAX),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn accepted(lines: &[&str]) -> Accepted {
        let mut fields = HeaderMap::new();
        for line in lines {
            fields.append(
                header::ACCEPT_ENCODING,
                HeaderValue::from_bytes(line.as_bytes()).expect("legal in a header"),
            );
        }
        Accepted::of(&fields)
    }

    /// RFC 9110 §12.5.3.
    #[test]
    fn what_means_the_same_has_one_normal_form() {
        for (lines, normal) in [
            (&[][..], "identity"),
            (&[""], "identity"),
            (&["identity"], "identity"),
            (&["deflate, compress"], "identity"),
            (&["gzip"], "gzip"),
            (&["x-gzip"], "gzip"),
            (&["GZIP;q=1.000"], "gzip"),
            (&["gzip, deflate"], "gzip"),
            (&["gzip;q=0.5"], "gzip"),
            (&["gzip, identity"], "gzip"),
            (&["gzip, deflate, br"], "br, gzip"),
            (&["br,gzip"], "br, gzip"),
            (&["gzip", "br"], "br, gzip"),
            (&["br;q=0.3 , gzip;q=0.3"], "br, gzip"),
            (&["gzip, deflate, br, zstd"], "br, zstd, gzip"),
            (&["*"], "br, zstd, gzip"),
            (&["*;q=0.1"], "br, zstd, gzip"),
            (&["gzip, br;q=0.9"], "gzip, br;q=0.9"),
            (&["br;q=0.01, gzip;q=0.02"], "gzip, br;q=0.9"),
            (&["gzip, br;q=0.5, zstd;q=0.4"], "gzip, br;q=0.9, zstd;q=0.8"),
            (&["gzip, *;q=0"], "gzip, identity;q=0"),
            (&["gzip, identity;q=0"], "gzip, identity;q=0"),
            (&["gzip;q=0, br, identity;q=0.0"], "br, identity;q=0"),
            (&["identity;q=0"], "identity;q=0"),
            (&["*;q=0"], "identity;q=0"),
            (&["identity, *;q=0"], "identity"),
            (&["identity, gzip;q=0.5"], "identity, gzip;q=0.9"),
            (
                &["br, identity;q=0.5, gzip;q=0.1"],
                "br, identity;q=0.9, gzip;q=0.8",
            ),
            (&["gzip;q=0"], "identity"),
            (&["gzip;q=2"], "identity"),
            (&["gzip;q=x"], "identity"),
            (&["gzip;q=0.1234"], "identity"),
            (&["gzip;q="], "identity"),
            (&["gzip;level=9;q=0.5, br;q=0.6"], "br, gzip;q=0.9"),
        ] {
            assert_eq!(accepted(lines).text(), normal, "{lines:?}");
            assert_eq!(accepted(lines).value(), normal, "{lines:?}");
        }
    }

    #[test]
    fn text_is_compressed_where_the_request_likes_that_better_than_plain() {
        for (line, coding) in [
            ("", None),
            ("identity", None),
            ("gzip", Some(Coding::Gzip)),
            ("gzip, deflate, br, zstd", Some(Coding::Brotli)),
            ("gzip, zstd", Some(Coding::Zstandard)),
            ("gzip;q=1, br;q=0.9", Some(Coding::Gzip)),
            ("identity, gzip;q=0.5", None),
            ("identity;q=0", None),
            ("*", Some(Coding::Brotli)),
        ] {
            assert_eq!(accepted(&[line]).compressed(), coding, "{line}");
        }
    }

    proptest! {
        #[test]
        fn the_normal_form_is_its_own_normal_form(line in "((br|gzip|zstd|identity|\\*|x)(;q=(0|1|0\\.[0-9]))?,){0,6}") {
            let once = accepted(&[&line]);
            let twice = accepted(&[&once.text()]);
            prop_assert_eq!(once.text(), twice.text());
            prop_assert_eq!(once.compressed(), twice.compressed());
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes: Vec<u8>) {
            if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                let mut fields = HeaderMap::new();
                fields.insert(header::ACCEPT_ENCODING, value);
                let _ = Accepted::of(&fields).value();
            }
        }
    }
}
