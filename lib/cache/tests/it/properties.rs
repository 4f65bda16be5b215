//! The properties of the fuzz targets (`fuzz/`), for a bounded number of random bytes and for all of the corpus.

use std::path::Path;

use proptest::prelude::*;

#[allow(unreachable_pub, reason = "the fuzz targets call it from outside")]
#[path = "../../../../fuzz/properties/policy.rs"]
mod policy;

/// Random bytes for each property; the fuzzer tries millions.
const CASES: u32 = 256;

/// A property of any bytes.
type Property = fn(&[u8]);

/// Each fuzz target of this room, and its property.
const TARGETS: [(&str, Property); 7] = [
    ("cache_control", policy::cache_control),
    ("targeted", policy::targeted),
    ("vary", policy::vary),
    ("dates", policy::dates),
    ("range", policy::range),
    ("conditional", policy::conditional),
    ("record", policy::record),
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

/// Words that the grammars of these fields are made of, put together in any order: closer to them than any bytes.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let words = prop::sample::select(vec![
        "max-age",
        "s-maxage",
        "no-store",
        "private",
        "no-cache",
        "must-revalidate",
        "=",
        ",",
        ", ",
        "\"",
        "\\",
        ";",
        "0",
        "60",
        "99999999999999999999",
        "-",
        "bytes=",
        "*",
        "W/",
        "\n",
        " ",
        "Accept-Encoding",
        "x-a",
        "gzip",
        "q=0.5",
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "GMT",
        "Nov",
        "94",
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
