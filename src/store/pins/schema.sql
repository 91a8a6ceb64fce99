-- The state database, version 1. `definitions` remembers what upstreams have offered.
BEGIN IMMEDIATE;

CREATE TABLE IF NOT EXISTS definitions (
    upstream      TEXT NOT NULL,
    kind          TEXT NOT NULL,
    name          TEXT NOT NULL,
    -- What is trusted, in canonical form.
    pinned        TEXT NOT NULL,
    pinned_digest TEXT NOT NULL,
    pinned_at     TEXT NOT NULL,
    -- What the upstream offers instead; null where it offers what is trusted.
    found         TEXT,
    found_digest  TEXT,
    found_at      TEXT,
    -- Since when the upstream does not offer it any more; null where it does.
    gone_at       TEXT,
    PRIMARY KEY (upstream, kind, name)
) STRICT, WITHOUT ROWID;

PRAGMA application_id = 1347375699;
PRAGMA user_version = 1;
COMMIT;
