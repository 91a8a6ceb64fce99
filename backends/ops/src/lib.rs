//! A sample MCP server: the operations desk of Meridian Freight, a company that does not exist. Its tools read, change
//! and destroy, some show personal data and one is slow, so that each kind of policy has something to bite on. Every
//! person is invented, every number is one reserved for examples that still passes its checksum, and all state lives in
//! memory and starts the same each time. The HTTP side is `portcullis-backend-server`'s.

mod crm;
mod finance;
mod people;
mod report;
mod services;
mod workflow;

use std::future;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use portcullis_backend_server as server;
use rmcp::handler::server::router::tool::ToolRouter;
use rmcp::{ServerHandler, tool_handler};
use schemars::Schema;
use tokio::net::TcpListener;

pub use server::{Options, run};

/// The port the operations desk takes when nothing says otherwise.
pub const DEFAULT_PORT: u16 = 8092;

/// The operations desk as an application: `POST /mcp` and `GET /health`. Each router has a company of its own.
pub fn router(options: Options) -> Router {
    let routes = server::mcp(Ops::new(), &options);
    server::guard(routes, options)
}

/// Serves the operations desk on `listener` until the returned future is dropped.
///
/// # Errors
/// None at present; the HTTP server keeps the right to report one.
pub async fn serve(listener: TcpListener, options: Options) -> io::Result<()> {
    server::serve(listener, router(options), future::pending()).await
}

/// What the tools can change.
struct Company {
    fleet: services::Fleet,
    customers: crm::Customers,
    runs: workflow::Runs,
}

/// The handler that serves the tools. Clones share one company.
#[derive(Clone)]
struct Ops {
    company: Arc<Mutex<Company>>,
    tools: Arc<ToolRouter<Self>>,
}

impl Ops {
    fn new() -> Self {
        let company = Company {
            fleet: services::Fleet::default(),
            customers: crm::Customers::default(),
            runs: workflow::Runs::default(),
        };
        let tools = Self::service_tools()
            + Self::people_tools()
            + Self::finance_tools()
            + Self::crm_tools()
            + Self::workflow_tools();
        Self { company: Arc::new(Mutex::new(company)), tools: Arc::new(tools) }
    }

    /// The company, for a moment: never held across an await.
    fn company(&self) -> MutexGuard<'_, Company> {
        // A panic in another call leaves whole values behind, since every change is a single assignment.
        self.company.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[tool_handler(
    router = self.tools,
    name = "portcullis-ops",
    instructions = "The operations desk of Meridian Freight, an invented company. Start with list_services; employees are \
                    E-1001 to E-1006, customers C-2001 to C-2004, invoices INV-2026-0041 to INV-2026-0045."
)]
impl ServerHandler for Ops {}

/// Takes `required` from an output schema, for answers with personal data: what stands between this server and the
/// client may leave such a field out, and the answer must still fit its schema.
fn may_be_left_out(schema: &mut Schema) {
    schema.remove("required");
}

/// `id` as part of a message: short, and with control characters escaped.
fn quoted(id: &str) -> String {
    format!("{:?}", id.chars().take(40).collect::<String>())
}
