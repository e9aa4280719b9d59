-- Functions for people. Each is one change of what is desired, or one answer.

CREATE FUNCTION armillary.why(deployment text) RETURNS SETOF text LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = core, pg_temp AS $$
DECLARE d core.deployments := (SELECT o FROM core.deployments o WHERE o.id = core.resolve(why.deployment));
BEGIN
    RETURN QUERY SELECT format('%s is at generation %s, observed %s, %s.', why.deployment, d.generation,
        coalesce((SELECT s.observed_generation::text FROM core.status s WHERE s.owner = d.owner), 'never'), core.stage_of(d));
    IF d.deletion_requested_at IS NOT NULL THEN
        RETURN QUERY SELECT format('Its deletion was asked for; processes and files are removed after %s, data after %s. Until then: SELECT armillary.undelete(%L)',
            to_char(d.delete_after, 'YYYY-MM-DD HH24:MI:SS TZ'), to_char(d.retain_until, 'YYYY-MM-DD HH24:MI:SS TZ'), why.deployment);
    END IF;
    IF d.paused_until > now() THEN
        RETURN QUERY SELECT format('It is paused until %s: %s', to_char(d.paused_until, 'YYYY-MM-DD HH24:MI:SS TZ'), d.pause_reason);
    END IF;
    IF coalesce(core.restored_because(), core.held_because(d)) IS NOT NULL THEN
        RETURN QUERY SELECT coalesce(core.restored_because(), core.held_because(d));
    END IF;
    RETURN QUERY SELECT format('%s=%s (%s since %s): %s', c.type, c.status, c.reason, to_char(c.since, 'YYYY-MM-DD HH24:MI:SS TZ'), c.message)
        FROM core.conditions c WHERE c.owner = d.owner ORDER BY c.type DESC;
    RETURN QUERY SELECT format('%s is %s%s', u.unit, u.state, CASE WHEN u.detail = '' THEN '' ELSE ': ' || u.detail END)
        FROM core.units u WHERE u.owner = d.owner AND u.state NOT IN ('ready', 'done') ORDER BY u.position;
    RETURN QUERY SELECT format('%s: %s', x.unit, x.detail) FROM armillary.waiting x
        WHERE x.deployment = why.deployment AND x.unit LIKE 'variable/%';
    RETURN QUERY SELECT format('%s %s%s: %s', to_char(e.at, 'HH24:MI:SS'), e.reason, CASE WHEN e.object = '' THEN '' ELSE ' ' || e.object END, e.message)
        FROM (SELECT * FROM core.events v WHERE v.owner = d.owner ORDER BY v.id DESC LIMIT 5) AS e ORDER BY e.id;
END $$;
COMMENT ON FUNCTION armillary.why IS 'Why a deployment is as it is: conditions, what is not ready, the last five events.';

CREATE FUNCTION core.but(deployment bigint, also_hibernated boolean DEFAULT true) RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE d core.deployments := (SELECT o FROM core.deployments o WHERE o.id = deployment);
BEGIN
    RETURN CASE WHEN d.deletion_requested_at IS NOT NULL THEN format(', but it is being deleted: SELECT armillary.undelete(%L)', core.path_of(d.id))
                WHEN d.paused_until > clock_timestamp() THEN format(', but only when its pause ends at %s: SELECT armillary.resume(%L)', core.said(d.paused_until), core.path_of(d.id))
                WHEN d.hibernated AND also_hibernated THEN format(', but it is hibernated and nothing runs: SELECT armillary.wake(%L)', core.path_of(d.id))
                ELSE '' END;
END $$;
COMMENT ON FUNCTION core.but IS 'The rest of an answer, when what was asked for has no effect yet: why, and what to run.';

CREATE FUNCTION armillary.undelete(deployment text) RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
DECLARE target bigint := core.resolve(undelete.deployment);
BEGIN
    UPDATE core.deployments d SET deletion_requested_at = NULL
     WHERE d.id = target AND d.deletion_requested_at IS NOT NULL;
    RETURN CASE WHEN FOUND THEN 'undeleted' ELSE 'was not being deleted' END;
END $$;
COMMENT ON FUNCTION armillary.undelete IS 'Takes back a deletion, while the databases are still kept.';

CREATE FUNCTION armillary.pause(deployment text, until timestamptz, reason text) RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
DECLARE target bigint := core.resolve(pause.deployment);
BEGIN
    IF until IS NULL OR until <= clock_timestamp() THEN
        PERFORM core.invalid('a_pause_ends_in_the_future', '/paused_until', CASE WHEN until IS NULL THEN 'A pause needs an end: none lasts for ever.'
            ELSE format('A pause cannot end at %s, which is past.', core.said(until)) END,
            format('SELECT armillary.pause(%L, now() + interval ''1 hour'', ''maintenance'')', pause.deployment));
    ELSIF coalesce(reason, '') = '' THEN
        PERFORM core.invalid('a_pause_has_a_reason', '/pause_reason', 'A pause needs a reason, for the next person.',
            format('SELECT armillary.pause(%L, now() + interval ''1 hour'', ''maintenance'')', pause.deployment));
    END IF;
    UPDATE core.deployments d SET paused_until = until, pause_reason = reason WHERE d.id = target;
    RETURN format('paused until %s', core.said(until));
END $$;
COMMENT ON FUNCTION armillary.pause IS 'Nothing of the deployment is changed until then. What runs, runs on.';

CREATE FUNCTION armillary.resume(deployment text) RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
DECLARE
    target bigint := core.resolve(resume.deployment);
    was_paused boolean := (SELECT d.paused_until IS NOT NULL FROM core.deployments d WHERE d.id = target);
BEGIN
    -- a reason goes with its pause, also one that was left of a pause that somebody ended by hand
    UPDATE core.deployments d SET paused_until = NULL, pause_reason = ''
     WHERE d.id = target AND (d.paused_until IS NOT NULL OR d.pause_reason <> '');
    RETURN CASE WHEN was_paused THEN 'resumed' ELSE 'was not paused' END;
END $$;
COMMENT ON FUNCTION armillary.resume IS 'Ends a pause.';

CREATE FUNCTION armillary.restart(deployment text) RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
DECLARE target bigint := core.resolve(restart.deployment);
BEGIN
    UPDATE core.deployments d SET restarted_at = now() WHERE d.id = target;
    RETURN 'restarting' || core.but(target);
END $$;
COMMENT ON FUNCTION armillary.restart IS 'Restarts every Airflow process of a deployment.';

CREATE FUNCTION armillary.hibernate(deployment text) RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
DECLARE target bigint := core.resolve(hibernate.deployment);
BEGIN
    UPDATE core.deployments d SET hibernated = true WHERE d.id = target AND NOT d.hibernated;
    RETURN CASE WHEN FOUND THEN 'hibernated' ELSE 'was hibernated already' END || core.but(target, also_hibernated => false);
END $$;
COMMENT ON FUNCTION armillary.hibernate IS 'Stops everything of a deployment and keeps it all.';

CREATE FUNCTION armillary.wake(deployment text) RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
DECLARE target bigint := core.resolve(wake.deployment);
BEGIN
    UPDATE core.deployments d SET hibernated = false WHERE d.id = target AND d.hibernated;
    RETURN CASE WHEN FOUND THEN 'awake' ELSE 'was awake already' END || core.but(target);
END $$;
COMMENT ON FUNCTION armillary.wake IS 'Starts a hibernated deployment again.';

CREATE FUNCTION armillary.rollback(deployment text, revision bigint) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
DECLARE
    target bigint := core.resolve(rollback.deployment);
    now_is jsonb := core.document(target);
    earlier jsonb := core.told(rollback.deployment, target, rollback.revision);
BEGIN
    IF now_is->>'deletion_requested_at' IS NOT NULL THEN
        PERFORM core.refuse('what_is_being_deleted_is_not_rolled_back', '', format('%s is being deleted.', rollback.deployment),
            format('SELECT armillary.undelete(%L)', rollback.deployment));
    END IF;
    -- what is asked for goes back; names, a pause and the last restart stay as they are now
    PERFORM core.put_deployment(split_part(rollback.deployment, '/', 1), split_part(rollback.deployment, '/', 2),
        (earlier - ARRAY['workspace', 'name', 'deletion_requested_at', 'delete_after', 'retain_until']) || jsonb_build_object(
            'paused_until', now_is->'paused_until', 'pause_reason', now_is->'pause_reason', 'restarted_at', now_is->'restarted_at'));
    UPDATE core.variables v SET version = (earlier->'variables'->v.key->>'version')::integer
     WHERE v.deployment_id = target AND v.secret AND (earlier->'variables'->v.key->>'version')::integer NOT IN (0, v.version);
    RETURN (SELECT d.generation FROM core.deployments d WHERE d.id = target);
END $$;
COMMENT ON FUNCTION armillary.rollback IS 'Makes an earlier revision the newest generation, which it returns. Secrets go back to the versions they had.';
