-- The state database, version 1. `definitions` remembers what upstreams have offered. Run whenever it is opened: a file of
-- an earlier time gets what it lacks.
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

-- What people have accepted, for the gateway to put into the journal, which it alone writes.
CREATE TABLE IF NOT EXISTS acceptances (
    id            INTEGER PRIMARY KEY,
    at            TEXT NOT NULL,
    -- The user of the operating system.
    who           TEXT NOT NULL,
    upstream      TEXT NOT NULL,
    kind          TEXT NOT NULL,
    name          TEXT NOT NULL,
    before_digest TEXT NOT NULL,
    after_digest  TEXT NOT NULL,
    -- Whether the journal has it.
    recorded      INTEGER NOT NULL DEFAULT 0
) STRICT;

PRAGMA application_id = 1347375699;
PRAGMA user_version = 1;
COMMIT;
