//! Official clients in every mode call servers of every SDK through the gateway, one by one and several at one endpoint.

mod rust;

use crate::support::gateway::{Gateway, Setup};
use crate::support::peers::{Client, Server};
use crate::support::process::{PATIENCE, wait_until};
use crate::support::tokens::token;
use futures::{StreamExt, stream};
use serde_json::{Value, json};
use std::fmt::Write as _;

const POLICY: &str = r#"
version: 1
roles: { tester: {} }
tools: [{ match: "*.*", class: read }]
access: [{ roles: [tester], upstreams: ["*"], level: read }]
rules: [{ id: hidden, effect: deny, tools: ["*.leak", "everything.get-env"] }]
"#;

/// How many clients run at the same time.
const AT_ONCE: usize = 3;

/// A server, and what is done with it.
struct Column {
    name: &'static str,
    url: String,
    /// A tool that may be called, its arguments, and what it says.
    tool: (&'static str, Value, &'static str),
    /// A tool that may not.
    denied: &'static str,
    /// A prompt, its arguments, and what it says.
    prompt: (&'static str, Value, &'static str),
    /// A resource, and what it says.
    resource: (String, &'static str),
}

impl Column {
    /// One of those that are alike.
    fn alike(name: &'static str, url: String, note: &'static str) -> Self {
        Self {
            name,
            url,
            tool: ("add", json!({"a": 2, "b": 40}), "42"),
            denied: "leak",
            prompt: ("greet", json!({"name": "Ada"}), "Hello, Ada"),
            resource: (format!("note://{note}"), note),
        }
    }

    fn everything(url: String) -> Self {
        Self {
            name: "everything",
            url,
            tool: ("echo", json!({"message": "hi"}), "Echo: hi"),
            denied: "get-env",
            prompt: ("args-prompt", json!({"city": "Oslo"}), "Oslo"),
            resource: ("demo://resource/static/document/features.md".into(), "features"),
        }
    }

    /// What each client does with it, where its things are called `prefix` and their name.
    fn script(&self, prefix: &str) -> Value {
        let named = |name: &str| format!("{prefix}{name}");
        json!([
            {"list": "tools"},
            {"call": named(self.tool.0), "arguments": self.tool.1},
            {"list": "prompts"},
            {"prompt": named(self.prompt.0), "arguments": self.prompt.1},
            {"list": "resources"},
            {"read": self.resource.0},
            {"call": named(self.denied), "arguments": {}},
            {"call": named("no-such-tool"), "arguments": {}},
        ])
    }

    /// What is wrong with the `results` of that.
    fn faults(&self, prefix: &str, results: &[Value]) -> Vec<String> {
        let named = |name: &str| format!("{prefix}{name}");
        let has = |at: usize, kind: &str, key: &str, value: &str| {
            let all = results[at]["ok"][kind].as_array();
            all.is_some_and(|all| all.iter().any(|one| one[key] == value))
        };
        let says =
            |at: usize, text: &str| results[at]["error"].is_null() && results[at]["ok"].to_string().contains(text);
        let unknown = |at: usize, name: &str| {
            let error = &results[at]["error"];
            let is_one = error.is_object() && results[at]["ok"].is_null();
            (is_one, error.to_string().replace(&named(name), "it"))
        };
        let (denied, missing) = (unknown(6, self.denied), unknown(7, "no-such-tool"));
        let checks = [
            ("the tool is listed", 0, has(0, "tools", "name", &named(self.tool.0))),
            ("the denied tool is not listed", 0, !has(0, "tools", "name", &named(self.denied))),
            ("the tool answers", 1, says(1, self.tool.2)),
            ("the prompt is listed", 2, has(2, "prompts", "name", &named(self.prompt.0))),
            ("the prompt answers", 3, says(3, self.prompt.2)),
            ("the resource is listed", 4, has(4, "resources", "uri", &self.resource.0)),
            ("the resource is read", 5, says(5, self.resource.1)),
            ("the denied tool is unknown", 6, denied.0 && missing.0 && denied == missing),
        ];
        let failed = checks.iter().filter(|(_, _, holds)| !holds);
        failed.map(|(what, at, _)| format!("not so: {what}: {}", results[*at])).collect()
    }
}

/// What a cell of the table found.
struct Cell {
    client: Client,
    column: String,
    faults: Vec<String>,
}

/// Runs `client` at the endpoint of one server.
async fn single(gateway: &Gateway, column: &Column, client: Client) -> Cell {
    let token = token("ana", &["tester"]);
    let said = client.perform(gateway.endpoint(column.name), &token, &column.script("")).await;
    let results = said["results"].as_array().unwrap();
    Cell {
        client,
        column: column.name.to_owned(),
        faults: [revision(client, &said), column.faults("", results)].concat(),
    }
}

/// Runs `client` at the endpoint of all of them.
async fn together(gateway: &Gateway, columns: &[&Column], client: Client) -> Vec<Cell> {
    let prefixes = columns.iter().map(|column| format!("{}.", column.name));
    let scripts = columns.iter().zip(prefixes.clone()).flat_map(|(column, prefix)| {
        let Value::Array(script) = column.script(&prefix) else { panic!("a script is a list") };
        script
    });
    let script: Vec<_> = scripts.collect();
    let (each, token) = (script.len() / columns.len(), token("ana", &["tester"]));
    let said = client.perform(gateway.endpoint("work"), &token, &Value::Array(script)).await;
    let revision = revision(client, &said);
    let results = said["results"].as_array().unwrap().chunks(each);
    let cells = columns.iter().zip(prefixes).zip(results).map(|((column, prefix), results)| Cell {
        client,
        column: format!("work/{}", column.name),
        faults: [revision.clone(), column.faults(&prefix, results)].concat(),
    });
    cells.collect()
}

/// Whatever the server speaks, client and gateway agree on the newest that the client asks for.
fn revision(client: Client, said: &Value) -> Vec<String> {
    let wrong = client.revision().is_some_and(|revision| said["protocol"] != revision);
    if wrong { vec![format!("speaks {}", said["protocol"])] } else { Vec::new() }
}

/// Which servers `client` works with. The Inspector is a program for each single thing it does, on the same SDK: two are
/// enough for it, one of either family of revisions.
fn columns_of(client: Client, columns: &[Column]) -> Vec<&Column> {
    let all = !matches!(client, Client::Inspector(_));
    columns.iter().filter(|column| all || ["ts", "everything"].contains(&column.name)).collect()
}

/// The table, a row for each client.
fn table(cells: &[Cell], columns: &[Column]) -> String {
    let singles = columns.iter().map(|column| column.name.to_owned());
    let heads: Vec<_> = singles.clone().chain(singles.map(|name| format!("work/{name}"))).collect();
    let mut table = format!("{:<24}", "");
    for head in &heads {
        let _ = write!(table, " {head:<16}");
    }
    for client in Client::ALL {
        let _ = write!(table, "\n{:<24}", format!("{client:?}"));
        for head in &heads {
            let cell = cells.iter().find(|cell| cell.client == *client && cell.column == *head);
            let found = match cell {
                Some(cell) if cell.faults.is_empty() => "ok",
                Some(_) => "FAULTY",
                None => "-",
            };
            let _ = write!(table, " {found:<16}");
        }
    }
    table
}

#[tokio::test(flavor = "multi_thread")]
async fn every_client_works_with_every_server_alone_and_among_others() {
    let (ts, streams) = tokio::join!(Server::typescript("auto"), Server::typescript("sse"));
    let (py, fast, old) = tokio::join!(Server::python("mcp"), Server::python("fastmcp"), Server::legacy());
    let columns = [
        Column::alike("ts", ts.url(), "peer-ts"),
        Column::alike("streams", streams.url(), "peer-ts"),
        Column::alike("py", py.url(), "peer-py"),
        Column::alike("fastmcp", fast.url(), "peer-fastmcp"),
        Column::alike("rust", rust::start().await, "peer-rust"),
        Column::everything(old.url()),
    ];
    let upstreams: Vec<_> = columns.iter().map(|column| (column.name, column.url.clone())).collect();
    let gateway = Setup::new(&upstreams, POLICY).start().await;
    for column in &columns {
        let known = async || gateway.readiness().await["upstreams"][column.name]["tools"].as_u64();
        wait_until("the tools are known", PATIENCE, known).await;
    }
    let run = async |client: Client| {
        let columns = columns_of(client, &columns);
        let mut cells = together(&gateway, &columns, client).await;
        for column in columns {
            cells.push(single(&gateway, column, client).await);
        }
        cells
    };
    let rows: Vec<_> = stream::iter(Client::ALL.iter().copied()).map(run).buffer_unordered(AT_ONCE).collect().await;
    let cells: Vec<_> = rows.into_iter().flatten().collect();
    let table = table(&cells, &columns);
    println!("{table}");
    let faults = cells
        .iter()
        .flat_map(|cell| cell.faults.iter().map(move |fault| format!("{:?} at {}: {fault}", cell.client, cell.column)));
    let faults: Vec<_> = faults.collect();
    assert!(faults.is_empty(), "{table}\n{}", faults.join("\n"));
    let run = Client::ALL.iter().map(|client| columns_of(*client, &columns).len() * 2);
    assert_eq!(cells.len(), run.sum::<usize>());
}
