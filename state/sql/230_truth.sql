-- Truth under the triggers. A restore, or a superuser with session_replication_role = replica, changes rows and no trigger
-- knows. The newest revision tells what a deployment's rows were when they were last changed in the open: what differs
-- from it was changed behind the triggers. It is counted as a generation within a minute; or held, where things would
-- be removed by it, until a person accepts it.

CREATE FUNCTION core.hidden_change(d core.deployments, told jsonb, is_short boolean) RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
    what text;
BEGIN
    -- as it nearly always is, without a query
    IF told->>'release' = d.release AND told->>'cluster' = d.cluster AND told->>'executor' = d.executor
        AND d.deletion_requested_at IS NULL AND NOT is_short THEN
        RETURN NULL;
    END IF;
    -- what a revision does not tell was not known when it was made
    what := CASE
        WHEN told->>'release' <> d.release THEN format('its release was %s and is %s', told->>'release', d.release)
        WHEN told->>'cluster' <> d.cluster THEN format('its cluster was %s and is %s', told->>'cluster', d.cluster)
        WHEN told->>'executor' <> d.executor THEN format('its executor was %s and is %s', told->>'executor', d.executor)
        WHEN told ? 'deletion_requested_at' AND told->>'deletion_requested_at' IS NULL AND d.deletion_requested_at IS NOT NULL
            THEN 'its deletion was asked for'
        WHEN (told->>'delete_after')::timestamptz > d.delete_after OR (told->>'retain_until')::timestamptz > d.retain_until
            THEN 'its deletion was brought forward'
        WHEN is_short THEN 'components of it are missing'
    END;
    IF what IS NULL THEN
        RETURN NULL;
    END IF;
    RETURN 'It was changed behind the triggers, by a restore or by hand: ' || what
        || '. Nothing is changed, since things would be removed. When it is meant: SELECT armillary.accept('
        || quote_literal(core.path_of(d.id)) || ')';
END $$;
COMMENT ON FUNCTION core.hidden_change IS 'Why a deployment is held: it differs from what a revision tells, in a way by which things would be removed, or components are missing. Else NULL.';

CREATE FUNCTION core.restored_because() RETURNS text LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (SELECT format('This database was restored from a backup at %s, and the world may have gone on since. Nothing is changed. '
        'Look at what is missing, then take over with: SELECT armillary.takeover(''<reason>'')', to_char(i.restored_at, 'YYYY-MM-DD HH24:MI:SS TZ'))
      FROM core.installation i WHERE i.restored_at IS NOT NULL);
END $$;
COMMENT ON FUNCTION core.restored_because IS 'Why everything is held after a restore until armillary.takeover, or NULL.';

CREATE FUNCTION core.held_because(d core.deployments) RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
    told jsonb;
    is_short boolean;
BEGIN
    SELECT r.spec, (r.spec->'components') - ARRAY(SELECT c.component FROM core.components c WHERE c.deployment_id = d.id) <> '{}'
      INTO told, is_short
      FROM core.revisions r WHERE r.deployment_id = d.id AND r.revision <= d.generation ORDER BY r.revision DESC LIMIT 1;
    RETURN core.hidden_change(d, told, is_short);
END $$;
COMMENT ON FUNCTION core.held_because IS 'Why a deployment is held until armillary.accept, as sentences, or NULL.';

CREATE FUNCTION core.in_shape_of(document jsonb, told jsonb) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_object_agg(f.key, CASE WHEN f.key NOT IN ('components', 'variables') THEN f.value ELSE (
            SELECT coalesce(jsonb_object_agg(n.key, CASE WHEN told->f.key->n.key IS NULL THEN n.value ELSE (
                SELECT coalesce(jsonb_object_agg(x.key, x.value), '{}') FROM jsonb_each(n.value) x WHERE told->f.key->n.key ? x.key) END), '{}')
              FROM jsonb_each(f.value) n) END)
      FROM jsonb_each(document) f WHERE told ? f.key
$$;
COMMENT ON FUNCTION core.in_shape_of IS 'A document without the fields that were not there yet when the other was made.';

CREATE FUNCTION core.is_told(deployment bigint) RETURNS boolean LANGUAGE plpgsql STABLE SET TimeZone = 'UTC' AS $$
DECLARE
    document jsonb := core.document(deployment);
    told jsonb := (SELECT r.spec FROM core.revisions r WHERE r.deployment_id = deployment AND r.revision = (document->>'generation')::bigint);
BEGIN
    RETURN told IS NOT NULL AND (told = document OR told = core.in_shape_of(document, told));
END $$;
COMMENT ON FUNCTION core.is_told IS 'True when a deployment''s newest revision tells what its rows are.';

-- Without building whole documents, which takes three times as long. What it finds is looked at closely by core.is_told.
CREATE FUNCTION core.untold() RETURNS SETOF bigint LANGUAGE plpgsql STABLE SET TimeZone = 'UTC' AS $$
BEGIN
    RETURN QUERY SELECT d.id
      FROM core.deployments d JOIN core.workspaces w ON w.id = d.workspace_id
      LEFT JOIN core.revisions r ON r.deployment_id = d.id AND r.revision = d.generation
      LEFT JOIN (SELECT x.deployment_id, jsonb_object_agg(x.component, jsonb_build_object('replicas', x.replicas,
            'cpu_millicores', x.cpu_millicores, 'memory_mib', x.memory_mib, 'grace_seconds', x.grace_seconds, 'settings', x.settings)) AS said
            FROM core.components x GROUP BY x.deployment_id) AS c ON c.deployment_id = d.id
      LEFT JOIN (SELECT x.deployment_id, jsonb_object_agg(x.key, CASE WHEN x.secret
            THEN jsonb_build_object('secret', true, 'version', x.version, 'components', x.components)
            ELSE jsonb_build_object('value', x.value, 'components', x.components) END) AS said
            FROM core.variables x GROUP BY x.deployment_id) AS v ON v.deployment_id = d.id
     WHERE (to_jsonb(d) @> (r.spec - ARRAY['workspace', 'components', 'variables'])) IS NOT TRUE
        OR w.name IS DISTINCT FROM r.spec->>'workspace'
        OR coalesce(c.said, '{}') IS DISTINCT FROM r.spec->'components' OR coalesce(v.said, '{}') IS DISTINCT FROM r.spec->'variables'
     ORDER BY d.id;
END $$;
COMMENT ON FUNCTION core.untold IS 'Deployments whose newest revision may tell something else than their rows are.';

CREATE FUNCTION core.complete(d core.deployments) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO core.releases (release) VALUES (d.release) ON CONFLICT DO NOTHING;
    PERFORM core.give_components(d.id, d.executor);
    IF NOT EXISTS (SELECT FROM core.ports p WHERE p.deployment_id = d.id) THEN
        PERFORM core.lease_ports(d.id, d.cluster);
    END IF;
END $$;
COMMENT ON FUNCTION core.complete IS 'Gives a deployment what a trigger would have given it, where it is missing.';

CREATE FUNCTION core.tell_once(of_owner text, why text, about text) RETURNS void LANGUAGE sql AS $$
    INSERT INTO core.events (owner, reason, message, object)
    SELECT of_owner, why, about, '' WHERE NOT EXISTS (
        SELECT FROM (SELECT e.reason, e.message FROM core.events e WHERE e.owner = of_owner ORDER BY e.id DESC LIMIT 100) AS l
         WHERE l.reason = why AND l.message = about)
$$;
COMMENT ON FUNCTION core.tell_once IS 'An event, unless it is among the last hundred.';

CREATE FUNCTION core.count_missed() RETURNS SETOF text LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp SET TimeZone = 'UTC' AS $$
DECLARE
    one bigint;
    d core.deployments;
    held text;
    counted integer := 0;
    -- as many a minute as a transaction may touch without saying so: the others are rolled out by the fleet gate meanwhile
    most integer := (SELECT greatest(u.bulk_minimum, ceil((SELECT count(*) FROM core.deployments) * u.bulk_percent / 100.0)) FROM core.defaults u);
BEGIN
    FOR one IN SELECT core.untold() LOOP
        SELECT * INTO d FROM core.deployments o WHERE o.id = one FOR NO KEY UPDATE SKIP LOCKED;
        CONTINUE WHEN NOT FOUND OR core.is_told(one);
        held := core.held_because(d);
        IF held IS NOT NULL THEN
            PERFORM core.tell_once(d.owner, 'ChangedBehindTriggers', held);
        ELSIF (SELECT s.observed_generation > d.generation FROM core.status s WHERE s.owner = d.owner) THEN
            NULL;  -- its generation went back: a pass holds it, and says so
        ELSIF counted < most THEN
            PERFORM core.count_hidden(d);
            counted := counted + 1;
            RETURN NEXT d.owner;
        END IF;
    END LOOP;
END $$;
COMMENT ON FUNCTION core.count_missed IS 'Counts what was changed behind the triggers as generations; the owners. What is held is told as an event.';

CREATE FUNCTION core.count_hidden(d core.deployments) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    actor text := coalesce(current_setting('armillary.actor', true), '');
    bulk text := coalesce(current_setting('armillary.allow_bulk', true), '');
    before jsonb := (SELECT r.spec FROM core.revisions r WHERE r.deployment_id = d.id AND r.revision <= d.generation ORDER BY r.revision DESC LIMIT 1);
BEGIN
    PERFORM set_config('armillary.actor', CASE WHEN actor = '' THEN 'somebody behind the triggers' ELSE actor END, true),
            set_config('armillary.allow_bulk', 'changed behind the triggers', true);
    PERFORM core.complete(d);
    PERFORM core.touch(ARRAY[d.id]);
    PERFORM core.open_month('audit'), core.open_month('events');
    INSERT INTO core.audit (relation, key, deployment, operation, before, after, actor, actor_is_claimed, reason)
    VALUES ('deployments', d.id::text, core.path_of(d.id), 'UPDATE', before, core.document(d.id), core.actor(), true, 'changed behind the triggers');
    INSERT INTO core.events (owner, reason, message)
    SELECT d.owner, 'ChangedBehindTriggers', format('It was changed behind the triggers, by a restore or by hand; counted as generation %s. '
        'What differs: SELECT before, after FROM armillary.audit WHERE reason = ''changed behind the triggers'' AND deployment = %L', o.generation, core.path_of(d.id))
      FROM core.deployments o WHERE o.id = d.id;
    PERFORM set_config('armillary.actor', actor, true), set_config('armillary.allow_bulk', bulk, true);
END $$;
COMMENT ON FUNCTION core.count_hidden IS 'Counts a generation for a deployment that was changed behind the triggers: completed, audited, told.';

-- Those that give names fire always. `pg_restore --disable-triggers` switches all triggers off and on again as ordinary ones;
-- one that is off is left alone, since a restore may be at work.
CREATE FUNCTION core.fire_always() RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
DECLARE one record;
BEGIN
    FOR one IN SELECT t.tgname AS called, t.tgrelid::regclass AS place FROM pg_trigger t
                WHERE t.tgenabled = 'O' AND t.tgfoid IN ('core.deployment_named'::regproc, 'core.others_named'::regproc,
                      'core.parts_renamed'::regproc, 'core.part_named'::regproc, 'core.workspace_renamed'::regproc)
                ORDER BY t.tgrelid, t.tgname LOOP
        EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE NOWAIT', one.place);
        EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', one.place, one.called);
    END LOOP;
EXCEPTION WHEN lock_not_available OR insufficient_privilege THEN
    NULL;  -- somebody writes: nobody waits for this, a minute later will do. Or the tables are not ours: then a migration mends it
END $$;
COMMENT ON FUNCTION core.fire_always IS 'Lets the triggers that give names fire always again, after a restore without triggers.';

CREATE FUNCTION core.tend() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    -- daemons beside each other need not do it twice
    IF pg_try_advisory_xact_lock(hashtext('armillary.tend')) THEN
        PERFORM core.fire_always();
        PERFORM core.keep_history();
        PERFORM core.name_again();
        PERFORM core.count_missed();
    END IF;
END $$;
COMMENT ON FUNCTION core.tend IS 'What the daemon does each minute: keeps history, and looks under the triggers.';

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA core FROM PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA core TO armillary_daemon, armillary_api;
REVOKE INSERT, UPDATE, DELETE ON core.retention FROM armillary_daemon;
