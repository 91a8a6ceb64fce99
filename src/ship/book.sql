-- Where each sink stands in the journal, and what was set aside for it; version 1. Written by shippers alone. Without this
-- file each sink is sent the whole journal again, and knows what it has by the event ids.

-- All rows up to `seq`, and all checkpoints up to `checkpoint`, are taken. The rows up to `sending` may be.
CREATE TABLE positions (
    sink       TEXT    NOT NULL,
    instance   TEXT    NOT NULL,
    seq        INTEGER NOT NULL,
    checkpoint INTEGER NOT NULL,
    sending    INTEGER NOT NULL,
    PRIMARY KEY (sink, instance)
) STRICT, WITHOUT ROWID;

-- Rows that a sink refused for what they are: the line of an export, and why.
CREATE TABLE set_aside (
    sink     TEXT    NOT NULL,
    event_id TEXT    NOT NULL,
    instance TEXT    NOT NULL,
    seq      INTEGER NOT NULL,
    at       TEXT    NOT NULL,
    reason   TEXT    NOT NULL,
    line     TEXT    NOT NULL,
    PRIMARY KEY (sink, event_id)
) STRICT, WITHOUT ROWID;

PRAGMA application_id = 1347375697;
PRAGMA user_version = 1;
