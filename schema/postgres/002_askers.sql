-- Whoever gives an order is looked at once more in the transaction that carries it out, and held until it ends. Settings:
--   app.asker_key     his key, to read and to hold (SELECT ... FOR NO KEY UPDATE needs a policy for updates), not to change
--   app.asker_tenant  his tenant, the same

DROP POLICY IF EXISTS asker ON observex.api_keys;
CREATE POLICY asker ON observex.api_keys FOR SELECT
    USING (key_id = current_setting('app.asker_key', true));
DROP POLICY IF EXISTS asker_held ON observex.api_keys;
CREATE POLICY asker_held ON observex.api_keys FOR UPDATE
    USING (key_id = current_setting('app.asker_key', true))
    WITH CHECK (false);

DROP POLICY IF EXISTS asker ON observex.tenants;
CREATE POLICY asker ON observex.tenants FOR SELECT
    USING (tenant_id = current_setting('app.asker_tenant', true));
DROP POLICY IF EXISTS asker_held ON observex.tenants;
CREATE POLICY asker_held ON observex.tenants FOR UPDATE
    USING (tenant_id = current_setting('app.asker_tenant', true))
    WITH CHECK (false);
