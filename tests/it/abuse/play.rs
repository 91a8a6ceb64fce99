//! Plays cases one after the other against their gateway, and tells every way in which one does not end as it must.

use super::case::{Case, Group, Outcome, Script, Setting, Wire};
use super::request::Ready;
use super::stage::{self, Stage};
use super::words::{Person, Words};
use crate::support::http::{self, Request, Response, Version};
use crate::support::process::wait_until;
use crate::support::upstream::{Answer, Body, Seen};
use crate::support::{journal, raw};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// What no answer may hold: names from the code and the machine. Those of the policy and the gateway come on top.
const INTERNALS: [&str; 10] =
    ["src/", ".rs", "panicked", "serde", "pingora", "sqlite", "policy", ".yaml", "secret", "127.0.0.1"];

/// Long enough for any end that a case may have; after it, the case has not ended as it must.
const PATIENCE: Duration = Duration::from_secs(20);

/// A gateway with what was recorded of it so far.
pub struct Player {
    stage: Stage,
    people: BTreeMap<String, Person>,
    outcomes: BTreeMap<String, Outcome>,
    internals: Vec<String>,
    /// The number of the last row that is accounted for.
    seq: i64,
    /// Calls that must have reached the upstream.
    calls: usize,
    open: Option<http::Connection>,
}

/// What came back.
#[derive(Debug)]
struct Came {
    /// `None` where the connection, or the stream, ended without an answer.
    response: Option<Response>,
    closed: bool,
}

/// The people that every group knows.
fn people() -> BTreeMap<String, Person> {
    let person =
        |roles: &[&str]| Person { roles: roles.iter().map(|role| (*role).to_owned()).collect(), ..Person::default() };
    [
        ("dora", person(&["developer"])),
        ("vera", person(&["viewer"])),
        ("otto", person(&["oncall"])),
        ("nina", person(&[])),
    ]
    .map(|(name, person)| (name.to_owned(), person))
    .into()
}

impl Player {
    /// Starts the gateway of a group's stage.
    pub async fn start(group: &Group, setting: &Setting, outcomes: &BTreeMap<String, Outcome>) -> Self {
        let stage = Stage::of(setting).await;
        let mut people = people();
        people.extend(group.people.clone());
        let mut internals: Vec<_> = INTERNALS.map(str::to_owned).into();
        internals.push(stage.tap.authority());
        internals.push(crate::support::gateway::GATEWAY_SECRET.to_owned());
        internals.push(stage.gateway.dir().display().to_string());
        internals.extend(stage.rules.iter().cloned());
        Self { stage, people, outcomes: outcomes.clone(), internals, seq: 0, calls: 0, open: None }
    }

    /// Plays every attack of `case`; what went wrong.
    pub async fn play(&mut self, case: &Case) -> Vec<String> {
        let mut faults = Vec::new();
        let Some(outcome) = self.outcomes.get(&case.expect).map(|outcome| outcome.but(&case.also)) else {
            return vec![format!("there is no outcome {:?}", case.expect)];
        };
        self.stage.upstream.answer(case.upstream.as_ref().map_or_else(|| Answer::text("fine"), Script::answer));
        for wire in &case.over {
            for send in &case.send {
                for each in &case.each {
                    let good = stage::good();
                    let fields = fields(&good);
                    let host = self.stage.gateway.authority().to_owned();
                    let words = Words { host: &host, people: &self.people, call: &good.body, fields: &fields, each };
                    let what = format!("{} ({wire:?}, {each:?})", case.says);
                    match send.ready(&words) {
                        Ok(ready) => faults.extend(
                            self.attack(ready, *wire, &outcome)
                                .await
                                .into_iter()
                                .map(|fault| format!("{what}: {fault}")),
                        ),
                        Err(error) => faults.push(format!("{what}: {error}")),
                    }
                }
            }
        }
        faults.iter().for_each(|fault| eprintln!("{} {fault}", case.case));
        faults
    }

    /// What the upstream saw in the end is what it must have seen: nothing came late.
    pub async fn end(&mut self) -> Vec<String> {
        let calls = self.stage.upstream.calls().len();
        if calls == self.calls {
            Vec::new()
        } else {
            vec![format!("{calls} calls at the upstream, not {}", self.calls)]
        }
    }

    async fn attack(&mut self, ready: Ready, wire: Wire, outcome: &Outcome) -> Vec<String> {
        let (bytes, calls) = (self.stage.tap.bytes(), self.stage.upstream.calls().len());
        let came = self.send(&ready, wire).await;
        let mut faults = Vec::new();
        let mut tell = |fault: String| faults.push(fault);
        check_answer(&came, outcome, &mut tell);
        self.check_internals(&came, &ready, outcome, &mut tell);
        let seen = self.stage.upstream.calls().split_off(calls);
        self.calls += usize::from(outcome.reaches());
        match seen.as_slice() {
            [seen] if outcome.reaches() => check_sight(seen, &ready, outcome, &mut tell),
            [] if !outcome.reaches() => {}
            seen => tell(format!("{} calls reached the upstream", seen.len())),
        }
        let bytes = self.stage.tap.bytes() - bytes;
        if !outcome.reaches() && bytes > 0 {
            tell(format!("{bytes} bytes reached the upstream"));
        }
        let marker = self.next(wire, &mut tell).await;
        match marker {
            Some(marker) => self.check_rows(&marker, outcome, came.response.as_ref(), &mut tell).await,
            None => tell("no good request, so the rows were not looked at".into()),
        }
        faults
    }

    async fn send(&mut self, ready: &Ready, wire: Wire) -> Came {
        if let Ready::Frames(frames) = ready {
            let response = frames.send(self.stage.gateway.authority()).await;
            return Came { response, closed: false };
        }
        let mut connection = match self.open.take() {
            Some(open) if matches!(open, http::Connection::Http2(..)) == (wire == Wire::H2) => open,
            _ => self.connect(wire).await,
        };
        let came = match (&mut connection, ready) {
            (http::Connection::Http1(connection, _), Ready::Raw(bytes)) => over_http1(connection, bytes).await,
            (http::Connection::Http1(connection, authority), Ready::Made(request)) => {
                over_http1(connection, &request.to_http1(authority)).await
            }
            (connection, Ready::Made(request)) => {
                let response = timeout(PATIENCE, connection.exchange(request)).await;
                Came { response: response.ok().and_then(Result::ok), closed: false }
            }
            (_, Ready::Raw(_) | Ready::Frames(_)) => {
                panic!("raw bytes are HTTP/1.1, and frames have connections of their own")
            }
        };
        self.open = (!came.closed).then_some(connection);
        came
    }

    async fn connect(&self, wire: Wire) -> http::Connection {
        let version = if wire == Wire::H1 { Version::Http1 } else { Version::Http2 };
        http::Connection::open(self.stage.gateway.authority(), version).await
    }

    /// The next request that is in order, on the same connection where it is open; the id of its row.
    async fn next(&mut self, wire: Wire, tell: &mut impl FnMut(String)) -> Option<String> {
        let mut connection = match self.open.take() {
            Some(open) => open,
            None => self.connect(wire).await,
        };
        self.stage.upstream.behave(stage::fine);
        let response = timeout(PATIENCE, connection.exchange(&stage::good())).await;
        self.stage.upstream.behave(|_| None);
        self.calls += 1;
        match response {
            Ok(Ok(response)) if response.status == 200 => {
                let closes = response.header("connection") == Some("close");
                self.open = (!closes).then_some(connection);
                response.header("x-request-id").map(str::to_owned)
            }
            other => {
                tell(format!("the next request: {other:?}"));
                None
            }
        }
    }

    fn check_internals(&self, came: &Came, ready: &Ready, outcome: &Outcome, tell: &mut impl FnMut(String)) {
        let Some(response) = &came.response else { return };
        let text = response.text();
        if !outcome.reaches() {
            // What the caller said itself tells it nothing.
            let sent = match ready {
                Ready::Raw(bytes) => String::from_utf8_lossy(bytes).into_owned(),
                Ready::Made(request) => String::from_utf8_lossy(&request.body).into_owned(),
                Ready::Frames(_) => String::new(),
            };
            let told = self.internals.iter().filter(|word| text.contains(*word) && !sent.contains(*word));
            told.for_each(|word| tell(format!("{word:?} is in {text}")));
        }
        let whole = format!("{:?} {text}", response.headers);
        outcome
            .lacks
            .iter()
            .filter(|word| whole.contains(*word))
            .for_each(|word| tell(format!("{word:?} is in {whole}")));
    }

    /// The rows between the last that is accounted for and the one of the request `marker`.
    async fn check_rows(
        &mut self,
        marker: &str,
        outcome: &Outcome,
        response: Option<&Response>,
        tell: &mut impl FnMut(String),
    ) {
        let wanted = outcome.rows.unwrap_or(1);
        let since = Instant::now();
        let mut rows = wait_until("the rows are read", PATIENCE * 2, async || {
            let rows = journal::calls_after(&self.stage.gateway.ready.journal, self.seq).await;
            let ended = rows.iter().all(|row| !row["outcome"].is_null());
            let done = ended && rows.len() > wanted && rows.iter().any(|row| row["request_id"] == *marker);
            // Rows that are missing are told, like all that is wrong.
            (done || since.elapsed() > PATIENCE).then_some(rows)
        })
        .await;
        self.seq = rows.last().map_or(self.seq, |row| row["seq"].as_i64().unwrap_or_default());
        rows.retain(|row| row["request_id"] != *marker);
        if rows.len() != wanted {
            tell(format!("{} rows, not {wanted}: {rows:?}", rows.len()));
        }
        rows.iter().for_each(|row| check_row(row, outcome, response, tell));
    }
}

/// Sends `bytes` and reads what comes of them.
async fn over_http1(connection: &mut raw::Connection, bytes: &[u8]) -> Came {
    // A server may refuse, and close, before it has all.
    let _ = connection.send(bytes).await;
    let response = timeout(PATIENCE, connection.read_response()).await.ok().and_then(Result::ok);
    let closes = response.as_ref().is_none_or(|response| response.header("connection") == Some("close"));
    let closed = closes && timeout(PATIENCE, connection.closed()).await.is_ok();
    Came { response, closed }
}

fn check_answer(came: &Came, outcome: &Outcome, tell: &mut impl FnMut(String)) {
    if outcome.closed.is_some_and(|closed| closed != came.closed) {
        tell(format!("the connection is {}closed", if came.closed { "" } else { "not " }));
    }
    let Some(response) = &came.response else {
        if outcome.unanswered != Some(true) {
            tell("no answer".into());
        }
        return;
    };
    let text = response.text();
    if outcome.unanswered == Some(true) {
        tell(format!("an answer: {} {text}", response.status));
    }
    if outcome.status.is_some_and(|status| status != response.status) {
        tell(format!("status {}: {text}", response.status));
        return;
    }
    if let Some(code) = outcome.code {
        let parsed = serde_json::from_slice::<Value>(&response.body);
        let events = response.header("content-type").is_some_and(|kind| kind.starts_with("text/event-stream"));
        let message = if events { Ok(response.message()) } else { parsed };
        let said = message.map(|message| message["error"]["code"].as_i64().unwrap_or_default());
        if said.as_ref().ok() != Some(&code) {
            tell(format!("code {said:?}: {text}"));
        }
    }
    check_fields(&outcome.headers, &response.headers, tell);
    outcome.holds.iter().filter(|word| !text.contains(*word)).for_each(|word| tell(format!("no {word:?} in {text}")));
}

fn check_fields(wanted: &BTreeMap<String, Option<String>>, fields: &[(String, String)], tell: &mut impl FnMut(String)) {
    for (name, value) in wanted {
        let values: Vec<_> = fields.iter().filter(|(key, _)| key == name).map(|(_, value)| value).collect();
        if values != value.iter().collect::<Vec<_>>() {
            tell(format!("{name} is {values:?}"));
        }
    }
}

fn check_sight(seen: &Seen, ready: &Ready, outcome: &Outcome, tell: &mut impl FnMut(String)) {
    let Some(sight) = &outcome.seen else { return };
    if let (true, Ready::Made(request)) = (sight.same_body, ready)
        && seen.body != request.body
    {
        tell(format!("the upstream got {}", String::from_utf8_lossy(&seen.body)));
    }
    let message = seen.json();
    for (pointer, value) in &sight.members {
        let got = message.pointer(pointer).unwrap_or(&Value::Null);
        if got != value {
            tell(format!("the upstream got {got} at {pointer}"));
        }
    }
    check_fields(&sight.headers, &seen.headers, &mut |fault| tell(format!("at the upstream, {fault}")));
}

fn check_row(row: &Map<String, Value>, outcome: &Outcome, response: Option<&Response>, tell: &mut impl FnMut(String)) {
    let mut wanted = Map::new();
    wanted.insert("error".into(), outcome.label.clone().into());
    let ended = match (&outcome.label, outcome.reaches()) {
        (None, _) => "ok",
        (Some(_), true) => "failed",
        (Some(_), false) => "refused",
    };
    wanted.insert("outcome".into(), ended.into());
    if let Some(response) = response {
        wanted.insert("status".into(), response.status.into());
    }
    wanted.extend(outcome.row.clone());
    for (column, value) in wanted {
        let got = row.get(&column).unwrap_or(&Value::Null);
        if *got != value {
            tell(format!("the row's {column} is {got}, not {value}"));
        }
    }
}

/// The header of `request` as lines, besides those that say where it goes and how long it is.
fn fields(request: &Request) -> String {
    let fields = request.headers.iter().filter(|(name, _)| name != "host");
    fields.map(|(name, value)| format!("{name}: {value}\r\n")).collect::<String>().trim_end().to_owned()
}

impl Script {
    fn answer(&self) -> Answer {
        let kind = self.kind.as_deref();
        let mut answer = match (&self.text, &self.json, &self.events, &self.raw) {
            (Some(text), ..) => Answer::text(text),
            (_, Some(json), ..) => Answer::json(json),
            (_, _, Some(events), _) => Answer::events(events, self.cut.unwrap_or(usize::MAX)),
            (_, _, _, Some(raw)) => Answer::new(200, kind.unwrap_or_default(), Body::Whole(raw.clone().into_bytes())),
            _ => Answer::text("fine"),
        };
        match self.fault.as_deref() {
            Some("closed") => answer.body = Body::Closed,
            Some("silent") => answer.body = Body::Silent,
            Some(other) => panic!("no fault is called {other}"),
            None => {}
        }
        answer.status = self.status.unwrap_or(answer.status);
        answer.headers.extend(self.headers.clone());
        answer
    }
}
