-- Tenants, their API keys, and what changed of both since when. Times are Unix seconds, 0 = never.

CREATE TABLE IF NOT EXISTS tenants (
    tenant_id  TEXT PRIMARY KEY CHECK (tenant_id <> ''),
    name       TEXT NOT NULL,
    state      TEXT NOT NULL CHECK (state IN ('active', 'disabled')),
    created_at INTEGER NOT NULL,
    changed_at INTEGER NOT NULL
) STRICT;

-- digest: BLAKE3-256 of the key's text, by which a request finds its key; fingerprint: Argon2id of the same.
CREATE TABLE IF NOT EXISTS api_keys (
    key_id       TEXT PRIMARY KEY CHECK (key_id <> ''),
    tenant_id    TEXT NOT NULL REFERENCES tenants (tenant_id),
    name         TEXT NOT NULL,
    digest       BLOB NOT NULL UNIQUE CHECK (length(digest) = 32),
    fingerprint  TEXT NOT NULL,
    scopes       INTEGER NOT NULL,
    role         TEXT NOT NULL CHECK (role IN ('viewer', 'editor', 'admin', 'operator')),
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL DEFAULT 0,
    revoked_at   INTEGER NOT NULL DEFAULT 0,
    last_used_at INTEGER NOT NULL DEFAULT 0,
    rotated_from TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX IF NOT EXISTS api_keys_of_tenant ON api_keys (tenant_id, key_id);

-- What nodes must learn: one row per change, numbered in the order of commits. digest NULL: the tenant as a whole.
CREATE TABLE IF NOT EXISTS control_changes (
    seq       INTEGER PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    digest    BLOB
) STRICT;
