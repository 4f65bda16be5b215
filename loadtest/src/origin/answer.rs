//! A request for content and its answer.

use std::ops::Range;
use std::time::{Duration, SystemTime};

use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, LAST_MODIFIED, PRAGMA,
};
use http::{HeaderValue, Method, Request, Response, StatusCode};

use super::behaviour::Behaviour;
use super::body::{self, Body, Source};
use super::files;
use super::select::{Selection, Validators, select};
use super::server::{Connection, World};
use crate::content::{self, Content};

/// When made-up content was "modified": 2026-01-01 00:00:00 UTC. It never changes, so any fixed past date will do.
const MADE: Duration = Duration::from_secs(1_767_225_600);

/// A representation: what there is to send and what is known of it.
struct Representation {
    source: Source,
    length: u64,
    validators: Validators,
}

/// Answers as the content and the behaviour of its path have it.
pub(crate) async fn answer<B>(
    request: &Request<B>,
    world: &World,
    connection: &Connection,
) -> Response<Body> {
    let path = request.uri().path();
    world.counts.lock().count(path);
    let behaviour = world.behaviours.lock().of(path);
    tokio::time::sleep(behaviour.head_delay()).await;
    if behaviour.hang {
        return std::future::pending().await;
    }
    if behaviour.reset_after_bytes == Some(0) {
        connection.reset();
        return std::future::pending().await;
    }
    let mut response = if let Some(status) = behaviour.status {
        bare(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR))
    } else if !matches!(*request.method(), Method::GET | Method::HEAD) {
        bare(StatusCode::METHOD_NOT_ALLOWED)
    } else if let Some(found) = find(path, world).await {
        represent(request, found, &behaviour, world, connection)
    } else {
        bare(StatusCode::NOT_FOUND)
    };
    let told = behaviour
        .cache_control
        .and_then(|value| HeaderValue::from_str(&value).ok());
    let fields = response.headers_mut();
    fields.insert(
        CACHE_CONTROL,
        told.unwrap_or_else(|| world.options.cache_control.clone()),
    );
    if !world.options.no_pragma {
        fields.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    }
    response
}

async fn find(path: &str, world: &World) -> Option<Representation> {
    if let Some(content) = Content::of(path, &world.options.library) {
        let fingerprint = match &content {
            Content::Generated(generated) => generated.fingerprint(),
            Content::Text(text) => content::Generated::named(&String::from_utf8_lossy(text), 0).fingerprint(),
        };
        let length = content.length();
        let validators = Validators {
            etag: format!("\"{fingerprint:016x}-{length:x}\""),
            last_modified: SystemTime::UNIX_EPOCH + MADE,
        };
        return Some(Representation {
            source: Source::Made(content),
            length,
            validators,
        });
    }
    let found = files::find(&world.options.root, path).await?;
    let modified = found
        .modified
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_nanos();
    let validators = Validators {
        etag: format!("\"{modified:x}-{:x}\"", found.length),
        last_modified: found.modified,
    };
    Some(Representation {
        source: Source::File(found.file),
        length: found.length,
        validators,
    })
}

fn represent<B>(
    request: &Request<B>,
    found: Representation,
    behaviour: &Behaviour,
    world: &World,
    connection: &Connection,
) -> Response<Body> {
    let selection = select(
        request.method(),
        request.headers(),
        &found.validators,
        found.length,
    );
    let mut response = bare(StatusCode::OK);
    let fields = response.headers_mut();
    fields.insert(ETAG, value(&found.validators.etag));
    fields.insert(
        LAST_MODIFIED,
        value(&httpdate::fmt_http_date(found.validators.last_modified)),
    );
    fields.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    let part: Range<u64> = match selection {
        Selection::NotModified => {
            world.counts.lock().not_modified += 1;
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return response;
        }
        Selection::Unsatisfiable => {
            fields.insert(CONTENT_RANGE, value(&format!("bytes */{}", found.length)));
            *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
            return response;
        }
        Selection::Whole => 0..found.length,
        Selection::Part(part) => {
            fields.insert(
                CONTENT_RANGE,
                value(&format!("bytes {}-{}/{}", part.start, part.end - 1, found.length)),
            );
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            part
        }
    };
    let fields = response.headers_mut();
    fields.insert(
        CONTENT_TYPE,
        HeaderValue::from_static(content::media_type(request.uri().path())),
    );
    fields.insert(CONTENT_LENGTH, HeaderValue::from(part.end - part.start));
    if *request.method() == Method::GET {
        world.counts.lock().body_bytes += part.end - part.start;
        *response.body_mut() = body::start(found.source, part, behaviour, connection);
    }
    response
}

fn bare(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(body::empty());
    *response.status_mut() = status;
    response
}

fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("tags, dates and ranges are printable ASCII")
}
