//! `portcullis policy replay`: what another policy would have said of the calls in the record.

use super::FOUND;
use crate::app::{self, ReportError};
use crate::cli::audit::JournalFile;
use crate::cli::audit::selection::moment;
use crate::cli::{nobody, runtime, say};
use crate::config::premises::Premises;
use crate::store::journal::read::{Filter, Order, Reader};
use portcullis_core::audit::row::Stored;
use portcullis_core::policy::{
    AccessRequest, Arguments, CallArguments, Context, Decision, Gap, PolicySet, decide_again,
};
use portcullis_core::principal::Principal;
use portcullis_core::time::Timestamp;
use portcullis_core::tool::{Kind, ToolName};
use portcullis_core::visible::visible;
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Rows that are read at once.
const PAGE: usize = 1000;

/// Which calls, and under which policy.
#[derive(clap::Args)]
pub struct Options {
    #[command(flatten)]
    file: JournalFile,
    /// The policy to decide by.
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// Calls not before this time (`2026-11-20T08:00:00Z`), or this long ago (`7d`). Without it, all.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Timestamp>,
    /// Calls before this time, or this long ago.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<Timestamp>,
    /// Examples of each change.
    #[arg(long, default_value = "3")]
    examples: usize,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What would come of the calls.
#[derive(Default, Serialize)]
struct Results {
    /// Calls that policy has decided.
    calls: usize,
    same: usize,
    changed: usize,
    unknown: usize,
    changes: Vec<Change>,
    /// Why it can't be told, with how many calls.
    reasons: BTreeMap<&'static str, usize>,
}

/// Calls that would change in the same way.
#[derive(Serialize)]
struct Change {
    #[serde(flatten)]
    key: Key,
    calls: usize,
    examples: Vec<Example>,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Key {
    /// What was decided, and by which rule.
    before: String,
    rule_before: String,
    /// What would be.
    after: String,
    rule_after: String,
}

#[derive(Serialize)]
struct Example {
    seq: i64,
    at: String,
    user: String,
    tool: String,
    request_id: String,
}

/// Decides all again.
///
/// # Errors
/// A policy or a journal that can't be read.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let premises = Premises::of(options.file.config(), &app::environment).map_err(ReportError)?;
    let policy = premises.compile(&options.policy).map_err(ReportError)?;
    let filter = Filter { since: options.since, until: options.until, ended: true, ..Filter::default() };
    let results = runtime(1)?.block_on(async {
        let mut reader = Reader::open(&options.file.path()?).await?;
        let (mut results, mut changes, mut from) = (Results::default(), BTreeMap::new(), None);
        loop {
            let rows = reader.page(&filter, Order::OldestFirst, from, PAGE).await?;
            rows.iter().for_each(|row| take(row, &policy, options.examples, &mut results, &mut changes));
            let Some(last) = rows.last() else { break };
            from = Some(last.seq);
        }
        results.changes = changes.into_values().collect();
        anyhow::Ok(results)
    })?;
    let text = if options.json { serde_json::to_string_pretty(&results)? } else { told(&results) };
    say(&mut io::stdout(), text.trim_end());
    Ok(if results.changed > 0 { ExitCode::from(FOUND) } else { ExitCode::SUCCESS })
}

fn take(row: &Stored, policy: &PolicySet, examples: usize, results: &mut Results, changes: &mut BTreeMap<Key, Change>) {
    let Some(decided) = row.text("decision") else { return };
    results.calls += 1;
    let before = if row.text("error") == Some("insufficient_scope") { "scope" } else { decided };
    let decision = match decide(row, policy) {
        Ok(decision) => decision,
        Err(reason) => {
            results.unknown += 1;
            *results.reasons.entry(reason).or_default() += 1;
            return;
        }
    };
    if before == decision.word() {
        results.same += 1;
        return;
    }
    results.changed += 1;
    let text = |column: &str| row.text(column).unwrap_or("-").to_owned();
    let (after, rule_after) = (decision.word().to_owned(), decision.rule.to_string());
    let key = Key { before: before.to_owned(), rule_before: text("rule"), after, rule_after };
    let change = changes.entry(key.clone()).or_insert(Change { key, calls: 0, examples: Vec::new() });
    change.calls += 1;
    if change.examples.len() < examples {
        let (at, user, tool, request_id) = (text("at"), text("subject"), text("tool"), text("request_id"));
        change.examples.push(Example { seq: row.seq, at, user, tool, request_id });
    }
}

/// What `policy` says of the call in `row`, or why that can't be told.
fn decide(row: &Stored, policy: &PolicySet) -> Result<Decision, &'static str> {
    let (kind, is_use) = match row.text("method").unwrap_or_default() {
        "tools/call" => (Kind::Tool, true),
        "prompts/get" => (Kind::Prompt, true),
        method if method.starts_with("resources/") => (Kind::Resource, true),
        method if method.starts_with("tasks/") => (Kind::Tool, false),
        _ => return Err("it was no use of a tool, prompt or resource"),
    };
    let tool = name(row).ok_or("its name is not kept as it was")?;
    let principal = principal(row).ok_or("its caller is not kept as they were")?;
    let kept = arguments(row);
    let arguments = CallArguments::new(kept.unwrap_or_default().as_bytes());
    let context = Context {
        endpoint: row.text("endpoint").unwrap_or_default(),
        method: if is_use { row.text("method").unwrap_or_default() } else { kind.method() },
        protocol: row.text("protocol").unwrap_or_default(),
        client: row.text("client").and_then(|client| client.parse().ok()),
    };
    let request = AccessRequest {
        principal: &principal,
        roles: &policy.roles(&principal),
        kind,
        tool: &tool,
        arguments: if is_use { Arguments::Of(&arguments) } else { Arguments::Any },
        context: &context,
    };
    let gaps: &[Gap] = if is_use && kept.is_none() { &[Gap::Arguments, Gap::Claims] } else { &[Gap::Claims] };
    decide_again(policy, &request, gaps, began(row)).map_err(|gap| match gap {
        Gap::Arguments => "its arguments are not kept as they were, and matter",
        Gap::Claims => "claims of its token are not kept, and matter",
    })
}

/// The tool, where the record has its whole name.
fn name(row: &Stored) -> Option<ToolName> {
    let name = row.text("tool").filter(|name| !is_changed(name))?;
    ToolName::parse(name).filter(|name| row.text("upstream") == Some(&name.upstream))
}

/// Whether a text was cut or redacted. May err on the side of yes.
fn is_changed(text: &str) -> bool {
    ["…", "[REDACTED", "[withheld]"].iter().any(|mark| text.contains(mark))
}

/// Who called, but for claims.
fn principal(row: &Stored) -> Option<Principal> {
    let names = |column: &str| serde_json::from_str::<BTreeSet<String>>(row.text(column)?).ok();
    let whole = |column: &str| row.text(column).filter(|text| !is_changed(text)).map(str::to_owned);
    let optional = |column: &str| if row.text(column).is_some() { whole(column).map(Some) } else { Some(None) };
    Some(Principal {
        issuer: whole("issuer")?,
        subject: whole("subject")?,
        tenant: optional("tenant")?,
        agent: optional("agent")?,
        roles: names("roles")?,
        scopes: names("scopes")?,
        ..nobody()
    })
}

/// The arguments, where the record has them as they were sent.
fn arguments(row: &Stored) -> Option<&str> {
    let redactions: Value = serde_json::from_str(row.text("redactions")?).ok()?;
    if redactions.as_object()?.contains_key("arguments") {
        return None;
    }
    // What was cut is no object any more.
    let kept = row.text("arguments")?;
    CallArguments::new(kept.as_bytes()).value().ok().map(|_| kept)
}

/// When the request came, about: the row is of its end.
fn began(row: &Stored) -> Timestamp {
    let ended = Timestamp::from_millis(row.int("at_ms").unwrap_or_default());
    let took = row.int("latency_us").and_then(|micros| u64::try_from(micros).ok()).unwrap_or_default();
    ended.minus(Duration::from_micros(took))
}

/// The results, for people.
fn told(results: &Results) -> String {
    let mut text = String::new();
    for Change { key, calls, examples } in &results.changes {
        let Key { before, rule_before, after, rule_after } = key;
        let plural = if *calls == 1 { "" } else { "s" };
        let head = format!("{before} by {rule_before} -> {after} by {rule_after}: {calls} call{plural}");
        // Writing to a string does not fail.
        let _ = writeln!(text, "{}", visible(&head).replace('\n', "\\u{a}"));
        for Example { seq, at, user, tool, .. } in examples {
            let line = format!("#{seq}  {at}  {user}  {tool}");
            let _ = writeln!(text, "  {}", visible(&line).replace('\n', "\\u{a}"));
        }
    }
    for (reason, calls) in &results.reasons {
        let _ = writeln!(text, "can't be told of {calls}: {reason}");
    }
    let Results { calls, same, changed, unknown, .. } = results;
    let _ = writeln!(text, "{calls} decided calls: {changed} would change, {same} would not, {unknown} can't be told");
    text
}
