-- What tenants, or single keys of theirs (key_id <> ''), may have that differs from the defaults. Times are Unix seconds.
-- Who may see which row: as in 001.

CREATE TABLE IF NOT EXISTS observex.quotas (
    tenant_id  text NOT NULL REFERENCES observex.tenants (tenant_id),
    key_id     text NOT NULL DEFAULT '',
    quota      text NOT NULL CHECK (quota <> ''),
    value      bigint NOT NULL CHECK (value >= 0),
    changed_at bigint NOT NULL,
    PRIMARY KEY (tenant_id, key_id, quota)
);

ALTER TABLE observex.quotas ENABLE ROW LEVEL SECURITY;
ALTER TABLE observex.quotas FORCE ROW LEVEL SECURITY;

DROP POLICY IF EXISTS tenant_isolation ON observex.quotas;
CREATE POLICY tenant_isolation ON observex.quotas
    USING (tenant_id = current_setting('app.tenant_id', true))
    WITH CHECK (tenant_id = current_setting('app.tenant_id', true));
DROP POLICY IF EXISTS operator_reads ON observex.quotas;
CREATE POLICY operator_reads ON observex.quotas FOR SELECT
    USING (current_setting('app.operator', true) = 'on');
