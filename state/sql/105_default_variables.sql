-- Default variables: what every deployment of the platform, of a cluster or of a workspace has, unless it says otherwise.
-- They are no part of a deployment's own wishes: its generation does not count them. They reach deployments at their next
-- look, at most a minute later, a few at a time (the fleet gate).

CREATE FUNCTION core.default_variable_checked() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
BEGIN
    PERFORM core.check_key(NEW.key);
    IF NEW.value IS NULL THEN
        PERFORM core.invalid('a_default_variable_has_a_value', core.pointer('variables', NEW.key, 'value'),
            format('The default variable %s has no value.', NEW.key), 'Give it one, or delete it.');
    END IF;
    IF octet_length(NEW.value) > 131072 THEN
        PERFORM core.invalid('default_variable_value_is_at_most_128_kib', core.pointer('variables', NEW.key, 'value'),
            format('The value of %s is longer than 128 KiB.', NEW.key), 'Keep large values in a file or a secrets backend.');
    END IF;
    IF TG_OP = 'INSERT' OR NEW.key <> OLD.key THEN
        -- two that take the same name at once: the second waits here, then sees the first
        PERFORM pg_advisory_xact_lock(hashtext('armillary.default_variables'));
        IF EXISTS (SELECT FROM core.default_variables v WHERE v.key = NEW.key AND v.id <> NEW.id
            AND v.cluster IS NOT DISTINCT FROM NEW.cluster AND v.workspace_id IS NOT DISTINCT FROM NEW.workspace_id) THEN
            PERFORM core.conflict(format('There is a default variable %s in that layer already.', NEW.key),
                'Change that one and delete this one, or choose another name.');
        END IF;
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION core.default_variable_checked IS 'Trigger: checks a default variable''s row.';
CREATE TRIGGER a1_check BEFORE INSERT OR UPDATE ON core.default_variables FOR EACH ROW EXECUTE FUNCTION core.default_variable_checked();

-- the narrower layer wins
CREATE FUNCTION core.inherited_variables(d core.deployments) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (SELECT coalesce(jsonb_object_agg(i.key, jsonb_build_object('value', i.value, 'components', '[]'::jsonb)), '{}') FROM (
        SELECT DISTINCT ON (v.key) v.key, v.value FROM core.default_variables v
         WHERE (v.cluster IS NULL OR v.cluster = d.cluster) AND (v.workspace_id IS NULL OR v.workspace_id = d.workspace_id)
           AND NOT EXISTS (SELECT FROM core.variables own WHERE own.deployment_id = d.id AND own.key = v.key)
         ORDER BY v.key, v.workspace_id NULLS LAST, v.cluster NULLS LAST) AS i);
END $$;
COMMENT ON FUNCTION core.inherited_variables IS 'The default variables that reach a deployment, by key: those that it has none of its own for.';

CREATE FUNCTION core.effective(spec jsonb, inherited jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN inherited = '{}' THEN spec ELSE jsonb_set(spec, '{variables}', inherited || (spec->'variables')) END
$$;
COMMENT ON FUNCTION core.effective IS 'A spec with the default variables that reach it.';

CREATE FUNCTION core.find_layer(of_layer text, called text, OUT workspace bigint, OUT cluster text) LANGUAGE plpgsql STABLE AS $$
BEGIN
    workspace := (SELECT w.id FROM core.workspaces w WHERE of_layer = 'workspace' AND w.name = called);
    cluster := (SELECT c.name FROM core.clusters c WHERE of_layer = 'cluster' AND c.name = called);
    IF of_layer NOT IN ('platform', 'cluster', 'workspace') THEN
        PERFORM core.invalid('default_variables_are_of_a_layer', '/layer', format('There is no layer %L.', left(of_layer, 60)),
            'Layers: platform (name empty), cluster, workspace.');
    ELSIF of_layer = 'platform' AND coalesce(called, '') <> '' THEN
        PERFORM core.invalid('the_platform_has_no_name', '/name', 'The layer platform is the whole installation: it has no name.', 'Leave name out.');
    ELSIF of_layer <> 'platform' AND workspace IS NULL AND cluster IS NULL THEN
        PERFORM core.not_found(format('There is no %s %L.', of_layer, left(coalesce(called, ''), 60)),
            format('SELECT name FROM armillary.%ss', of_layer));
    END IF;
END $$;
COMMENT ON FUNCTION core.find_layer IS 'The workspace or the cluster that a layer of default variables is of; neither: the platform. Raises for a layer that is not there.';

CREATE FUNCTION core.default_variables_of(of_layer text, called text) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
DECLARE layer record := core.find_layer(of_layer, called);
BEGIN
    RETURN (SELECT coalesce(jsonb_object_agg(v.key, jsonb_build_object('value', v.value)), '{}') FROM core.default_variables v
             WHERE v.cluster IS NOT DISTINCT FROM layer.cluster AND v.workspace_id IS NOT DISTINCT FROM layer.workspace);
END $$;
COMMENT ON FUNCTION core.default_variables_of IS 'The default variables of one layer as documents, by key.';

CREATE FUNCTION core.put_default_variable(of_layer text, called text, of_key text, new_value text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE layer record := core.find_layer(of_layer, called);
BEGIN
    UPDATE core.default_variables v SET value = new_value
     WHERE v.key = of_key AND v.cluster IS NOT DISTINCT FROM layer.cluster AND v.workspace_id IS NOT DISTINCT FROM layer.workspace;
    IF FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO core.default_variables (cluster, workspace_id, key, value) VALUES (layer.cluster, layer.workspace, of_key, new_value);
    RETURN true;
END $$;
COMMENT ON FUNCTION core.put_default_variable IS 'Makes a default variable of a layer, or makes it so. True: it is new.';

CREATE FUNCTION core.delete_default_variable(of_layer text, called text, of_key text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE layer record := core.find_layer(of_layer, called);
BEGIN
    DELETE FROM core.default_variables v
     WHERE v.key = of_key AND v.cluster IS NOT DISTINCT FROM layer.cluster AND v.workspace_id IS NOT DISTINCT FROM layer.workspace;
    IF NOT FOUND THEN
        PERFORM core.not_found(format('There is no default variable %L in that layer.', left(of_key, 60)),
            'There are: ' || coalesce((SELECT string_agg(k, ', ' ORDER BY k) FROM jsonb_object_keys(core.default_variables_of(of_layer, called)) AS k), 'none'));
    END IF;
END $$;
COMMENT ON FUNCTION core.delete_default_variable IS 'Removes a default variable of a layer. Raises when it is not there.';

CREATE FUNCTION core.view_insert_default_variable() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
DECLARE
    of_layer text := coalesce(NEW.layer, 'platform');
    layer record := core.find_layer(of_layer, NEW.name);
BEGIN
    IF EXISTS (SELECT FROM core.default_variables v WHERE v.key = NEW.key AND v.cluster IS NOT DISTINCT FROM layer.cluster
               AND v.workspace_id IS NOT DISTINCT FROM layer.workspace) THEN
        PERFORM core.conflict(format('There is a default variable %s in that layer already.', NEW.key),
            format('UPDATE armillary.default_variables SET value = … WHERE layer = %L AND name = %L AND key = %L', of_layer, coalesce(NEW.name, ''), NEW.key));
    END IF;
    INSERT INTO core.default_variables (cluster, workspace_id, key, value) VALUES (layer.cluster, layer.workspace, NEW.key, NEW.value);
    NEW.layer := of_layer;
    NEW.name := coalesce(NEW.name, '');
    RETURN NEW;
END $$;
COMMENT ON FUNCTION core.view_insert_default_variable IS 'Trigger: INSERT INTO armillary.default_variables.';

CREATE VIEW armillary.default_variables AS
    -- no function of schema core: whoever reads a view needs the right to its functions
    SELECT CASE WHEN v.workspace_id IS NOT NULL THEN 'workspace' WHEN v.cluster IS NOT NULL THEN 'cluster' ELSE 'platform' END AS layer,
           coalesce(v.cluster, (SELECT w.name FROM core.workspaces w WHERE w.id = v.workspace_id), '') AS name,
           v.key, v.value
      FROM core.default_variables v;
COMMENT ON VIEW armillary.default_variables IS 'Environment variables that deployments have unless they have their own: of the platform, over it of their cluster, over that of their workspace. INSERT, UPDATE, DELETE. They reach deployments a few at a time.';
COMMENT ON COLUMN armillary.default_variables.layer IS 'platform, cluster or workspace; set at INSERT.';
COMMENT ON COLUMN armillary.default_variables.name IS 'Of the cluster or the workspace; empty for the platform. Set at INSERT.';
COMMENT ON COLUMN armillary.default_variables.key IS 'Name of the environment variable.';
COMMENT ON COLUMN armillary.default_variables.value IS 'Its value. Secrets belong to deployments: armillary.variables.';
CREATE TRIGGER insert_default_variable INSTEAD OF INSERT ON armillary.default_variables FOR EACH ROW EXECUTE FUNCTION core.view_insert_default_variable();

CREATE VIEW armillary.effective_variables AS
    SELECT w.name || '/' || d.name AS deployment, e.key, e.value, e.secret, e.layer
      FROM core.deployments d JOIN core.workspaces w ON w.id = d.workspace_id
     CROSS JOIN LATERAL (
            SELECT v.key, v.value, v.secret, 'deployment' AS layer FROM core.variables v WHERE v.deployment_id = d.id
            UNION ALL
            SELECT i.key, i.value, false, i.layer FROM (
                SELECT DISTINCT ON (v.key) v.key, v.value,
                       CASE WHEN v.workspace_id IS NOT NULL THEN 'workspace' WHEN v.cluster IS NOT NULL THEN 'cluster' ELSE 'platform' END AS layer
                  FROM core.default_variables v
                 WHERE (v.cluster IS NULL OR v.cluster = d.cluster) AND (v.workspace_id IS NULL OR v.workspace_id = d.workspace_id)
                 ORDER BY v.key, v.workspace_id NULLS LAST, v.cluster NULLS LAST) AS i
             WHERE NOT EXISTS (SELECT FROM core.variables own WHERE own.deployment_id = d.id AND own.key = i.key)) AS e;
COMMENT ON VIEW armillary.effective_variables IS 'The environment variables that each deployment really has, and which layer each is from. Read-only.';
COMMENT ON COLUMN armillary.effective_variables.deployment IS 'workspace/name.';
COMMENT ON COLUMN armillary.effective_variables.key IS 'Name of the environment variable.';
COMMENT ON COLUMN armillary.effective_variables.value IS 'Its value; NULL for a secret.';
COMMENT ON COLUMN armillary.effective_variables.secret IS 'True: sealed.';
COMMENT ON COLUMN armillary.effective_variables.layer IS 'platform, cluster, workspace or deployment: where the value is from.';

CREATE TRIGGER z1_audit_inserted AFTER INSERT ON core.default_variables REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION core.audit_inserted('id');
CREATE TRIGGER z1_audit_updated AFTER UPDATE ON core.default_variables REFERENCING OLD TABLE AS removed NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION core.audit_updated('id');
CREATE TRIGGER z1_audit_deleted AFTER DELETE ON core.default_variables REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION core.audit_deleted('id');
