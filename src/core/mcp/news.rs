//! News: what a client wants to hear of, what servers say, and how both are written (MCP 2026-07-28 "Subscriptions").
//!
//! Each thing that can be told is told whole by its name, so that nothing an upstream wrote is passed on but the URI of a
//! resource, and how a task is: what that may say is for the filter of answers to judge.

use super::asked::URI_BYTES;
use super::rewrite::{change, splice};
use crate::jsonrpc::{Answer, Limits, Object, answer, parse_value, quote, string};
use crate::reject::Rejection;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// The key of `_meta` that says which subscription a message is of: the id of the request that began it.
pub const META_SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";

/// The most resources, and the most tasks, that one subscription may name.
pub const MOST: usize = 1_000;

/// What somebody wants to hear of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Interests {
    /// That the list of tools has changed.
    pub tools: bool,
    /// That the list of prompts has changed.
    pub prompts: bool,
    /// That the list of resources, or of their templates, has changed.
    pub resources: bool,
    /// That one of these resources has changed.
    pub updates: BTreeSet<String>,
    /// How one of these tasks is (SEP-2663).
    pub tasks: BTreeSet<String>,
}

impl Interests {
    /// From the `params` of `subscriptions/listen`, an object of `body`. What is unknown is passed over: it is not among
    /// what is acknowledged.
    ///
    /// # Errors
    /// [`Rejection::InvalidParams`] where a known member is not what it must be.
    pub fn read(body: &[u8], params: Option<&Object>) -> Result<Self, Rejection> {
        let missing = || invalid("notifications must be an object");
        let raw = params.and_then(|params| params.value("notifications")).ok_or_else(missing)?.of(body);
        let wanted = parse_value(raw, &Limits::default())?.ok_or_else(missing)?;
        Ok(Self {
            tools: flag(raw, &wanted, "toolsListChanged")?,
            prompts: flag(raw, &wanted, "promptsListChanged")?,
            resources: flag(raw, &wanted, "resourcesListChanged")?,
            updates: names(raw, &wanted, "resourceSubscriptions")?,
            tasks: names(raw, &wanted, "taskIds")?,
        })
    }

    /// From what a server says that it honours; what can't be read is not honoured.
    fn honoured(message: &[u8], params: &Object) -> Self {
        Self::read(message, Some(params)).unwrap_or_default()
    }

    /// As the object `notifications`.
    pub fn write(&self) -> Vec<u8> {
        let mut object = Map::new();
        let flags = [
            ("toolsListChanged", self.tools),
            ("promptsListChanged", self.prompts),
            ("resourcesListChanged", self.resources),
        ];
        object.extend(flags.into_iter().filter(|(_, on)| *on).map(|(key, _)| (key.to_owned(), true.into())));
        let lists = [("resourceSubscriptions", &self.updates), ("taskIds", &self.tasks)];
        let lists = lists.into_iter().filter(|(_, names)| !names.is_empty());
        object.extend(lists.map(|(key, names)| (key.to_owned(), json!(names))));
        Value::Object(object).to_string().into_bytes()
    }

    /// Whether there is nothing that is wanted.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Those that `other` has too.
    #[must_use]
    pub fn within(&self, other: &Self) -> Self {
        Self {
            tools: self.tools && other.tools,
            prompts: self.prompts && other.prompts,
            resources: self.resources && other.resources,
            updates: self.updates.intersection(&other.updates).cloned().collect(),
            tasks: self.tasks.intersection(&other.tasks).cloned().collect(),
        }
    }

    /// The resource among them that a change of `uri` is a change of: itself, or one that holds it (MCP 2026-07-28
    /// "Resources": what changed may be a part of what was subscribed to).
    pub fn holder_of(&self, uri: &str) -> Option<&String> {
        let holds =
            |holder: &str| uri.strip_prefix(holder).is_some_and(|rest| holder.ends_with('/') || rest.starts_with('/'));
        self.updates.get(uri).or_else(|| self.updates.iter().rev().find(|holder| holds(holder)))
    }
}

fn invalid(reason: impl Into<std::borrow::Cow<'static, str>>) -> Rejection {
    Rejection::InvalidParams(reason.into())
}

fn flag(raw: &[u8], object: &Object, key: &str) -> Result<bool, Rejection> {
    match object.value(key).map(|value| value.of(raw)) {
        None | Some(b"false") => Ok(false),
        Some(b"true") => Ok(true),
        Some(_) => Err(invalid(format!("{key} must be true or false"))),
    }
}

fn names(raw: &[u8], object: &Object, key: &str) -> Result<BTreeSet<String>, Rejection> {
    let Some(list) = object.value(key) else { return Ok(BTreeSet::new()) };
    let list: Vec<String> =
        serde_json::from_slice(list.of(raw)).map_err(|_| invalid(format!("{key} must be a list of strings")))?;
    let is_bad = |name: &String| name.is_empty() || name.len() > URI_BYTES || name.contains(char::is_control);
    if list.iter().any(is_bad) {
        return Err(invalid(format!("{key} holds a string that is empty, too long, or holds control characters")));
    }
    let names: BTreeSet<_> = list.into_iter().collect();
    if names.len() > MOST { Err(invalid(format!("{key} holds more than {MOST} strings"))) } else { Ok(names) }
}

/// What can be told.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum News {
    /// The list of tools has changed.
    Tools,
    /// The list of prompts has changed.
    Prompts,
    /// The list of resources or of templates has changed.
    Resources,
    /// This resource has changed.
    Updated(String),
    /// How a task is now: a raw object, as `tasks/get` gives it but for what says that it is a result.
    Task(Vec<u8>),
}

/// What a message on a stream of news is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// These are listened for from now on.
    Acknowledged(Interests),
    /// News.
    News(News),
    /// How a task is now, in the server's own words, and the server's own id of it.
    Task {
        /// The id.
        id: String,
        /// The raw params.
        task: Vec<u8>,
    },
    /// A request, with its raw id: older servers ask on such streams.
    Asked {
        /// The raw id.
        id: Vec<u8>,
        /// The method.
        method: String,
    },
    /// The stream is over.
    Over,
    /// Nothing that concerns news.
    Other,
}

impl Said {
    /// What `answer`, the message `message`, is.
    pub fn read(answer: &Answer, message: &[u8]) -> Self {
        match answer {
            Answer::Result { .. } | Answer::Error { .. } => Self::Over,
            Answer::Request { id, method, .. } => Self::Asked { id: id.of(message).to_vec(), method: method.clone() },
            Answer::Notification { method, params } => Self::told(method, params.as_ref(), message),
        }
    }

    fn told(method: &str, params: Option<&Object>, message: &[u8]) -> Self {
        let uri = || params.and_then(|params| params.value("uri")).and_then(|uri| string(uri.of(message)));
        match method {
            "notifications/subscriptions/acknowledged" => {
                Self::Acknowledged(params.map(|params| Interests::honoured(message, params)).unwrap_or_default())
            }
            "notifications/tools/list_changed" => Self::News(News::Tools),
            "notifications/prompts/list_changed" => Self::News(News::Prompts),
            "notifications/resources/list_changed" => Self::News(News::Resources),
            "notifications/resources/updated" => match uri() {
                Some(uri) if uri.len() <= URI_BYTES => Self::News(News::Updated(uri.into_owned())),
                _ => Self::Other,
            },
            "notifications/tasks" => {
                let id =
                    |params: &Object| string(params.value("taskId")?.of(message)).map(std::borrow::Cow::into_owned);
                let task = params.and_then(|params| Some((id(params)?, params.span.of(message).to_vec())));
                task.map_or(Self::Other, |(id, task)| Self::Task { id, task })
            }
            _ => Self::Other,
        }
    }
}

impl News {
    /// As a message, of the subscription with the raw id `subscription` where it is of one (2026-07-28 and later).
    pub fn write(&self, subscription: Option<&[u8]>) -> Vec<u8> {
        let (method, uri) = match self {
            Self::Tools => ("notifications/tools/list_changed", None),
            Self::Prompts => ("notifications/prompts/list_changed", None),
            Self::Resources => ("notifications/resources/list_changed", None),
            Self::Updated(uri) => ("notifications/resources/updated", Some(quote(uri))),
            Self::Task(task) => return task_notification(task, subscription),
        };
        let uri = uri.map(|uri| ("uri", uri));
        notification(method, uri.as_ref().map(|(key, value)| (*key, value.as_slice())), subscription)
    }
}

/// The first message of the subscription with the raw id `subscription`: what is honoured.
pub fn acknowledgement(honoured: &Interests, subscription: &[u8]) -> Vec<u8> {
    let honoured = honoured.write();
    notification("notifications/subscriptions/acknowledged", Some(("notifications", &honoured)), Some(subscription))
}

/// The last message: the answer to the request with the raw id `subscription`.
pub fn completion(subscription: &[u8]) -> Vec<u8> {
    let parts: [&[u8]; 5] = [
        br#"{"jsonrpc":"2.0","id":"#,
        subscription,
        br#","result":{"resultType":"complete","_meta":"#,
        &meta(subscription),
        b"}}",
    ];
    parts.concat()
}

fn notification(method: &str, param: Option<(&str, &[u8])>, subscription: Option<&[u8]>) -> Vec<u8> {
    let mut params = Vec::new();
    params.extend(param.map(|(key, value)| [&quote(key)[..], b":", value].concat()));
    params.extend(subscription.map(|id| [&br#""_meta":"#[..], &meta(id)].concat()));
    let head = [&br#"{"jsonrpc":"2.0","method":"#[..], &quote(method)].concat();
    match params.as_slice() {
        [] => [&head[..], b"}"].concat(),
        params => [&head[..], br#","params":{"#, &params.join(&b","[..]), b"}}"].concat(),
    }
}

/// `task`, a raw object, as the params of a notification.
fn task_notification(task: &[u8], subscription: Option<&[u8]>) -> Vec<u8> {
    let meta = subscription.map(meta);
    let set: Vec<(&str, &[u8])> = meta.iter().map(|meta| ("_meta", meta.as_slice())).collect();
    let object = parse_value(task, &Limits::ANSWER).ok().flatten();
    let params = object.map(|object| splice(task, change(&object, &set, &[])));
    let params = params.as_deref().unwrap_or(b"{}");
    [br#"{"jsonrpc":"2.0","method":"notifications/tasks","params":"#, params, b"}"].concat()
}

/// How a task is by `task`, the raw params of a notification, as the message that answers `tasks/get` with the raw id `id`;
/// `None` where it can't be read.
pub fn task_answer(task: &[u8], id: &[u8]) -> Option<Vec<u8>> {
    let object = parse_value(task, &Limits::ANSWER).ok()??;
    let result = splice(task, change(&object, &[("resultType", b"\"complete\"")], &["_meta"]));
    Some([br#"{"jsonrpc":"2.0","id":"#, id, br#","result":"#, &result, b"}"].concat())
}

/// The way back, from such a message.
pub fn answered_task(message: &[u8]) -> Option<News> {
    let Ok(Answer::Result { result, .. }) = answer(message, &Limits::ANSWER) else { return None };
    let result = result.span.of(message);
    let object = parse_value(result, &Limits::ANSWER).ok()??;
    Some(News::Task(splice(result, change(&object, &[], &["resultType"]))))
}

fn meta(subscription: &[u8]) -> Vec<u8> {
    [&b"{"[..], &quote(META_SUBSCRIPTION), b":", subscription, b"}"].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(notifications: &str) -> Result<Interests, Rejection> {
        let params = format!(r#"{{"notifications":{notifications}}}"#);
        let object = parse_value(params.as_bytes(), &Limits::default()).unwrap().unwrap();
        Interests::read(params.as_bytes(), Some(&object))
    }

    fn said(message: &[u8]) -> Said {
        Said::read(&answer(message, &Limits::ANSWER).unwrap(), message)
    }

    #[test]
    fn interests_are_read_and_written_the_same() {
        for wanted in [
            "{}",
            r#"{"toolsListChanged":true}"#,
            r#"{"promptsListChanged":true,"resourceSubscriptions":["a:b","c:d"],"resourcesListChanged":true}"#,
            r#"{"taskIds":["x"]}"#,
        ] {
            assert_eq!(String::from_utf8(read(wanted).unwrap().write()).unwrap(), wanted);
        }
        assert_eq!(
            read(r#"{"toolsListChanged":false,"other":7,"resourceSubscriptions":[]}"#).unwrap(),
            Interests::default()
        );
    }

    #[test]
    fn what_is_not_as_it_must_be_is_refused() {
        let long = format!(r#"{{"resourceSubscriptions":["{}"]}}"#, "x".repeat(URI_BYTES + 1));
        let many: Vec<_> = (0..=MOST).map(|number| format!("a:{number}")).collect();
        let many = json!({ "resourceSubscriptions": many }).to_string();
        for odd in [
            "[]",
            "null",
            "true",
            r#"{"toolsListChanged":1}"#,
            r#"{"toolsListChanged":"true"}"#,
            r#"{"toolsListChanged":null}"#,
            r#"{"resourceSubscriptions":"a:b"}"#,
            r#"{"resourceSubscriptions":[7]}"#,
            r#"{"resourceSubscriptions":[""]}"#,
            r#"{"resourceSubscriptions":["a\n"]}"#,
            r#"{"taskIds":{}}"#,
            &long,
            &many,
        ] {
            assert!(matches!(read(odd), Err(Rejection::InvalidParams(_) | Rejection::InvalidRequest(_))), "{odd}");
        }
        assert!(Interests::read(b"{}", None).is_err());
    }

    #[test]
    fn news_are_written_as_they_are_read() {
        for news in [News::Tools, News::Prompts, News::Resources, News::Updated("file:///a\"b".into())] {
            for subscription in [None, Some(&b"\"7\""[..]), Some(b"7")] {
                let written = news.write(subscription);
                assert_eq!(said(&written), Said::News(news.clone()));
                let json: Value = serde_json::from_slice(&written).unwrap();
                let id = json.pointer("/params/_meta/io.modelcontextprotocol~1subscriptionId");
                assert_eq!(id.map(|id| id.to_string().into_bytes()).as_deref(), subscription);
            }
        }
    }

    #[test]
    fn how_a_task_is_is_judged_as_an_answer_and_told_as_news() {
        let told =
            br#"{"jsonrpc":"2.0","method":"notifications/tasks","params":{"_meta":{"x":1},"taskId":"t","n":1.0}}"#;
        let Said::Task { id, task } = said(told) else { panic!("no news of a task") };
        assert_eq!(id, "t");
        let message = task_answer(&task, b"0").unwrap();
        let text = r#"{"jsonrpc":"2.0","id":0,"result":{"resultType":"complete","taskId":"t","n":1.0}}"#;
        assert_eq!(std::str::from_utf8(&message).unwrap(), text);
        let written = answered_task(&message).unwrap().write(Some(b"7"));
        let news: Value = serde_json::from_slice(&written).unwrap();
        let params = json!({"taskId": "t", "n": 1.0, "_meta": {META_SUBSCRIPTION: 7}});
        assert_eq!(news, json!({"jsonrpc": "2.0", "method": "notifications/tasks", "params": params}));
        for odd in [r#"{"taskId":7}"#, "{}"] {
            let odd = format!(r#"{{"jsonrpc":"2.0","method":"notifications/tasks","params":{odd}}}"#);
            assert_eq!(said(odd.as_bytes()), Said::Other);
        }
    }

    #[test]
    fn a_subscription_begins_and_ends_as_it_must() {
        let wanted = read(r#"{"toolsListChanged":true,"resourceSubscriptions":["a:b"]}"#).unwrap();
        let acknowledged = acknowledgement(&wanted, b"\"x\"");
        assert_eq!(said(&acknowledged), Said::Acknowledged(wanted));
        assert_eq!(said(&acknowledgement(&Interests::default(), b"1")), Said::Acknowledged(Interests::default()));
        let over: Value = serde_json::from_slice(&completion(b"\"x\"")).unwrap();
        assert_eq!(
            over,
            json!({"jsonrpc": "2.0", "id": "x", "result": {"resultType": "complete", "_meta": {META_SUBSCRIPTION: "x"}}})
        );
    }

    #[test]
    fn a_part_belongs_to_what_holds_it() {
        let wanted = read(r#"{"resourceSubscriptions":["file:///a","file:///a/b/","x:y"]}"#).unwrap();
        for (uri, holder) in [
            ("file:///a", Some("file:///a")),
            ("file:///a/c", Some("file:///a")),
            ("file:///a/b/c", Some("file:///a/b/")),
            ("file:///ab", None),
            ("x:yz", None),
            ("x:", None),
        ] {
            assert_eq!(wanted.holder_of(uri).map(String::as_str), holder, "{uri}");
        }
    }

    #[test]
    fn what_is_no_news_is_nothing() {
        for other in [
            r#"{"jsonrpc":"2.0","method":"notifications/message","params":{}}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/resources/updated"}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":7}}"#,
        ] {
            assert_eq!(said(other.as_bytes()), Said::Other, "{other}");
        }
        let asked = br#"{"jsonrpc":"2.0","id":0,"method":"ping"}"#;
        assert_eq!(said(asked), Said::Asked { id: b"0".to_vec(), method: "ping".into() });
        assert_eq!(said(br#"{"jsonrpc":"2.0","id":0,"result":{}}"#), Said::Over);
    }
}
