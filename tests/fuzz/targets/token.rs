//! Gives what libFuzzer makes up to `checks::token`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| portcullis_checks::token::check(data));
