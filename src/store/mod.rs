//! Where state lives: the journal and the counters of limits.

pub mod journal;
pub mod limits;
