//! What an answer to an unsafe request makes invalid (RFC 9111 §4.4, RFC 9875 §3).
//!
//! Whatever is stored for the target, and for what `Location` and `Content-Location` name on the same host, is purged as by
//! URL, variants with it; `Cache-Group-Invalidation` purges the groups it lists within the service. A purge rather than a
//! removal, because only a purge covers fills under way, a disk that comes back, and a restart. It is in force at once, for
//! everybody. The head of the answer waits until it is journalled: a write of one block, shared with what else is purged at
//! that moment, some hundred microseconds on an NVMe drive after the round trip to the origin. So who has seen anything of
//! the answer may rely on it after a power cut too; a device that hangs holds answers up for a moment, not for ever. A node
//! without a disk waits for nothing.

use std::time::Duration;

use cache::policy::Target;
use cache::purge::{Mode, Purge, What, tags};
use cache::{Cache, Key};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use model::Moment;
use model::hosts::host_of;
use tokio::task::JoinSet;

use super::request::Request;
use crate::world::ServiceWorld;

/// How long the end of an answer waits for the journal: a device that takes longer is failing, and its steward sees to
/// it.
const SETTLE_MAX: Duration = Duration::from_secs(1);

/// Groups that one answer may invalidate: RFC 9875 §3 asks for 32 at least.
const GROUPS_MAX: usize = 64;

/// An invalidation that is in force and on its way to the journal.
pub(super) struct Invalidation {
    journalling: JoinSet<()>,
}

impl Invalidation {
    /// Invalidates what an answer of `status` and `fields` makes invalid, if it does.
    pub(super) fn of(
        request: &Request<'_>,
        status: StatusCode,
        fields: &HeaderMap,
        service: &ServiceWorld,
        target: &Target,
        cache: &Cache,
    ) -> Option<Invalidation> {
        // An unknown method counts as unsafe; what failed has changed nothing (RFC 9111 §4.4).
        let is_safe = matches!(
            *request.method,
            Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE
        );
        if is_safe || !(status.is_success() || status.is_redirection()) {
            return None;
        }
        let now = Moment(daemon::clock::now_millis());
        let mut journalling = JoinSet::new();
        for what in named(request, fields, service, target) {
            let purge = Purge {
                what,
                mode: Mode::Hard,
                not_before: 0,
            };
            // In force from here on.
            let journalled = cache.purge(&purge, now);
            journalling.spawn(async move {
                if let Err(error) = journalled.await {
                    tracing::warn!(%error, "an invalidation may not survive a restart");
                }
            });
        }
        Some(Invalidation { journalling })
    }

    /// Waits until it is journalled, for a moment at most; a journal that takes longer goes on behind.
    pub(super) async fn settle(mut self) {
        let all = async { while self.journalling.join_next().await.is_some() {} };
        if tokio::time::timeout(SETTLE_MAX, all).await.is_err() {
            tracing::warn!("the purge journal takes longer than {SETTLE_MAX:?} for an invalidation");
            self.journalling.detach_all();
        }
    }
}

fn named(request: &Request<'_>, fields: &HeaderMap, service: &ServiceWorld, target: &Target) -> Vec<What> {
    let key = |target: &Target| What::Url(Key::new(&service.name, target.as_str()));
    let others = [header::LOCATION, header::CONTENT_LOCATION];
    let others = others
        .iter()
        .filter_map(|name| fields.get(name))
        .filter_map(|reference| same_host(request, target.path(), reference))
        .filter_map(|path| Target::parse(&path, &service.service.query).ok())
        .map(|target| key(&target));
    let groups = tags::invalidated_groups(fields).into_iter().take(GROUPS_MAX);
    let groups = groups.map(|tag| What::Tag {
        service: (*service.name).into(),
        tag: tag.into(),
    });
    std::iter::once(key(target)).chain(others).chain(groups).collect()
}

/// The path and query that a URI reference (RFC 3986 §4.1) names on the request's own host; `None` where it names
/// another, or nothing that could be asked for. The scheme is not looked at: a parent does not know the player's, and
/// one cache serves both.
fn same_host(request: &Request<'_>, base: &str, reference: &HeaderValue) -> Option<String> {
    let reference = reference.to_str().ok()?;
    let reference = reference.split('#').next().unwrap_or_default();
    let without_scheme = ["http:", "https:"]
        .into_iter()
        .find_map(|scheme| {
            let begins = reference.get(..scheme.len())?.eq_ignore_ascii_case(scheme);
            begins.then(|| &reference[scheme.len()..])
        })
        .unwrap_or(reference);
    let path = if let Some(rest) = without_scheme.strip_prefix("//") {
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if host_of(authority)? != request.host()? {
            return None;
        }
        if path.starts_with('/') {
            path.to_owned()
        } else {
            format!("/{path}")
        }
    } else if without_scheme.len() != reference.len() || has_scheme(reference) {
        return None;
    } else if reference.starts_with('/') {
        reference.to_owned()
    } else if reference.is_empty() || reference.starts_with('?') {
        format!("{base}{reference}")
    } else {
        let folder = base.rfind('/').map_or("/", |slash| &base[..=slash]);
        format!("{folder}{reference}")
    };
    let (path, query) = match path.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (&path[..], None),
    };
    let mut path = without_dots(path);
    if let Some(query) = query {
        path.push('?');
        path.push_str(query);
    }
    Some(path)
}

fn has_scheme(reference: &str) -> bool {
    let end = reference.find([':', '/', '?']);
    end.is_some_and(|end| reference.as_bytes()[end] == b':')
}

/// RFC 3986 §5.2.4, for a path that begins with a slash.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                if is_last {
                    kept.push("");
                }
            }
            segment => kept.push(segment),
        }
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use http::Version;

    use super::*;
    use crate::upstream::RequestBody;

    #[test]
    fn a_reference_names_a_path_on_the_same_host_or_nothing() {
        let fields = HeaderMap::new();
        let request = Request {
            method: &Method::POST,
            version: Version::HTTP_11,
            authority: Some("a.test:8080"),
            target: "/films/1",
            fields: &fields,
            client: ([192, 0, 2, 1], 1024).into(),
            body: RequestBody::None,
            awaits_continue: false,
            tls: None,
            now: Moment(0),
            started: Instant::now(),
        };
        for (reference, expected) in [
            ("/a?b#c", Some("/a?b")),
            ("2", Some("/films/2")),
            ("./2/", Some("/films/2/")),
            ("../x/../y", Some("/y")),
            ("../../..", Some("/")),
            ("?q", Some("/films/1?q")),
            ("", Some("/films/1")),
            ("http://a.test/b", Some("/b")),
            ("HTTPS://A.test:443/b?c", Some("/b?c")),
            ("//a.test", Some("/")),
            ("//a.test?x", Some("/?x")),
            ("http://b.test/b", None),
            ("//b.test/b", None),
            ("http:b", None),
            ("ftp://a.test/b", None),
            ("mailto:a", None),
            ("x/y:z", Some("/films/x/y:z")),
        ] {
            let value = HeaderValue::from_static(reference);
            assert_eq!(
                same_host(&request, "/films/1", &value).as_deref(),
                expected,
                "{reference}"
            );
        }
    }
}
