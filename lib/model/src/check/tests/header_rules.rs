//! Rules of header fields.

use serde_json::{Value, json};

use super::*;

#[test]
fn each_mistake_meets_its_complaint() {
    let rule = |name: &str| json!({ "on": "request", "action": "remove", "name": name });
    let set = |value: &str| json!({ "on": "request", "action": "set", "name": "X-A", "value": value });
    each_meets_its_complaint([
        (
            "header_rules/0/name",
            json!(""),
            "header_rules[0].name",
            "not the name of a header field",
        ),
        (
            "header_rules/0/name",
            json!("X Region"),
            "header_rules[0].name",
            "not the name of a header field",
        ),
        (
            "header_rules/0/name",
            json!("X-Region:"),
            "header_rules[0].name",
            "not the name of a header field",
        ),
        (
            "header_rules/2",
            rule("Connection"),
            "header_rules[2].name",
            "framing",
        ),
        (
            "header_rules/2",
            rule("transfer-encoding"),
            "header_rules[2].name",
            "framing",
        ),
        (
            "header_rules/2",
            rule("Content-Length"),
            "header_rules[2].name",
            "framing",
        ),
        ("header_rules/2", rule("HOST"), "header_rules[2].name", "framing"),
        (
            "header_rules/2",
            rule("Age"),
            "header_rules[2].name",
            "the CDN's own",
        ),
        (
            "header_rules/2",
            rule("via"),
            "header_rules[2].name",
            "the CDN's own",
        ),
        (
            "header_rules/2",
            rule("Cache-Status"),
            "header_rules[2].name",
            "the CDN's own",
        ),
        (
            "header_rules/2",
            rule("CDN-Loop"),
            "header_rules[2].name",
            "the CDN's own",
        ),
        (
            "header_rules/0/value",
            Value::Null,
            "header_rules[0].value",
            "no value to set",
        ),
        (
            "header_rules/1/value",
            Value::Null,
            "header_rules[1].value",
            "no value to set",
        ),
        (
            "header_rules/2/value",
            json!("x"),
            "header_rules[2].value",
            "no use for a value",
        ),
        (
            "header_rules/0",
            set("a\r\nb"),
            "header_rules[0].value",
            "not the value of a header field",
        ),
        (
            "header_rules/0",
            set(" a"),
            "header_rules[0].value",
            "not the value of a header field",
        ),
        (
            "header_rules/0",
            set("a\u{f6}"),
            "header_rules[0].value",
            "not the value of a header field",
        ),
        (
            "header_rules/0",
            set("{site}{planet}"),
            "header_rules[0].value",
            "nothing is known as {planet}",
        ),
    ]);
}
