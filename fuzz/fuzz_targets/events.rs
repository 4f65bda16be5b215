//! Feeds whatever bytes there are to [`fuzz::event_stream::holds`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::event_stream::holds(bytes));
