//! The property of the fuzz target that is about events, for a bounded number of random bytes and for all of its corpus.

use std::path::Path;

use proptest::prelude::*;

use super::super::events;

#[allow(unreachable_pub, reason = "the fuzz target calls it from outside")]
#[path = "../../../../fuzz/properties/events.rs"]
mod event_stream;

#[test]
fn the_corpus_of_the_target_holds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/events");
    for input in std::fs::read_dir(folder).expect("every target has a corpus") {
        event_stream::holds(&std::fs::read(input.expect("readable").path()).expect("readable"));
    }
}

/// Pieces of streams in any order.
fn pieces() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "data", ": ", ":", "id", "event", "x", "\n", "\r", "\r\n", "\n\n", "\u{e9}", "retry",
    ]);
    prop::collection::vec(words, 0..60).prop_map(|words| words.concat())
}

proptest! {
    #[test]
    fn any_pieces_hold(text in pieces()) {
        event_stream::holds(text.as_bytes());
    }
}
