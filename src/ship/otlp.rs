//! OpenTelemetry logs: OTLP over HTTP in the JSON encoding (OTLP specification 1.x, "JSON Protobuf Encoding"), each row a log
//! record. Its body is the line of an export, so that what a collector keeps can still be checked; the attributes are what
//! people search for.

use super::http::Poster;
use super::sink::{Batch, Failure};
use portcullis_core::audit::row::{Cell, Stored};
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use url::Url;

/// The columns that are attributes, under `portcullis.`.
const ATTRIBUTES: [&str; 18] = [
    "seq",
    "event_id",
    "call_id",
    "kind",
    "request_id",
    "issuer",
    "subject",
    "tenant",
    "agent",
    "client",
    "endpoint",
    "upstream",
    "method",
    "tool",
    "decision",
    "rule",
    "outcome",
    "error",
];

/// A receiver of OpenTelemetry logs.
pub(super) struct Otlp(Poster);

impl Otlp {
    /// The receiver at `url`.
    pub(super) fn new(url: Url) -> Self {
        Self(Poster::new(url))
    }

    /// Sends the batch.
    pub(super) async fn deliver(&mut self, batch: Batch<'_>) -> Result<(), Failure> {
        let taken = self.0.post(HeaderMap::new(), request(batch).to_string().into_bytes()).await?;
        match rejected(&taken.body) {
            None => Ok(()),
            Some(reason) => Err(Failure::Partly { reason }),
        }
    }
}

/// ExportLogsServiceRequest.
fn request(batch: Batch<'_>) -> Value {
    let rows = batch.rows.iter().map(record);
    let checkpoints = batch.checkpoints.iter().map(|checkpoint| {
        json!({
            "severityNumber": 9,
            "severityText": "INFO",
            "eventName": "portcullis.audit.checkpoint",
            "body": {"stringValue": checkpoint.line},
            "attributes": [attribute("portcullis.size", &Cell::Int(checkpoint.size))],
        })
    });
    let resource = [
        ("service.name", "portcullis"),
        ("service.version", env!("CARGO_PKG_VERSION")),
        ("service.instance.id", batch.instance),
    ];
    let resource: Vec<Value> = resource.map(|(key, value)| json!({"key": key, "value": {"stringValue": value}})).into();
    json!({"resourceLogs": [{
        "resource": {"attributes": resource},
        "scopeLogs": [{
            "scope": {"name": "portcullis.audit"},
            "logRecords": rows.chain(checkpoints).collect::<Vec<_>>(),
        }],
    }]})
}

/// LogRecord. Numbers of 64 bits are texts, and ids hex digits.
fn record(row: &Stored) -> Value {
    let at = row.int("at_ms").unwrap_or_default().max(0);
    let nanos = format!("{at}000000");
    let (number, text) = severity(row);
    let attributes: Vec<Value> = ATTRIBUTES
        .iter()
        .map(|column| (column, row.cell(column)))
        .filter(|(_, cell)| **cell != Cell::Null)
        .map(|(column, cell)| attribute(&format!("portcullis.{column}"), cell))
        .collect();
    let mut record = json!({
        "timeUnixNano": nanos,
        "observedTimeUnixNano": nanos,
        "severityNumber": number,
        "severityText": text,
        "eventName": "portcullis.audit.entry",
        "body": {"stringValue": row.json_line()},
        "attributes": attributes,
    });
    let is_trace = |id: &&str| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    if let (Some(id), Some(record)) = (row.text("trace_id").filter(is_trace), record.as_object_mut()) {
        record.insert("traceId".into(), id.into());
    }
    record
}

fn attribute(key: &str, cell: &Cell) -> Value {
    let value = match cell {
        Cell::Int(number) => json!({"intValue": number.to_string()}),
        Cell::Text(text) => json!({"stringValue": &**text}),
        Cell::Null => json!({}),
    };
    json!({"key": key, "value": value})
}

/// SeverityNumber and its name: what was refused is a warning, what went wrong an error.
fn severity(row: &Stored) -> (u8, &'static str) {
    match row.text("outcome") {
        Some("refused") => (13, "WARN"),
        Some("failed" | "unknown") => (17, "ERROR"),
        _ => (9, "INFO"),
    }
}

/// What an answer says of records that were not taken (ExportLogsPartialSuccess).
fn rejected(body: &[u8]) -> Option<String> {
    let answer: Value = serde_json::from_slice(body).ok()?;
    let partial = answer.get("partialSuccess")?;
    let count = match partial.get("rejectedLogRecords")? {
        Value::String(text) => text.parse().ok()?,
        other => other.as_i64()?,
    };
    let said = partial.get("errorMessage").and_then(Value::as_str).unwrap_or("it does not say why");
    (count > 0).then(|| format!("{count} entries of this batch were rejected: {said}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partial_success_is_none() {
        assert_eq!(rejected(b""), None);
        assert_eq!(rejected(b"{}"), None);
        assert_eq!(rejected(br#"{"partialSuccess":{"rejectedLogRecords":"0","errorMessage":"slow"}}"#), None);
        for count in ["\"2\"", "2"] {
            let body = format!(r#"{{"partialSuccess":{{"rejectedLogRecords":{count},"errorMessage":"too old"}}}}"#);
            assert_eq!(rejected(body.as_bytes()).as_deref(), Some("2 entries of this batch were rejected: too old"));
        }
    }
}
