//! The least that a proxy on pingora can do: each request goes to one upstream over kept connections, and nothing is
//! looked at. What Portcullis costs is told as a multiple of this.

use async_trait::async_trait;
use clap::Parser;
use pingora::Result;
use pingora::protocols::TcpKeepalive;
use pingora::proxy::{ProxyHttp, Session, http_proxy_service};
use pingora::server::Server;
use pingora::server::configuration::ServerConf;
use pingora::upstreams::peer::HttpPeer;
use std::net::SocketAddr;

#[derive(Parser)]
struct Options {
    /// Where to listen.
    #[arg(long)]
    listen: SocketAddr,
    /// Where requests go.
    #[arg(long)]
    upstream: SocketAddr,
    /// Threads that serve.
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

struct PassThrough(SocketAddr);

#[async_trait]
impl ProxyHttp for PassThrough {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> Result<Box<HttpPeer>> {
        let mut peer = HttpPeer::new(self.0, false, String::new());
        peer.options.tcp_keepalive = None::<TcpKeepalive>;
        Ok(Box::new(peer))
    }
}

fn main() {
    let options = Options::parse();
    let conf = ServerConf { threads: options.threads, upstream_keepalive_pool_size: 256, ..ServerConf::default() };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let mut service = http_proxy_service(&server.configuration, PassThrough(options.upstream));
    service.add_tcp(&options.listen.to_string());
    server.add_service(service);
    server.run_forever();
}
