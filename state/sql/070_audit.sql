-- Audit: one row for each changed row of desired state, with who, before and after. Secrets are masked.

CREATE FUNCTION core.auditable(relation text, this jsonb, other jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN relation = 'variables' AND ((this->>'secret')::boolean OR (other->>'secret')::boolean)
                THEN jsonb_set(this, '{value}', '"(sealed)"') ELSE this END
         - ARRAY['generation', 'changed_in', 'changed_at', 'changed_by', 'sha256', 'owner', 'path']
$$;
COMMENT ON FUNCTION core.auditable IS 'A row as it may be kept: without bookkeeping, and without a value that is, was or becomes secret.';

CREATE FUNCTION core.key_of(columns text[], of_row jsonb) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT string_agg(of_row->>name, '/' ORDER BY n) FROM unnest(columns) WITH ORDINALITY AS c(name, n)
$$;
COMMENT ON FUNCTION core.key_of IS 'The primary key of a row as text.';

CREATE FUNCTION core.deployment_of(relation text, of_row jsonb) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE relation
        WHEN 'approvals' THEN core.path_of((SELECT d.id FROM core.deployments d WHERE d.owner = of_row->>'owner'))
        ELSE split_part(of_row->>'path', '@', 1) END
$$;
COMMENT ON FUNCTION core.deployment_of IS 'workspace/name of the deployment that a row belongs to, if it does.';

CREATE FUNCTION core.who_acts(OUT who text, OUT claimed boolean, OUT meant text) LANGUAGE plpgsql STABLE AS $$
BEGIN
    who := core.actor();
    claimed := core.actor_is_claimed();
    meant := coalesce(current_setting('armillary.allow_bulk', true), '');
END $$;
COMMENT ON FUNCTION core.who_acts IS 'Who acts, whether only they say so, and why a bulk change is meant: once a statement, the same for all of its rows.';

CREATE FUNCTION core.audit_inserted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp SET TimeZone = 'UTC' AS $$
BEGIN
    PERFORM core.open_month('audit');
    INSERT INTO core.audit (relation, key, deployment, operation, after, actor, actor_is_claimed, reason)
    SELECT TG_TABLE_NAME, core.key_of(TG_ARGV, r.row), core.deployment_of(TG_TABLE_NAME, r.row), 'INSERT',
           core.auditable(TG_TABLE_NAME, r.row, NULL), w.who, w.claimed, w.meant
      FROM (SELECT to_jsonb(a) AS row FROM added a) AS r, core.who_acts() AS w;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION core.audit_inserted IS 'Trigger: audits new rows. Its arguments are the columns of the primary key.';

CREATE FUNCTION core.audit_deleted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp SET TimeZone = 'UTC' AS $$
BEGIN
    PERFORM core.open_month('audit');
    INSERT INTO core.audit (relation, key, deployment, operation, before, actor, actor_is_claimed, reason)
    SELECT TG_TABLE_NAME, core.key_of(TG_ARGV, r.row), core.deployment_of(TG_TABLE_NAME, r.row), 'DELETE',
           core.auditable(TG_TABLE_NAME, r.row, NULL), w.who, w.claimed, w.meant
      FROM (SELECT to_jsonb(o) AS row FROM removed o) AS r, core.who_acts() AS w;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION core.audit_deleted IS 'Trigger: audits removed rows. Its arguments are the columns of the primary key.';

CREATE FUNCTION core.audit_updated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp SET TimeZone = 'UTC' SET enable_nestloop = off AS $$
BEGIN
    PERFORM core.open_month('audit');
    -- a row whose key changed has no partner: it is kept as one that went and one that came
    INSERT INTO core.audit (relation, key, deployment, operation, before, after, actor, actor_is_claimed, reason)
    SELECT TG_TABLE_NAME, coalesce(n.key, o.key), core.deployment_of(TG_TABLE_NAME, coalesce(n.row, o.row)),
           CASE WHEN o.key IS NULL THEN 'INSERT' WHEN n.key IS NULL THEN 'DELETE' ELSE 'UPDATE' END,
           core.auditable(TG_TABLE_NAME, o.row, n.row), core.auditable(TG_TABLE_NAME, n.row, o.row), w.who, w.claimed, w.meant
      FROM (SELECT to_jsonb(r) AS row, core.key_of(TG_ARGV, to_jsonb(r)) AS key FROM removed r) AS o
      FULL JOIN (SELECT to_jsonb(a) AS row, core.key_of(TG_ARGV, to_jsonb(a)) AS key FROM added a) AS n USING (key)
     CROSS JOIN core.who_acts() AS w
     WHERE core.auditable(TG_TABLE_NAME, o.row, NULL) IS DISTINCT FROM core.auditable(TG_TABLE_NAME, n.row, NULL);
    RETURN NULL;
END $$;
COMMENT ON FUNCTION core.audit_updated IS 'Trigger: audits rows that differ. Its arguments are the columns of the primary key.';

DO $$
DECLARE one record;
BEGIN
    FOR one IN SELECT * FROM (VALUES
        ('workspaces', '''id'''), ('deployments', '''id'''), ('components', '''deployment_id'', ''component'''),
        ('variables', '''deployment_id'', ''key'''), ('defaults', '''only_one'''), ('clusters', '''name'''), ('tokens', '''id'''),
        ('approvals', '''owner'', ''what''')
    ) AS t(relation, keys) LOOP
        EXECUTE format('CREATE TRIGGER z1_audit_inserted AFTER INSERT ON core.%I REFERENCING NEW TABLE AS added
            FOR EACH STATEMENT EXECUTE FUNCTION core.audit_inserted(%s)', one.relation, one.keys);
        EXECUTE format('CREATE TRIGGER z1_audit_deleted AFTER DELETE ON core.%I REFERENCING OLD TABLE AS removed
            FOR EACH STATEMENT EXECUTE FUNCTION core.audit_deleted(%s)', one.relation, one.keys);
        CONTINUE WHEN one.relation = 'deployments';  -- by core.deployments_changed, with the rest
        EXECUTE format('CREATE TRIGGER z1_audit_updated AFTER UPDATE ON core.%I REFERENCING OLD TABLE AS removed NEW TABLE AS added
            FOR EACH STATEMENT EXECUTE FUNCTION core.audit_updated(%s)', one.relation, one.keys);
    END LOOP;
END $$;

CREATE FUNCTION core.history_is_append_only() RETURNS trigger LANGUAGE plpgsql SET search_path = core, pg_temp AS $$
BEGIN
    PERFORM core.refuse('history_is_append_only', '', format('Rows of %s are never changed.', TG_TABLE_NAME),
        'The table''s owner may disable this trigger to remove old rows.');
    RETURN NULL;
END $$;
COMMENT ON FUNCTION core.history_is_append_only IS 'Trigger: refuses to change what was.';
CREATE TRIGGER a1_append_only BEFORE UPDATE OR DELETE ON core.audit FOR EACH ROW EXECUTE FUNCTION core.history_is_append_only();
CREATE TRIGGER a1_append_only BEFORE UPDATE ON core.revisions FOR EACH ROW EXECUTE FUNCTION core.history_is_append_only();
CREATE TRIGGER a1_append_only BEFORE UPDATE OR DELETE ON core.releases FOR EACH ROW EXECUTE FUNCTION core.history_is_append_only();
