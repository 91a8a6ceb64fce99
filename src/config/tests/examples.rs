//! The files that the repository ships.

use super::{Folder, environment, repository};
use crate::config::load;
use crate::config::schema;
use portcullis_core::route::Place;
use std::fs::read_to_string;

#[test]
fn the_development_files_load_without_a_warning() {
    let loaded = load(&repository("conf/gateway.yaml"), &environment).unwrap_or_else(|report| panic!("{report}"));
    let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warnings, [""; 0]);
    let snapshot = loaded.snapshot;
    assert_eq!(snapshot.gateway.public_url, "http://127.0.0.1:8000");
    assert_eq!(snapshot.gateway.hosts, ["127.0.0.1:8000", "localhost:8000"]);
    assert_eq!(
        snapshot.gateway.issuers[0].audiences,
        [
            "http://127.0.0.1:8000",
            "http://127.0.0.1:8000/",
            "http://127.0.0.1:8000/{endpoint}/mcp",
            "http://127.0.0.1:8000/{endpoint}/sse"
        ]
    );
    assert_eq!(snapshot.revision.len(), 12);
    assert!(matches!(snapshot.routes.place("/all/mcp"), Some(Place::Endpoint(endpoint)) if endpoint.is_aggregate()));
    let calculator = &snapshot.upstreams["calculator"];
    assert_eq!((calculator.path.as_str(), calculator.tls), ("/mcp", false));
    assert_eq!(calculator.replicas[0].authority, "127.0.0.1:8091");
}

#[test]
fn the_production_file_loads_without_a_warning() {
    let text = |path: &str| read_to_string(repository(path)).unwrap();
    let folder = Folder::of("", &text("upstreams.yaml"), &text("policy.yaml"));
    let secrets = folder.path("").display().to_string();
    folder.write("conf/gateway.yaml", text("conf/production.yaml").replace("/run/secrets/", &secrets));
    folder.write("gateway_secret", "a-secret-between-gateway-and-tools\n");
    folder.write("digest_key", "0123456789abcdef0123456789abcdef\n");
    let loaded = folder.load().unwrap_or_else(|report| panic!("{report}"));
    let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warnings, [""; 0]);
    assert_eq!(loaded.snapshot.gateway.hosts, ["gateway.example.com"]);
    let secret = loaded.snapshot.gateway.gateway_secret.unwrap();
    assert_eq!(secret.expose(), "a-secret-between-gateway-and-tools");
}

#[test]
fn the_development_file_shows_every_key() {
    let text = read_to_string(repository("conf/gateway.yaml")).unwrap();
    let schema = schema::gateway();
    let types = schema["$defs"].as_object().unwrap().values().chain([&schema]);
    for key in types.filter_map(|schema| schema["properties"].as_object()).flat_map(|properties| properties.keys()) {
        assert!(text.contains(&format!(" {key}:")) || text.contains(&format!("\n{key}:")), "{key}");
    }
}

#[test]
fn the_development_file_shows_the_defaults() {
    let folder = Folder::good();
    let (shown, default) = (load(&repository("conf/gateway.yaml"), &environment), folder.load());
    let (shown, default) = (shown.ok().unwrap().snapshot.gateway, default.ok().unwrap().snapshot.gateway);
    assert_eq!(shown.ingress, default.ingress);
    assert_eq!(shown.journal.path, default.journal.path);
    assert_eq!(shown.journal.deadline, default.journal.deadline);
    assert_eq!(shown.drain, default.drain);
    assert_eq!(shown.issuers[0].max_token_age, default.issuers[0].max_token_age);
    assert_eq!(serde_json::to_value(&shown.edge).unwrap(), serde_json::to_value(&default.edge).unwrap());
}

#[test]
fn editors_find_the_schemas_and_agree_with_them() {
    let files = ["conf/gateway.yaml", "conf/production.yaml", "upstreams.yaml", "policy.yaml"];
    let schemas = [schema::gateway(), schema::gateway(), schema::upstreams(), schema::policy()];
    for (file, schema) in files.into_iter().zip(&schemas) {
        let text = read_to_string(repository(file)).unwrap();
        let document = crate::config::parse::parse(text.as_bytes()).tree.unwrap().to_value();
        let validator = jsonschema::draft202012::new(schema).unwrap();
        let errors: Vec<String> = validator.iter_errors(&document).map(|error| error.to_string()).collect();
        assert_eq!(errors, [""; 0], "{file}");
        if let Some(link) = text.lines().next().and_then(|line| line.split_once("$schema=")) {
            assert!(repository(file).parent().unwrap().join(link.1).is_file(), "{file}: {}", link.1);
        }
    }
}
