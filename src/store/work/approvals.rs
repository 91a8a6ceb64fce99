//! The statements about approvals. What they mean, and which changes there are, is said in `core::approval`.

use super::{Row, Value, Work, WorkError};
use portcullis_core::approval::{Approval, State};
use portcullis_core::time::Timestamp;

/// What came of asking for an approval.
#[derive(Debug)]
pub enum Opened {
    /// It is new.
    New,
    /// One for the same call is open.
    Found(Box<Approval>),
    /// The requester has as many pending ones as they may have.
    Full,
}

/// Which approvals are looked for. What is `None` does not matter.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// In this state at this time, whether the store knows by then that their time is over or not.
    pub state: Option<(State, Timestamp)>,
    /// Asked for within this tenant, or within none.
    pub tenant: Option<Option<String>>,
    /// Before this one, newest first: when it was made, and its id.
    pub before: Option<(Timestamp, String)>,
}

const OPEN: &str = "INSERT INTO portcullis_approvals \
    (id, version, state, digest, issuer, subject, tenant, created, expires, changed, record) \
    SELECT CAST($1 AS TEXT), 1, 'pending', CAST($2 AS TEXT), CAST($3 AS TEXT), CAST($4 AS TEXT), CAST($5 AS TEXT), \
    CAST($6 AS BIGINT), CAST($7 AS BIGINT), CAST($6 AS BIGINT), CAST($8 AS TEXT) \
    WHERE (SELECT count(*) FROM portcullis_approvals WHERE issuer = CAST($3 AS TEXT) AND subject = CAST($4 AS TEXT) \
    AND state = 'pending' AND expires > CAST($6 AS BIGINT)) < CAST($9 AS BIGINT) \
    ON CONFLICT DO NOTHING";

const CHANGE: &str = "UPDATE portcullis_approvals SET version = version + 1, state = $3, record = $4, changed = $5 \
    WHERE id = $1 AND version = $2";

const LIST: &str = "SELECT * FROM portcullis_approvals \
    WHERE (CAST($1 AS TEXT) IS NULL OR CAST($1 AS TEXT) = \
    CASE WHEN state IN ('pending', 'approved') AND expires <= CAST($2 AS BIGINT) THEN 'expired' ELSE state END) \
    AND (CAST($3 AS BIGINT) = 0 OR tenant IS NOT DISTINCT FROM CAST($4 AS TEXT)) \
    AND (CAST($5 AS BIGINT) IS NULL OR created < CAST($5 AS BIGINT) \
    OR (created = CAST($5 AS BIGINT) AND id < CAST($6 AS TEXT))) \
    ORDER BY created DESC, id DESC LIMIT $7";

impl Work {
    /// Keeps `approval`, which is new and pending, unless one for the same call is open, or its requester has `most` pending
    /// ones. Requests at the same instant through several replicas may come to a few more.
    ///
    /// # Errors
    /// The database does not do it.
    pub async fn open_approval(&self, approval: &Approval, most: u32) -> Result<Opened, WorkError> {
        let requester = &approval.requester;
        let record = written(approval)?;
        let values = [
            Value::Text(&approval.id),
            Value::Text(&approval.digest),
            Value::Text(&requester.issuer),
            Value::Text(&requester.subject),
            Value::MaybeText(requester.tenant.as_deref()),
            Value::Number(approval.created.millis()),
            Value::Number(approval.expires.millis()),
            Value::Text(&record),
            Value::Number(i64::from(most)),
        ];
        if self.execute(OPEN, &values).await? == 1 {
            return Ok(Opened::New);
        }
        let found = self.open_approval_of(&approval.digest).await?;
        Ok(found.map_or(Opened::Full, |found| Opened::Found(Box::new(found))))
    }

    /// The approval for the call with this digest that is pending or approved, as the store has it.
    ///
    /// # Errors
    /// The database does not do it.
    pub async fn open_approval_of(&self, digest: &str) -> Result<Option<Approval>, WorkError> {
        const SQL: &str = "SELECT * FROM portcullis_approvals WHERE digest = $1 AND state IN ('pending', 'approved')";
        self.row(SQL, &[Value::Text(digest)]).await?.as_ref().map(read).transpose()
    }

    /// The newest approval for the call with this digest, whatever became of it.
    ///
    /// # Errors
    /// The database does not do it.
    pub async fn last_approval_of(&self, digest: &str) -> Result<Option<Approval>, WorkError> {
        const SQL: &str =
            "SELECT * FROM portcullis_approvals WHERE digest = $1 ORDER BY created DESC, changed DESC LIMIT 1";
        self.row(SQL, &[Value::Text(digest)]).await?.as_ref().map(read).transpose()
    }

    /// The approval with this id.
    ///
    /// # Errors
    /// The database does not do it.
    pub async fn approval(&self, id: &str) -> Result<Option<Approval>, WorkError> {
        const SQL: &str = "SELECT * FROM portcullis_approvals WHERE id = $1";
        self.row(SQL, &[Value::Text(id)]).await?.as_ref().map(read).transpose()
    }

    /// Replaces the approval that `next` was made from, where nobody has changed it since: whether that is so.
    ///
    /// # Errors
    /// The database does not do it.
    pub async fn change_approval(&self, next: &Approval, now: Timestamp) -> Result<bool, WorkError> {
        let record = written(next)?;
        let values = [
            Value::Text(&next.id),
            Value::Number(i64::try_from(next.version).unwrap_or(i64::MAX)),
            Value::Text(next.state.as_str()),
            Value::Text(&record),
            Value::Number(now.millis()),
        ];
        Ok(self.execute(CHANGE, &values).await? == 1)
    }

    /// At most `most` approvals, newest first.
    ///
    /// # Errors
    /// The database does not do it.
    pub async fn approvals(&self, selection: &Selection, most: u32) -> Result<Vec<Approval>, WorkError> {
        let (before, tenant) = (selection.before.as_ref(), selection.tenant.as_ref());
        let values = [
            Value::MaybeText(selection.state.map(|(state, _)| state.as_str())),
            Value::MaybeNumber(selection.state.map(|(_, now)| now.millis())),
            Value::Number(i64::from(tenant.is_some())),
            Value::MaybeText(tenant.and_then(Option::as_deref)),
            Value::MaybeNumber(before.map(|(created, _)| created.millis())),
            Value::MaybeText(before.map(|(_, id)| id.as_str())),
            Value::Number(i64::from(most)),
        ];
        self.rows(LIST, &values).await?.iter().map(read).collect()
    }

    /// Those that are open and whose time is over at `now`.
    ///
    /// # Errors
    /// The database does not do it.
    pub async fn overdue_approvals(&self, now: Timestamp) -> Result<Vec<Approval>, WorkError> {
        const SQL: &str = "SELECT * FROM portcullis_approvals \
            WHERE state IN ('pending', 'approved') AND expires <= $1 ORDER BY expires LIMIT 100";
        self.rows(SQL, &[Value::Number(now.millis())]).await?.iter().map(read).collect()
    }

    /// How many are pending at `now`.
    ///
    /// # Errors
    /// The database does not do it.
    pub async fn pending_approvals(&self, now: Timestamp) -> Result<u64, WorkError> {
        const SQL: &str =
            "SELECT count(*) AS pending FROM portcullis_approvals WHERE state = 'pending' AND expires > $1";
        let row = self.row(SQL, &[Value::Number(now.millis())]).await?;
        row.map_or(Ok(0), |row| Ok(u64::try_from(row.number("pending")?).unwrap_or_default()))
    }

    /// When an approval was changed last, and how many changes there were in the ten minutes before that: another value means
    /// news, also of a gateway whose clock is behind by less than these.
    ///
    /// # Errors
    /// The database does not do it.
    pub async fn approvals_mark(&self) -> Result<(i64, i64), WorkError> {
        const SQL: &str = "SELECT CAST(coalesce(max(changed), 0) AS BIGINT) AS latest, \
            CAST(coalesce(sum(version), 0) AS BIGINT) AS changes FROM portcullis_approvals \
            WHERE changed >= (SELECT max(changed) FROM portcullis_approvals) - 600000";
        let row = self.row(SQL, &[]).await?;
        row.map_or(Ok((0, 0)), |row| Ok((row.number("latest")?, row.number("changes")?)))
    }

    /// Forgets those that were closed before `then`.
    ///
    /// # Errors
    /// The database does not do it.
    pub async fn forget_approvals(&self, then: Timestamp) -> Result<u64, WorkError> {
        const SQL: &str =
            "DELETE FROM portcullis_approvals WHERE state NOT IN ('pending', 'approved') AND changed < $1";
        self.execute(SQL, &[Value::Number(then.millis())]).await
    }
}

fn written(approval: &Approval) -> Result<String, WorkError> {
    serde_json::to_string(approval).map_err(unreadable)
}

fn read(row: &Row) -> Result<Approval, WorkError> {
    let mut approval: Approval = serde_json::from_str(&row.text("record")?).map_err(unreadable)?;
    let state = row.text("state")?;
    approval.state = State::parse(&state).ok_or_else(|| unreadable(format!("there is no state {state}")))?;
    approval.version = u64::try_from(row.number("version")?).map_err(unreadable)?;
    approval.digest = row.text("digest")?;
    Ok(approval)
}

fn unreadable(reason: impl std::fmt::Display) -> WorkError {
    WorkError::Row { table: "portcullis_approvals", reason: reason.to_string() }
}
