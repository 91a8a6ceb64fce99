//! Sessions of older clients, before servers of older revisions: what both sides say to each other beside calls and answers,
//! and that none of it gets to anybody else.

mod news;
mod peers;
mod questions;
mod resumption;
mod stage;
mod taken;
mod within;
