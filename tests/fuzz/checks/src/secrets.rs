//! References to secrets. The gateway's own file.

#[path = "../../../../src/secrets/resolve.rs"]
pub mod resolve;
