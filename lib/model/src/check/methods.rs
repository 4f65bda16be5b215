//! What can be wrong with the methods and protocols that a service lets through.

use std::collections::HashSet;

use super::Complaints;
use crate::Service;
use crate::service::ANY_METHOD;

/// Answered without being named.
const ALWAYS: [&str; 3] = ["GET", "HEAD", "OPTIONS"];

/// CONNECT makes an open proxy of a node; TRACE sends back what clients should not see (RFC 9110 §9.3.8).
const NEVER: [&str; 2] = ["CONNECT", "TRACE"];

/// A protocol of their own, or one that would take the connection away from HTTP/1.1 without anybody to speak it.
const NEVER_SWITCHED_TO: [&str; 2] = ["h2c", "h2"];

/// Methods or protocols of one service; far more than were ever registered.
const NAMES_MAX: usize = 64;

pub(super) fn check(service: &Service, at: &str, complaints: &mut Complaints) {
    let mut seen = HashSet::new();
    for (nth, method) in service.methods.iter().enumerate() {
        let at = format!("{at}.methods[{nth}]");
        if method != ANY_METHOD && !is_token(method) {
            complaints.add(
                &at,
                format!("{method:?} is not the name of a method"),
                "write it as it stands in a request, such as \"POST\", or \"*\" for all",
            );
        } else if ALWAYS.contains(&method.as_str()) {
            complaints.add(&at, format!("{method} is answered anyway"), "leave it out");
        } else if NEVER.contains(&method.as_str()) {
            complaints.add(&at, format!("{method} is never let through"), "leave it out");
        } else if method.bytes().any(|byte| byte.is_ascii_lowercase())
            && is_common(&method.to_ascii_uppercase())
        {
            complaints.add(
                &at,
                format!("{method:?} would match no request: methods are told apart by case"),
                format!("write {:?}", method.to_ascii_uppercase()),
            );
        }
        if !seen.insert(method) {
            complaints.add(at, format!("{method:?} is listed twice"), "list it once");
        }
    }
    let mut seen = HashSet::new();
    for (nth, protocol) in service.upgrades.iter().enumerate() {
        let at = format!("{at}.upgrades[{nth}]");
        if !is_token(protocol) || protocol.bytes().any(|byte| byte.is_ascii_uppercase()) {
            complaints.add(
                &at,
                format!("{protocol:?} is not the name of a protocol"),
                "write it in lower case and without a version, such as \"websocket\"",
            );
        } else if NEVER_SWITCHED_TO.contains(&protocol.as_str()) {
            complaints.add(
                &at,
                format!("a connection is never switched to {protocol}"),
                "leave it out: clients choose HTTP/2 by TLS",
            );
        }
        if !seen.insert(protocol) {
            complaints.add(at, format!("{protocol:?} is listed twice"), "list it once");
        }
    }
    for (field, count) in [
        ("methods", service.methods.len()),
        ("upgrades", service.upgrades.len()),
    ] {
        if count > NAMES_MAX {
            complaints.add(
                format!("{at}.{field}"),
                format!("{count} names are more than {NAMES_MAX}"),
                "name those that clients use",
            );
        }
    }
}

fn is_common(method: &str) -> bool {
    ["POST", "PUT", "PATCH", "DELETE"].contains(&method)
}

/// RFC 9110 §5.6.2.
fn is_token(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}
