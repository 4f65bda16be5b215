//! Methods and upgrades that a service lets through.

use serde_json::json;

use super::*;

#[test]
fn each_mistake_meets_its_complaint() {
    each_meets_its_complaint([
        (
            "methods",
            json!(["PO ST"]),
            "methods[0]",
            "not the name of a method",
        ),
        ("methods", json!(["GET"]), "methods[0]", "answered anyway"),
        (
            "methods",
            json!(["PUT", "TRACE"]),
            "methods[1]",
            "never let through",
        ),
        ("methods", json!(["post"]), "methods[0]", "told apart by case"),
        ("methods", json!(["PUT", "PUT"]), "methods[1]", "listed twice"),
        (
            "methods",
            json!((0..65).map(|nth| format!("M{nth}")).collect::<Vec<_>>()),
            "methods",
            "more than 64",
        ),
        (
            "upgrades",
            json!(["WebSocket"]),
            "upgrades[0]",
            "not the name of a protocol",
        ),
        ("upgrades", json!(["h2c"]), "upgrades[0]", "never switched"),
        ("upgrades", json!(["a", "a"]), "upgrades[1]", "listed twice"),
    ]);
}
