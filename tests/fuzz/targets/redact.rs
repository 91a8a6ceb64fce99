//! Gives what libFuzzer makes up to `checks::redact`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| portcullis_checks::redact::check(data));
