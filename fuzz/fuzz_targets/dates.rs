//! Feeds whatever bytes there are to [`fuzz::policy::dates`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::policy::dates(bytes));
