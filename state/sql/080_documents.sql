-- Deployments as documents, the read half, and how they are named: 'workspace/name'. Times are in UTC everywhere.
-- What is asked often is PL/pgSQL, whose plans a session keeps.

CREATE FUNCTION core.components_of(deployment bigint) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (SELECT coalesce(jsonb_object_agg(c.component, jsonb_build_object('replicas', c.replicas, 'cpu_millicores', c.cpu_millicores,
               'memory_mib', c.memory_mib, 'grace_seconds', c.grace_seconds, 'settings', c.settings)), '{}')
      FROM core.components c WHERE c.deployment_id = deployment);
END $$;
COMMENT ON FUNCTION core.components_of IS 'The components of a deployment, by name.';

CREATE FUNCTION core.variables_of(deployment bigint) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (SELECT coalesce(jsonb_object_agg(v.key, CASE WHEN v.secret
               THEN jsonb_build_object('secret', true, 'version', v.version, 'components', v.components)
               ELSE jsonb_build_object('value', v.value, 'components', v.components) END), '{}')
      FROM core.variables v WHERE v.deployment_id = deployment);
END $$;
COMMENT ON FUNCTION core.variables_of IS 'The variables of a deployment, by key. Secrets are versions.';

CREATE FUNCTION core.document(deployment bigint) RETURNS jsonb LANGUAGE plpgsql STABLE SET TimeZone = 'UTC' AS $$
BEGIN
    RETURN (SELECT jsonb_build_object('workspace', w.name, 'name', d.name, 'release', d.release, 'cluster', d.cluster,
        'airflow_version', d.airflow_version, 'executor', d.executor, 'dags_folder', d.dags_folder,
        'hibernated', d.hibernated, 'drift_policy', d.drift_policy, 'paused_until', d.paused_until,
        'pause_reason', d.pause_reason, 'restarted_at', d.restarted_at, 'components', core.components_of(d.id),
        'variables', core.variables_of(d.id), 'generation', d.generation,
        'deletion_requested_at', d.deletion_requested_at, 'delete_after', d.delete_after,
        'retain_until', d.retain_until, 'created_at', d.created_at)
      FROM core.deployments d JOIN core.workspaces w ON w.id = d.workspace_id WHERE d.id = deployment);
END $$;
COMMENT ON FUNCTION core.document IS 'A deployment''s complete desired state. Secrets are versions.';

CREATE FUNCTION core.find(workspace text, name text) RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT d.id FROM core.deployments d JOIN core.workspaces w ON w.id = d.workspace_id
     WHERE w.name = find.workspace AND d.name = find.name
     ORDER BY d.deletion_requested_at DESC NULLS FIRST LIMIT 1
$$;
COMMENT ON FUNCTION core.find IS 'The deployment of that name; while none is, the one whose deletion was asked for last. NULL when there is none.';

CREATE FUNCTION core.resolve(path text) RETURNS bigint LANGUAGE plpgsql STABLE AS $$
DECLARE found bigint := core.find(split_part(path, '/', 1), split_part(path, '/', 2));
BEGIN
    IF found IS NULL OR path !~ '^[^/]+/[^/]+$' THEN
        PERFORM core.not_found(format('There is no deployment %L.', left(path, 100)),
            'Write workspace/name. There are: ' || coalesce((SELECT string_agg(w.name || '/' || d.name, ', ' ORDER BY d.id)
                FROM (SELECT * FROM core.deployments ORDER BY id LIMIT 20) d JOIN core.workspaces w ON w.id = d.workspace_id), 'none'));
    END IF;
    RETURN found;
END $$;
COMMENT ON FUNCTION core.resolve IS 'The deployment named workspace/name. Raises when there is none.';

CREATE FUNCTION core.get_deployment(workspace text, name text) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN core.document(core.resolve(workspace || '/' || name));
END $$;
COMMENT ON FUNCTION core.get_deployment IS 'The document of a deployment. Raises when there is none.';

CREATE FUNCTION core.list_deployments(in_workspace text DEFAULT NULL) RETURNS SETOF jsonb LANGUAGE sql STABLE AS $$
    SELECT core.document(d.id) FROM core.deployments d JOIN core.workspaces w ON w.id = d.workspace_id
     WHERE in_workspace IS NULL OR w.name = in_workspace ORDER BY w.name, d.name, d.id
$$;
COMMENT ON FUNCTION core.list_deployments IS 'The documents of all deployments, or of a workspace''s; also of those being deleted.';
