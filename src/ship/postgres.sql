-- The tables of a sink in Postgres, version 1. May be run again.
--
-- To keep the gateway from changing what it wrote, let another role run this, and give the gateway's role no more than
--   GRANT SELECT, INSERT ON portcullis_audit_entries, portcullis_audit_checkpoints TO gateway;
--   GRANT SELECT ON portcullis_audit_version TO gateway;

-- The columns of the journal. `hash` binds each row to those before it, in the order of `seq` within one `instance`.
CREATE TABLE IF NOT EXISTS portcullis_audit_entries (
    seq              bigint NOT NULL,
    event_id         text   NOT NULL PRIMARY KEY,
    instance         text   NOT NULL,
    run              text   NOT NULL,
    call_id          text   NOT NULL,
    kind             text   NOT NULL,
    at               text   NOT NULL,
    at_ms            bigint NOT NULL,
    request_id       text   NOT NULL,
    trace_id         text   NOT NULL,
    issuer           text,
    subject          text,
    tenant           text,
    agent            text,
    roles            text,
    scopes           text,
    client           text,
    endpoint         text,
    upstream         text,
    method           text,
    tool             text,
    class            text,
    arguments        text,
    arguments_digest text,
    decision         text,
    rule             text,
    revision         text   NOT NULL,
    shadow_decision  text,
    shadow_rule      text,
    approval_id      text,
    job_id           text,
    outcome          text,
    termination      text,
    status           bigint,
    error            text,
    detail           text,
    bytes_in         bigint NOT NULL,
    bytes_out        bigint NOT NULL,
    latency_us       bigint,
    upstream_us      bigint,
    redactions       text   NOT NULL,
    protocol         text,
    hash             bytea  NOT NULL
);

CREATE INDEX IF NOT EXISTS portcullis_audit_entries_in_order ON portcullis_audit_entries (instance, seq);
CREATE INDEX IF NOT EXISTS portcullis_audit_entries_by_time ON portcullis_audit_entries (at_ms);
CREATE INDEX IF NOT EXISTS portcullis_audit_entries_by_call ON portcullis_audit_entries (call_id);

-- The signed checkpoints: `line` is that of an export.
CREATE TABLE IF NOT EXISTS portcullis_audit_checkpoints (
    instance text   NOT NULL,
    size     bigint NOT NULL,
    line     text   NOT NULL,
    PRIMARY KEY (instance, size)
);

-- Both as the lines of an export, for `portcullis audit verify --export -`: of one `instance`, in the order of `seq, place`.
CREATE OR REPLACE VIEW portcullis_audit_lines AS
SELECT e.instance, e.seq, 0 AS place,
       (to_jsonb(e) - 'hash' || jsonb_build_object('hash', encode(e.hash, 'hex')))::text AS line
FROM portcullis_audit_entries e
UNION ALL
SELECT c.instance, c.size, 1, c.line FROM portcullis_audit_checkpoints c;

CREATE TABLE IF NOT EXISTS portcullis_audit_version (version integer NOT NULL PRIMARY KEY);
INSERT INTO portcullis_audit_version (version) VALUES (1) ON CONFLICT DO NOTHING;
