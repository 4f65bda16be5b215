//! What must hold of what proxies say, for random bytes and for all that fuzzing has found.

use std::fs;

use proptest::prelude::*;

use super::client;

#[allow(unreachable_pub, reason = "the fuzz target calls it from outside")]
#[path = "../../../fuzz/properties/proxied.rs"]
mod proxied;

#[test]
fn the_corpus_holds() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus/proxied");
    for entry in fs::read_dir(folder).unwrap() {
        proxied::holds(&fs::read(entry.unwrap().path()).unwrap());
    }
}

proptest! {
    #[test]
    fn whatever_a_proxy_says_holds(tail in proptest::collection::vec(any::<u8>(), 0..64), kind in 0_usize..3) {
        let head: &[u8] = [&b"PROXY TCP4 "[..], b"\r\n\r\n\0\r\nQUIT\n", b""][kind];
        proxied::holds(&[head, &tail].concat());
    }
}
