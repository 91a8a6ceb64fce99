//! Asks an upstream what it speaks, what it says of itself, and for each list that it says it has.
//!
//! Its era is asked for each time, because a server that was upgraded keeps answering the old handshake (MCP 2026-07-28
//! "Backward Compatibility"). When to ask, and what becomes of the answer, is `catalogue`'s business.

use crate::upstream::CLIENT_INFO;
use crate::upstream::answer::Answer;
use crate::upstream::client::{Client, Failure};
use crate::upstream::pool::{Choice, Pool};
use crate::upstream::session::{self, Session, SessionError};
use http::{HeaderName, HeaderValue};
use portcullis_core::catalog::{About, Item, Listed, Template, UpstreamCatalog};
use portcullis_core::jsonrpc::{self, Limits};
use portcullis_core::mcp::capabilities::Capabilities;
use portcullis_core::mcp::rewrite;
use portcullis_core::mcp::version::Version;
use portcullis_core::reject::Era;
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// The largest page of a list, in bytes.
const PAGE: usize = 8 << 20;
/// The most pages of a list.
const PAGES: usize = 200;
/// The most bytes of all pages of a list.
const LIST: usize = 32 << 20;
/// How long an upstream may take for a handshake, or for all pages of a list.
const PATIENCE: Duration = Duration::from_secs(60);
/// How many definitions that are left out are logged one by one.
const LOGGED: usize = 20;

/// Why it is not known what an upstream offers.
#[derive(Debug, thiserror::Error)]
pub enum DiscoveryError {
    /// The handshake or the exchange failed.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The answer is no such list.
    #[error("{method} was answered with HTTP {status}, {problem}")]
    List {
        /// What was asked.
        method: &'static str,
        /// The HTTP status.
        status: u16,
        /// What is wrong with the answer.
        problem: &'static str,
    },
}

impl From<Failure> for DiscoveryError {
    fn from(failure: Failure) -> Self {
        SessionError::from(failure).into()
    }
}

/// What an upstream showed when it was asked.
pub struct Shown {
    /// All of it. A list that could not be had is as it was before.
    pub catalog: UpstreamCatalog,
    /// How long it lasts by its own word: the shortest of its lists; `None` where one says nothing.
    pub ttl: Option<Duration>,
    /// Why a list could not be had.
    pub failed: Option<DiscoveryError>,
}

/// Asks. `before` is what it showed last. An upstream whose lists are different for each caller is not asked for any.
///
/// # Errors
/// It could not be spoken to at all.
pub async fn discover(
    client: &Arc<Client>,
    pool: &Arc<Pool>,
    before: Option<&UpstreamCatalog>,
) -> Result<Shown, DiscoveryError> {
    let user = Vec::new();
    let (talk, about) = match in_time(modern(client, pool)).await? {
        Some((replica, about)) => (Talk { client, pool, user, replica, session: None }, about),
        None => {
            // There are servers that show some tools only to clients that can do what those ask of them.
            let begun = async { Ok(session::begin(client, pool, Capabilities::ALL).await?) };
            let (session, about) = in_time(begun).await?;
            let (replica, session) = (session.replica.clone(), Some(Arc::new(session)));
            (Talk { client, pool, user, replica, session }, about)
        }
    };
    let about = About::read(&about);
    if pool.upstream.per_user {
        let catalog = UpstreamCatalog { about, ..UpstreamCatalog::new(talk.era()) };
        return Ok(Shown { catalog, ttl: None, failed: None });
    }
    Ok(talk.lists(about, before, Fallback::Before).await)
}

/// One of the callers to whom an upstream shows lists of their own.
pub struct Asker<'a> {
    /// Whose session with it, where it speaks an older revision.
    pub session: Option<Arc<Session>>,
    /// What tells it who asks, where it does not.
    pub user: Vec<(HeaderName, HeaderValue)>,
    /// What it says of itself.
    pub about: &'a About,
    /// Definitions that were read before, whoever was shown them: what is written the same is not read again.
    pub read: Option<&'a UpstreamCatalog>,
}

/// Asks for the lists of one caller. One that can't be had is not known.
///
/// # Errors
/// No replica is there to be asked.
pub async fn discover_for(client: &Arc<Client>, pool: &Arc<Pool>, asker: Asker<'_>) -> Result<Shown, DiscoveryError> {
    let Asker { session, user, about, read } = asker;
    let known = session.as_ref().map(|session| session.replica.clone());
    let replica = known.or_else(|| pool.select(&[])).ok_or(Failure::NoReplica)?;
    let talk = Talk { client, pool, user, replica, session };
    Ok(talk.lists(about.clone(), read, Fallback::Unknown).await)
}

async fn in_time<T>(work: impl Future<Output = Result<T, DiscoveryError>>) -> Result<T, DiscoveryError> {
    tokio::time::timeout(PATIENCE, work).await.unwrap_or(Err(Failure::Timeout.into()))
}

/// The replica that answered `server/discover` with a result that names our revision, where one did, and the result.
async fn modern(client: &Client, pool: &Pool) -> Result<Option<(Choice, Value)>, DiscoveryError> {
    let (mut replica, mut answer) = ask_for_all(client, pool).await?;
    // It does not take what it says that it speaks: a server that changes, or of which another replica answered (MCP
    // 2026-07-28 "Versioning": the client picks one of those and asks again).
    if speaks_ours(&answer) {
        (replica, answer) = ask_for_all(client, pool).await?;
    }
    let result = answer.response(b"0").and_then(|message| {
        let mut message: Value = serde_json::from_slice(&message).ok()?;
        let result = message.get_mut("result")?.take();
        let versions = result.get("supportedVersions")?.as_array()?;
        versions.iter().any(|version| version == Version::LATEST.as_str()).then_some(result)
    });
    Ok(result.map(|result| (replica, result)))
}

async fn ask_for_all(client: &Client, pool: &Pool) -> Result<(Choice, Answer), DiscoveryError> {
    let body = rewrite::request(b"0", "server/discover", &[], Version::LATEST, CLIENT_INFO);
    Ok(client.post_any(pool, &modern_headers("server/discover"), body.into(), PAGE).await?)
}

/// Whether `answer` refuses our revision and names it among those that are spoken.
fn speaks_ours(answer: &Answer) -> bool {
    let Ok(message) = serde_json::from_slice::<Value>(&answer.body) else { return false };
    let supported = message.pointer("/error/data/supported").and_then(Value::as_array);
    let ours = supported.is_some_and(|all| all.iter().any(|version| version == Version::LATEST.as_str()));
    answer.status == 400 && message.pointer("/error/code") == Some(&(-32022).into()) && ours
}

/// The fields of a request of our own for `method`.
pub fn modern_headers(method: &'static str) -> Vec<(HeaderName, HeaderValue)> {
    vec![
        (HeaderName::from_static("mcp-protocol-version"), HeaderValue::from_static(Version::LATEST.as_str())),
        (HeaderName::from_static("mcp-method"), HeaderValue::from_static(method)),
    ]
}

/// A list, and how long it lasts.
type Found<T> = Result<(Listed<T>, Option<Duration>), DiscoveryError>;

/// A conversation with one replica.
struct Talk<'a> {
    client: &'a Arc<Client>,
    pool: &'a Arc<Pool>,
    /// What tells the upstream who asks, where it is somebody.
    user: Vec<(HeaderName, HeaderValue)>,
    replica: Choice,
    /// Where it speaks an older revision.
    session: Option<Arc<Session>>,
}

/// What stands for a list that can't be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fallback {
    /// The one before.
    Before,
    /// None: the one before may be another caller's.
    Unknown,
}

/// What the lists of one round come to.
struct Round {
    fallback: Fallback,
    ttls: Vec<Option<Duration>>,
    failed: Option<DiscoveryError>,
}

impl Round {
    /// The list that was found, else what stands for it.
    fn keep<T>(&mut self, found: Found<T>, before: Option<&Listed<T>>) -> Listed<T> {
        match found {
            Ok((listed, ttl)) => {
                self.ttls.push(ttl);
                listed
            }
            Err(error) => {
                self.failed = Some(error);
                before.filter(|_| self.fallback == Fallback::Before).cloned().unwrap_or_default()
            }
        }
    }
}

impl Talk<'_> {
    fn era(&self) -> Era {
        if self.session.is_some() { Era::Legacy } else { Era::Modern }
    }

    async fn lists(self, about: About, before: Option<&UpstreamCatalog>, fallback: Fallback) -> Shown {
        let mut round = Round { fallback, ttls: Vec::new(), failed: None };
        let (tools, prompts) = (before.map(|before| &before.tools), before.map(|before| &before.prompts));
        let (resources, templates) = (before.map(|before| &before.resources), before.map(|before| &before.templates));
        let found = self.list(tools).await;
        // Some servers have tools and do not say so; one without them need not know the method.
        let undeclared = matches!(&found, Err(DiscoveryError::List { .. })) && !about.declares("tools");
        let tools = round.keep(if undeclared { Ok(none()) } else { found }, tools);
        let prompts = match about.declares("prompts") {
            true => round.keep(self.list(prompts).await, prompts),
            false => none().0,
        };
        let (resources, templates) = match about.declares("resources") {
            true => (
                round.keep(self.list(resources).await, resources),
                round.keep(self.templates(templates).await, templates),
            ),
            false => (none().0, none().0),
        };
        let Round { ttls, failed, .. } = round;
        let ttl = ttls.into_iter().min().flatten().filter(|_| self.session.is_none());
        let catalog =
            UpstreamCatalog { about, tools, prompts, resources, templates, ..UpstreamCatalog::new(self.era()) };
        Shown { catalog, ttl, failed }
    }

    /// A server with resources and without templates need not know the method.
    async fn templates(&self, before: Option<&Listed<Template>>) -> Found<Template> {
        match self.list(before).await {
            Err(DiscoveryError::List { problem: UNKNOWN, .. }) => Ok(none()),
            found => found,
        }
    }

    /// A list. What is on it as it was in `before` is not read again.
    async fn list<T: Item>(&self, before: Option<&Listed<T>>) -> Found<T> {
        let (definitions, ttl) = in_time(self.pages(T::METHOD, T::KEY)).await?;
        let known: HashMap<&[u8], &Arc<T>> = before.iter().flat_map(|before| before.all()).map(known_by).collect();
        let (upstream, method) = (&self.pool.upstream.name, T::METHOD);
        let mut items: BTreeMap<String, Arc<T>> = BTreeMap::new();
        let mut left_out = 0;
        for definition in &definitions {
            let definition = definition.get().as_bytes();
            let read = || T::read(upstream, definition).map(Arc::new);
            let problem = match known.get(definition).map_or_else(read, |known| Ok(Arc::clone(known))) {
                Ok(item) if items.contains_key(&item.name().tool) => format!("{} is there a second time", item.name()),
                Ok(item) => {
                    items.insert(item.name().tool.clone(), item);
                    continue;
                }
                Err(problem) => problem,
            };
            left_out += 1;
            if left_out <= LOGGED {
                tracing::warn!(upstream, method, problem, "a definition is left out");
            }
        }
        if left_out > LOGGED {
            tracing::warn!(upstream, method, left_out, "more definitions are left out");
        }
        Ok((Listed::new(items), ttl))
    }

    async fn pages(
        &self,
        method: &'static str,
        key: &str,
    ) -> Result<(Vec<Box<RawValue>>, Option<Duration>), DiscoveryError> {
        let mut all = Vec::new();
        let mut left = LIST;
        let mut cursor: Option<Vec<u8>> = None;
        let mut ttl = Some(Duration::MAX);
        for number in 1..=PAGES {
            let answer = self.page(method, number, cursor.as_deref(), left).await?;
            left = left.saturating_sub(answer.body.len());
            let page = read_page(&answer, number, method, key)?;
            all.extend(page.definitions);
            ttl = ttl.min(page.ttl);
            cursor = page.next;
            if cursor.is_none() {
                return Ok((all, ttl));
            }
        }
        Err(DiscoveryError::List { method, status: 200, problem: "without end" })
    }

    async fn page(
        &self,
        method: &'static str,
        number: usize,
        cursor: Option<&[u8]>,
        left: usize,
    ) -> Result<Answer, DiscoveryError> {
        let (version, mut headers) = match &self.session {
            Some(session) => (Version::LATEST_LEGACY, session.headers()),
            None => (Version::LATEST, modern_headers(method)),
        };
        headers.extend(self.user.iter().cloned());
        let params: Vec<(&str, &[u8])> = cursor.iter().map(|cursor| ("cursor", *cursor)).collect();
        let body = rewrite::request(number.to_string().as_bytes(), method, &params, version, CLIENT_INFO);
        let asked = self.client.post(self.pool, &self.replica, &headers, body.into(), PAGE.min(left));
        Ok(asked.await?)
    }
}

fn known_by<'a, T: Item>((_, item): (&'a String, &'a Arc<T>)) -> (&'a [u8], &'a Arc<T>) {
    (item.written(), item)
}

/// A list that is known to be empty, and will be as long as the others last.
fn none<T>() -> (Listed<T>, Option<Duration>) {
    (Listed::new(BTreeMap::new()), Some(Duration::MAX))
}

struct Page {
    definitions: Vec<Box<RawValue>>,
    next: Option<Vec<u8>>,
    ttl: Option<Duration>,
}

/// What is wrong with an answer that says that there is no such method.
const UNKNOWN: &str = "with an unknown method";

fn read_page(answer: &Answer, number: usize, method: &'static str, key: &str) -> Result<Page, DiscoveryError> {
    let refused = |problem| DiscoveryError::List { method, status: answer.status, problem };
    if is_unknown_method(answer) {
        return Err(refused(UNKNOWN));
    }
    let message = answer.response(number.to_string().as_bytes()).ok_or(refused("without a JSON-RPC response"))?;
    let Ok(jsonrpc::Answer::Result { result, .. }) = jsonrpc::answer(&message, &Limits::ANSWER) else {
        return Err(refused("with an error"));
    };
    let definitions = result.value(key).ok_or(refused("without the list"))?;
    let definitions = serde_json::from_slice(definitions.of(&message)).map_err(|_| refused("without a list"))?;
    let next = result.value("nextCursor").map(|span| span.of(&message).to_vec()).filter(|next| next != b"null");
    let ttl = result.value("ttlMs").and_then(|span| serde_json::from_slice::<u64>(span.of(&message)).ok());
    Ok(Page { definitions, next, ttl: ttl.map(Duration::from_millis) })
}

/// Whether it is the error -32601, which comes with 404 from newer servers and with 200 from older ones.
fn is_unknown_method(answer: &Answer) -> bool {
    let code = |body: &[u8]| serde_json::from_slice::<Value>(body).ok()?.pointer("/error/code")?.as_i64();
    matches!(answer.status, 200 | 404) && code(&answer.body) == Some(-32601)
}
