//! What can be wrong with header rules.

use super::Complaints;
use crate::{
    service::{HeaderAction, HeaderRule},
    template,
};

/// Fields of one hop (RFC 9110 §7.6.1) and those that say where a message ends or to whom it goes: a rule on them
/// would break connections or let requests be smuggled.
const FRAMING: [&str; 14] = [
    "connection",
    "content-length",
    "content-range",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "expect",
];

/// Fields by which the CDN itself tells ages, hops and loops.
const OWN: [&str; 4] = ["age", "cache-status", "cdn-loop", "via"];

pub(super) fn check(rules: &[HeaderRule], at: &str, complaints: &mut Complaints) {
    for (nth, rule) in rules.iter().enumerate() {
        let at = format!("{at}[{nth}]");
        check_name(&rule.name, &format!("{at}.name"), complaints);
        check_value(rule, &format!("{at}.value"), complaints);
    }
}

fn check_name(name: &str, at: &str, complaints: &mut Complaints) {
    let is_one_of = |names: &[&str]| names.iter().any(|known| known.eq_ignore_ascii_case(name));
    if name.is_empty() || !name.bytes().all(is_token_byte) {
        complaints.add(
            at,
            format!("{name:?} is not the name of a header field"),
            "use letters, digits and '-', such as \"X-Region\"",
        );
    } else if is_one_of(&FRAMING) {
        complaints.add(
            at,
            format!("{name} belongs to the connection and the framing of messages"),
            "remove the rule",
        );
    } else if is_one_of(&OWN) {
        complaints.add(
            at,
            format!("{name} is the CDN's own"),
            "remove the rule, or choose another name",
        );
    }
}

fn check_value(rule: &HeaderRule, at: &str, complaints: &mut Complaints) {
    let value = match (rule.action, &rule.value) {
        (HeaderAction::Remove, None) => return,
        (HeaderAction::Remove, Some(_)) => {
            complaints.add(at, "a removal has no use for a value", "leave the value out");
            return;
        }
        (HeaderAction::Set | HeaderAction::Add, None) => {
            complaints.add(at, "there is no value to set or add", "give one");
            return;
        }
        (HeaderAction::Set | HeaderAction::Add, Some(value)) => value,
    };
    // RFC 9110 §5.5; what is beyond ASCII is legal there, but every reader takes it for something else.
    let legal = value
        .bytes()
        .all(|byte| byte == b'\t' || byte == b' ' || byte.is_ascii_graphic());
    if !legal || value.trim_ascii() != value {
        complaints.add(
            at,
            format!("{value:?} is not the value of a header field"),
            "use printable ASCII, without line breaks and without blanks at either end",
        );
    }
    for unknown in template::unknown_names(value) {
        complaints.add(
            at,
            format!("nothing is known as {{{unknown}}}"),
            format!(
                "use {}",
                template::NAMES.map(|name| format!("{{{name}}}")).join(", ")
            ),
        );
    }
}

/// `tchar` (RFC 9110 §5.6.2).
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
