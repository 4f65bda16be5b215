//! Feeds whatever bytes there are to [`fuzz::policy::cache_control`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::policy::cache_control(bytes));
