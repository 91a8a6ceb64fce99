//! The certificate of the ingress: read, and tried with its key, before it is anywhere near a listener.

use crate::config::compile::Draft;
use crate::config::document::gateway::TlsDocument;
use crate::config::files::Files;
use portcullis_core::problem::Path;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::sync::Arc;

/// Compiles `listen.tls`. The two files are read through `files`, so that a renewed certificate is seen as any change is.
pub fn compile(
    document: &TlsDocument,
    draft: &mut Draft<'_>,
    at: &Path,
    files: &mut Files,
) -> Option<Arc<ServerConfig>> {
    let chain = read("certificate", &document.certificate, draft, at, files);
    let key = read("key", &document.key, draft, at, files);
    let (chain, key) = (certificates(&chain?, draft, at), private_key(&key?, draft, at));
    let pair = server(chain?, key?);
    if pair.is_none() {
        let hint =
            "write the key that the first certificate of the chain was made for, and replace both files together";
        draft.refuse(&at.then("key"), "the certificate and the key can't be used together", hint);
    }
    pair.map(Arc::new)
}

fn read(key: &str, file: &str, draft: &mut Draft<'_>, at: &Path, files: &mut Files) -> Option<Arc<[u8]>> {
    let bytes = files.read(std::path::Path::new(file));
    if let Err(why) = &bytes {
        let hint = "write the path of a PEM file; it is relative to the working directory";
        draft.refuse(&at.then(key), format!("{why} for `{key}`"), hint);
    }
    bytes.ok()
}

fn certificates(pem: &[u8], draft: &mut Draft<'_>, at: &Path) -> Option<Vec<CertificateDer<'static>>> {
    let chain: Option<Vec<_>> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().ok();
    let chain = chain.filter(|chain| !chain.is_empty());
    if chain.is_none() {
        let hint = "the file holds BEGIN CERTIFICATE blocks, the gateway's own first";
        draft.refuse(&at.then("certificate"), "the file is not a certificate chain in PEM", hint);
    }
    chain
}

fn private_key(pem: &[u8], draft: &mut Draft<'_>, at: &Path) -> Option<PrivateKeyDer<'static>> {
    let key = PrivateKeyDer::from_pem_slice(pem).ok();
    if key.is_none() {
        draft.refuse(
            &at.then("key"),
            "the file is not a private key in PEM",
            "the file holds one BEGIN PRIVATE KEY block",
        );
    }
    key
}

fn server(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Option<ServerConfig> {
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().ok()?;
    builder.with_no_client_auth().with_single_cert(chain, key).ok()
}
