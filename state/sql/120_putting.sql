-- Deployments as documents, the write half: the same rows and triggers that SQL uses, so the effect is the same. What
-- would not change a row is not written.

CREATE FUNCTION core.put_deployment(in_workspace text, called text, doc jsonb, expected bigint DEFAULT NULL)
RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    d core.deployments;
    workspace bigint;
    components jsonb := coalesce(nullif(doc->'components', 'null'), '{}');
BEGIN
    PERFORM core.only(doc, ARRAY['workspace', 'name', 'release', 'cluster', 'airflow_version', 'executor', 'dags_folder', 'hibernated',
        'drift_policy', 'paused_until', 'pause_reason', 'restarted_at', 'components', 'variables', 'generation',
        'deletion_requested_at', 'delete_after', 'retain_until', 'created_at'], '');
    PERFORM core.same(doc, 'workspace', in_workspace), core.same(doc, 'name', called);
    SELECT w.id INTO workspace FROM core.workspaces w WHERE w.name = in_workspace FOR KEY SHARE;
    IF NOT FOUND THEN
        PERFORM core.not_found(format('There is no workspace %L.', left(in_workspace, 60)), 'Make it first.');
    END IF;
    d := core.locked(in_workspace, called, doc);
    IF expected = 0 AND d.id IS NOT NULL THEN
        PERFORM core.deployment_is_there(in_workspace, called);
    ELSIF expected IS NOT NULL AND expected IS DISTINCT FROM coalesce(d.generation, 0) THEN
        PERFORM core.conflict(format('%s/%s is at generation %s, not %s.', in_workspace, called, coalesce(d.generation, 0), expected),
            'Read it again and repeat your change on what is there now.');
    END IF;
    IF d.id IS NULL THEN
        d := core.new_deployment(workspace, called, doc);
    ELSE
        components := core.without_left_overs(d, coalesce(doc->>'executor', 'LocalExecutor'), components);
        PERFORM core.change_deployment(d, doc);
    END IF;
    PERFORM core.put_components(d.id, components);
    PERFORM core.put_variables(d.id, coalesce(nullif(doc->'variables', 'null'), '{}'));
    RETURN core.document(d.id);
END $$;
COMMENT ON FUNCTION core.put_deployment IS 'Make a deployment, or make an existing one exactly this. The same document twice changes nothing. Expected 0: it must not exist.';

CREATE FUNCTION core.locked(in_workspace text, called text, doc jsonb) RETURNS core.deployments LANGUAGE plpgsql AS $$
DECLARE
    also_deleted boolean := doc ? 'deletion_requested_at';
    found bigint := core.find(in_workspace, called);
    d core.deployments;
BEGIN
    IF found IS NULL OR also_deleted AND EXISTS (SELECT FROM core.deployments o WHERE o.id = found
                           AND (o.deletion_requested_at IS NULL) <> (doc->>'deletion_requested_at' IS NULL)) THEN
        -- somebody may be giving the name at this moment: wait for that, then look again
        PERFORM core.lock_names();
        found := core.find(in_workspace, called);
    END IF;
    -- children before their parent, as statements on components and variables lock them, so that neither deadlocks
    PERFORM FROM core.components c WHERE c.deployment_id = found ORDER BY c.component FOR NO KEY UPDATE;
    PERFORM FROM core.variables v WHERE v.deployment_id = found ORDER BY v.key FOR NO KEY UPDATE;
    SELECT * INTO d FROM core.deployments o WHERE o.id = found AND (o.deletion_requested_at IS NULL OR also_deleted) FOR NO KEY UPDATE;
    RETURN d;
END $$;
COMMENT ON FUNCTION core.locked IS 'The deployment of that name with its rows locked; NULL when there is none, or only one being deleted and that is not meant.';

CREATE FUNCTION core.new_deployment(in_workspace bigint, called text, doc jsonb) RETURNS core.deployments LANGUAGE plpgsql AS $$
DECLARE made core.deployments;
BEGIN
    INSERT INTO core.deployments (workspace_id, name, cluster, airflow_version, executor, dags_folder, hibernated, drift_policy,
        paused_until, pause_reason, restarted_at, deletion_requested_at)
    VALUES (in_workspace, called, coalesce(core.field(doc, 'cluster', 'string', ''), 'local'),
        core.field(doc, 'airflow_version', 'string', ''), coalesce(core.field(doc, 'executor', 'string', ''), 'LocalExecutor'),
        core.field(doc, 'dags_folder', 'string', ''), coalesce(core.field(doc, 'hibernated', 'boolean', '')::boolean, false),
        coalesce(core.field(doc, 'drift_policy', 'string', ''), 'repair'), core.moment(doc, 'paused_until', ''),
        coalesce(core.field(doc, 'pause_reason', 'string', ''), ''), core.moment(doc, 'restarted_at', ''),
        core.moment(doc, 'deletion_requested_at', ''))
    RETURNING * INTO made;
    RETURN made;
END $$;
COMMENT ON FUNCTION core.new_deployment IS 'Makes a deployment of a document''s own fields.';

CREATE FUNCTION core.change_deployment(d core.deployments, doc jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE wanted core.deployments := d;
BEGIN
    wanted.release := coalesce(core.field(doc, 'release', 'string', ''), d.release);
    wanted.cluster := coalesce(core.field(doc, 'cluster', 'string', ''), d.cluster);
    wanted.airflow_version := core.field(doc, 'airflow_version', 'string', '');
    wanted.executor := coalesce(core.field(doc, 'executor', 'string', ''), 'LocalExecutor');
    wanted.dags_folder := core.field(doc, 'dags_folder', 'string', '');
    wanted.hibernated := coalesce(core.field(doc, 'hibernated', 'boolean', '')::boolean, false);
    wanted.drift_policy := coalesce(core.field(doc, 'drift_policy', 'string', ''), 'repair');
    wanted.paused_until := core.moment(doc, 'paused_until', '');
    wanted.pause_reason := coalesce(core.field(doc, 'pause_reason', 'string', ''), '');
    wanted.restarted_at := core.moment(doc, 'restarted_at', '');
    IF doc ? 'deletion_requested_at' THEN
        wanted.deletion_requested_at := core.moment(doc, 'deletion_requested_at', '');
        wanted.delete_after := coalesce(core.moment(doc, 'delete_after', ''), d.delete_after);
        wanted.retain_until := coalesce(core.moment(doc, 'retain_until', ''), d.retain_until);
    END IF;
    wanted := core.with_deletion(d, wanted);
    PERFORM core.check_unmoved(d, wanted);
    IF (wanted.deletion_requested_at, wanted.delete_after, wanted.retain_until)
        IS DISTINCT FROM (d.deletion_requested_at, d.delete_after, d.retain_until) THEN
        UPDATE core.deployments u SET airflow_version = wanted.airflow_version, executor = wanted.executor,
            dags_folder = wanted.dags_folder, hibernated = wanted.hibernated, drift_policy = wanted.drift_policy,
            paused_until = wanted.paused_until, pause_reason = wanted.pause_reason, restarted_at = wanted.restarted_at,
            deletion_requested_at = wanted.deletion_requested_at, delete_after = wanted.delete_after, retain_until = wanted.retain_until
         WHERE u.id = d.id;
    ELSIF wanted IS DISTINCT FROM d THEN
        -- without the times of a deletion: naming them would lock all names (b0_names_first)
        UPDATE core.deployments u SET airflow_version = wanted.airflow_version, executor = wanted.executor,
            dags_folder = wanted.dags_folder, hibernated = wanted.hibernated, drift_policy = wanted.drift_policy,
            paused_until = wanted.paused_until, pause_reason = wanted.pause_reason, restarted_at = wanted.restarted_at
         WHERE u.id = d.id;
    END IF;
END $$;
COMMENT ON FUNCTION core.change_deployment IS 'Makes a deployment''s own fields those of a document; what the document leaves out falls to its default.';

-- a document that was read and given another executor names what the former one had: repeating it asks for nothing
CREATE FUNCTION core.without_left_overs(d core.deployments, to_executor text, doc jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE had jsonb;
BEGIN
    IF d.executor = to_executor OR jsonb_typeof(doc) <> 'object' THEN
        RETURN doc;
    END IF;
    had := core.components_of(d.id);
    RETURN doc - ARRAY(SELECT c.component FROM core.components c
        WHERE c.deployment_id = d.id AND core.is_left_over(c, to_executor) AND doc->c.component = had->c.component);
END $$;
COMMENT ON FUNCTION core.without_left_overs IS 'The components of a document without those that another executor has not, where it only repeats what they are.';

CREATE FUNCTION core.put_components(deployment bigint, doc jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE one record;
BEGIN
    PERFORM core.only(doc, (SELECT array_agg(c.component ORDER BY c.component) FROM core.components c WHERE c.deployment_id = deployment), '/components');
    FOR one IN SELECT c.component, coalesce(nullif(doc->c.component, 'null'), '{}') AS said, core.pointer('components', c.component) AS place,
                      k.grace_seconds AS usual_grace
                 FROM core.components c JOIN core.deployments d ON d.id = c.deployment_id
                 LEFT JOIN core.component_catalogue k ON k.executor = d.executor AND k.component = c.component
                WHERE c.deployment_id = deployment ORDER BY c.component LOOP
        PERFORM core.only(one.said, ARRAY['replicas', 'cpu_millicores', 'memory_mib', 'grace_seconds', 'settings'], one.place);
        UPDATE core.components c SET replicas = w.replicas, cpu_millicores = w.cpu, memory_mib = w.memory, grace_seconds = w.grace, settings = w.settings
          FROM (SELECT coalesce(core.whole(one.said, 'replicas', one.place), 1) AS replicas,
                       core.whole(one.said, 'cpu_millicores', one.place) AS cpu, core.whole(one.said, 'memory_mib', one.place) AS memory,
                       coalesce(core.whole(one.said, 'grace_seconds', one.place), one.usual_grace, 20) AS grace,
                       coalesce(core.field(one.said, 'settings', 'object', one.place)::jsonb, '{}') AS settings) AS w
         WHERE c.deployment_id = deployment AND c.component = one.component
           AND (c.replicas, c.cpu_millicores, c.memory_mib, c.grace_seconds, c.settings)
               IS DISTINCT FROM (w.replicas, w.cpu, w.memory, w.grace, w.settings);
    END LOOP;
END $$;
COMMENT ON FUNCTION core.put_components IS 'Makes a deployment''s components those of a document; what it leaves out falls to its default.';

CREATE FUNCTION core.put_variables(deployment bigint, doc jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE one record;
BEGIN
    IF jsonb_typeof(doc) <> 'object' THEN
        PERFORM core.invalid('an_object_is_wanted', '/variables', 'variables must be an object.', 'Write {"KEY": {"value": "…"}}.');
    END IF;
    DELETE FROM core.variables v WHERE v.deployment_id = deployment AND NOT doc ? v.key;
    FOR one IN SELECT key, value AS said, core.pointer('variables', key) AS place FROM jsonb_each(doc) ORDER BY key LOOP
        PERFORM core.only(one.said, ARRAY['value', 'secret', 'version', 'components'], one.place);
        PERFORM core.put_variable(deployment, one.key, one.said, one.place);
    END LOOP;
END $$;
COMMENT ON FUNCTION core.put_variables IS 'Makes a deployment''s variables those of a document.';

CREATE FUNCTION core.put_variable(deployment bigint, called text, said jsonb, place text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    wants_secret boolean := coalesce(core.field(said, 'secret', 'boolean', place)::boolean, false);
    new_value text := core.field(said, 'value', 'string', place);
    at_version integer := coalesce(core.whole(said, 'version', place), 0);
    readers text[] := ARRAY(SELECT DISTINCT c FROM jsonb_array_elements_text(
        coalesce(core.field(said, 'components', 'array', place)::jsonb, '[]')) AS c ORDER BY c);
BEGIN
    -- the version of a secret that is there is not written: it stays what it is, whatever a document that was read before says
    UPDATE core.variables v SET value = new_value, secret = wants_secret, components = readers,
           version = CASE WHEN v.secret THEN v.version ELSE at_version END
     WHERE v.deployment_id = deployment AND v.key = called
       AND (new_value IS DISTINCT FROM v.value OR v.secret <> wants_secret OR v.components <> readers);
    IF NOT FOUND AND NOT EXISTS (SELECT FROM core.variables v WHERE v.deployment_id = deployment AND v.key = called) THEN
        INSERT INTO core.variables (deployment_id, key, value, secret, version, components)
        VALUES (deployment, called, new_value, wants_secret, at_version, readers);
    END IF;
END $$;
COMMENT ON FUNCTION core.put_variable IS 'Makes one variable what a document says. A secret without a value keeps what is sealed.';

CREATE FUNCTION core.request_deletion(deployment bigint) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    UPDATE core.deployments d SET deletion_requested_at = now() WHERE d.id = deployment AND d.deletion_requested_at IS NULL;
    RETURN FOUND;
END $$;
COMMENT ON FUNCTION core.request_deletion IS 'Asks for a deletion. False when that was done before.';

CREATE FUNCTION core.delete_deployment(in_workspace text, called text, expected bigint DEFAULT NULL) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    found bigint;
    at_generation bigint;
BEGIN
    PERFORM core.lock_names();  -- before the row, as always
    found := core.resolve(in_workspace || '/' || called);
    SELECT generation INTO at_generation FROM core.deployments WHERE id = found FOR NO KEY UPDATE;
    IF expected IS NOT NULL AND expected <> at_generation THEN
        PERFORM core.conflict(format('%s/%s is at generation %s, not %s.', in_workspace, called, at_generation, expected),
            'Read it again and decide anew.');
    END IF;
    PERFORM core.request_deletion(found);
    RETURN core.document(found);
END $$;
COMMENT ON FUNCTION core.delete_deployment IS 'Asks for a deletion, as DELETE on armillary.deployments does.';
