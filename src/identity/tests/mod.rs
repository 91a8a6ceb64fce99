//! The whole way of a token, with real signatures and real HTTP on loopback. The keys in `tests/keys` are for tests alone.

mod idp;
mod issuers;
mod logins;
mod rotation;
mod signing;
mod tokens;
