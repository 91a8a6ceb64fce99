//! Gives what libFuzzer makes up to `checks::configuration`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| portcullis_checks::configuration::check(data));
