//! Carries connections from one place to another, for what stands in between.

use tokio::io;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// Carries each connection of `listener` to `authority`, a host and port, until the task is aborted: `pass` what comes from
/// the client, and as it is what goes back. When one side closes, so does the other.
pub fn relay<P, F>(listener: TcpListener, authority: String, pass: P) -> JoinHandle<()>
where
    P: Fn(OwnedReadHalf, OwnedWriteHalf) -> F + Clone + Send + 'static,
    F: Future<Output = io::Result<()>> + Send,
{
    tokio::spawn(async move {
        // The set ends its tasks when it is dropped, and with them their connections.
        let mut connections = JoinSet::new();
        while let Ok((client, _)) = listener.accept().await {
            let (authority, pass) = (authority.clone(), pass.clone());
            connections.spawn(async move { carry(client, &authority, pass).await });
            while connections.try_join_next().is_some() {}
        }
    })
}

async fn carry<P, F>(client: TcpStream, authority: &str, pass: P) -> io::Result<()>
where
    P: Fn(OwnedReadHalf, OwnedWriteHalf) -> F,
    F: Future<Output = io::Result<()>>,
{
    let server = TcpStream::connect(authority).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, mut to_client) = client.into_split();
    let (mut from_server, to_server) = server.into_split();
    tokio::select! {
        done = pass(from_client, to_server) => done,
        done = io::copy(&mut from_server, &mut to_client) => done.map(drop),
    }
}
