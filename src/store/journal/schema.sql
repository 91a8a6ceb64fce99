-- The journal, version 2, within the transaction of whoever makes it. `entries` only ever grows; `calls` is what people
-- read.

-- What this journal is called, since it was made, and how many of its first rows were removed when their time was over.
CREATE TABLE journal (
    instance TEXT    NOT NULL,
    made_at  TEXT    NOT NULL,
    removed  INTEGER NOT NULL DEFAULT 0
) STRICT;

-- The columns of `core::audit::row`, in their order, and what binds each row to those before it. `seq` has no holes.
CREATE TABLE entries (
    seq              INTEGER PRIMARY KEY,
    event_id         TEXT    NOT NULL UNIQUE,
    instance         TEXT    NOT NULL,
    run              TEXT    NOT NULL,
    call_id          TEXT    NOT NULL,
    kind             TEXT    NOT NULL,
    at               TEXT    NOT NULL,
    at_ms            INTEGER NOT NULL,
    request_id       TEXT    NOT NULL,
    trace_id         TEXT    NOT NULL,
    issuer           TEXT,
    subject          TEXT,
    tenant           TEXT,
    agent            TEXT,
    roles            TEXT,
    scopes           TEXT,
    client           TEXT,
    endpoint         TEXT,
    upstream         TEXT,
    method           TEXT,
    tool             TEXT,
    class            TEXT,
    arguments        TEXT,
    arguments_digest TEXT,
    decision         TEXT,
    rule             TEXT,
    revision         TEXT    NOT NULL,
    shadow_decision  TEXT,
    shadow_rule      TEXT,
    approval_id      TEXT,
    job_id           TEXT,
    outcome          TEXT,
    termination      TEXT,
    status           INTEGER,
    error            TEXT,
    detail           TEXT,
    bytes_in         INTEGER NOT NULL,
    bytes_out        INTEGER NOT NULL,
    latency_us       INTEGER,
    upstream_us      INTEGER,
    redactions       TEXT    NOT NULL,
    protocol         TEXT,
    hash             BLOB    NOT NULL
) STRICT;

CREATE INDEX entries_by_call ON entries (call_id);

CREATE TRIGGER entries_are_not_changed BEFORE UPDATE ON entries
BEGIN SELECT raise(ABORT, 'the journal is append-only'); END;

CREATE TRIGGER entries_are_not_removed BEFORE DELETE ON entries WHEN old.seq > (SELECT removed FROM journal)
BEGIN SELECT raise(ABORT, 'the journal is append-only'); END;

-- What stands for all rows up to `size`, signed (`note`); and what the writer needs to go on from there: the hash of the
-- last row, the nodes of the tree, and the intents without an outcome, as a JSON array of their places.
CREATE TABLE checkpoints (
    size  INTEGER PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    chain BLOB    NOT NULL,
    front BLOB    NOT NULL,
    open  TEXT    NOT NULL,
    note  TEXT    NOT NULL
) STRICT;

-- One row for each call: an intent with its outcome, an event, or the outcome alone where the intent could not be
-- written. `outcome` is null while a call runs. The first outcome counts.
CREATE VIEW calls AS
SELECT
    first.seq                                                  AS seq,
    first.at                                                   AS at,
    coalesce(last.subject,          first.subject)             AS subject,
    coalesce(last.tenant,           first.tenant)              AS tenant,
    coalesce(last.agent,            first.agent)               AS agent,
    coalesce(last.roles,            first.roles)               AS roles,
    coalesce(last.scopes,           first.scopes)              AS scopes,
    coalesce(last.endpoint,         first.endpoint)            AS endpoint,
    coalesce(last.method,           first.method)              AS method,
    coalesce(last.tool,             first.tool)                AS tool,
    coalesce(last.class,            first.class)               AS class,
    coalesce(last.decision,         first.decision)            AS decision,
    coalesce(last.rule,             first.rule)                AS rule,
    coalesce(last.shadow_decision,  first.shadow_decision)     AS shadow_decision,
    coalesce(last.shadow_rule,      first.shadow_rule)         AS shadow_rule,
    coalesce(last.approval_id,      first.approval_id)         AS approval_id,
    coalesce(last.job_id,           first.job_id)              AS job_id,
    last.outcome                                               AS outcome,
    last.termination                                           AS termination,
    last.status                                                AS status,
    last.error                                                 AS error,
    coalesce(last.detail,           first.detail)              AS detail,
    last.latency_us                                            AS latency_us,
    last.upstream_us                                           AS upstream_us,
    coalesce(last.bytes_in,         first.bytes_in)            AS bytes_in,
    coalesce(last.bytes_out,        first.bytes_out)           AS bytes_out,
    coalesce(last.redactions,       first.redactions)          AS redactions,
    coalesce(last.arguments,        first.arguments)           AS arguments,
    coalesce(last.arguments_digest, first.arguments_digest)    AS arguments_digest,
    coalesce(last.issuer,           first.issuer)              AS issuer,
    coalesce(last.client,           first.client)              AS client,
    coalesce(last.upstream,         first.upstream)            AS upstream,
    coalesce(last.protocol,         first.protocol)            AS protocol,
    coalesce(last.revision,         first.revision)            AS revision,
    first.request_id                                           AS request_id,
    first.trace_id                                             AS trace_id,
    first.call_id                                              AS call_id,
    first.instance                                             AS instance,
    first.run                                                  AS run,
    first.at_ms                                                AS at_ms,
    last.at                                                    AS ended_at,
    last.at_ms                                                 AS ended_at_ms
FROM entries AS first
LEFT JOIN entries AS last ON last.seq = CASE first.kind
    WHEN 'intent' THEN
        (SELECT min(seq) FROM entries WHERE call_id = first.call_id AND kind = 'outcome')
    ELSE first.seq
END
WHERE first.kind = 'event' OR first.seq =
    (SELECT min(seq) FROM entries WHERE call_id = first.call_id AND kind <> 'event');

PRAGMA application_id = 1347375700;
PRAGMA user_version = 2;
