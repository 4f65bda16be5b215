//! Feeds whatever bytes there are to [`fuzz::policy::targeted`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::policy::targeted(bytes));
