//! The statements about jobs. What they mean, and which changes there are, is said in `core::job`.
//!
//! A worker takes a job by replacing the record it read, as every change is made: of several that read the same one, one
//! wins. They read a handful and begin at different ones, so that they seldom want the same.

use super::{Row, Value, Work, WorkError};
use portcullis_core::job::{Job, JobId, Refusal, State};
use portcullis_core::time::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// What came of handing in a job.
#[derive(Debug)]
pub enum Enqueued {
    /// It is new.
    New,
    /// The same call has a job.
    Found(Box<Job>),
    /// Its name is that of another call.
    Conflict,
    /// The user has as many open jobs as they may have.
    Full,
}

/// What came of a change.
#[derive(Debug)]
pub enum Changed {
    /// It is made; the name of the state before.
    To(Box<Job>, &'static str),
    /// It can't be made.
    Refused(Refusal),
    /// There is no such job.
    Unknown,
    /// The same call has an open job already, and may have but one.
    Twin,
}

/// Which jobs are looked for. What is `None` does not matter.
#[derive(Debug, Clone, Default)]
pub struct JobSelection {
    /// In this state, by its name.
    pub state: Option<&'static str>,
    /// Of this tenant, or of none.
    pub tenant: Option<Option<String>>,
    /// Before this one, newest first: when it was made, and its id.
    pub before: Option<(Timestamp, String)>,
}

/// A job, with what is sealed in its row.
#[derive(Debug)]
pub struct Kept {
    /// The job.
    pub job: Job,
    /// The call.
    pub call: String,
    /// What the upstream answered.
    pub answer: Option<String>,
}

/// How many due jobs a worker reads to take one.
const HANDFUL: i64 = 8;

/// How often a change is tried anew that others keep getting in the way of.
const TRIES: usize = 16;

const INSERT: &str = "INSERT INTO portcullis_jobs \
    (id, version, state, due, owner, person, tenant, name, digest, created, record, call) \
    SELECT CAST($1 AS TEXT), 1, CAST($11 AS TEXT), CAST($12 AS BIGINT), CAST($3 AS TEXT), CAST($4 AS TEXT), \
    CAST($5 AS TEXT), CAST($6 AS TEXT), CAST($7 AS TEXT), CAST($2 AS BIGINT), CAST($8 AS TEXT), CAST($9 AS TEXT) \
    WHERE (SELECT count(*) FROM portcullis_jobs \
    WHERE person = CAST($4 AS TEXT) AND state IN ('waiting', 'queued', 'running')) \
    < CAST($10 AS BIGINT) ON CONFLICT DO NOTHING";

const CHANGE: &str = "UPDATE portcullis_jobs SET version = version + 1, state = $3, due = $4, record = $5, \
    answer = coalesce(CAST($6 AS TEXT), answer) WHERE id = $1 AND version = $2";

const DROP: &str = "UPDATE portcullis_jobs SET version = version + 1, record = $3, answer = NULL \
    WHERE id = $1 AND version = $2";

const LIST: &str = "SELECT * FROM portcullis_jobs \
    WHERE (CAST($1 AS TEXT) IS NULL OR state = CAST($1 AS TEXT)) \
    AND (CAST($2 AS BIGINT) = 0 OR tenant IS NOT DISTINCT FROM CAST($3 AS TEXT)) \
    AND (CAST($4 AS BIGINT) IS NULL OR created < CAST($4 AS BIGINT) \
    OR (created = CAST($4 AS BIGINT) AND id < CAST($5 AS TEXT))) \
    ORDER BY created DESC, id DESC LIMIT $6";

impl Work {
    /// Keeps `job`, which is new, with its sealed `call`, unless its call has one, or its user has `most` open ones.
    /// Requests at the same instant through several replicas may come to a few more.
    ///
    /// # Errors
    /// The database does not do it.
    pub async fn enqueue(&self, job: &Job, call: &str, most: u32) -> Result<Enqueued, WorkError> {
        let (owner, person, record) = (job.owner.key(), job.owner.person(), written(job)?);
        let values = [
            Value::Text(job.id.as_str()),
            Value::Number(job.created.millis()),
            Value::Text(&owner),
            Value::Text(&person),
            Value::MaybeText(job.owner.tenant.as_deref()),
            Value::MaybeText(job.key.as_deref()),
            Value::Text(&job.digest),
            Value::Text(&record),
            Value::Text(call),
            Value::Number(i64::from(most)),
            Value::Text(job.state.as_str()),
            Value::Number(job.due().millis()),
        ];
        // Where the job that stood in the way ended in between, nothing does any more.
        for _ in 0..2 {
            if self.execute(INSERT, &values).await? == 1 {
                return Ok(Enqueued::New);
            }
            match self.twin(&owner, job).await? {
                Some(found) if found.digest == job.digest => return Ok(Enqueued::Found(Box::new(found))),
                Some(_) => return Ok(Enqueued::Conflict),
                None => {}
            }
        }
        Ok(Enqueued::Full)
    }

    /// The job that `job` would be a second of: of the same approval, under the same name, or of the same call.
    async fn twin(&self, owner: &str, job: &Job) -> Result<Option<Job>, WorkError> {
        if let Some(same) = self.job(&job.id).await? {
            return Ok(Some(same.job));
        }
        self.job_of_call(owner, job.key.as_deref(), &job.digest).await
    }

    /// The job of the call of `owner` that is named `key`, or the open one of the call with this `digest` where it has no name.
    ///
    /// # Errors
    /// The database does not do it.
    pub async fn job_of_call(&self, owner: &str, key: Option<&str>, digest: &str) -> Result<Option<Job>, WorkError> {
        const NAMED: &str = "SELECT * FROM portcullis_jobs WHERE owner = $1 AND name = $2";
        const OPEN: &str = "SELECT * FROM portcullis_jobs \
            WHERE owner = $1 AND digest = $2 AND name IS NULL AND state IN ('waiting', 'queued', 'running')";
        let (sql, value) = key.map_or((OPEN, digest), |key| (NAMED, key));
        self.row(sql, &[Value::Text(owner), Value::Text(value)]).await?.as_ref().map(read).transpose()
    }

    /// How many jobs the user `person` has: that have not ended, and in all.
    ///
    /// # Errors
    /// The database does not do it.
    pub async fn jobs_of(&self, person: &str) -> Result<(u64, u64), WorkError> {
        const SQL: &str = "SELECT count(*) FILTER (WHERE state IN ('waiting', 'queued', 'running')) AS open, count(*) AS kept \
            FROM portcullis_jobs WHERE person = $1";
        let row = self.row(SQL, &[Value::Text(person)]).await?.ok_or_else(|| unreadable("it has no count"))?;
        let count = |column| Ok::<_, WorkError>(u64::try_from(row.number(column)?).unwrap_or_default());
        Ok((count("open")?, count("kept")?))
    }

    /// The job with this id, with what is sealed.
    ///
    /// # Errors
    /// The database does not do it.
    pub async fn job(&self, id: &JobId) -> Result<Option<Kept>, WorkError> {
        const SQL: &str = "SELECT * FROM portcullis_jobs WHERE id = $1";
        self.row(SQL, &[Value::Text(id.as_str())]).await?.as_ref().map(kept).transpose()
    }

    /// Takes a job that is due at `now`, for `lease`; `turn` says at which of several a worker begins.
    ///
    /// # Errors
    /// The database does not do it.
    pub async fn take_job(&self, now: Timestamp, lease: Duration, turn: usize) -> Result<Option<Kept>, WorkError> {
        const SQL: &str =
            "SELECT * FROM portcullis_jobs WHERE state = 'queued' AND due <= $1 ORDER BY due, id LIMIT $2";
        let mut due = self.rows(SQL, &[Value::Number(now.millis()), Value::Number(HANDFUL)]).await?;
        let middle = turn % due.len().max(1);
        due.rotate_left(middle);
        for row in &due {
            let mut found = kept(row)?;
            // One that has waited too long is not run, but failed by whoever looks after them.
            let Ok(next) = found.job.lease(now, lease) else { continue };
            if now < found.job.expires && self.change_job(&next, None).await? {
                found.job = next;
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Replaces the job that `next` was made from, where nobody has changed it since, and keeps the sealed `answer`, if
    /// any: whether that is so.
    ///
    /// # Errors
    /// The database does not do it.
    pub async fn change_job(&self, next: &Job, answer: Option<&str>) -> Result<bool, WorkError> {
        let record = written(next)?;
        let version = next.version.saturating_sub(1);
        let values = [
            Value::Text(next.id.as_str()),
            Value::Number(i64::try_from(version).unwrap_or(i64::MAX)),
            Value::Text(next.state.as_str()),
            Value::Number(next.due().millis()),
            Value::Text(&record),
            Value::MaybeText(answer),
        ];
        Ok(self.execute(CHANGE, &values).await? == 1)
    }

    /// Changes the job `id` as `step` says, which is asked again where somebody else was faster.
    ///
    /// # Errors
    /// The database does not do it.
    pub async fn step_job(
        &self,
        id: &JobId,
        answer: Option<&str>,
        step: impl Fn(&Job) -> Result<Job, Refusal>,
    ) -> Result<Changed, WorkError> {
        for _ in 0..TRIES {
            let Some(found) = self.job(id).await? else { return Ok(Changed::Unknown) };
            let next = match step(&found.job) {
                Ok(next) => next,
                Err(refusal) => return Ok(Changed::Refused(refusal)),
            };
            match self.change_job(&next, answer).await {
                Ok(true) => return Ok(Changed::To(Box::new(next), found.job.state.as_str())),
                Ok(false) => {}
                Err(WorkError::Database(error)) if is_twin(&error) => return Ok(Changed::Twin),
                Err(error) => return Err(error),
            }
        }
        Ok(Changed::Refused(Refusal::Lost))
    }

    /// Those whose worker is lost at `now`, and those that have waited for too long.
    ///
    /// # Errors
    /// The database does not do it.
    pub async fn overdue_jobs(&self, now: Timestamp) -> Result<Vec<Job>, WorkError> {
        const LOST: &str = "SELECT * FROM portcullis_jobs WHERE state = 'running' AND due <= $1 ORDER BY due LIMIT 100";
        const WAITING: &str =
            "SELECT * FROM portcullis_jobs WHERE state = 'queued' AND due <= $1 ORDER BY due LIMIT 100";
        let now_value = [Value::Number(now.millis())];
        let lost = self.rows(LOST, &now_value).await?;
        let mut all = lost.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        for row in &self.rows(WAITING, &now_value).await? {
            all.extend(Some(read(row)?).filter(|job| job.expires <= now));
        }
        Ok(all)
    }

    /// Those that wait for people who are not asked any more at `now`: they have said something, or their time is over.
    ///
    /// # Errors
    /// The database does not do it.
    pub async fn decided_jobs(&self, now: Timestamp) -> Result<Vec<Job>, WorkError> {
        // The id of such a job is that of its approval, after `job_`: so that it is looked up by the index.
        const SQL: &str = "SELECT jobs.* FROM portcullis_jobs jobs \
            LEFT JOIN portcullis_approvals asked ON asked.id = substr(jobs.id, 5) \
            WHERE jobs.state = 'waiting' AND (asked.state IS NULL OR asked.state <> 'pending' OR asked.expires <= $1) \
            ORDER BY jobs.due, jobs.id LIMIT 100";
        self.rows(SQL, &[Value::Number(now.millis())]).await?.iter().map(read).collect()
    }

    /// At most `most` jobs, newest first.
    ///
    /// # Errors
    /// The database does not do it.
    pub async fn jobs(&self, selection: &JobSelection, most: u32) -> Result<Vec<Job>, WorkError> {
        let (before, tenant) = (selection.before.as_ref(), selection.tenant.as_ref());
        let values = [
            Value::MaybeText(selection.state),
            Value::Number(i64::from(tenant.is_some())),
            Value::MaybeText(tenant.and_then(Option::as_deref)),
            Value::MaybeNumber(before.map(|(created, _)| created.millis())),
            Value::MaybeText(before.map(|(_, id)| id.as_str())),
            Value::Number(i64::from(most)),
        ];
        self.rows(LIST, &values).await?.iter().map(read).collect()
    }

    /// How many there are, by the name of their state.
    ///
    /// # Errors
    /// The database does not do it.
    pub async fn count_jobs(&self) -> Result<BTreeMap<&'static str, u64>, WorkError> {
        const SQL: &str = "SELECT state, count(*) AS jobs FROM portcullis_jobs GROUP BY state";
        let mut counts: BTreeMap<_, _> = State::NAMES.into_iter().map(|name| (name, 0)).collect();
        for row in self.rows(SQL, &[]).await? {
            let state = row.text("state")?;
            if let Some(count) = counts.get_mut(state.as_str()) {
                *count = u64::try_from(row.number("jobs")?).unwrap_or_default();
            }
        }
        Ok(counts)
    }

    /// How many bytes all results take, sealed as they are.
    ///
    /// # Errors
    /// The database does not do it.
    pub async fn result_bytes(&self) -> Result<u64, WorkError> {
        const SQL: &str = "SELECT CAST(coalesce(sum(octet_length(answer)), 0) AS BIGINT) AS bytes \
            FROM portcullis_jobs WHERE state = 'done'";
        let row = self.row(SQL, &[]).await?;
        row.map_or(Ok(0), |row| Ok(u64::try_from(row.number("bytes")?).unwrap_or_default()))
    }

    /// The jobs with the oldest results, with the bytes that these take: at most a hundred.
    ///
    /// # Errors
    /// The database does not do it.
    pub async fn oldest_results(&self) -> Result<Vec<(Job, u64)>, WorkError> {
        const SQL: &str = "SELECT record, version, CAST(octet_length(answer) AS BIGINT) AS bytes FROM portcullis_jobs \
            WHERE state = 'done' AND answer IS NOT NULL ORDER BY due, id LIMIT 100";
        let rows = self.rows(SQL, &[]).await?;
        let with_bytes = |row: &Row| Ok((read(row)?, u64::try_from(row.number("bytes")?).unwrap_or_default()));
        rows.iter().map(with_bytes).collect()
    }

    /// Replaces the job that `next` was made from, where nobody has changed it since, and throws its result away: whether that
    /// is so.
    ///
    /// # Errors
    /// The database does not do it.
    pub async fn drop_result(&self, next: &Job) -> Result<bool, WorkError> {
        let version = i64::try_from(next.version.saturating_sub(1)).unwrap_or(i64::MAX);
        let record = written(next)?;
        let values = [Value::Text(next.id.as_str()), Value::Number(version), Value::Text(&record)];
        Ok(self.execute(DROP, &values).await? == 1)
    }

    /// Forgets those whose time is over at `now`.
    ///
    /// # Errors
    /// The database does not do it.
    pub async fn forget_jobs(&self, now: Timestamp) -> Result<u64, WorkError> {
        const SQL: &str =
            "DELETE FROM portcullis_jobs WHERE state NOT IN ('waiting', 'queued', 'running') AND due <= $1";
        self.execute(SQL, &[Value::Number(now.millis())]).await
    }
}

/// Whether a change would have made a second open job of one call.
fn is_twin(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(sqlx::error::DatabaseError::is_unique_violation)
}

fn written(job: &Job) -> Result<String, WorkError> {
    serde_json::to_string(job).map_err(unreadable)
}

fn read(row: &Row) -> Result<Job, WorkError> {
    let job: Job = serde_json::from_str(&row.text("record")?).map_err(unreadable)?;
    let version = u64::try_from(row.number("version")?).map_err(unreadable)?;
    if job.version == version { Ok(job) } else { Err(unreadable("its version is another")) }
}

fn kept(row: &Row) -> Result<Kept, WorkError> {
    Ok(Kept { job: read(row)?, call: row.text("call")?, answer: row.maybe_text("answer")? })
}

fn unreadable(reason: impl std::fmt::Display) -> WorkError {
    WorkError::Row { table: "portcullis_jobs", reason: reason.to_string() }
}

#[cfg(test)]
mod tests;
