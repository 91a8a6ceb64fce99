//! `work`, `approvals` and `jobs` of `gateway.yaml`: where approvals and jobs are kept, who is told of approvals, and how jobs
//! run.

use crate::config::compile::gateway::warn_literal;
use crate::config::compile::{Draft, sinks};
use crate::config::document::work::{ApprovalWebhookDocument, ApprovalsDocument, JobsDocument, WorkDocument};
use crate::config::snapshot::{ApprovalWebhook, Approvals, WorkStore};
use portcullis_core::problem::Path;
use std::path::PathBuf;
use std::time::Duration;

/// The shortest lease of a job.
const LEAST_LEASE: Duration = Duration::from_secs(1);

/// Where approvals and jobs are kept: beside the journal, if nothing else is said. The files in `taken` hold something else.
pub fn store(document: &WorkDocument, taken: [&str; 2], draft: &mut Draft<'_>, path: &Path) -> Option<WorkStore> {
    let [journal, _] = taken;
    let path = path.then("store");
    match document.store.as_deref() {
        None => Some(WorkStore::Sqlite(PathBuf::from(journal).with_file_name("work.db"))),
        Some(url) if url.contains("://") => sinks::postgres(url, draft, &path).map(WorkStore::Postgres),
        Some("") => {
            draft.refuse(&path, "the path is empty", "write one such as data/work.db, or remove the key");
            None
        }
        Some(file) if taken.contains(&file) => {
            draft.refuse(&path, "this file holds something else", "give approvals and jobs a file of their own");
            None
        }
        Some(file) => Some(WorkStore::Sqlite(PathBuf::from(file))),
    }
}

/// How people are asked.
pub fn approvals(document: &ApprovalsDocument, draft: &mut Draft<'_>, path: &Path) -> Approvals {
    draft.refuse_zero(path, &[("pending", document.pending == 0)]);
    let webhook = document.webhook.as_ref().and_then(|to| webhook(to, draft, &path.then("webhook")));
    Approvals { pending: document.pending, webhook }
}

fn webhook(document: &ApprovalWebhookDocument, draft: &mut Draft<'_>, path: &Path) -> Option<ApprovalWebhook> {
    let url = sinks::receiver(&document.url, draft, &path.then("url"));
    let at = path.then("secret");
    let key = match &document.secret {
        Some(secret) => Some(sinks::signing_key(secret, draft, &at)?),
        None if document.slack => None,
        None => {
            let hint = "make one: echo whsec_$(openssl rand -base64 32); or write `slack: true`";
            draft.refuse(path, "nobody could tell who sent what this webhook gets", hint);
            return None;
        }
    };
    if document.slack {
        warn_literal(draft, &path.then("url"));
    }
    Some(ApprovalWebhook { url: url?, key, slack: document.slack })
}

/// A lease is renewed three times before it runs out, and a slow disk must not cost it.
pub fn jobs(jobs: &JobsDocument, draft: &mut Draft<'_>, path: &Path) {
    let zeros = [
        ("workers", jobs.workers == 0),
        ("quota", jobs.quota == 0),
        ("kept", jobs.kept == 0),
        ("ttl", jobs.ttl.0.is_zero()),
        ("keep_dead", jobs.keep_dead.0.is_zero()),
        ("result_bytes", jobs.result_bytes.0 == 0),
        ("keep_bytes", jobs.keep_bytes.0 == 0),
        ("longest", jobs.longest.0.is_zero()),
    ];
    draft.refuse_zero(path, &zeros);
    if jobs.lease.0 < LEAST_LEASE {
        draft.refuse(&path.then("lease"), "this is too short for a lease", "write 1s or more");
    }
}
