//! Feeds whatever bytes there are to [`fuzz::proxied::holds`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::proxied::holds(bytes));
