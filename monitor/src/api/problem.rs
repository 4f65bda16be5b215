//! Refusals, as problem details (RFC 9457).

use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{StatusCode, Uri};
use serde::Serialize;
use utoipa::ToSchema;

/// What is wrong with a request, and what to do.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Problem {
    /// The status of the answer.
    status: u16,
    /// The status in words.
    title: String,
    /// What is wrong with this request.
    detail: String,
}

impl Problem {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Problem {
        Problem {
            status: status.as_u16(),
            title: status.canonical_reason().unwrap_or_default().to_owned(),
            detail: detail.into(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let text = serde_json::to_string(&self).unwrap_or_default();
        let fields = [
            (CONTENT_TYPE, "application/problem+json"),
            (CACHE_CONTROL, "no-store"),
        ];
        (status, fields, text).into_response()
    }
}

/// The answer to a path that leads nowhere.
pub(super) async fn nowhere(uri: Uri) -> Problem {
    let what = format!("there is no {}; /v1/openapi.json lists what there is", uri.path());
    Problem::new(StatusCode::NOT_FOUND, what)
}
