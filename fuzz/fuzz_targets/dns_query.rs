//! Feeds whatever bytes there are to [`fuzz::dns_query::holds`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::dns_query::holds(bytes));
