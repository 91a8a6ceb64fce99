//! Gives what libFuzzer makes up to `checks::policy`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| portcullis_checks::policy::check(data));
