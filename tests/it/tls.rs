//! TLS on both sides: the certificate that clients see and its renewal, and the authorities that upstreams must have
//! theirs from. The certificates are made by `openssl`.

use crate::support::gateway::{BINARY, Gateway, Setup, authority, modern_call};
use crate::support::http::Request;
use crate::support::process::{PATIENCE, Process, wait_until};
use crate::support::raw;
use crate::support::tokens::token;
use crate::support::upstream::{Speaks, Upstream};
use pingora::listeners::tls::Acceptor;
use reqwest::{Certificate, Client, Version};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

const POLICY: &str = r#"
version: 1
roles: { tester: {} }
tools: [{ match: "*.echo", class: read }]
access: [{ roles: [tester], upstreams: ["*"], level: read }]
"#;

fn openssl(dir: &Path, arguments: &str) {
    let output = Command::new("openssl").args(arguments.split(' ')).current_dir(dir).output();
    let output = output.unwrap_or_else(|error| panic!("openssl: {error}. Run `make peers`"));
    assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

const KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";

/// A certificate authority.
pub struct Authority(TempDir);

impl Authority {
    pub fn new() -> Self {
        let dir = TempDir::new().unwrap();
        openssl(dir.path(), &format!("req -x509 {KEY} -keyout ca.key -out ca.pem -days 2 -subj /CN=authority"));
        Self(dir)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A certificate `{name}.pem` for `subject` with its key `{name}.key`.
    pub fn issue(&self, name: &str, subject: &str) {
        let san = format!("-addext subjectAltName={subject}");
        openssl(self.0.path(), &format!("req -new {KEY} -keyout {name}.key -out {name}.csr -subj /CN={name} {san}"));
        let by = "-CA ca.pem -CAkey ca.key -CAcreateserial -copy_extensions copy -days 2";
        openssl(self.0.path(), &format!("x509 -req -in {name}.csr {by} -out {name}.pem"));
    }

    fn root(&self) -> Certificate {
        Certificate::from_pem(&std::fs::read(self.file("ca.pem")).unwrap()).unwrap()
    }

    fn der(&self, name: &str) -> Vec<u8> {
        CertificateDer::from_pem_file(self.file(&format!("{name}.pem"))).unwrap().to_vec()
    }

    /// What speaks TLS with the certificate `name`, and then one of `protocols`.
    pub fn acceptor(&self, name: &str, protocols: &[&str]) -> Acceptor {
        install_crypto();
        let certificate = CertificateDer::from_pem_file(self.file(&format!("{name}.pem"))).unwrap();
        let key = PrivateKeyDer::from_pem_file(self.file(&format!("{name}.key"))).unwrap();
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], key);
        let mut config = config.unwrap();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        Acceptor::from_server_config(Arc::new(config))
    }
}

fn install_crypto() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

async fn recorder() -> Upstream {
    let echo = json!({"name": "echo", "inputSchema": {"type": "object"}});
    Upstream::start(Speaks::Modern, vec![echo]).await
}

fn call() -> Request {
    modern_call("one", "echo", &json!({"value": 1})).bearer(&token("ana", &["tester"]))
}

/// A gateway with the certificate `served.pem` of `authority`.
async fn gateway(authority: &Authority, upstream: &Upstream) -> Gateway {
    setup(authority, upstream).start().await
}

fn setup(authority: &Authority, upstream: &Upstream) -> Setup {
    let (certificate, key) = (authority.file("served.pem"), authority.file("served.key"));
    let listen = json!({
        "ingress": "127.0.0.1:0", "admin": "127.0.0.1:0", "tls": {"certificate": certificate, "key": key},
    });
    Setup::new(&[("one", upstream.url())], POLICY).with("listen", listen)
}

fn client(authority: &Authority, http2: bool) -> Client {
    install_crypto();
    let builder = Client::builder().no_proxy().tls_certs_only([authority.root()]).tls_info(true);
    if http2 { builder } else { builder.http1_only() }.build().unwrap()
}

/// The certificate that a new connection is shown.
async fn shown(authority: &Authority, gateway: &Gateway) -> Vec<u8> {
    let url = format!("https://{}/healthz", gateway.authority());
    let response = client(authority, true).get(url).send().await.unwrap();
    response.extensions().get::<reqwest::tls::TlsInfo>().unwrap().peer_certificate().unwrap().to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn both_versions_are_spoken_over_tls() {
    let (authority, upstream) = (Authority::new(), recorder().await);
    authority.issue("served", "DNS:localhost,IP:127.0.0.1");
    let gateway = gateway(&authority, &upstream).await;
    assert!(gateway.ready.gateway.starts_with("https://"));
    for (http2, version) in [(true, Version::HTTP_2), (false, Version::HTTP_11)] {
        let request = call();
        let mut sending = client(&authority, http2).post(gateway.endpoint("one")).body(request.body);
        for (name, value) in &request.headers {
            sending = sending.header(name, value);
        }
        let response = sending.send().await.unwrap();
        assert_eq!((response.status().as_u16(), response.version()), (200, version));
        assert!(response.text().await.unwrap().contains("fine"));
    }
    let metadata = format!("https://{}/.well-known/oauth-protected-resource/one/mcp", gateway.authority());
    let metadata = client(&authority, true).get(metadata).send().await.unwrap().text().await.unwrap();
    assert!(metadata.contains(&format!("https://{}/one/mcp", gateway.authority())), "{metadata}");
    assert_eq!(upstream.calls().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bridge_for_stdio_trusts_the_authority_that_it_is_given_and_no_other() {
    let (authority, upstream) = (Authority::new(), recorder().await);
    authority.issue("served", "IP:127.0.0.1");
    let gateway = gateway(&authority, &upstream).await;
    for (ca, expected) in [(authority.file("ca.pem"), "fine"), (Authority::new().file("ca.pem"), "can't be reached")] {
        let mut command = Command::new(BINARY);
        command.args(["connect", gateway.endpoint("one"), "--ca"]).arg(&ca);
        command.env("PORTCULLIS_TOKEN", token("ana", &["tester"]));
        let (mut process, mut input) = Process::spawn_talking(&mut command);
        input.write_all(&[&call().body[..], b"\n"].concat()).unwrap();
        process.line(expected, |line| line.contains(expected).then_some(())).await;
        drop(input);
        assert!(process.end().await);
    }
    assert_eq!(upstream.calls().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_certificate_is_served_without_a_restart() {
    let (authority, upstream) = (Authority::new(), recorder().await);
    authority.issue("served", "IP:127.0.0.1");
    authority.issue("next", "IP:127.0.0.1");
    let gateway = gateway(&authority, &upstream).await;
    let first = authority.der("served");
    assert_eq!(shown(&authority, &gateway).await, first);
    let replace = |kind: &str| {
        let (from, to) = (authority.file(&format!("next.{kind}")), authority.file(&format!("served.{kind}")));
        std::fs::rename(from, to).unwrap();
    };
    // A key that is not the certificate's: what is served stays.
    replace("key");
    wait_until("the pair is refused", PATIENCE, async || {
        gateway.process.lines().iter().any(|line| line.contains("can't be used together")).then_some(())
    })
    .await;
    assert_eq!(shown(&authority, &gateway).await, first);
    let next = authority.der("next");
    replace("pem");
    wait_until("the new certificate is served", PATIENCE, async || {
        (shown(&authority, &gateway).await == next).then_some(())
    })
    .await;
}

/// Neither a handshake nor HTTP/2 that does not begin may hold a connection: the library waits for its preface for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_says_nothing_is_closed() {
    let (authority, upstream) = (Authority::new(), recorder().await);
    authority.issue("served", "IP:127.0.0.1");
    let hasty = setup(&authority, &upstream).with("edge", json!({"header_deadline": "2s"}));
    let gateway = hasty.start().await;
    let mut silent = raw::Connection::open(gateway.authority()).await;
    let mut begun = raw::Connection::open(gateway.authority()).await;
    begun.send(b"\x16\x03\x01").await.unwrap();
    let open = |alpn: &str| {
        let mut command = Command::new("openssl");
        command.args(["s_client", "-quiet", "-alpn", alpn, "-connect", gateway.authority()]);
        Process::spawn(&mut command)
    };
    let (mut http1, mut http2) = (open("http/1.1"), open("h2"));
    timeout(PATIENCE, silent.closed()).await.expect("a connection without a handshake is closed");
    timeout(PATIENCE, begun.closed()).await.expect("a connection with half a handshake is closed");
    // These panic where the other side does not close.
    http1.end().await;
    http2.end().await;
}

/// Puts TLS before `upstream`; gives the URL.
async fn wrap(acceptor: Acceptor, upstream: &Upstream) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/mcp", listener.local_addr().unwrap());
    put_before(acceptor, listener, authority(&upstream.url()).to_owned());
    url
}

/// Speaks TLS at `listener`, and passes on what is said to `target`, a host and port.
pub fn put_before(acceptor: Acceptor, listener: TcpListener, target: String) {
    let acceptor = Arc::new(acceptor);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, target) = (acceptor.clone(), target.clone());
            tokio::spawn(async move {
                let stream = pingora::protocols::l4::stream::Stream::from(stream);
                let Ok(mut inner) = acceptor.tls_handshake(stream).await else { return };
                let mut outer = TcpStream::connect(target).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut inner, &mut outer).await;
            });
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_must_have_its_certificate_from_its_own_authority() {
    install_crypto();
    let (ours, theirs, upstream) = (Authority::new(), Authority::new(), recorder().await);
    ours.issue("server", "IP:127.0.0.1");
    theirs.issue("server", "IP:127.0.0.1");
    ours.issue("other", "DNS:other.example");
    let ca = json!(ours.file("ca.pem"));
    let good = wrap(ours.acceptor("server", &["h2", "http/1.1"]), &upstream).await;
    let foreign = wrap(theirs.acceptor("server", &["h2", "http/1.1"]), &upstream).await;
    let misnamed = wrap(ours.acceptor("other", &["h2", "http/1.1"]), &upstream).await;
    // No public authority has issued it either.
    let mut setup = Setup::new(&[("one", good.clone()), ("bare", good.clone())], POLICY)
        .upstream("one", "ca", ca.clone())
        .upstream("one", "http", json!("http1"));
    setup.until_ready = false;
    let gateway = setup.start().await;
    let good_call = gateway.send(&call()).await;
    assert_eq!(good_call.status, 200, "{}", good_call.text());
    assert_eq!(upstream.calls().pop().unwrap().version, crate::support::http::Version::Http1);
    let seen = upstream.seen().len();
    for (url, ca) in [(&good, None), (&foreign, Some(&ca)), (&misnamed, Some(&ca))] {
        let mut setup = Setup::new(&[("one", url.clone())], POLICY);
        setup.until_ready = false;
        let setup = match ca {
            Some(ca) => setup.upstream("one", "ca", ca.clone()),
            None => setup,
        };
        let gateway = setup.start().await;
        let response = gateway.send(&call()).await;
        assert!(response.message()["error"].is_object(), "{}", response.text());
        assert_eq!(upstream.seen().len(), seen, "nothing reaches a server that is not trusted");
    }
}

/// Also: the version is negotiated.
#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_authority_is_taken_without_a_restart() {
    install_crypto();
    let (authority, other, upstream) = (Authority::new(), Authority::new(), recorder().await);
    authority.issue("server", "IP:127.0.0.1");
    let url = wrap(authority.acceptor("server", &["h2", "http/1.1"]), &upstream).await;
    let file = other.file("ca.pem");
    let mut setup = Setup::new(&[("one", url)], POLICY).upstream("one", "ca", json!(file));
    setup.until_ready = false;
    let gateway = setup.start().await;
    assert_eq!(upstream.seen().len(), 0);
    std::fs::copy(authority.file("ca.pem"), &file).unwrap();
    wait_until("the upstream is reached", PATIENCE, async || {
        gateway.send(&call()).await.message().get("result").cloned()
    })
    .await;
    assert_eq!(upstream.calls().pop().unwrap().version, crate::support::http::Version::Http2);
}
