-- Executors: which a deployment may have, and the components that come and go with another one.

CREATE FUNCTION core.check_executor(d core.deployments) RETURNS void LANGUAGE plpgsql AS $$
DECLARE kind text := (SELECT c.driver FROM core.clusters c WHERE c.name = d.cluster);
BEGIN
    IF EXISTS (SELECT FROM core.component_catalogue c WHERE c.executor = d.executor) THEN
        RETURN;
    END IF;
    PERFORM core.invalid('executor_is_offered', '/executor',
        CASE WHEN d.executor = 'KubernetesExecutor' AND kind = 'local'
             THEN format('The KubernetesExecutor makes a pod for each task, and cluster %s is one machine without pods.', d.cluster)
             ELSE format('The executor %L is not offered here.', left(d.executor, 60)) END,
        'Executors: ' || (SELECT string_agg(DISTINCT c.executor, ', ' ORDER BY c.executor) FROM core.component_catalogue c));
END $$;
COMMENT ON FUNCTION core.check_executor IS 'Raises when a deployment cannot have its executor, and says why.';

CREATE FUNCTION core.give_components(deployment bigint, for_executor text) RETURNS void LANGUAGE sql AS $$
    INSERT INTO core.components (deployment_id, component, grace_seconds)
    SELECT deployment, c.component, c.grace_seconds FROM core.component_catalogue c WHERE c.executor = for_executor
    ON CONFLICT DO NOTHING
$$;
COMMENT ON FUNCTION core.give_components IS 'Gives a deployment the components of an executor that it has not yet, each as it usually is.';

CREATE FUNCTION core.is_left_over(c core.components, of_executor text) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT NOT EXISTS (SELECT FROM core.component_catalogue k WHERE k.executor = of_executor AND k.component = c.component)
$$;
COMMENT ON FUNCTION core.is_left_over IS 'True when an executor has no such component.';

CREATE FUNCTION core.check_has_readers(v core.variables, of_executor text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE gone text := (SELECT string_agg(r, ', ' ORDER BY r) FROM unnest(v.components) AS r WHERE NOT EXISTS (
    SELECT FROM core.component_catalogue k WHERE k.executor = of_executor AND k.component = r));
BEGIN
    IF gone IS NOT NULL THEN
        PERFORM core.invalid('readers_are_components', core.pointer('variables', v.key, 'components'),
            format('The variable %s is for %s, which a deployment with the %s does not have.', v.key, gone, of_executor),
            'Change first who reads it, or delete it.', core.where_is(v.deployment_id));
    END IF;
END $$;
COMMENT ON FUNCTION core.check_has_readers IS 'Raises when a variable is for a component that an executor does not have.';

-- A statement on components has its component and waits for the deployment; one that gives another executor has the deployment, and
-- would wait for the component for ever. Neither can let go of what it has, so this one gives way, at once and by name.
CREATE FUNCTION core.lock_left_overs(ids bigint[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE taken text;
BEGIN
    WITH left_over AS (
        SELECT c.deployment_id, c.component, c.path FROM core.components c JOIN core.deployments d ON d.id = c.deployment_id
         WHERE d.id = ANY (ids) AND core.is_left_over(c, d.executor)),
    free AS (
        SELECT c.deployment_id, c.component FROM core.components c JOIN left_over USING (deployment_id, component)
         ORDER BY 1, 2 FOR UPDATE OF c SKIP LOCKED)
    SELECT string_agg(format('%s of %s', l.component, l.path), ', ' ORDER BY l.path, l.component) INTO taken
      FROM left_over l LEFT JOIN free f USING (deployment_id, component) WHERE f.component IS NULL;
    IF taken IS NOT NULL THEN
        PERFORM core.conflict(format('Somebody is changing at this moment what goes with the executor: %s.', left(taken, 500)),
            'Run it again when they are done.');
    END IF;
END $$;
COMMENT ON FUNCTION core.lock_left_overs IS 'Locks the components that deployments'' executors do not have. Raises when somebody else has one.';

-- without nested loops, as core.deployments_changed: a plan that was made for one row would be kept for ten thousand
CREATE FUNCTION core.executors_followed() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = core, pg_temp SET enable_nestloop = off AS $$
DECLARE moved bigint[] := (SELECT array_agg(n.id) FROM removed o JOIN added n USING (id) WHERE n.executor <> o.executor);
BEGIN
    IF moved IS NULL THEN
        RETURN NULL;
    END IF;
    PERFORM core.check_has_readers(v, d.executor) FROM core.variables v JOIN core.deployments d ON d.id = v.deployment_id
      WHERE d.id = ANY (moved) AND v.components <> '{}';
    PERFORM core.lock_left_overs(moved);
    DELETE FROM core.components c USING core.deployments d
     WHERE d.id = c.deployment_id AND d.id = ANY (moved) AND core.is_left_over(c, d.executor);
    PERFORM core.give_components(d.id, d.executor) FROM core.deployments d WHERE d.id = ANY (moved);
    RETURN NULL;
END $$;
COMMENT ON FUNCTION core.executors_followed IS 'Trigger: with another executor components come and go.';

-- y2: after core.deployments_changed, which would take components that are missing for a change behind the triggers
CREATE TRIGGER y2_executors AFTER UPDATE ON core.deployments REFERENCING OLD TABLE AS removed NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION core.executors_followed();
