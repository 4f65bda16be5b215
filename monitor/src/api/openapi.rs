//! `GET /v1/openapi.json`: all of this, described (OpenAPI 3.1), from the code that does it.

use axum::Json;
use model::health::{Beat, Diff, View};
use utoipa::OpenApi;
use utoipa::openapi::OpenApi as Description;

use super::{events, heartbeat, state, stats, stream};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Millrace monitor",
        description = "Which nodes of a CDN serve, and why not. Routers and monitors follow /v1/stream, people look at /.",
    ),
    paths(
        state::show,
        stats::show_all,
        stats::show_one,
        stats::show_site,
        events::show,
        stream::follow,
        heartbeat::listen,
    ),
    components(schemas(View, Diff, Beat))
)]
struct Api;

pub(super) async fn show() -> Json<Description> {
    Json(Api::openapi())
}
