//! Connections to the operators' listener: so many, and none for whoever is slow to say what they want. What is asked is the
//! routes' business.

use axum::Router;
use axum::extract::{ConnectInfo, Request};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// Connections at the same time; others wait to be accepted. Streams take half of them at most.
const CONNECTIONS: usize = 1024;
/// How long the head of a request may take from the connection's beginning, or from the end of the answer before.
const HEAD: Duration = Duration::from_secs(20);
/// How long it may take to read a request's body and begin its answer.
const ANSWER: Duration = Duration::from_secs(20);
/// How long nothing is accepted where there are too many open files.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves `routes` until the process ends.
pub async fn run(listener: TcpListener, routes: Router) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, peer)) => {
                let routes = routes.clone();
                tokio::spawn(async move {
                    serve(stream, peer, routes).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::error!(%error, "the admin listener can't take a connection");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, peer: SocketAddr, routes: Router) {
    let routes = TowerToHyperService::new(routes);
    let service = service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        routes.call(request)
    });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEAD);
    if let Err(error) = server.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, %peer, "a connection to the admin listener broke off");
    }
}

/// Sees to it that the answer begins in time. Streams begin in time too, and go on for as long as they may.
pub async fn in_time(request: Request, next: Next) -> Response {
    let late =
        || (StatusCode::REQUEST_TIMEOUT, "It took too long to say what is wanted, or to do it\n").into_response();
    tokio::time::timeout(ANSWER, next.run(request)).await.unwrap_or_else(|_| late())
}
