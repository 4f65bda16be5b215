//! Feeds whatever bytes there are to [`fuzz::policy::range`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::policy::range(bytes));
