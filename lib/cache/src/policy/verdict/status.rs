//! Which statuses may be stored (RFC 9111 §3, RFC 9110 §15.1).

use http::StatusCode;

/// Whether an answer of this status may be stored when something else gives it a lifetime.
///
/// 206 is a part and 304 no representation. The others left out hinge on more of the request than the key holds (its
/// credentials, conditions, body, size or rate), so that they would harm whoever comes next.
pub(super) fn may_be_stored(status: StatusCode) -> bool {
    let hinges_on_the_request = matches!(
        status.as_u16(),
        401 | 407
            | 408
            | 409
            | 411
            | 412
            | 413
            | 415
            | 416
            | 417
            | 421
            | 422
            | 425
            | 426
            | 428
            | 429
            | 431
            | 511
    );
    !status.is_informational() && !matches!(status.as_u16(), 206 | 304) && !hinges_on_the_request
}

/// Whether its rules are known here: every registered one that may be stored asks for nothing special.
pub(super) fn understood(status: StatusCode) -> bool {
    may_be_stored(status) && status.canonical_reason().is_some()
}

/// Whether a lifetime may be made up for it (RFC 9110 §15.1).
pub(super) fn heuristically_cacheable(status: StatusCode) -> bool {
    matches!(
        status.as_u16(),
        200 | 203 | 204 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501
    )
}
