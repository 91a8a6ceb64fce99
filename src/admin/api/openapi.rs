//! The API's description (OpenAPI 3.1), made from the types that it speaks, so that it can't say anything else. A test
//! holds its paths and the routes together.

use crate::admin::api::{approvals, audit, catalogue, explain, jobs, whoami};
use crate::admin::problem::ProblemDocument;
use axum::Json;
use portcullis_core::policy::Explanation;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

/// What is said of a path.
struct Operation {
    method: &'static str,
    path: &'static str,
    summary: &'static str,
    /// The type of its query parameters.
    query: Option<Say>,
    /// The type of its body.
    body: Option<Say>,
    /// The type of its answer; without one, a stream of events.
    answer: Option<Say>,
}

type Say = fn(&mut SchemaGenerator) -> Schema;

fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

const OPERATIONS: &[Operation] = &[
    Operation {
        method: "get",
        path: "/api/whoami",
        summary: "Who the gateway takes you for, and what you may do",
        query: None,
        body: None,
        answer: Some(of::<whoami::Whoami>),
    },
    Operation {
        method: "get",
        path: "/api/approvals",
        summary: "What people are asked, as far as you may know",
        query: Some(of::<approvals::ListQuery>),
        body: None,
        answer: Some(of::<approvals::ApprovalList>),
    },
    Operation {
        method: "get",
        path: "/api/approvals/{id}",
        summary: "One approval",
        query: None,
        body: None,
        answer: Some(of::<approvals::ApprovalView>),
    },
    Operation {
        method: "post",
        path: "/api/approvals/{id}/approve",
        summary: "Agree to a call",
        query: None,
        body: Some(of::<approvals::DecisionBody>),
        answer: Some(of::<approvals::ApprovalView>),
    },
    Operation {
        method: "post",
        path: "/api/approvals/{id}/deny",
        summary: "Refuse a call",
        query: None,
        body: Some(of::<approvals::DecisionBody>),
        answer: Some(of::<approvals::ApprovalView>),
    },
    Operation {
        method: "post",
        path: "/api/approvals/{id}/withdraw",
        summary: "Take an approval back",
        query: None,
        body: Some(of::<approvals::DecisionBody>),
        answer: Some(of::<approvals::ApprovalView>),
    },
    Operation {
        method: "get",
        path: "/api/jobs",
        summary: "The jobs of your tenant",
        query: Some(of::<jobs::JobQuery>),
        body: None,
        answer: Some(of::<jobs::JobList>),
    },
    Operation {
        method: "get",
        path: "/api/jobs/{id}",
        summary: "One job",
        query: None,
        body: None,
        answer: Some(of::<jobs::JobView>),
    },
    Operation {
        method: "post",
        path: "/api/jobs/{id}/cancel",
        summary: "End a job",
        query: None,
        body: None,
        answer: Some(of::<jobs::JobView>),
    },
    Operation {
        method: "post",
        path: "/api/jobs/{id}/requeue",
        summary: "Try a job again that was given up or may have run",
        query: None,
        body: None,
        answer: Some(of::<jobs::JobView>),
    },
    Operation {
        method: "get",
        path: "/api/audit",
        summary: "Search the record of your tenant",
        query: Some(of::<audit::Wanted>),
        body: None,
        answer: Some(of::<audit::Rows>),
    },
    Operation {
        method: "get",
        path: "/api/audit/tail",
        summary: "Follow the record of your tenant: an event for each row",
        query: Some(of::<audit::Wanted>),
        body: None,
        answer: None,
    },
    Operation {
        method: "get",
        path: "/api/catalogue",
        summary: "What upstreams were seen to offer, and what is held back",
        query: None,
        body: None,
        answer: Some(of::<catalogue::Catalogue>),
    },
    Operation {
        method: "post",
        path: "/api/catalogue/accept",
        summary: "Trust a definition that is held back",
        query: None,
        body: Some(of::<catalogue::Accepting>),
        answer: Some(of::<catalogue::Accepted>),
    },
    Operation {
        method: "post",
        path: "/api/explain",
        summary: "What policy would say of a call, and why",
        query: None,
        body: Some(of::<explain::Described>),
        answer: Some(of::<Explanation>),
    },
];

/// The document.
pub fn document() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
    });
    let mut generator = settings.into_generator();
    let mut paths: Map<String, Value> = Map::new();
    for operation in OPERATIONS {
        let described = describe(operation, &mut generator);
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        if let Some(path) = path.as_object_mut() {
            path.insert(operation.method.to_owned(), described);
        }
    }
    let schemas = generator.take_definitions(true);
    json!({
        "openapi": "3.1.0",
        "info": {"title": "Portcullis admin API", "version": env!("CARGO_PKG_VERSION")},
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
            "schemas": schemas,
        },
    })
}

fn describe(operation: &Operation, generator: &mut SchemaGenerator) -> Value {
    let answer = match operation.answer {
        Some(answer) => json!({"application/json": {"schema": answer(generator)}}),
        None => json!({"text/event-stream": {"schema": {"type": "string"}}}),
    };
    let problem = of::<ProblemDocument>(generator);
    let responses = json!({
        "200": {"description": "Done", "content": answer},
        "default": {"description": "Why not", "content": {"application/problem+json": {"schema": problem}}},
    });
    let mut described = serde_json::Map::new();
    described.insert("summary".into(), operation.summary.into());
    described.insert("responses".into(), responses);
    if let Some(body) = operation.body {
        let content = json!({"application/json": {"schema": body(generator)}});
        described.insert("requestBody".into(), json!({"required": true, "content": content}));
    }
    let mut parameters = Vec::new();
    if let Some(query) = operation.query {
        // RFC 6570 forms an object's members into parameters of their own.
        let schema = query(generator);
        parameters.push(json!({"name": "query", "in": "query", "style": "form", "explode": true, "schema": schema}));
    }
    let inside = operation.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    parameters
        .extend(inside.map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}})));
    if !parameters.is_empty() {
        described.insert("parameters".into(), parameters.into());
    }
    described.into()
}

/// `GET /openapi.json`. It describes nothing that differs from one gateway to another, so everybody may read it.
pub async fn show() -> Json<Value> {
    Json(document())
}
