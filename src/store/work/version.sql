-- The version of the tables of approvals and jobs. A row is added by whoever changes them.
CREATE TABLE IF NOT EXISTS portcullis_work_version (
    version BIGINT PRIMARY KEY
);
INSERT INTO portcullis_work_version (version) VALUES (1) ON CONFLICT (version) DO NOTHING;
-- Keys that all who share the database share.
CREATE TABLE IF NOT EXISTS portcullis_work_keys (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
);
