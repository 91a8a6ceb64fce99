//! How the tasks are that one listener began (SEP-2663): an ear for each upstream that runs some of them, in the listener's
//! own name.
//!
//! What an upstream tells of a task passes what its answer to `tasks/get` would: policy as it is now, the filter, the seal
//! in place of its own id. What it tells while nobody hears it is not told later; `tasks/get` says how a task is at any
//! time.

use super::listener::Listener;
use super::updates::Running;
use crate::pipeline::filter::{Eras, Filter, Talk, Tasks, Terms};
use crate::pipeline::record::Aside;
use crate::pipeline::reply::Form;
use crate::pipeline::task::{Task, TaskSeal};
use crate::pipeline::{Gateway, Live};
use crate::upstream::listen::{Ear, Heard};
use crate::upstream::pool::Pool;
use bytes::Bytes;
use portcullis_core::catalog::Catalog;
use portcullis_core::mcp::news::{Interests, News, answered_task, task_answer};
use portcullis_core::redact::Counts;
use portcullis_core::reject::{Era, Rejection};
use portcullis_core::tool::{Kind, ToolName};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::sync::mpsc;

/// News that wait for a slow listener, before upstreams have to wait too.
const AHEAD: usize = 16;

/// The id under which what an upstream tells is judged as an answer.
const ID: &[u8] = b"0";

/// Which tasks a listener wants to hear of.
#[derive(Default)]
pub struct Wanted {
    /// By the ids that it knows them by.
    pub tasks: BTreeMap<String, Task>,
    /// What it says it can do, a raw object.
    pub capabilities: Bytes,
}

/// The tasks of a listener.
pub(super) struct TaskNews {
    wanted: Wanted,
    heard: mpsc::Receiver<(u64, Heard)>,
    sender: mpsc::Sender<(u64, Heard)>,
    /// By upstream.
    ears: BTreeMap<String, Open>,
    /// The number of the last ear.
    last: u64,
    redacted: Counts,
    aside: Aside,
}

/// What an upstream is listened to for.
struct Open {
    pool: Arc<Pool>,
    ear: Running,
    /// What it tells of, by its own ids, once that is known.
    honoured: Option<BTreeSet<String>>,
}

impl TaskNews {
    /// Nothing yet, for a listener beside whose request `aside` writes.
    pub fn new(wanted: Wanted, aside: Aside) -> Self {
        let (sender, heard) = mpsc::channel(AHEAD);
        Self { wanted, heard, sender, ears: BTreeMap::new(), last: 0, redacted: Counts::default(), aside }
    }

    /// What was redacted so far.
    pub fn redactions(&self) -> &Counts {
        &self.redacted
    }

    /// Listens to those upstreams of the listener's endpoint that run some of its tasks, each where it is now.
    ///
    /// # Errors
    /// [`Rejection::NotFound`] where the endpoint is gone.
    pub fn aim(
        &mut self,
        gateway: &Gateway,
        live: &Live,
        listener: &Listener,
        catalog: &Catalog,
    ) -> Result<(), Rejection> {
        let endpoint = listener.endpoint(live)?;
        let mut upstreams: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        for task in self.wanted.tasks.values().filter(|task| endpoint.upstreams.contains(&task.tool.upstream)) {
            upstreams.entry(&task.tool.upstream).or_default().insert(task.id.clone());
        }
        let tells = |upstream: &str| {
            let shown = catalog.upstreams.get(upstream)?;
            (shown.era == Era::Modern && shown.about.offers().tasks).then(|| live.pools.0.get(upstream))?
        };
        let mut open: BTreeMap<_, _> = std::mem::take(&mut self.ears);
        let Some(caller) = listener.shown() else { return Ok(()) };
        for (upstream, tasks) in upstreams {
            let Some(pool) = tells(upstream) else { continue };
            let ear = match open.remove(upstream).filter(|open| Arc::ptr_eq(&open.pool, pool)) {
                Some(open) => open,
                None => {
                    self.last += 1;
                    let event = usize::try_from(live.snapshot.payload.response.0).unwrap_or(usize::MAX);
                    let interests = Interests { tasks, ..Interests::default() };
                    let (client, era, headers) = (Arc::clone(&gateway.client), Era::Modern, listener.headers());
                    let caller = Some(caller.clone());
                    let ear = Ear { client, pool: Arc::clone(pool), era, interests, caller, headers, event };
                    let task = tokio::spawn(ear.listen(self.last, self.sender.clone())).abort_handle();
                    Open { pool: Arc::clone(pool), ear: Running { number: self.last, task }, honoured: None }
                }
            };
            self.ears.insert(upstream.to_owned(), ear);
        }
        Ok(())
    }

    /// Waits until each ear was heard once.
    pub async fn settle(&mut self) {
        while self.ears.values().any(|open| open.honoured.is_none())
            && let Some((number, heard)) = self.heard.recv().await
        {
            self.note(number, &heard);
        }
    }

    /// The tasks that are heard of, by the ids that the listener knows.
    pub fn hearing(&self) -> BTreeSet<String> {
        let hears = |task: &Task| {
            let honoured = self.ears.get(&task.tool.upstream).and_then(|open| open.honoured.as_ref());
            honoured.is_some_and(|honoured| honoured.contains(&task.id))
        };
        self.wanted.tasks.iter().filter(|(_, task)| hears(task)).map(|(known, _)| known.clone()).collect()
    }

    /// What is heard next; never where nothing is listened for.
    pub async fn next(&mut self) -> (u64, Heard) {
        match self.heard.recv().await {
            Some(heard) => heard,
            // We hold a sender.
            None => std::future::pending().await,
        }
    }

    /// Remembers what the ear of this number hears.
    fn note(&mut self, number: u64, heard: &Heard) {
        let is_it = |(_, open): &(&String, &mut Open)| open.ear.number == number;
        let Some((upstream, open)) = self.ears.iter_mut().find(is_it) else { return };
        match heard {
            Heard::Begun(honoured) => open.honoured = Some(honoured.tasks.clone()),
            Heard::Lost => drop(open.honoured.get_or_insert_default()),
            Heard::Asked(method) => {
                self.aside.refused_outside(method, upstream, &Rejection::MethodNotFound { era: Era::Modern });
            }
            Heard::News(_) | Heard::Task { .. } => {}
        }
    }

    /// What the listener is told of what the ear of this number heard.
    pub fn take(
        &mut self,
        live: &Live,
        listener: &Listener,
        catalog: &Catalog,
        number: u64,
        heard: Heard,
    ) -> Option<News> {
        self.note(number, &heard);
        let Heard::Task { id, task } = heard else { return None };
        let (upstream, _) = self.ears.iter().find(|(_, open)| open.ear.number == number)?;
        let is_it = |wanted: &&Task| wanted.tool.upstream == *upstream && wanted.id == id;
        let tool = self.wanted.tasks.values().find(is_it)?.tool.clone();
        // A definition that is held back can't be asked about either.
        if !listener.may_follow(live, &tool) || catalog.tool(&tool).is_err() {
            return None;
        }
        match self.filtered(live, listener, &tool, &task) {
            Ok(news) => news,
            Err(rejection) => {
                let reason = rejection.row().label;
                self.aside.withheld("notifications/tasks", &tool.upstream, &rejection);
                tracing::warn!(%tool, reason, "how a task is may not be told");
                None
            }
        }
    }

    /// `task`, the upstream's words, as the answer to `tasks/get` would have them.
    fn filtered(
        &mut self,
        live: &Live,
        listener: &Listener,
        tool: &ToolName,
        task: &[u8],
    ) -> Result<Option<News>, Rejection> {
        let (caller, endpoint) = (listener.caller(), listener.endpoint(live)?);
        let (modern, id) = (Eras { caller: Era::Modern, upstream: Era::Modern }, Bytes::from_static(ID));
        let mut filter = Filter::new(Terms {
            plan: live.snapshot.redactor.plan(&caller.roles, Some((Kind::Tool, tool))),
            unseen: live.unseen.clone(),
            limit: usize::try_from(live.snapshot.payload.response.0).unwrap_or(usize::MAX),
            id: id.clone(),
            asker: Form::Rpc(Some(id)),
            eras: modern,
            name: tool.clone(),
            tool: None,
            capabilities: Some(self.wanted.capabilities.clone()),
            tasks: Tasks::About(TaskSeal::new(live, &caller.principal, &endpoint.name, tool)),
            states: None,
            talk: Talk::default(),
            line: None,
            reads: false,
        });
        let answer = task_answer(task, ID).ok_or(Rejection::ResponseUnreadable("task"))?;
        let passed = filter.pass(&answer)?;
        self.redacted.merge(filter.counts());
        Ok(passed.and_then(|passed| answered_task(&passed)))
    }
}
