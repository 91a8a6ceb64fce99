//! What the tests stand on: processes, the gateway, peers, a recording upstream, tokens and the wire. No test is here.

pub mod answer;
pub mod bearer;
pub mod events;
pub mod gateway;
pub mod http;
pub mod journal;
pub mod peers;
pub mod ports;
pub mod postgres;
pub mod process;
pub mod raw;
pub mod relay;
pub mod rust_client;
pub mod tap;
pub mod tokens;
pub mod upstream;
