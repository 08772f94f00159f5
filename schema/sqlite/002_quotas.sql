-- What tenants, or single keys of theirs (key_id <> ''), may have that differs from the defaults. Times are Unix seconds.

CREATE TABLE IF NOT EXISTS quotas (
    tenant_id  TEXT NOT NULL REFERENCES tenants (tenant_id),
    key_id     TEXT NOT NULL DEFAULT '',
    quota      TEXT NOT NULL CHECK (quota <> ''),
    value      INTEGER NOT NULL CHECK (value >= 0),
    changed_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, key_id, quota)
) STRICT;
