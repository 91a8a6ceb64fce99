//! Where state lives: the journal, the counters of limits, the pins of definitions, and the work that outlives a request.

pub mod journal;
pub mod limits;
pub mod pins;
pub mod work;
