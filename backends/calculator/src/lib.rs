//! A sample MCP server that calculates exactly: decimal arithmetic of any precision, statistics and unit conversion. It
//! keeps no state and touches nothing, so every tool is read-only. The HTTP side is `portcullis-backend-server`'s.

mod arithmetic;
mod decimal;
mod numerals;
mod statistics;
mod tools;
mod units;

use std::future;
use std::io;

use axum::{Router, middleware};
use portcullis_backend_server as server;
use tokio::net::TcpListener;

pub use server::{Options, run};

/// The port the calculator takes when nothing says otherwise.
pub const DEFAULT_PORT: u16 = 8091;

/// The calculator as an application: `POST /mcp` and `GET /health`.
pub fn router(options: Options) -> Router {
    let routes = server::mcp(tools::Calculator::default(), &options).layer(middleware::from_fn(numerals::keep));
    server::guard(routes, options)
}

/// Serves the calculator on `listener` until the returned future is dropped.
///
/// # Errors
/// None at present; the HTTP server keeps the right to report one.
pub async fn serve(listener: TcpListener, options: Options) -> io::Result<()> {
    server::serve(listener, router(options), future::pending()).await
}
