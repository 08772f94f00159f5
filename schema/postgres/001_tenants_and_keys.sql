-- Tenants, their API keys, and what changed of both since when. Times are Unix seconds, 0 = never.
--
-- Who may see which row is decided here and not by the program's predicates. Each transaction of a node says on whose
-- behalf it runs, by settings that end with it (set_config(..., true)):
--   app.tenant_id   one tenant: its rows, to read and to write
--   app.key_digest  hex: the one key with this digest and its tenant, to read (who shows a key is not known before)
--   app.operator    'on': all tenants and keys, to read
--   app.watch       'on': all changes, to read
-- Without any of them there are no rows. FORCE: also not for the owner of the tables.

CREATE SCHEMA IF NOT EXISTS observex;

CREATE TABLE IF NOT EXISTS observex.tenants (
    tenant_id  text PRIMARY KEY CHECK (tenant_id <> ''),
    name       text NOT NULL,
    state      text NOT NULL CHECK (state IN ('active', 'disabled')),
    created_at bigint NOT NULL,
    changed_at bigint NOT NULL
);

-- digest: BLAKE3-256 of the key's text, by which a request finds its key; fingerprint: Argon2id of the same.
CREATE TABLE IF NOT EXISTS observex.api_keys (
    key_id       text PRIMARY KEY CHECK (key_id <> ''),
    tenant_id    text NOT NULL REFERENCES observex.tenants (tenant_id),
    name         text NOT NULL,
    digest       bytea NOT NULL UNIQUE CHECK (length(digest) = 32),
    fingerprint  text NOT NULL,
    scopes       bigint NOT NULL,
    role         text NOT NULL CHECK (role IN ('viewer', 'editor', 'admin', 'operator')),
    created_at   bigint NOT NULL,
    expires_at   bigint NOT NULL DEFAULT 0,
    revoked_at   bigint NOT NULL DEFAULT 0,
    last_used_at bigint NOT NULL DEFAULT 0,
    rotated_from text NOT NULL DEFAULT ''
);
CREATE INDEX IF NOT EXISTS api_keys_of_tenant ON observex.api_keys (tenant_id, key_id);

-- What nodes must learn: one row per change. digest NULL: the tenant as a whole. Numbered by the one row of
-- control_clock, which a writer holds until it commits: so a number that is visible has no invisible one before it.
CREATE TABLE IF NOT EXISTS observex.control_changes (
    seq       bigint PRIMARY KEY,
    tenant_id text NOT NULL,
    digest    bytea
);
CREATE TABLE IF NOT EXISTS observex.control_clock (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    seq bigint NOT NULL
);
INSERT INTO observex.control_clock (seq) VALUES (0) ON CONFLICT DO NOTHING;

ALTER TABLE observex.tenants ENABLE ROW LEVEL SECURITY;
ALTER TABLE observex.tenants FORCE ROW LEVEL SECURITY;
ALTER TABLE observex.api_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE observex.api_keys FORCE ROW LEVEL SECURITY;
ALTER TABLE observex.control_changes ENABLE ROW LEVEL SECURITY;
ALTER TABLE observex.control_changes FORCE ROW LEVEL SECURITY;

DROP POLICY IF EXISTS tenant_isolation ON observex.tenants;
CREATE POLICY tenant_isolation ON observex.tenants
    USING (tenant_id = current_setting('app.tenant_id', true))
    WITH CHECK (tenant_id = current_setting('app.tenant_id', true));
DROP POLICY IF EXISTS operator_reads ON observex.tenants;
CREATE POLICY operator_reads ON observex.tenants FOR SELECT
    USING (current_setting('app.operator', true) = 'on');
DROP POLICY IF EXISTS tenant_of_key ON observex.tenants;
CREATE POLICY tenant_of_key ON observex.tenants FOR SELECT
    USING (EXISTS (SELECT 1 FROM observex.api_keys k WHERE k.tenant_id = tenants.tenant_id
                   AND k.digest = decode(current_setting('app.key_digest', true), 'hex')));

DROP POLICY IF EXISTS tenant_isolation ON observex.api_keys;
CREATE POLICY tenant_isolation ON observex.api_keys
    USING (tenant_id = current_setting('app.tenant_id', true))
    WITH CHECK (tenant_id = current_setting('app.tenant_id', true));
DROP POLICY IF EXISTS operator_reads ON observex.api_keys;
CREATE POLICY operator_reads ON observex.api_keys FOR SELECT
    USING (current_setting('app.operator', true) = 'on');
DROP POLICY IF EXISTS key_by_digest ON observex.api_keys;
CREATE POLICY key_by_digest ON observex.api_keys FOR SELECT
    USING (digest = decode(current_setting('app.key_digest', true), 'hex'));

DROP POLICY IF EXISTS tenant_isolation ON observex.control_changes;
CREATE POLICY tenant_isolation ON observex.control_changes
    USING (tenant_id = current_setting('app.tenant_id', true))
    WITH CHECK (tenant_id = current_setting('app.tenant_id', true));
DROP POLICY IF EXISTS nodes_watch ON observex.control_changes;
CREATE POLICY nodes_watch ON observex.control_changes FOR SELECT
    USING (current_setting('app.watch', true) = 'on');
