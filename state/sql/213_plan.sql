-- What the daemon last said that it would do. A plan itself is not stored: it is a moment's answer (GET …/plan). What a
-- pass leaves behind is the state of every unit with its reason, the inventory written ahead, and events with causes.

CREATE FUNCTION core.cause_of(d core.deployments, of_unit text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT coalesce(
        (SELECT e.cause FROM core.events e JOIN core.objects o ON o.owner = e.owner AND e.object = o.kind || '/' || o.name
          WHERE e.owner = d.owner AND o.unit = of_unit AND e.cause IS NOT NULL AND e.at >= d.changed_at ORDER BY e.id DESC LIMIT 1),
        (SELECT CASE WHEN s.converged_generation IS DISTINCT FROM d.generation THEN 'generation'
                     WHEN s.rolling_since IS NOT NULL THEN 'renderer or defaults'
                     WHEN s.attempts > 0 THEN 'retry' END
           FROM core.status s WHERE s.owner = d.owner))
$$;
COMMENT ON FUNCTION core.cause_of IS 'Why something is done to a unit, as far as it was recorded: the newest event of this generation, else what its status tells.';

CREATE FUNCTION core.standstill(d core.deployments) RETURNS TABLE (state text, why text) LANGUAGE plpgsql STABLE AS $$
DECLARE
    seen bigint := (SELECT s.observed_generation FROM core.status s WHERE s.owner = d.owner);
    held text := coalesce(core.restored_because(), core.held_because(d));
BEGIN
    IF held IS NOT NULL THEN
        RETURN QUERY SELECT 'held', held;
    ELSIF d.paused_until > clock_timestamp() THEN
        RETURN QUERY SELECT 'paused', format('Nothing is changed until %s: %s', core.said(d.paused_until), d.pause_reason);
    ELSIF NOT EXISTS (SELECT FROM core.leases l WHERE l.name = core.lease_of(d.owner) AND l.expires_at > clock_timestamp()) THEN
        RETURN QUERY SELECT 'unled', format('No daemon acts on cluster %s now. It is started with: armillary up', d.cluster);
    END IF;
    IF seen IS DISTINCT FROM d.generation THEN
        RETURN QUERY SELECT 'unseen', format('Generation %s was not looked at yet%s.', d.generation,
            CASE WHEN seen IS NULL THEN '' ELSE format('; what else is said here is of generation %s', seen) END);
    END IF;
END $$;
COMMENT ON FUNCTION core.standstill IS 'What keeps all of a deployment from being changed now; no row when nothing does.';

CREATE FUNCTION armillary.plan_of(deployment text)
RETURNS TABLE (unit text, state text, object text, cause text, why text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = core, pg_temp AS $$
DECLARE d core.deployments := (SELECT o FROM core.deployments o WHERE o.id = core.resolve(plan_of.deployment));
BEGIN
    RETURN QUERY SELECT '', s.state, '', NULL::text, s.why FROM core.standstill(d) AS s;
    RETURN QUERY SELECT u.unit, u.state, '', core.cause_of(d, u.unit), u.detail
      FROM core.units u WHERE u.owner = d.owner AND u.state NOT IN ('ready', 'done', 'stopped') ORDER BY u.position;
    RETURN QUERY SELECT o.unit, CASE o.state WHEN 'intended' THEN 'being made' WHEN 'deleting' THEN 'being removed' ELSE 'stopped' END,
            o.kind || '/' || o.name, core.cause_of(d, o.unit),
            CASE o.state WHEN 'intended' THEN 'Its making was begun and was not seen to end.'
                         WHEN 'deleting' THEN 'Its removal was begun and was not seen to end.' ELSE 'It stands still while a task needs that.' END
      FROM core.objects o WHERE o.owner = d.owner AND o.state IN ('intended', 'deleting', 'stopped') ORDER BY o.kind, o.name;
    RETURN QUERY SELECT w.unit, w.state, '', 'generation'::text, w.detail
      FROM armillary.waiting w WHERE w.deployment = d.path || '' AND w.unit LIKE 'variable/%' AND d.deletion_requested_at IS NULL;
    RETURN QUERY SELECT '', 'later', '', 'generation'::text, x.why FROM (
        SELECT format('Processes, configuration and files are removed after %s.', core.said(d.delete_after)), 1 WHERE d.delete_after > clock_timestamp()
        UNION ALL
        SELECT format('Databases and logs are removed after %s.', core.said(d.retain_until)), 2 WHERE d.retain_until > clock_timestamp()
    ) AS x(why, n) ORDER BY x.n;
END $$;
COMMENT ON FUNCTION armillary.plan_of IS 'What the daemon last said that it will do, and why; no rows: nothing. What it would do this moment is asked over HTTP: GET …/plan.';
