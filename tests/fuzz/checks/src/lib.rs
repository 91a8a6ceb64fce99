//! What must hold of any input, whoever makes it up: one module for each fuzz target, each with a `check` that panics
//! where it does not hold.
//!
//! It is built on the core alone. What reads tokens and configuration stands in the gateway's binary and is pure all the
//! same: `config`, `identity` and `secrets` include those files as they are, under the names by which they know each other.

#[expect(dead_code, reason = "the gateway uses more of it")]
mod config;
#[expect(dead_code, reason = "the gateway uses more of it")]
mod identity;
mod secrets;

pub mod configuration;
pub mod dice;
pub mod generate;
pub mod jsonrpc;
pub mod policy;
pub mod reader;
pub mod redact;
pub mod sse;
pub mod token;
