//! The process's face to clients: the only place that knows pingora, but for `upstream::{client, pool}`.
//!
//! | file | what it does |
//! |---|---|
//! | `listener` | accepts connections and bounds them |
//! | `wire` | a connection as pingora may see it |
//! | `head`, `chunks` | judge the bytes of HTTP/1.1 |
//! | `connection` | what a connection is doing |
//! | `edge` | judges a request's header |
//! | `cors` | lets pages of allowed origins call |
//! | `body` | reads a request's body |
//! | `proxy` | runs the stages and sends what they let through |
//! | `exchange` | what is known of one exchange |
//! | `forwarding` | a call on its way, and what is tried when its replica or session is gone |
//! | `replay` | the wrapper that carries a judged body up and a filtered answer down |
//! | `answer` | an answer on its way through the filter |
//! | `stream` | writes what the gateway itself says bit by bit |
//! | `reply` | the heads of answers |
//! | `metadata` | what OAuth clients must know |
//! | `drain` | what still runs |
//! | `tls` | the certificate |

pub mod answer;
pub mod body;
mod chunks;
pub mod connection;
pub mod cors;
pub mod drain;
pub mod edge;
pub mod exchange;
mod forwarding;
mod head;
pub mod listener;
pub mod metadata;
mod places;
pub mod proxy;
pub mod replay;
pub mod reply;
pub mod stream;
pub mod tls;
mod wire;
