//! Slow work: a workflow that takes seconds, reports its progress where it was asked to, and stops when its caller goes
//! away. The list of runs shows which of the two happened.

use std::collections::VecDeque;
use std::time::Duration;

use rmcp::handler::server::wrapper::{Json, Parameters};
use rmcp::model::{ProgressNotificationParam, ProgressToken};
use rmcp::service::RequestContext;
use rmcp::{Peer, RoleServer, tool, tool_router};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time;

use crate::Ops;

/// How long a workflow takes when the caller does not say, in seconds.
const DEFAULT_SECONDS: u32 = 3;

/// How long it may take at most, in seconds.
const MAX_SECONDS: u32 = 60;

/// Into how many steps the time is divided.
const STEPS: u32 = 10;

/// How many runs are remembered.
const MAX_RUNS: usize = 100;

/// A workflow that can be triggered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Workflow {
    /// Matches the day's shipments with the day's invoices.
    NightlyReconciliation,
    /// Builds the search index of all shipments anew.
    RebuildSearchIndex,
    /// Writes the payroll file of the month.
    ExportPayroll,
    /// Deletes logs that are older than 90 days.
    PurgeOldLogs,
}

/// How far a run came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum State {
    /// Under way.
    Running,
    /// Done to the end.
    Finished,
    /// Stopped, because its caller went away.
    Abandoned,
}

/// One run of a workflow.
#[derive(Debug, Clone, Serialize, JsonSchema)]
struct Run {
    /// Its id, such as RUN-0001.
    run_id: String,
    /// What ran.
    workflow: Workflow,
    /// How far it came.
    state: State,
    /// Steps done, of 10.
    steps: u32,
}

/// The latest runs, oldest first.
#[derive(Default)]
pub(super) struct Runs {
    latest: VecDeque<Run>,
    started: u32,
}

impl Runs {
    fn start(&mut self, workflow: Workflow) -> String {
        self.started += 1;
        let run_id = format!("RUN-{:04}", self.started);
        if self.latest.len() == MAX_RUNS {
            self.latest.pop_front();
        }
        self.latest.push_back(Run { run_id: run_id.clone(), workflow, state: State::Running, steps: 0 });
        run_id
    }

    fn update(&mut self, run_id: &str, state: State, steps: u32) {
        if let Some(run) = self.latest.iter_mut().find(|run| run.run_id == run_id) {
            run.state = state;
            run.steps = steps;
        }
    }
}

/// A run under way. Dropping it before the last step is what abandoning means, whichever way the caller left.
struct Underway<'a> {
    ops: &'a Ops,
    run_id: String,
    steps: u32,
}

impl Underway<'_> {
    fn step(&mut self) {
        self.steps += 1;
        let state = if self.steps == STEPS { State::Finished } else { State::Running };
        self.ops.company().runs.update(&self.run_id, state, self.steps);
    }
}

impl Drop for Underway<'_> {
    fn drop(&mut self) {
        if self.steps < STEPS {
            self.ops.company().runs.update(&self.run_id, State::Abandoned, self.steps);
        }
    }
}

/// Tells the caller that a step is done. One that cannot be told is gone or does not care; cancellation deals with it.
async fn report(peer: &Peer<RoleServer>, token: &ProgressToken, steps: u32) {
    let progress = ProgressNotificationParam::new(token.clone(), f64::from(steps))
        .with_total(f64::from(STEPS))
        .with_message(format!("step {steps} of {STEPS} done"));
    drop(peer.notify_progress(progress).await);
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Trigger {
    /// The workflow to run.
    workflow: Workflow,
    /// How many seconds it shall take.
    #[serde(default = "default_seconds")]
    #[schemars(range(min = 0, max = MAX_SECONDS))]
    seconds: u32,
}

fn default_seconds() -> u32 {
    DEFAULT_SECONDS
}

#[derive(Serialize, JsonSchema)]
struct Triggered {
    /// The id of the run.
    run_id: String,
    /// What ran.
    workflow: Workflow,
    /// How far it came: always to the end, or there is no result.
    state: State,
    /// How many seconds it took.
    seconds: u32,
}

#[derive(Serialize, JsonSchema)]
struct History {
    /// The latest runs, oldest first.
    runs: Vec<Run>,
}

#[tool_router(router = workflow_tools, vis = "pub(crate)")]
impl Ops {
    #[tool(
        title = "Trigger a workflow",
        description = "Runs a workflow and waits for its end: 3 seconds, or as many as asked for (at most 60). Reports \
                       progress in ten steps when the request has a progress token, and stops when the caller goes away.",
        annotations(
            read_only_hint = false,
            destructive_hint = false,
            idempotent_hint = false,
            open_world_hint = false
        )
    )]
    async fn trigger_workflow(
        &self,
        Parameters(Trigger { workflow, seconds }): Parameters<Trigger>,
        context: RequestContext<RoleServer>,
    ) -> Result<Json<Triggered>, String> {
        if seconds > MAX_SECONDS {
            return Err(format!("a workflow takes at most {MAX_SECONDS} seconds, not {seconds}"));
        }
        let token = context.meta.get_progress_token();
        let run_id = self.company().runs.start(workflow);
        let mut run = Underway { ops: self, run_id: run_id.clone(), steps: 0 };
        while run.steps < STEPS {
            tokio::select! {
                () = context.ct.cancelled() => return Err("the caller went away".to_owned()),
                () = time::sleep(Duration::from_secs(seconds.into()) / STEPS) => run.step(),
            }
            if let Some(token) = &token {
                report(&context.peer, token, run.steps).await;
            }
        }
        Ok(Json(Triggered { run_id, workflow, state: State::Finished, seconds }))
    }

    #[tool(
        title = "List workflow runs",
        description = "Lists the latest runs of workflows and whether each is running, finished or was abandoned.",
        annotations(read_only_hint = true, destructive_hint = false, idempotent_hint = true, open_world_hint = false)
    )]
    async fn list_workflow_runs(&self) -> Json<History> {
        Json(History { runs: self.company().runs.latest.iter().cloned().collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_latest_runs_are_remembered() {
        let mut runs = Runs::default();
        for _ in 0..=MAX_RUNS {
            runs.start(Workflow::ExportPayroll);
        }
        assert_eq!(runs.latest.len(), MAX_RUNS);
        assert_eq!(runs.latest.front().unwrap().run_id, "RUN-0002");
        runs.update("RUN-0001", State::Finished, STEPS);
        assert!(runs.latest.iter().all(|run| run.state == State::Running));
    }
}
