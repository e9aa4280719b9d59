-- Writes that a view over one table cannot take by itself: names become ids, a deletion becomes a request.

CREATE FUNCTION core.view_insert_deployment() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
DECLARE in_workspace bigint;
BEGIN
    -- one that is just being deleted is waited for
    SELECT w.id INTO in_workspace FROM core.workspaces w WHERE w.name = NEW.workspace FOR KEY SHARE;
    IF in_workspace IS NULL THEN
        PERFORM core.not_found(format('There is no workspace %L.', left(NEW.workspace, 60)), 'INSERT INTO armillary.workspaces (name) VALUES (…)');
    END IF;
    IF NEW.generation IS NOT NULL OR NEW.created_at IS NOT NULL THEN
        PERFORM core.invalid('generations_are_counted', '/generation', 'A deployment''s generation and created_at are counted, not set.', 'Leave them out.');
    END IF;
    IF NEW.deployment <> NEW.workspace || '/' || NEW.name THEN
        PERFORM core.invalid('a_document_is_its_path_s', '/name', format('%L is not %s/%s.', left(NEW.deployment, 60), NEW.workspace, NEW.name),
            'Leave the column deployment out: it follows from workspace and name.');
    END IF;
    INSERT INTO core.deployments (workspace_id, name, release, cluster, airflow_version, executor, dags_folder, hibernated, drift_policy,
        paused_until, pause_reason, restarted_at, deletion_requested_at, delete_after, retain_until)
    VALUES (in_workspace, NEW.name, NEW.release, coalesce(NEW.cluster, 'local'), NEW.airflow_version, coalesce(NEW.executor, 'LocalExecutor'),
        NEW.dags_folder, coalesce(NEW.hibernated, false), coalesce(NEW.drift_policy, 'repair'), NEW.paused_until,
        coalesce(NEW.pause_reason, ''), NEW.restarted_at, NEW.deletion_requested_at, NEW.delete_after, NEW.retain_until)
    RETURNING release, cluster, executor, hibernated, drift_policy, pause_reason, generation, created_at
         INTO NEW.release, NEW.cluster, NEW.executor, NEW.hibernated, NEW.drift_policy, NEW.pause_reason, NEW.generation, NEW.created_at;
    NEW.deployment := NEW.workspace || '/' || NEW.name;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION core.view_insert_deployment IS 'Trigger: INSERT INTO armillary.deployments.';
CREATE TRIGGER insert_deployment INSTEAD OF INSERT ON armillary.deployments FOR EACH ROW EXECUTE FUNCTION core.view_insert_deployment();

CREATE FUNCTION core.view_delete_deployment() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
BEGIN
    -- one whose deletion was asked for before is not counted: DELETE answers how many it was asked for now
    RETURN CASE WHEN core.request_deletion((SELECT d.id FROM core.deployments d WHERE d.release = OLD.release)) THEN OLD END;
END $$;
COMMENT ON FUNCTION core.view_delete_deployment IS 'Trigger: DELETE FROM armillary.deployments is a request.';
CREATE TRIGGER delete_deployment INSTEAD OF DELETE ON armillary.deployments FOR EACH ROW EXECUTE FUNCTION core.view_delete_deployment();

CREATE FUNCTION core.variable_is_there(deployment text, key text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM core.conflict(format('%s has a variable %s already.', deployment, key),
        format('UPDATE armillary.variables SET value = … WHERE deployment = %L AND key = %L', deployment, key));
END $$;
COMMENT ON FUNCTION core.variable_is_there IS 'Raises: a new variable cannot have the name.';

CREATE FUNCTION core.view_insert_variable() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
DECLARE target bigint := core.resolve(NEW.deployment);
BEGIN
    IF EXISTS (SELECT FROM core.variables v WHERE v.deployment_id = target AND v.key = NEW.key) THEN
        PERFORM core.variable_is_there(NEW.deployment, NEW.key);
    END IF;
    INSERT INTO core.variables (deployment_id, key, value, secret, version, components)
    VALUES (target, NEW.key, NEW.value, coalesce(NEW.secret, false), coalesce(NEW.version, 0), coalesce(NEW.components, '{}'))
    ON CONFLICT DO NOTHING
    RETURNING value, secret, version, components INTO NEW.value, NEW.secret, NEW.version, NEW.components;
    IF NOT FOUND THEN
        PERFORM core.variable_is_there(NEW.deployment, NEW.key);  -- since this moment, by another session
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION core.view_insert_variable IS 'Trigger: INSERT INTO armillary.variables.';
CREATE TRIGGER insert_variable INSTEAD OF INSERT ON armillary.variables FOR EACH ROW EXECUTE FUNCTION core.view_insert_variable();

CREATE FUNCTION core.view_insert_component() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
BEGIN
    PERFORM core.refuse('components_follow_from_the_executor', '', 'A deployment''s components follow from its executor.',
        'Change one: UPDATE armillary.components SET replicas = … WHERE deployment = ''workspace/name'' AND component = ''…''');
    RETURN NULL;
END $$;
COMMENT ON FUNCTION core.view_insert_component IS 'Trigger: INSERT INTO armillary.components is refused with a hint.';
CREATE TRIGGER insert_component INSTEAD OF INSERT ON armillary.components FOR EACH ROW EXECUTE FUNCTION core.view_insert_component();
