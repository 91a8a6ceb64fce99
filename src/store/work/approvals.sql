-- Approvals, in SQLite and in Postgres. `record` is JSON with all that does not change by whom and how it is asked for;
-- the columns are what is searched and what changes are guarded by. Times are milliseconds since 1970.
CREATE TABLE IF NOT EXISTS portcullis_approvals (
    id       TEXT PRIMARY KEY,
    -- Counts the changes. Each is made from a version, and only while that is the newest.
    version  BIGINT NOT NULL,
    state    TEXT NOT NULL,
    -- What the approval is for: a keyed digest of who calls what with which arguments, under which rule.
    digest   TEXT NOT NULL,
    issuer   TEXT NOT NULL,
    subject  TEXT NOT NULL,
    tenant   TEXT,
    created  BIGINT NOT NULL,
    expires  BIGINT NOT NULL,
    changed  BIGINT NOT NULL,
    record   TEXT NOT NULL
);
-- A call that is made again while its approval is open finds it, however many gateways there are.
CREATE UNIQUE INDEX IF NOT EXISTS portcullis_approvals_open ON portcullis_approvals (digest)
    WHERE state IN ('pending', 'approved');
CREATE INDEX IF NOT EXISTS portcullis_approvals_requester ON portcullis_approvals (issuer, subject, state);
CREATE INDEX IF NOT EXISTS portcullis_approvals_changed ON portcullis_approvals (changed);
CREATE INDEX IF NOT EXISTS portcullis_approvals_created ON portcullis_approvals (created, id);
CREATE INDEX IF NOT EXISTS portcullis_approvals_digest ON portcullis_approvals (digest, created);
