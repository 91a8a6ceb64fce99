//! The counters behind `core::limit`.

pub mod local;
