//! The files as they are written: types that only read. `compile` gives them their meaning.

pub mod gateway;
pub mod policy_test;
pub mod upstreams;

pub use portcullis_core::policy::document::PolicyDocument;
pub mod work;
