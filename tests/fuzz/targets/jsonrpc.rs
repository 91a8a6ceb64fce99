//! Gives what libFuzzer makes up to `checks::jsonrpc`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| portcullis_checks::jsonrpc::check(data));
