//! Durable jobs, on a real gateway before an upstream that records what it runs, with their store in SQLite and in a real
//! Postgres. The numbers are those of the abuse cases of group L.

mod admin;
mod agreed;
mod browser;
mod clients;
mod crashes;
mod faults;
mod guesses;
mod room;
mod running;
mod stage;
mod tasks;
