//! Gives what libFuzzer makes up to `checks::sse`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| portcullis_checks::sse::check(data));
