//! Which of a URL's answers a request gets, where they vary (RFC 9110 §12.5.5, RFC 9111 §4.1).
//!
//! A request chooses by what a fill on its behalf would send: its codings in their normal form, its other fields after
//! the service's rules. So who is answered from the cache gets what upstream would have given it.

use std::borrow::Cow;
use std::sync::Arc;

use cache::policy::Target;
use cache::policy::coding::Accepted;
use cache::policy::ttl::Class;
use cache::policy::vary::Names;
use cache::{Head, Key};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::{Visit, request::Request};
use crate::world::ServiceWorld;

/// What a request found under its URL's key: not an answer, but several to choose from.
pub(crate) struct Varied {
    /// The key of the URL.
    pub(super) primary: Key,
    /// What lies there.
    pub(super) mark: Arc<Head>,
}

impl<D> Visit<'_, '_, D> {
    /// Goes on with the variant that the request gets, of those that `mark` leads to. `false` where it has none: what it
    /// says is too long for a key.
    pub(super) fn choose(&mut self, mark: &Arc<Head>) -> bool {
        let Some(variation) = mark.variation() else {
            return false;
        };
        let names = variation.names();
        let selecting = selecting(&self.service, self.reply.request, &self.target, names);
        let Some(key) = names.variant(self.primary(), &selecting) else {
            self.reply.core.node.cache.refuse_variant();
            return false;
        };
        let primary = self.primary().clone();
        self.key = key;
        self.varied = Some(Box::new(Varied {
            primary,
            mark: mark.clone(),
        }));
        true
    }

    /// The key of the URL, whichever of its answers the request gets.
    pub(super) fn primary(&self) -> &Key {
        self.varied.as_ref().map_or(&self.key, |varied| &varied.primary)
    }
}

/// The `Accept-Encoding` that a fill sends for a request: its normal form. Media is as small as it gets; one answer for
/// all is worth more than what a coding could save.
#[must_use]
pub fn accept_encoding(target: &Target, request: &HeaderMap) -> HeaderValue {
    match is_media(target) {
        true => Accepted::IDENTITY.value(),
        false => Accepted::of(request).value(),
    }
}

/// The fields that choose among variants, as a fill would send them.
fn selecting<'a>(
    service: &ServiceWorld,
    request: &Request<'a>,
    target: &Target,
    names: &Names,
) -> Cow<'a, HeaderMap> {
    if service.rules.request.is_empty() && !is_media(target) {
        // Taken in their normal form all the same.
        return Cow::Borrowed(request.fields);
    }
    let mut fields = HeaderMap::new();
    for name in names.iter() {
        for value in request.fields.get_all(name) {
            fields.append(name, value.clone());
        }
    }
    fields.insert(header::ACCEPT_ENCODING, accept_encoding(target, request.fields));
    service.rules.request.apply(&mut fields);
    Cow::Owned(fields)
}

/// By what an answer of `status` with `fields` is told from others of its URL, of which `known` is known; none where it
/// is for every request.
///
/// What the URL's answers varied by before counts on. An answer that does not vary takes the place of all variants, but
/// an error does not: it may concern this one only.
#[must_use]
pub(super) fn names(target: &Target, status: StatusCode, fields: &HeaderMap, known: Option<&Names>) -> Names {
    // What never matches is not stored at all.
    let mut names = Names::of(fields).unwrap_or_default();
    if is_media(target) && !fields.contains_key(header::CONTENT_ENCODING) {
        // All requests for it say the same.
        names = names.without(&header::ACCEPT_ENCODING);
    }
    match known {
        Some(known) if !names.is_empty() || status.is_client_error() || status.is_server_error() => {
            known.with(&names)
        }
        _ => names,
    }
}

/// Whether a path is that of media, which is the same for every request.
pub(super) fn is_media(target: &Target) -> bool {
    Class::of(target.path()) == Class::Segment
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::service::QueryKey;

    fn fields(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut fields = HeaderMap::new();
        for (name, value) in lines {
            fields.append(*name, HeaderValue::from_static(value));
        }
        fields
    }

    fn target(text: &str) -> Target {
        Target::parse(text, &QueryKey::default()).unwrap()
    }

    #[test]
    fn media_is_asked_for_without_codings_and_all_else_as_the_request_takes_it() {
        let request = fields(&[("accept-encoding", "gzip, deflate, br")]);
        for (path, sent) in [
            ("/a/1.m4s?x=y", "identity"),
            ("/a/1.ts", "identity"),
            ("/a/master.m3u8", "br, gzip"),
            ("/a", "br, gzip"),
        ] {
            assert_eq!(accept_encoding(&target(path), &request), sent, "{path}");
        }
    }

    #[test]
    fn an_answer_is_told_from_others_by_what_any_of_them_varies_by() {
        let of = |list: &'static str| Names::of(&fields(&[("vary", list)])).unwrap();
        let gzip = &[("content-encoding", "gzip"), ("vary", "accept-encoding")][..];
        for (path, status, answer, known, expected) in [
            ("/a", 200, &[][..], None, ""),
            ("/a", 200, &[("vary", "origin")], None, "origin"),
            (
                "/a",
                200,
                &[("vary", "origin")],
                Some("accept-encoding"),
                "accept-encoding, origin",
            ),
            ("/a", 200, &[], Some("origin"), ""),
            ("/a", 404, &[], Some("origin"), "origin"),
            ("/a", 503, &[], None, ""),
            ("/a", 301, &[], Some("origin"), ""),
            ("/a/1.m4s", 200, &[("vary", "accept-encoding")], None, ""),
            (
                "/a/1.m4s",
                200,
                &[("vary", "accept-encoding, origin")],
                None,
                "origin",
            ),
            ("/a/1.m4s", 200, gzip, None, "accept-encoding"),
        ] {
            let known = known.map(of);
            let status = StatusCode::from_u16(status).unwrap();
            let found = names(&target(path), status, &fields(answer), known.as_ref());
            assert_eq!(found, of(expected), "{path} {status} {answer:?} {known:?}");
        }
    }
}
