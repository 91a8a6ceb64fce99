//! The certificate of the ingress, in use. Whether it can be used was settled when the configuration was read.

use crate::config::snapshot::Gateway;
use arc_swap::ArcSwapOption;
use pingora::listeners::tls::Acceptor;
use rustls::ServerConfig;
use std::sync::Arc;

/// What unwraps TLS on new connections. Clones share it.
#[derive(Clone)]
pub struct Tls(Arc<ArcSwapOption<Acceptor>>);

impl Tls {
    /// With the configured certificate; without one, connections are plain.
    pub fn new(settings: &Gateway) -> Self {
        Self(Arc::new(ArcSwapOption::new(acceptor(settings))))
    }

    /// Takes the certificate anew, for connections from now on.
    pub fn renew(&self, settings: &Gateway) {
        self.0.store(acceptor(settings));
    }

    /// What unwraps a connection that begins now.
    pub(super) fn acceptor(&self) -> Option<Arc<Acceptor>> {
        self.0.load_full()
    }
}

fn acceptor(settings: &Gateway) -> Option<Arc<Acceptor>> {
    let mut config = ServerConfig::clone(settings.tls.as_ref()?);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Some(Arc::new(Acceptor::from_server_config(Arc::new(config))))
}
