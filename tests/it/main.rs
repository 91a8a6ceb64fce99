//! The integration tests: one binary that runs the real gateway between real and recorded peers.
//!
//! `support` starts and stops things and speaks the wire; every other module is about one promise of the gateway. What
//! is missing on the machine fails a test and never skips it: `make peers` brings it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::allow_attributes,
    missing_docs,
    reason = "tests state what they expect"
)]

mod abuse;
mod adapters;
mod answers;
mod approvals;
mod arch;
mod audit;
mod bridge;
mod cases;
mod catalogue;
mod cli;
mod conformance;
mod connect;
mod console;
mod demo;
mod discovery;
mod edge;
mod eras;
mod idp;
mod jobs;
mod journal;
mod kinds;
mod legacy;
mod listen;
mod matrix;
mod oauth;
mod operations;
mod peers;
mod personal;
mod prometheus;
mod readme;
mod records;
mod redaction;
mod reload;
mod replay;
mod sessions;
mod shadow;
mod shutdown;
mod sinks;
mod support;
mod tls;
mod traces;
mod upstreams;
