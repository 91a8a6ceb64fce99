//! `portcullis`: a reverse proxy that enforces policy in front of MCP servers.
// The stages of a request are futures in futures, deeper than the compiler's default for their layout.
#![recursion_limit = "256"]
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
        clippy::print_stderr,
        reason = "tests state what they expect"
    )
)]

mod admin;
mod app;
mod approvals;
mod catalogue;
mod cli;
mod config;
mod identity;
mod jobs;
mod pipeline;
mod secrets;
mod server;
mod ship;
mod store;
mod telemetry;
mod upstream;

use mimalloc::MiMalloc;
use std::process::ExitCode;

/// A call makes hundreds of small allocations on one thread and frees some of them on another: glibc spent a fifth of a call's
/// time on that.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    cli::run()
}
