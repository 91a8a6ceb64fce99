//! A client on the Rust SDK. It runs in the tests' own process, and says what it finds as the programs of `tests/peers` do.

use rmcp::model::{CallToolRequestParams, GetPromptRequestParams, ProtocolVersion, ReadResourceRequestParams};
use rmcp::service::{RoleClient, RunningService, ServiceError};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::{ClientLifecycleMode, serve_client_with_lifecycle};
use serde::Serialize;
use serde_json::{Map, Value, json};

/// Runs `script` at `url` in `mode`, which is `legacy`, `auto` or `modern`.
pub async fn perform(url: &str, mode: &str, token: &str, script: &Value) -> Value {
    // Nothing here is encrypted, but the SDK's client can't be made without.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = StreamableHttpClientTransportConfig::with_uri(url).auth_header(token);
    let transport = StreamableHttpClientTransport::from_config(config);
    let client = serve_client_with_lifecycle((), transport, lifecycle(mode)).await;
    let client = client.unwrap_or_else(|error| panic!("the Rust client ({mode}) does not connect to {url}: {error}"));
    let mut results = Vec::new();
    for operation in script.as_array().unwrap() {
        results.push(match does(&client, operation).await {
            Ok(ok) => json!({"ok": ok}),
            Err(ServiceError::McpError(error)) => json!({"error": {"code": error.code.0, "message": error.message}}),
            Err(error) => json!({"error": {"code": null, "message": error.to_string()}}),
        });
    }
    let protocol = client.peer_info().map(|about| about.protocol_version.to_string());
    client.cancel().await.unwrap();
    json!({"protocol": protocol, "results": results})
}

fn lifecycle(mode: &str) -> ClientLifecycleMode {
    let preferred_versions = vec![ProtocolVersion::V_2026_07_28];
    match mode {
        "legacy" => ClientLifecycleMode::Initialize,
        "auto" => ClientLifecycleMode::Auto { preferred_versions, legacy_version: None },
        _ => ClientLifecycleMode::Discover { preferred_versions },
    }
}

async fn does(client: &RunningService<RoleClient, ()>, operation: &Value) -> Result<Value, ServiceError> {
    let text = |key: &str| operation[key].as_str().map(str::to_owned);
    let arguments: Map<String, Value> = operation["arguments"].as_object().cloned().unwrap_or_default();
    if let Some(kind) = text("list") {
        return match &*kind {
            "tools" => client.list_tools(None).await.map(plain),
            "prompts" => client.list_prompts(None).await.map(plain),
            _ => client.list_resources(None).await.map(plain),
        };
    }
    if let Some(name) = text("prompt") {
        return client.get_prompt(GetPromptRequestParams::new(name).with_arguments(arguments)).await.map(plain);
    }
    match (text("read"), text("call")) {
        (Some(uri), _) => client.read_resource(ReadResourceRequestParams::new(uri)).await.map(plain),
        (None, name) => {
            let call = CallToolRequestParams::new(name.unwrap()).with_arguments(arguments);
            client.call_tool(call).await.map(plain)
        }
    }
}

fn plain(result: impl Serialize) -> Value {
    serde_json::to_value(result).unwrap()
}
