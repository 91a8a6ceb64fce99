//! The pieces: what a call costs the core between its first byte and its last.

use crate::call::{self, Caller, TOOLS};
use anyhow::{Result, anyhow, ensure};
use portcullis_core::audit::chain::Hash;
use portcullis_core::audit::row::{COLUMNS, Cell, canonical};
use portcullis_core::audit::tree::{Front, leaf};
use portcullis_core::catalog::{Listing, Tool};
use portcullis_core::jsonrpc::{self, Limits};
use portcullis_core::mcp::classify;
use portcullis_core::mcp::headers::McpHeaders;
use portcullis_core::policy::document::Effect;
use portcullis_core::policy::{Arguments, CallArguments, decide};
use portcullis_core::principal::RoleSet;
use portcullis_core::redact::Redactor;
use portcullis_core::reject::{Era, Rejection};
use portcullis_core::time::Timestamp;
use portcullis_core::tool::ToolName;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::hint::black_box;
use std::time::Duration;

/// A piece of work, ready to be done.
type Once = Box<dyn Fn() -> Result<()>>;

/// What makes a piece ready.
type Prepare = fn() -> Result<Once>;

/// All pieces: how each is called, and what makes it ready.
pub const ALL: [(&str, Prepare); 12] = [
    ("parse a call", parse),
    ("decide a call by 1,000 rules", decide_call),
    ("refuse a call by 1,000 rules", refuse_call),
    ("validate arguments", validate),
    ("read an answer of 1 KiB", read_small),
    ("read an answer of 64 KiB", read_large),
    ("redact an answer of 1 KiB, clean", || redact(1 << 10, false)),
    ("redact an answer of 1 KiB, with a finding", || redact(1 << 10, true)),
    ("redact an answer of 64 KiB, clean", || redact(64 << 10, false)),
    ("redact an answer of 64 KiB, with a finding", || redact(64 << 10, true)),
    ("filter a list of 200 tools", filter_list),
    ("append a row to the journal", append),
];

fn refused(why: Rejection) -> anyhow::Error {
    anyhow!("refused: {}", why.row().label)
}

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

fn parse() -> Result<Once> {
    let body = call::message();
    let headers = McpHeaders {
        protocol_version: Some("2026-07-28"),
        method: Some("tools/call"),
        name: Some("echo"),
        ..McpHeaders::default()
    };
    Ok(Box::new(move || {
        let frame = jsonrpc::parse(black_box(&body), &Limits::default()).map_err(refused)?;
        black_box(classify(&body, &frame, &headers).map_err(refused)?);
        Ok(())
    }))
}

fn decide_call() -> Result<Once> {
    decision(call::ARGUMENTS, Effect::Allow)
}

fn refuse_call() -> Result<Once> {
    decision(r#"{"text":"x","count":51}"#, Effect::Deny)
}

fn decision(raw: &'static str, effect: Effect) -> Result<Once> {
    let policy = call::policy()?;
    let (caller, context, tool) = (Caller::new(&policy), call::context(), ToolName::new("one", "echo"));
    Ok(Box::new(move || {
        let arguments = CallArguments::new(black_box(raw.as_bytes()));
        let request = caller.asks(&tool, Arguments::Of(&arguments), &context);
        ensure!(decide(&policy, &request, NOW).effect == effect, "decided otherwise");
        Ok(())
    }))
}

fn tool(name: &str) -> Result<Tool> {
    Tool::read("one", call::definition(name).to_string().as_bytes()).map_err(|problem| anyhow!(problem))
}

fn validate() -> Result<Once> {
    let tool = tool("echo")?;
    Ok(Box::new(move || {
        let arguments: Value = serde_json::from_slice(black_box(call::ARGUMENTS.as_bytes()))?;
        tool.validator.validate(&arguments).map_err(|violation| anyhow!("{violation:?}"))
    }))
}

fn read_small() -> Result<Once> {
    read(1 << 10)
}

fn read_large() -> Result<Once> {
    read(64 << 10)
}

fn read(bytes: usize) -> Result<Once> {
    let body = call::answer(bytes, false);
    Ok(Box::new(move || {
        black_box(jsonrpc::answer(black_box(&body), &Limits::default()).map_err(refused)?);
        Ok(())
    }))
}

fn redact(bytes: usize, found: bool) -> Result<Once> {
    let detectors = ["email", "phone", "iban", "card", "ssn", "ahv", "secret"];
    let rules: Vec<_> = serde_json::from_value(json!([{ "detect": detectors, "action": "mask" }]))?;
    let redactor = Redactor::compile(&rules, 100_000, b"a key").map_err(|problems| anyhow!("{problems:?}"))?;
    let plan = redactor.plan(&RoleSet::default(), None);
    let body = call::answer(bytes, found);
    Ok(Box::new(move || {
        let redacted = plan.json(black_box(&body)).map_err(|_| anyhow!("it could not be read"))?;
        ensure!((redacted.bytes.as_ref() != body.as_slice()) == found, "found otherwise");
        Ok(())
    }))
}

fn filter_list() -> Result<Once> {
    let policy = call::policy()?;
    let (caller, context) = (Caller::new(&policy), call::context());
    let tools = (0..TOOLS).map(|n| tool(&format!("tool_{n}"))).collect::<Result<Vec<_>>>()?;
    let listing = Listing { key: "tools", era: Era::Modern, ttl: Duration::from_secs(60), next: None };
    Ok(Box::new(move || {
        let seen = |tool: &&Tool| {
            decide(&policy, &caller.asks(&tool.name, Arguments::Any, &context), NOW).effect != Effect::Deny
        };
        let seen = tools.iter().filter(seen).map(|tool| tool.definition(false, Era::Modern));
        black_box(listing.write(seen));
        Ok(())
    }))
}

/// What the writer does with a row before SQLite has it.
fn append() -> Result<Once> {
    let cells: Vec<Cell> = (0..COLUMNS.len())
        .map(|n| {
            if n % 6 == 0 {
                Cell::Int(1_800_000_000_000)
            } else {
                Cell::Text("01890a5d-ac96-774b-bcce-b302099a8057".into())
            }
        })
        .collect();
    let state = RefCell::new((Hash::ZERO, Front::default()));
    Ok(Box::new(move || {
        let (hash, front) = &mut *state.borrow_mut();
        *hash = hash.then(&canonical(black_box(&cells)));
        front.push(leaf(&hash.0));
        Ok(())
    }))
}
