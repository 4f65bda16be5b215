//! The property of the fuzz target (`fuzz/`) that is about DNS, for a bounded number of random bytes and for all of its
//! corpus.

use std::path::Path;

use proptest::prelude::*;

use crate::dns::authority;

#[allow(unreachable_pub, reason = "the fuzz target calls it from outside")]
#[path = "../../../../fuzz/properties/dns_query.rs"]
mod dns_query;

/// Random bytes that are tried; the fuzzer tries millions.
const CASES: u32 = 1024;

#[test]
fn the_corpus_holds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/dns_query");
    let mut inputs = 0;
    for input in std::fs::read_dir(folder).expect("the target has a corpus") {
        dns_query::holds(&std::fs::read(input.expect("readable").path()).expect("readable"));
        inputs += 1;
    }
    assert!(inputs > 10, "{inputs} inputs");
}

/// Pieces of queries in any order, behind a header that suits them more or less.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let words: Vec<&'static [u8]> = vec![
        b"\x01a",
        b"\x01W",
        b"\x01c\x01D\0",
        b"\x01l",
        b"\x01y",
        b"\x01o",
        b"\x01e",
        b"\x01*",
        b"\0",
        b"\xc0\x0c",
        b"\0\x01\0\x01",
        b"\0\x1c\0\x01",
        b"\0\x41\0\x01",
        b"\0\x10\0\x01",
        b"\0\xff\0\x01",
        b"\0\x02\0\x01",
        b"\0\x06\0\x01",
        b"\0\x2b\0\x01",
        b"\0\0\x29\x02\0\0\0\0\0\0\0",
        b"\0\0\x29\x10\0\0\0\x80\0\0\x0b",
        b"\0\0\x29\x10\0\0\x01\0\0\0\0",
        b"\0\x08\0\x07\0\x01\x18\0\xc0\0\x02",
        b"\0\x08\0\x0b\0\x02\x38\0\x20\x01\x0d\xb8\0\0\0",
        b"\0\x0a\0\0",
        b"\x20",
    ];
    let header = (
        any::<u16>(),
        0_u8..16,
        prop::sample::select(vec![0_u8, 1, 1, 1, 1, 2]),
        0_u8..3,
    );
    let words = prop::collection::vec(prop::sample::select(words), 0..12);
    (header, words).prop_map(|((id, flags, questions, additional), words)| {
        let [high, low] = id.to_be_bytes();
        let header = [
            high,
            low,
            if flags < 14 { flags & 1 } else { flags << 3 },
            0,
            0,
            questions,
            0,
            0,
            0,
            0,
            0,
            additional,
        ];
        [&header[..], &words.concat()].concat()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn any_bytes_hold(bytes: Vec<u8>) {
        dns_query::holds(&bytes);
    }

    #[test]
    fn any_pieces_hold(bytes in pieces()) {
        dns_query::holds(&bytes);
    }
}
