//! What an attacker sends, and what must come of it: a refusal that tells nothing, no byte at the upstream, one row in the
//! journal, and a connection that serves the next request. The numbers are those of the list of abuse cases.
//!
//! `stage` plays a table of attacks against one gateway; `json`, `headers`, `tokens` and `calls` are the tables for what
//! comes in, `answers` is about what comes back, `limits` about what is counted, `fuzz` feeds the pure stages.

mod answers;
mod calls;
mod fuzz;
mod headers;
mod json;
mod limits;
mod stage;
mod tokens;
