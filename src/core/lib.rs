//! The pure core of Portcullis: every decision, no effect.
//!
//! Nothing here reads a clock, a file, a socket or a random source, spawns a thread or awaits: `now` and randomness are
//! arguments. Whatever a caller may do, may not do, or may not see is decided here and can be tested without a process.
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::allow_attributes,
        clippy::allow_attributes_without_reason,
        clippy::print_stdout,
        reason = "tests state what they expect"
    )
)]

pub mod approval;
pub mod audit;
pub mod catalog;
pub mod glob;
pub mod job;
pub mod jsonrpc;
pub mod layout;
pub mod limit;
pub mod mcp;
pub mod network;
pub mod policy;
pub mod principal;
pub mod problem;
pub mod redact;
pub mod reject;
pub mod route;
pub mod schema;
pub mod time;
pub mod tool;
pub mod units;
pub mod visible;
