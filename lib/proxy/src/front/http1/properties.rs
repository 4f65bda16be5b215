//! The properties of the fuzz targets (`fuzz/`) that are about HTTP/1, for a bounded number of random bytes and for all
//! of the corpus.

use std::path::Path;

use proptest::prelude::*;

use super::{request, scan};
use crate::framing;

#[allow(unreachable_pub, reason = "the fuzz targets call it from outside")]
#[path = "../../../../../fuzz/properties/chunked_body.rs"]
mod chunked_body;
#[allow(unreachable_pub, reason = "the fuzz targets call it from outside")]
#[path = "../../../../../fuzz/properties/request_head.rs"]
mod request_head;

/// Random bytes for each property; the fuzzer tries millions.
const CASES: u32 = 256;

/// A property of any bytes.
type Property = fn(&[u8]);

/// Each fuzz target of this room, and its property.
const TARGETS: [(&str, Property); 2] = [
    ("request_head", request_head::holds),
    ("chunked_body", chunked_body::holds),
];

#[test]
fn the_corpus_of_each_target_holds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    for (target, holds) in TARGETS {
        let inputs = std::fs::read_dir(folder.join(target)).expect("every target has a corpus");
        for input in inputs {
            holds(&std::fs::read(input.expect("readable").path()).expect("readable"));
        }
    }
}

/// Pieces of requests and chunked bodies in any order.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let words = prop::sample::select(vec![
        "GET ",
        "POST ",
        "/",
        "*",
        "http://a",
        " HTTP/1.1",
        " HTTP/1.0",
        "\r\n",
        "\r\n\r\n",
        "\n",
        "\r",
        "Host: a",
        "Host: b",
        "Content-Length: ",
        "Transfer-Encoding: chunked",
        "Connection: close",
        "X: y",
        ":",
        " ",
        "\t",
        "0",
        "5",
        "a",
        "ffff",
        ";",
        "=",
        "\"",
        "hello",
    ]);
    prop::collection::vec(words, 0..24).prop_map(|words| words.concat().into_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn any_bytes_hold(bytes: Vec<u8>) {
        TARGETS.iter().for_each(|(_, holds)| holds(&bytes));
    }

    #[test]
    fn any_words_hold(bytes in pieces()) {
        TARGETS.iter().for_each(|(_, holds)| holds(&bytes));
    }
}
