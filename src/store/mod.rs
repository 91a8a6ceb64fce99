//! Where state lives: the journal, the counters of limits, and the pins of definitions.

pub mod journal;
pub mod limits;
pub mod pins;
