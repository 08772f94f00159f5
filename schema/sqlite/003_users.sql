-- Users of tenants, and the sessions of those who have logged in. Times are Unix seconds, 0 = never.

-- password: Argon2id in its own notation.
CREATE TABLE IF NOT EXISTS users (
    tenant_id   TEXT NOT NULL REFERENCES tenants (tenant_id),
    name        TEXT NOT NULL CHECK (name <> ''),
    role        TEXT NOT NULL CHECK (role IN ('viewer', 'editor', 'admin', 'operator')),
    state       TEXT NOT NULL CHECK (state IN ('active', 'disabled')),
    password    TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    changed_at  INTEGER NOT NULL,
    password_at INTEGER NOT NULL,
    login_at    INTEGER NOT NULL DEFAULT 0,
    login_peer  TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (tenant_id, name)
) STRICT;

-- digest: BLAKE3-256 of what the cookie holds.
CREATE TABLE IF NOT EXISTS sessions (
    digest     BLOB PRIMARY KEY CHECK (length(digest) = 32),
    tenant_id  TEXT NOT NULL,
    user_name  TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    seen_at    INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    FOREIGN KEY (tenant_id, user_name) REFERENCES users (tenant_id, name)
) STRICT;
CREATE INDEX IF NOT EXISTS sessions_of_user ON sessions (tenant_id, user_name, created_at);
