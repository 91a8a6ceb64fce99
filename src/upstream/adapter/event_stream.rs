//! A server that speaks HTTP+SSE of MCP 2024-11-05 ("HTTP with SSE"): an event stream on which it says everything, and an
//! endpoint, which the stream names first, that takes our messages.

use crate::config::snapshot::Upstream;
use crate::upstream::adapter::conversation::{Conversation, Outgoing};
use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE};
use portcullis_core::mcp::sse::{Event, Parser};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Response};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::Receiver;
use tokio::task::JoinSet;
use url::Url;

/// The largest event, in bytes.
const EVENT: usize = 32 << 20;

/// Why there is no event stream.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// No HTTP client can be made.
    #[error("no HTTPS client can be made; install the system's certificates (package ca-certificates)")]
    NoClient,
    /// It can't be reached.
    #[error("the event stream can't be reached: {0}")]
    Unreachable(String),
    /// It answered with something else.
    #[error("the event stream is answered with status {0} or is none; `sse` is the URL of the stream itself")]
    NoStream(u16),
    /// It did not say where messages go.
    #[error("the event stream does not begin with an endpoint for messages")]
    NoEndpoint,
    /// It sends our messages, and with them the gateway's secret, to another server.
    #[error("the event stream names an endpoint on another server")]
    ForeignEndpoint,
}

/// How such a server is reached.
pub struct EventStream {
    url: Url,
    health: Option<Url>,
    client: Client,
    /// How long it may take to say where messages go, and to take one.
    patience: Duration,
}

/// A stream that was opened.
pub struct Open {
    stream: Response,
    parser: Parser,
    /// What came with the endpoint already.
    rest: Vec<Event>,
    endpoint: Url,
    client: Client,
    patience: Duration,
}

impl EventStream {
    /// The server at `url`, by the other keys of `upstream`.
    ///
    /// # Errors
    /// [`OpenError::NoClient`].
    pub fn new(url: &Url, upstream: &Upstream) -> Result<Self, OpenError> {
        // reqwest would panic.
        rustls::crypto::CryptoProvider::get_default().ok_or(OpenError::NoClient)?;
        let mut client = Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .connect_timeout(upstream.connect_timeout)
            // Servers close theirs after five seconds, and a message that meets the closing may not be sent again.
            .pool_idle_timeout(Duration::from_secs(4))
            .user_agent(concat!("portcullis/", env!("CARGO_PKG_VERSION")));
        if let Some(ca) = &upstream.ca {
            client = client.tls_certs_only(Certificate::from_pem_bundle(ca).map_err(|_| OpenError::NoClient)?);
        }
        let client = client.build().map_err(|_| OpenError::NoClient)?;
        let health = upstream.health.as_ref().and_then(|path| url.join(path).ok());
        Ok(Self { url: url.clone(), health, client, patience: upstream.timeout })
    }

    /// Opens a stream in the name of whoever `headers` name.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn open(&self, headers: HeaderMap) -> Result<Open, OpenError> {
        let opened = tokio::time::timeout(self.patience, self.open_at_leisure(headers)).await;
        opened.unwrap_or_else(|_| Err(OpenError::Unreachable("it takes too long".into())))
    }

    async fn open_at_leisure(&self, headers: HeaderMap) -> Result<Open, OpenError> {
        let request = self.client.get(self.url.clone()).headers(headers).header(ACCEPT, "text/event-stream");
        let mut stream = request.send().await.map_err(unreachable)?;
        let kind = stream.headers().get(CONTENT_TYPE).map(|kind| kind.as_bytes().to_ascii_lowercase());
        if stream.status() != 200 || !kind.is_some_and(|kind| kind.starts_with(b"text/event-stream")) {
            return Err(OpenError::NoStream(stream.status().as_u16()));
        }
        let (mut parser, mut events) = (Parser::new(EVENT), Vec::new());
        loop {
            events.retain(|event: &Event| event.data.is_some());
            if !events.is_empty() {
                let endpoint = self.endpoint(&events.remove(0))?;
                let (client, patience) = (self.client.clone(), self.patience);
                return Ok(Open { stream, parser, rest: events, endpoint, client, patience });
            }
            let chunk = stream.chunk().await.map_err(unreachable)?.ok_or(OpenError::NoEndpoint)?;
            parser.push(&chunk, &mut events).map_err(|_| OpenError::NoEndpoint)?;
        }
    }

    /// Where messages go: to the server that the configuration names and to no other.
    fn endpoint(&self, event: &Event) -> Result<Url, OpenError> {
        let written = event.data.as_deref().filter(|_| event.event.as_deref() == Some("endpoint"));
        let endpoint = self.url.join(written.ok_or(OpenError::NoEndpoint)?.trim());
        let endpoint = endpoint.map_err(|_| OpenError::NoEndpoint)?;
        let credentials = !endpoint.username().is_empty() || endpoint.password().is_some();
        if endpoint.origin() != self.url.origin() || credentials {
            return Err(OpenError::ForeignEndpoint);
        }
        Ok(endpoint)
    }

    /// Whether the server is well: by the path that the operator named, or by a connection that opens.
    pub async fn is_well(&self, patience: Duration) -> bool {
        let asked = async {
            match &self.health {
                Some(url) => self.client.get(url.clone()).send().await.is_ok_and(|response| response.status() == 200),
                None => {
                    let host = self.url.host_str().unwrap_or_default().trim_matches(['[', ']']);
                    let port = self.url.port_or_known_default().unwrap_or_default();
                    tokio::net::TcpStream::connect((host, port)).await.is_ok()
                }
            }
        };
        tokio::time::timeout(patience, asked).await.unwrap_or(false)
    }
}

impl Open {
    /// Carries messages until the stream or the conversation ends.
    pub async fn attend(self, conversation: &Arc<Conversation>, outgoing: Receiver<Outgoing>) {
        let Self { stream, parser, rest, endpoint, client, patience } = self;
        let way = Way { endpoint, client, patience };
        tokio::select! {
            () = read(stream, parser, rest, conversation) => {}
            () = way.write(outgoing, conversation) => {}
            () = conversation.over() => {}
        }
        conversation.end();
    }
}

async fn read(mut stream: Response, mut parser: Parser, mut events: Vec<Event>, conversation: &Conversation) {
    loop {
        for event in events.drain(..) {
            let message = event.data.filter(|_| event.event.is_none_or(|name| name == "message"));
            if message.is_some_and(|message| !message.is_empty() && conversation.take(message.as_bytes()).is_err()) {
                tracing::warn!("an event of a server that speaks HTTP+SSE is no message; it is skipped");
            }
        }
        let Ok(Some(chunk)) = stream.chunk().await else { return };
        if parser.push(&chunk, &mut events).is_err() {
            return;
        }
    }
}

/// The way of our messages to the server.
#[derive(Clone)]
struct Way {
    endpoint: Url,
    client: Client,
    patience: Duration,
}

impl Way {
    /// Posts what comes. Requests go side by side, since some servers answer the POST when they have done the work;
    /// notifications keep their place before what comes after them.
    async fn write(self, mut outgoing: Receiver<Outgoing>, conversation: &Arc<Conversation>) {
        let mut requests = JoinSet::new();
        while let Some(message) = outgoing.recv().await {
            while requests.try_join_next().is_some() {}
            let Some(number) = message.number else {
                let _ = self.post(message).await;
                continue;
            };
            let (way, conversation) = (self.clone(), Arc::clone(conversation));
            requests.spawn(async move {
                if !way.post(message).await {
                    conversation.undelivered(number);
                }
            });
        }
    }

    /// Whether the server took the message.
    async fn post(&self, message: Outgoing) -> bool {
        let request = self.client.post(self.endpoint.clone()).headers(message.headers).timeout(self.patience);
        match request.header(CONTENT_TYPE, "application/json").body(message.text).send().await {
            Ok(response) if response.status().is_success() => true,
            Ok(response) => {
                tracing::warn!(status = response.status().as_u16(), "a server that speaks HTTP+SSE refuses a message");
                false
            }
            Err(error) => {
                tracing::warn!(error = %error.without_url(), "a message can't be brought to a server that speaks HTTP+SSE");
                false
            }
        }
    }
}

fn unreachable(error: reqwest::Error) -> OpenError {
    OpenError::Unreachable(error.without_url().to_string())
}
