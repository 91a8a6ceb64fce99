//! The services that the company runs, and the tools that look at them, break them, scale and restart them.

use rmcp::handler::server::wrapper::{Json, Parameters};
use rmcp::{tool, tool_router};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Ops, quoted};

/// The most replicas a service can have.
const MAX_REPLICAS: u32 = 50;

/// How a service is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Health {
    Healthy,
    Degraded,
    Down,
}

/// What can go wrong with a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Trouble {
    /// Answers take ten times as long.
    Latency,
    /// One request in five fails.
    Errors,
    /// Nothing answers.
    Outage,
    /// The volume is full and writes fail.
    DiskFull,
}

impl Trouble {
    fn health(self) -> Health {
        match self {
            Self::Outage => Health::Down,
            Self::Latency | Self::Errors | Self::DiskFull => Health::Degraded,
        }
    }

    fn summary(self) -> &'static str {
        match self {
            Self::Latency => "p99 latency rose from 180 ms to 1.9 s",
            Self::Errors => "20 % of requests end in a 5xx",
            Self::Outage => "no replica passes its health check",
            Self::DiskFull => "the data volume is at 100 %, writes fail",
        }
    }
}

/// Trouble that a service is in.
#[derive(Debug, Clone, Serialize, JsonSchema)]
struct Incident {
    /// Its number, such as INC-0001.
    id: String,
    /// What is wrong.
    kind: Trouble,
    /// What an engineer would see.
    summary: String,
}

/// A service as the tools show it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
struct Service {
    /// Its name, which is also its id.
    name: &'static str,
    /// The team that owns it.
    owner: &'static str,
    /// Whom to write to about it.
    contact: &'static str,
    /// 1 is business-critical, 3 is convenient.
    tier: u8,
    /// The running version.
    version: &'static str,
    /// How many replicas run.
    replicas: u32,
    /// How it is doing.
    health: Health,
    /// How often it was restarted since this server started.
    restarts: u32,
    /// The trouble it is in, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    incident: Option<Incident>,
}

/// All services, and the number of the last incident.
pub(super) struct Fleet {
    services: Vec<Service>,
    incidents: u32,
}

impl Default for Fleet {
    fn default() -> Self {
        let services = vec![
            service("billing", "finance-systems", "billing-oncall@example.com", 1, "4.2.0", 3),
            service("booking-api", "platform", "platform-oncall@example.com", 1, "7.11.3", 6),
            service("notifications", "messaging", "messaging@example.com", 3, "1.9.8", 2),
            service("route-planner", "optimisation", "optimisation@example.com", 2, "3.0.1", 4),
            service("tracking", "platform", "platform-oncall@example.com", 2, "5.6.2", 5),
        ];
        Self { services, incidents: 0 }
    }
}

fn service(
    name: &'static str,
    owner: &'static str,
    contact: &'static str,
    tier: u8,
    version: &'static str,
    replicas: u32,
) -> Service {
    Service { name, owner, contact, tier, version, replicas, health: Health::Healthy, restarts: 0, incident: None }
}

impl Fleet {
    fn find(&mut self, name: &str) -> Result<&mut Service, String> {
        let names: Vec<&str> = self.services.iter().map(|service| service.name).collect();
        let unknown = format!("there is no service {}; there are {}", quoted(name), names.join(", "));
        self.services.iter_mut().find(|service| service.name == name).ok_or(unknown)
    }

    fn break_one(&mut self, name: &str, kind: Trouble) -> Result<Service, String> {
        let id = format!("INC-{:04}", self.incidents + 1);
        let service = self.find(name)?;
        if let Some(open) = &service.incident {
            return Err(format!("{} is in trouble already ({}): restart it first", service.name, open.id));
        }
        service.health = kind.health();
        service.incident = Some(Incident { id, kind, summary: kind.summary().to_owned() });
        let broken = service.clone();
        self.incidents += 1;
        Ok(broken)
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ByName {
    /// The name of a service, as list_services gives it.
    #[schemars(length(min = 1, max = 60))]
    name: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ByService {
    /// The name of a service, as list_services gives it.
    #[schemars(length(min = 1, max = 60))]
    service: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Breakage {
    /// The name of a service, as list_services gives it.
    #[schemars(length(min = 1, max = 60))]
    service: String,
    /// What shall go wrong with it.
    kind: Trouble,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Scaling {
    /// The name of a service, as list_services gives it.
    #[schemars(length(min = 1, max = 60))]
    service: String,
    /// How many replicas it shall have.
    #[schemars(range(min = 1, max = MAX_REPLICAS))]
    replicas: u32,
}

#[derive(Serialize, JsonSchema)]
struct Listing {
    /// All services by name.
    services: Vec<Service>,
}

#[derive(Serialize, JsonSchema)]
struct Scaled {
    /// The service.
    service: &'static str,
    /// How many replicas it had.
    before: u32,
    /// How many it has.
    after: u32,
}

#[derive(Serialize, JsonSchema)]
struct Restarted {
    /// The service.
    service: &'static str,
    /// How often it was restarted since this server started.
    restarts: u32,
    /// How many requests were cut off.
    dropped_requests: u32,
    /// The incident that this ended, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    resolved: Option<Incident>,
}

#[tool_router(router = service_tools, vis = "pub(crate)")]
impl Ops {
    #[tool(
        title = "List services",
        description = "Lists all services with owner, version, replicas, health and open incident.",
        annotations(read_only_hint = true, destructive_hint = false, idempotent_hint = true, open_world_hint = false)
    )]
    async fn list_services(&self) -> Json<Listing> {
        Json(Listing { services: self.company().fleet.services.clone() })
    }

    #[tool(
        title = "Get a service",
        description = "Shows one service: owner, contact, version, replicas, health, restarts and open incident.",
        annotations(read_only_hint = true, destructive_hint = false, idempotent_hint = true, open_world_hint = false)
    )]
    async fn get_service(&self, Parameters(ByName { name }): Parameters<ByName>) -> Result<Json<Service>, String> {
        self.company().fleet.find(&name).map(|service| Json(service.clone()))
    }

    #[tool(
        title = "Simulate an incident",
        description = "Breaks a service on purpose for a game day: it becomes degraded or down and an incident opens. It \
                       stays so until restart_service.",
        annotations(read_only_hint = false, destructive_hint = true, idempotent_hint = false, open_world_hint = false)
    )]
    async fn simulate_incident(
        &self,
        Parameters(Breakage { service, kind }): Parameters<Breakage>,
    ) -> Result<Json<Service>, String> {
        self.company().fleet.break_one(&service, kind).map(Json)
    }

    #[tool(
        title = "Scale a service",
        description = "Sets how many replicas a service runs, from 1 to 50. Requests under way are not cut off.",
        annotations(read_only_hint = false, destructive_hint = false, idempotent_hint = true, open_world_hint = false)
    )]
    async fn scale_service(
        &self,
        Parameters(Scaling { service, replicas }): Parameters<Scaling>,
    ) -> Result<Json<Scaled>, String> {
        if !(1..=MAX_REPLICAS).contains(&replicas) {
            return Err(format!("replicas must be from 1 to {MAX_REPLICAS}, not {replicas}"));
        }
        let mut company = self.company();
        let service = company.fleet.find(&service)?;
        let before = std::mem::replace(&mut service.replicas, replicas);
        Ok(Json(Scaled { service: service.name, before, after: replicas }))
    }

    #[tool(
        title = "Restart a service",
        description = "Restarts all replicas of a service at once. Requests under way are cut off; an open incident ends.",
        annotations(read_only_hint = false, destructive_hint = true, idempotent_hint = false, open_world_hint = false)
    )]
    async fn restart_service(
        &self,
        Parameters(ByService { service }): Parameters<ByService>,
    ) -> Result<Json<Restarted>, String> {
        let mut company = self.company();
        let service = company.fleet.find(&service)?;
        service.restarts += 1;
        service.health = Health::Healthy;
        let (restarts, dropped_requests) = (service.restarts, service.replicas * 7);
        Ok(Json(Restarted { service: service.name, restarts, dropped_requests, resolved: service.incident.take() }))
    }
}
