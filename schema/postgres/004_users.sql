-- Users of tenants, and the sessions of those who have logged in. Times are Unix seconds, 0 = never.
-- Who may see which row: as in 001 and 002. Settings beside those:
--   app.session_digest  hex: the one session with this digest, to read (who shows a cookie is not known before)
--   app.asker_user      with app.asker_tenant: the user who gives an order, to read and to hold, not to change

-- password: Argon2id in its own notation.
CREATE TABLE IF NOT EXISTS observex.users (
    tenant_id   text NOT NULL REFERENCES observex.tenants (tenant_id),
    name        text NOT NULL CHECK (name <> ''),
    role        text NOT NULL CHECK (role IN ('viewer', 'editor', 'admin', 'operator')),
    state       text NOT NULL CHECK (state IN ('active', 'disabled')),
    password    text NOT NULL,
    created_at  bigint NOT NULL,
    changed_at  bigint NOT NULL,
    password_at bigint NOT NULL,
    login_at    bigint NOT NULL DEFAULT 0,
    login_peer  text NOT NULL DEFAULT '',
    PRIMARY KEY (tenant_id, name)
);

-- digest: BLAKE3-256 of what the cookie holds.
CREATE TABLE IF NOT EXISTS observex.sessions (
    digest     bytea PRIMARY KEY CHECK (length(digest) = 32),
    tenant_id  text NOT NULL,
    user_name  text NOT NULL,
    created_at bigint NOT NULL,
    seen_at    bigint NOT NULL,
    expires_at bigint NOT NULL,
    FOREIGN KEY (tenant_id, user_name) REFERENCES observex.users (tenant_id, name)
);
CREATE INDEX IF NOT EXISTS sessions_of_user ON observex.sessions (tenant_id, user_name, created_at);

ALTER TABLE observex.users ENABLE ROW LEVEL SECURITY;
ALTER TABLE observex.users FORCE ROW LEVEL SECURITY;
ALTER TABLE observex.sessions ENABLE ROW LEVEL SECURITY;
ALTER TABLE observex.sessions FORCE ROW LEVEL SECURITY;

DROP POLICY IF EXISTS tenant_isolation ON observex.users;
CREATE POLICY tenant_isolation ON observex.users
    USING (tenant_id = current_setting('app.tenant_id', true))
    WITH CHECK (tenant_id = current_setting('app.tenant_id', true));
DROP POLICY IF EXISTS operator_reads ON observex.users;
CREATE POLICY operator_reads ON observex.users FOR SELECT
    USING (current_setting('app.operator', true) = 'on');
DROP POLICY IF EXISTS asker ON observex.users;
CREATE POLICY asker ON observex.users FOR SELECT
    USING (tenant_id = current_setting('app.asker_tenant', true) AND name = current_setting('app.asker_user', true));
DROP POLICY IF EXISTS asker_held ON observex.users;
CREATE POLICY asker_held ON observex.users FOR UPDATE
    USING (tenant_id = current_setting('app.asker_tenant', true) AND name = current_setting('app.asker_user', true))
    WITH CHECK (false);

DROP POLICY IF EXISTS tenant_isolation ON observex.sessions;
CREATE POLICY tenant_isolation ON observex.sessions
    USING (tenant_id = current_setting('app.tenant_id', true))
    WITH CHECK (tenant_id = current_setting('app.tenant_id', true));
DROP POLICY IF EXISTS session_by_digest ON observex.sessions;
CREATE POLICY session_by_digest ON observex.sessions FOR SELECT
    USING (digest = decode(current_setting('app.session_digest', true), 'hex'));
