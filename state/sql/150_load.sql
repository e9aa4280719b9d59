-- What the daemon reads: one owner in one snapshot, what is due, which owners there are. PL/pgSQL, because a session
-- keeps its plans; before PostgreSQL 18, functions in SQL are planned at every call. A STABLE function sees what the
-- statement that calls it sees, so it is one snapshot still.

CREATE FUNCTION core.stage_of(d core.deployments) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN d.deletion_requested_at IS NULL THEN 'active'
                WHEN statement_timestamp() < d.delete_after THEN 'stopping'
                WHEN statement_timestamp() < d.retain_until THEN 'retaining'
                ELSE 'purging' END
$$;
COMMENT ON FUNCTION core.stage_of IS 'What a deletion has come to, by the database''s clock.';

CREATE FUNCTION core.status_of(wanted text) RETURNS jsonb LANGUAGE plpgsql STABLE SET TimeZone = 'UTC' AS $$
BEGIN
    RETURN (SELECT jsonb_build_object('observed_generation', s.observed_generation, 'attempts', s.attempts, 'next_attempt_at', s.next_attempt_at,
        'converged_generation', s.converged_generation, 'converged_defaults', s.converged_defaults, 'rolling_since', s.rolling_since,
        'conditions', (SELECT coalesce(jsonb_agg(jsonb_build_object('type', c.type, 'status', c.status, 'reason', c.reason,
            'message', c.message, 'since', c.since) ORDER BY c.type DESC), '[]') FROM core.conditions c WHERE c.owner = wanted),
        'units', (SELECT coalesce(jsonb_agg(jsonb_build_object('unit', u.unit, 'component', u.component, 'state', u.state,
            'detail', u.detail) ORDER BY u.position), '[]') FROM core.units u WHERE u.owner = wanted))
      FROM core.status s WHERE s.owner = wanted);
END $$;
COMMENT ON FUNCTION core.status_of IS 'The recorded status of an owner, or NULL.';

CREATE FUNCTION core.spec_of(d core.deployments) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (SELECT jsonb_build_object('workspace', w.name, 'name', d.name, 'release', d.release,
        'cluster', d.cluster, 'airflow_version', d.airflow_version, 'executor', d.executor, 'dags_folder', d.dags_folder,
        'hibernated', d.hibernated, 'drift_policy', d.drift_policy, 'restarted_at', d.restarted_at,
        'components', core.components_of(d.id), 'variables', core.variables_of(d.id))
      FROM core.workspaces w WHERE w.id = d.workspace_id);
END $$;
COMMENT ON FUNCTION core.spec_of IS 'What a pass renders; NULL when there is no deployment.';

-- in UTC whatever the session's zone: the text of restarted_at is part of every process's digest
CREATE FUNCTION core.load(wanted text) RETURNS jsonb LANGUAGE plpgsql STABLE SET TimeZone = 'UTC' AS $$
DECLARE
    d core.deployments := (SELECT o FROM core.deployments o WHERE o.owner = wanted);
    inherited jsonb := CASE WHEN d.id IS NOT NULL THEN core.inherited_variables(d) END;
    held text := coalesce(core.restored_because(), CASE WHEN d.id IS NOT NULL THEN core.held_because(d) END);
BEGIN
    RETURN jsonb_build_object(
        'now', statement_timestamp(),
        'spec', core.effective(core.spec_of(d), inherited),
        'defaults', CASE WHEN inherited = '{}' THEN '' ELSE md5(inherited::text) END,
        'generation', coalesce(d.generation, 0),
        'stage', coalesce(core.stage_of(d), 'active'),
        'stage_ends_at', CASE core.stage_of(d) WHEN 'stopping' THEN d.delete_after WHEN 'retaining' THEN d.retain_until END,
        -- held in the same snapshot: no pass ever acts on it. Daemons of an earlier release take it for a pause
        'held', held,
        'paused_until', CASE WHEN held IS NOT NULL THEN timestamptz '2999-01-01 00:00:00Z'
            WHEN d.paused_until > statement_timestamp() THEN d.paused_until END,
        'pause_reason', CASE WHEN held IS NOT NULL THEN held WHEN d.paused_until > statement_timestamp() THEN d.pause_reason ELSE '' END,
        'secrets', (SELECT coalesce(jsonb_object_agg(name, version), '{}') FROM (
            SELECT s.name, max(s.version) AS version FROM core.secrets s WHERE s.owner = wanted GROUP BY s.name) AS newest),
        'ports', (SELECT coalesce(jsonb_agg(jsonb_build_array(p.unit, p.port, p.number) ORDER BY p.number), '[]')
            FROM core.ports p WHERE p.deployment_id = d.id),
        'milestones', (SELECT coalesce(jsonb_agg(jsonb_build_object('name', m.name, 'key', m.key, 'begun', m.begun) ORDER BY m.name), '[]')
            FROM core.milestones m WHERE m.owner = wanted),
        'inventory', (SELECT coalesce(jsonb_agg(jsonb_build_object('kind', o.kind, 'name', o.name, 'unit', o.unit, 'digest', o.digest,
            'needs', o.needs, 'state', o.state, 'retain', o.retain, 'uid', o.uid) ORDER BY o.kind, o.name), '[]')
            FROM core.objects o WHERE o.owner = wanted),
        'approvals', (SELECT coalesce(jsonb_agg(a.what), '[]') FROM core.approvals a
            WHERE a.owner = wanted AND a.expires_at > statement_timestamp()),
        'moment', core.newest_change(),
        'status', core.status_of(wanted));
END $$;
COMMENT ON FUNCTION core.load IS 'Everything a pass needs to know about one owner, in one snapshot.';

CREATE FUNCTION core.due() RETURNS TABLE (owner text, cluster text, workspace text, generation bigint) LANGUAGE plpgsql STABLE AS $$
BEGIN
    -- IS NOT NULL first: NULL AND EXISTS (…) looks the row up, false AND EXISTS (…) does not
    RETURN QUERY SELECT d.owner, d.cluster, w.name, d.generation FROM core.deployments d JOIN core.workspaces w ON w.id = d.workspace_id
      LEFT JOIN core.status s ON s.owner = d.owner
     WHERE s.observed_generation IS DISTINCT FROM d.generation
        OR s.next_attempt_at <= statement_timestamp()
        OR s.next_attempt_at > statement_timestamp() + interval '5 minutes'  -- set by a clock that has gone back since
        OR d.paused_until IS NOT NULL AND d.paused_until <= statement_timestamp() AND EXISTS (
            SELECT FROM core.conditions c WHERE c.owner = d.owner AND c.type = 'Synced' AND c.reason = 'Paused')
        OR d.delete_after IS NOT NULL AND d.delete_after <= statement_timestamp() AND s.next_attempt_at IS NULL
           AND d.paused_until > statement_timestamp() IS NOT TRUE
           AND (d.retain_until <= statement_timestamp() OR EXISTS (
                SELECT FROM core.objects o WHERE o.owner = d.owner AND NOT o.retain AND o.state IN ('intended', 'present', 'stopped')));
END $$;
COMMENT ON FUNCTION core.due IS 'The queue''s source: what is desired is not what was last looked at, an attempt is due, a pause is over, or a deletion has come to its next stage and that is not done.';

CREATE FUNCTION core.owners() RETURNS TABLE (owner text, cluster text, workspace text) LANGUAGE sql STABLE AS $$
    SELECT d.owner, d.cluster, w.name FROM core.deployments d JOIN core.workspaces w ON w.id = d.workspace_id
    UNION ALL
    SELECT l.owner, '', '' FROM (SELECT o.owner FROM core.objects o UNION SELECT s.owner FROM core.status s) AS l
     WHERE NOT EXISTS (SELECT FROM core.deployments d WHERE d.owner = l.owner)
    ORDER BY 1
$$;
COMMENT ON FUNCTION core.owners IS 'Every owner that is desired, still holds something or was told of, with its cluster and workspace if it has a row.';

CREATE FUNCTION core.token_of(a core.audit) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT left(encode(sha256(convert_to(concat_ws(' ', a.id, a.transaction, extract(epoch FROM a.at)), 'UTF8')), 'hex'), 16)
$$;
COMMENT ON FUNCTION core.token_of IS 'What only this change has: its number comes again after a restore, its time does not.';

CREATE FUNCTION core.newest_change() RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT coalesce((SELECT jsonb_build_array(a.id, core.token_of(a)) FROM core.audit a ORDER BY a.id DESC LIMIT 1), '[0, ""]')
$$;
COMMENT ON FUNCTION core.newest_change IS 'The newest change of desired state: its number and token.';

CREATE FUNCTION core.knows(number bigint, token text) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT number = 0 OR EXISTS (SELECT FROM core.audit a WHERE a.id = number AND core.token_of(a) = token)
$$;
COMMENT ON FUNCTION core.knows IS 'True when that change is part of this database''s history.';
