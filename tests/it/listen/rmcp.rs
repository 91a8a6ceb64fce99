//! An upstream on the Rust SDK whose lists and resources change while it runs.

use super::{developer, heard, list, listen, setup, viewer};
use portcullis_backend_server as server;
use rmcp::model::{
    ListResourcesResult, ListToolsResult, PaginatedRequestParams, Resource, ServerCapabilities, ServerConfig,
    SubscriptionFilter, Tool,
};
use rmcp::service::{RequestContext, SubscriptionContext};
use rmcp::{ErrorData, RoleServer, ServerHandler};
use serde_json::json;
use std::future;
use tokio::net::TcpListener;
use tokio::sync::watch;

const RESOURCE: &str = "news://watched";

/// The names of its tools, and how often its resource has changed.
type State = (Vec<&'static str>, u64);

#[derive(Clone)]
struct Changing(watch::Sender<State>);

impl ServerHandler for Changing {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder()
            .enable_tools()
            .enable_tool_list_changed()
            .enable_resources()
            .enable_resources_subscribe()
            .build();
        ServerConfig::new(capabilities)
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let schema = json!({"type": "object"}).as_object().unwrap().clone();
        let tools = self.0.borrow().0.iter().map(|name| Tool::new(*name, "", schema.clone())).collect();
        Ok(ListToolsResult::with_all_items(tools))
    }

    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        Ok(ListResourcesResult::with_all_items(vec![Resource::new(RESOURCE, "watched")]))
    }

    fn accepted_subscription_filter(&self, requested: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        Some(requested.clone())
    }

    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        let mut changes = self.0.subscribe();
        let mut known = changes.borrow_and_update().clone();
        loop {
            tokio::select! {
                () = context.cancelled() => return Ok(()),
                changed = changes.changed() => if changed.is_err() { return Ok(()) },
            }
            let now = changes.borrow_and_update().clone();
            // What this client did not ask for can't be sent to it.
            let _ = match now.0 == known.0 {
                false => context.sink().notify_tool_list_changed().await,
                true => context.sink().notify_resource_updated(RESOURCE).await,
            };
            known = now;
        }
    }
}

#[tokio::test]
async fn a_server_of_the_rust_sdk_is_heard() {
    let state = watch::Sender::new((vec!["open-a"], 0));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    let routes = server::mcp(Changing(state.clone()), &server::Options::default());
    tokio::spawn(server::serve(listener, server::guard(routes, server::Options::default()), future::pending()));
    let gateway = setup(&[("one", url)]).start().await;
    super::lists::until_listening(&gateway, "one").await;
    let filter = json!({"toolsListChanged": true, "resourceSubscriptions": [RESOURCE]});
    let (honoured, mut viewers) = listen(&gateway, "one", &viewer(), filter.clone()).await;
    assert_eq!(honoured, filter);
    let (_, mut developers) = listen(&gateway, "one", &developer(), filter).await;
    state.send_modify(|state| state.0.push("admin"));
    assert_eq!(list(&mut developers).await, "tools/list_changed");
    state.send_modify(|state| state.1 += 1);
    for events in [&mut developers, &mut viewers] {
        assert_eq!(heard(events).await, ("resources/updated".to_owned(), Some(RESOURCE.to_owned())));
    }
    state.send_modify(|state| state.0.push("open-b"));
    for events in [&mut developers, &mut viewers] {
        assert_eq!(list(events).await, "tools/list_changed");
    }
}
