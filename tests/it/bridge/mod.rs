//! Calls in which the upstream asks back, where client and upstream speak revisions of different eras.

mod crossing;
mod parked;
mod peers;
mod resumption;
mod rounds;
mod stage;
mod states;
mod waits;
mod words;
