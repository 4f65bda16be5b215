//! Feeds whatever bytes there are to [`fuzz::request_head::holds`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::request_head::holds(bytes));
