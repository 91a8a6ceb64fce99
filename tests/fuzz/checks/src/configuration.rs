//! The three files: reading them never panics, every complaint has a line, what is accepted fits its type, and a secret's
//! value is in no complaint.

use crate::config::document::PolicyDocument;
use crate::config::document::gateway::GatewayDocument;
use crate::config::document::upstreams::UpstreamsDocument;
use crate::config::files::Files;
use crate::config::report::{Finding, Report};
use crate::config::source::Source;
use crate::config::{parse, schema};
use portcullis_core::problem::Problem;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::path::PathBuf;
use std::sync::LazyLock;

static SCHEMAS: LazyLock<[Value; 3]> = LazyLock::new(|| [schema::gateway(), schema::upstreams(), schema::policy()]);

/// What every variable of the environment holds here.
const PLANTED: &str = "hunter2-of-the-environment";

/// What `${env:NAME}` is to a file.
#[derive(PartialEq)]
enum References {
    Resolved,
    Text,
}

/// A file, as each of the three.
pub fn check(data: &[u8]) {
    // A file may name others, and which those are on this machine is no business of a fuzzer.
    if data.windows(7).any(|window| window == b"${file:") {
        return;
    }
    let [gateway, upstreams, policy] = &*SCHEMAS;
    read::<GatewayDocument>(data, gateway, References::Resolved);
    read::<UpstreamsDocument>(data, upstreams, References::Resolved);
    read::<PolicyDocument>(data, policy, References::Text);
}

/// The source that `data` is, parsed.
pub fn source(data: &[u8]) -> Source {
    let (file, parsed) = (PathBuf::from("f.yaml"), parse::parse(data));
    let tree = parsed.tree;
    let findings = parsed.faults.into_iter().map(|fault| Finding::of_fault(&file, tree.as_ref(), fault)).collect();
    Source { file, bytes: data.into(), tree, findings }
}

fn read<T: DeserializeOwned>(data: &[u8], schema: &Value, references: References) {
    let mut source = source(data);
    assert!(source.tree.is_some() || !source.findings.is_empty(), "a file that can't be read has no finding");
    let planted = !data.windows(PLANTED.len()).any(|window| window == PLANTED.as_bytes());
    if references == References::Resolved {
        source.resolve(&|name| (name != "UNSET").then(|| PLANTED.to_owned()), &mut Files::default());
    }
    source.check(schema);
    let sound = source.findings.is_empty();
    let document = source.document::<T>();
    assert_eq!(document.is_some(), sound, "the schema and the type disagree");
    source.problems(Option::<Problem>::None);
    lines(data, &source.findings);
    let report = Report::new(source.findings).to_string();
    assert!(!planted || !report.contains(PLANTED), "a secret is in a complaint:\n{report}");
}

/// Each finding stands in a line that the file has.
pub fn lines(data: &[u8], findings: &[Finding]) {
    // Whatever ends a line to one reader of YAML or another.
    let last = 2 + data.iter().filter(|byte| matches!(byte, b'\n' | b'\r')).count();
    for finding in findings {
        assert!(finding.line.is_some_and(|line| (1..=last).contains(&line)), "no such line: {finding}");
        assert!(finding.column.is_some_and(|column| column >= 1), "no such column: {finding}");
    }
}
