//! Feeds whatever bytes there are to [`fuzz::chunked_body::holds`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::chunked_body::holds(bytes));
