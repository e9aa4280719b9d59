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

CREATE VIEW core.documents AS
    SELECT d.id, jsonb_build_object('workspace', w.name, 'name', d.name, 'release', d.release, 'cluster', d.cluster,
           'airflow_version', d.airflow_version, 'executor', d.executor, 'dags_folder', d.dags_folder,
           'hibernated', d.hibernated, 'drift_policy', d.drift_policy, 'paused_until', d.paused_until,
           'pause_reason', d.pause_reason, 'restarted_at', d.restarted_at, 'components', (
                SELECT coalesce(jsonb_object_agg(c.component, jsonb_build_object('replicas', c.replicas, 'cpu_millicores', c.cpu_millicores,
                       'memory_mib', c.memory_mib, 'grace_seconds', c.grace_seconds, 'settings', c.settings)), '{}')
                  FROM core.components c WHERE c.deployment_id = d.id),
           'variables', (
                SELECT coalesce(jsonb_object_agg(v.key, CASE WHEN v.secret
                       THEN jsonb_build_object('secret', true, 'version', v.version, 'components', v.components)
                       ELSE jsonb_build_object('value', v.value, 'components', v.components) END), '{}')
                  FROM core.variables v WHERE v.deployment_id = d.id),
           'generation', d.generation, 'deletion_requested_at', d.deletion_requested_at, 'delete_after', d.delete_after,
           'retain_until', d.retain_until, 'created_at', d.created_at) AS document
      FROM core.deployments d JOIN core.workspaces w ON w.id = d.workspace_id;
COMMENT ON VIEW core.documents IS 'The complete desired state of each deployment. Secrets are versions. Times are in the session''s zone: ask in UTC.';

CREATE FUNCTION core.document(deployment bigint) RETURNS jsonb LANGUAGE plpgsql STABLE SET TimeZone = 'UTC' AS $$
BEGIN
    RETURN (SELECT o.document FROM core.documents o WHERE o.id = deployment);
END $$;
COMMENT ON FUNCTION core.document IS 'A deployment''s complete desired state. Secrets are versions.';

CREATE FUNCTION core.find(workspace text, name text) RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT d.id FROM core.deployments d JOIN core.workspaces w ON w.id = d.workspace_id
     WHERE w.name = find.workspace AND d.name = find.name
     ORDER BY d.deletion_requested_at DESC NULLS FIRST, d.id DESC LIMIT 1
$$;
COMMENT ON FUNCTION core.find IS 'The deployment of that name; while none is, the one whose deletion was asked for last. NULL when there is none.';

-- by the pairs of letters that two names share (Dice), so that no extension is needed
CREATE FUNCTION core.nearest(wanted text, known text[]) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    WITH pairs AS (SELECT DISTINCT substr('/' || wanted || '/', n, 2) AS pair FROM generate_series(1, length(wanted) + 1) n)
    SELECT string_agg(near.name, ' or ' ORDER BY near.likeness DESC, near.name) FROM (
        SELECT k.name, 2.0 * count(p.pair) / ((SELECT count(*) FROM pairs) + count(*)) AS likeness
          FROM unnest(known) AS k(name), LATERAL (SELECT DISTINCT substr('/' || k.name || '/', n, 2) AS pair
               FROM generate_series(1, length(k.name) + 1) n) AS o LEFT JOIN pairs p ON p.pair = o.pair
         GROUP BY k.name HAVING 2.0 * count(p.pair) / ((SELECT count(*) FROM pairs) + count(*)) >= 0.65
         ORDER BY likeness DESC, k.name LIMIT 3) AS near
$$;
COMMENT ON FUNCTION core.nearest IS 'At most three of the known names that are most like the wanted one; NULL when none is.';

CREATE FUNCTION core.resolve(path text) RETURNS bigint LANGUAGE plpgsql STABLE AS $$
DECLARE found bigint := CASE WHEN path LIKE '%@%' THEN (SELECT d.id FROM core.deployments d
        WHERE d.path || '' = resolve.path AND d.release = split_part(resolve.path, '@', 2))
    ELSE core.find(split_part(path, '/', 1), split_part(path, '/', 2)) END;
BEGIN
    IF found IS NULL OR path !~ '^[^/]+/[^/]+$' THEN
        PERFORM core.not_found(format('There is no deployment %L.', left(path, 100)), 'Write workspace/name. '
            || coalesce('Did you mean ' || core.nearest(left(path, 100), ARRAY(SELECT w.name || '/' || d.name
                FROM core.deployments d JOIN core.workspaces w ON w.id = d.workspace_id)) || '? ', '')
            || 'There are: ' || coalesce((SELECT string_agg(w.name || '/' || d.name, ', ' ORDER BY d.id)
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
