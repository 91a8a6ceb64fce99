-- Jobs, in SQLite and in Postgres. `record` is the job as JSON; the columns repeat what is searched and what changes are
-- guarded by. `call` and `answer` are sealed. Times are milliseconds since 1970.
CREATE TABLE IF NOT EXISTS portcullis_jobs (
    id       TEXT PRIMARY KEY,
    -- Counts the changes. Each is made from a version, and only while that is the newest.
    version  BIGINT NOT NULL,
    state    TEXT NOT NULL,
    -- When it may be run, when its worker counts as lost, or when it is forgotten.
    due      BIGINT NOT NULL,
    -- Whose it is: the user with the client that acts for them, and the user alone.
    owner    TEXT NOT NULL,
    person   TEXT NOT NULL,
    tenant   TEXT,
    -- The caller's own name for the call.
    name     TEXT,
    digest   TEXT NOT NULL,
    created  BIGINT NOT NULL,
    record   TEXT NOT NULL,
    call     TEXT NOT NULL,
    answer   TEXT
);
-- One name is one job, and so is one call without a name while its job has not ended, however many gateways there are.
CREATE UNIQUE INDEX IF NOT EXISTS portcullis_jobs_name ON portcullis_jobs (owner, name) WHERE name IS NOT NULL;
CREATE UNIQUE INDEX IF NOT EXISTS portcullis_jobs_open ON portcullis_jobs (owner, digest)
    WHERE name IS NULL AND state IN ('queued', 'running');
CREATE INDEX IF NOT EXISTS portcullis_jobs_due ON portcullis_jobs (state, due);
CREATE INDEX IF NOT EXISTS portcullis_jobs_person ON portcullis_jobs (person, state);
CREATE INDEX IF NOT EXISTS portcullis_jobs_created ON portcullis_jobs (created, id);
