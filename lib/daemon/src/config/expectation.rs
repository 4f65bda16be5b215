//! Says in an operator's words what a value should have been; the deserialiser speaks of Rust types.

/// Splits a deserialiser's message into what is wrong and what to write instead.
pub(super) fn what_and_advice(message: &str) -> (String, String) {
    let message = message.trim_end();
    if let Some((found, expected)) = message.split_once(", expected ") {
        let found = found.strip_prefix("invalid type: ").unwrap_or(found);
        let found = found.strip_prefix("invalid value: ").unwrap_or(found);
        let found = if found.contains(' ') {
            found.to_owned()
        } else {
            format!("found {found}")
        };
        return (
            format!("not understood: {found}"),
            format!("write {}", in_words(expected)),
        );
    }
    let advice = match message {
        _ if message.contains("socket address") => "write an address and a port, such as \"127.0.0.1:8080\"",
        _ if message.contains("IP address") => "write an address, such as \"192.0.2.1\"",
        _ => "",
    };
    (message.to_owned(), advice.to_owned())
}

fn in_words(expected: &str) -> String {
    match expected {
        "u8" => "a whole number from 0 to 255".to_owned(),
        "u16" => "a whole number from 0 to 65535".to_owned(),
        "u32" => "a whole number from 0 to 4294967295".to_owned(),
        "u64" | "usize" => "a whole number, 0 or more".to_owned(),
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a string" | "string" => "a text in quotes".to_owned(),
        "path string" => "a path in quotes".to_owned(),
        "a sequence" => "a list in [ ]".to_owned(),
        "socket address" => "an address and a port in quotes, such as \"127.0.0.1:8080\"".to_owned(),
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rust_types_are_told_in_words() {
        for (message, what, advice) in [
            (
                "invalid type: string \"two\", expected usize\n",
                "not understood: string \"two\"",
                "write a whole number, 0 or more",
            ),
            (
                "invalid value: integer `70000`, expected u16",
                "not understood: integer `70000`",
                "write a whole number from 0 to 65535",
            ),
            (
                "unknown variant `loud`, expected one of `error`, `warn`",
                "not understood: unknown variant `loud`",
                "write one of `error`, `warn`",
            ),
            (
                "invalid socket address syntax",
                "invalid socket address syntax",
                "write an address and a port, such as \"127.0.0.1:8080\"",
            ),
            ("\"5x\" is not a size", "\"5x\" is not a size", ""),
        ] {
            assert_eq!(
                what_and_advice(message),
                (what.to_owned(), advice.to_owned()),
                "{message}"
            );
        }
    }
}
