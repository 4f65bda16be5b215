//! The paths under `/_origin/`: what tests ask of the origin and tell it.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;

use super::behaviour::Behaviour;
use super::body::{self, Body};
use super::counts::Counts;
use super::server::World;

/// Where the control paths begin.
pub(crate) const PREFIX: &str = "/_origin/";

/// The longest instruction that is read.
const LONGEST_INSTRUCTION_BYTES: usize = 16 << 10;

/// Answers a control request.
pub(crate) async fn answer(request: Request<Incoming>, world: &World) -> Response<Body> {
    match (request.method().clone(), &request.uri().path()[PREFIX.len()..]) {
        (Method::GET, "counts") => match serde_json::to_vec(&*world.counts.lock()) {
            Ok(counts) => json(StatusCode::OK, counts.into()),
            Err(error) => problem(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        },
        (Method::GET, "totals") => {
            let counts = world.counts.lock();
            let library = world.options.library;
            let totals = serde_json::json!({
                "requests": counts.requests,
                "not_modified": counts.not_modified,
                "body_bytes": counts.body_bytes,
                "titles": library.titles,
                "segments": library.segments,
            });
            json(StatusCode::OK, totals.to_string().into())
        }
        (Method::POST, "reset") => {
            *world.counts.lock() = Counts::default();
            world.behaviours.lock().forget();
            done()
        }
        (Method::POST, "behave") => match behave(request, world).await {
            Ok(()) => done(),
            Err(complaint) => problem(StatusCode::BAD_REQUEST, &complaint),
        },
        _ => problem(
            StatusCode::NOT_FOUND,
            "ask GET /_origin/counts, GET /_origin/totals, POST /_origin/reset or POST /_origin/behave",
        ),
    }
}

async fn behave(request: Request<Incoming>, world: &World) -> Result<(), String> {
    let limited = Limited::new(request.into_body(), LONGEST_INSTRUCTION_BYTES);
    let text = limited
        .collect()
        .await
        .map_err(|error| format!("the body cannot be read: {error}"))?
        .to_bytes();
    let behaviour: Behaviour =
        serde_json::from_slice(&text).map_err(|error| format!("this is no behaviour: {error}"))?;
    world.behaviours.lock().tell(behaviour)
}

fn done() -> Response<Body> {
    let mut response = Response::new(body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

fn problem(status: StatusCode, detail: &str) -> Response<Body> {
    json(
        status,
        serde_json::json!({ "status": status.as_u16(), "detail": detail })
            .to_string()
            .into(),
    )
}

fn json(status: StatusCode, text: Bytes) -> Response<Body> {
    let mut response = Response::new(body::whole(text));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
