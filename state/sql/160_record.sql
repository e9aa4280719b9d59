-- What the daemon writes: what passes concluded, each fenced by itself. Rows that do not differ are not written.

CREATE FUNCTION core.lease_of(wanted text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT 'cluster/' || coalesce((SELECT d.cluster FROM core.deployments d WHERE d.owner = wanted),
                                  CASE WHEN wanted LIKE 'platform/%' THEN substr(wanted, 10) END, 'local')
$$;
COMMENT ON FUNCTION core.lease_of IS 'The lease under which an owner is written.';

CREATE FUNCTION core.fence(wanted text, with_epoch bigint, with_generation bigint) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT coalesce(
        (SELECT format('the lease %s is at epoch %s, this write at %s', l.name, l.epoch, with_epoch) FROM core.leases l
          WHERE l.name = core.lease_of(wanted) AND l.epoch <> with_epoch),
        (SELECT format('epoch %s and generation %s were recorded before this write at %s and %s', s.epoch, s.observed_generation,
                with_epoch, coalesce(with_generation::text, 'any')) FROM core.status s
          WHERE s.owner = wanted AND (s.epoch > with_epoch OR s.observed_generation > with_generation)))
$$;
COMMENT ON FUNCTION core.fence IS 'Why a write of that epoch and generation (NULL: any) may not be made, or NULL.';

CREATE FUNCTION core.hold_fence(wanted text, with_epoch bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE held core.leases;
BEGIN
    -- locked until the commit: whoever takes the lease next sees what was written under it. Raising undoes a whole
    -- batch, which is written apart then; a savepoint for each record would cost every batch for a thing so rare
    SELECT * INTO held FROM core.leases l WHERE l.name = core.lease_of(wanted) FOR SHARE;
    IF held.epoch <> with_epoch THEN  -- a greater one is of a time that a restore has undone
        PERFORM core.raise('AR005', 'the_lease_is_held', '',
            format('the lease %s is at epoch %s, this write at %s', held.name, held.epoch, with_epoch), 'Look again.');
    END IF;
END $$;
COMMENT ON FUNCTION core.hold_fence IS 'Raises when the lease was taken meanwhile. Called after writing, so that what writes nothing locks nothing.';

CREATE FUNCTION core.intend(wanted text, epoch bigint, objects jsonb, begun jsonb DEFAULT '[]') RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE why text := core.fence(wanted, epoch, NULL);
BEGIN
    IF why IS NULL AND core.put_objects(wanted, objects) + core.put_milestones(wanted, begun) > 0 THEN
        PERFORM core.hold_fence(wanted, epoch);
    END IF;
    RETURN jsonb_build_object('fenced', why);
END $$;
COMMENT ON FUNCTION core.intend IS 'Writes ahead what is about to be made, stopped or begun, so that a crash loses nothing. Fenced: the sentence why nothing was written.';

CREATE FUNCTION core.record(records jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    one jsonb;
    answers jsonb := '[]';
BEGIN
    FOR one IN SELECT value FROM jsonb_array_elements(records) LOOP
        answers := answers || jsonb_build_object('fenced', core.record_one(one->>'owner', (one->>'epoch')::bigint, one));
    END LOOP;
    RETURN answers;
END $$;
COMMENT ON FUNCTION core.record IS 'Stores what passes concluded. For each NULL, or the sentence why nothing of it was written.';

CREATE FUNCTION core.record_one(wanted text, with_epoch bigint, said jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    why text := core.fence(wanted, with_epoch, (said->'status'->>'observed_generation')::bigint);
    written bigint := 0;
BEGIN
    IF why IS NOT NULL THEN
        RETURN why;
    END IF;
    IF jsonb_typeof(said->'status') = 'object' THEN
        written := core.put_status(wanted, with_epoch, said->'status')
            + core.put_conditions(wanted, said->'status'->'conditions') + core.put_units(wanted, said->'status'->'units');
    END IF;
    -- most passes conclude that all is as it was: nothing to say is no statement
    IF said->'objects' <> '[]' THEN
        written := written + core.put_objects(wanted, said->'objects');
    END IF;
    IF said->'forget' <> '[]' OR said->'milestones' <> '[]' OR said->'events' <> '[]' THEN
        written := written + core.put_happenings(wanted, said);
    END IF;
    IF (said->>'remove_owner')::boolean THEN
        written := written + core.remove_owner(wanted)::integer;
    END IF;
    IF written > 0 THEN
        PERFORM core.hold_fence(wanted, with_epoch);
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION core.record_one IS 'Stores what one pass concluded; the sentence why not, or NULL.';

-- What differs is found before it is written: even a DO UPDATE whose WHERE is false locks its row, which is a write.

CREATE FUNCTION core.put_status(wanted text, with_epoch bigint, said jsonb) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE written bigint;
BEGIN
    -- the epoch alone is no reason to write: a new daemon adopts a fleet without a write
    INSERT INTO core.status AS s (owner, epoch, observed_generation, attempts, next_attempt_at,
        converged_generation, converged_defaults, rolling_since)
    SELECT wanted, with_epoch, x.*
      FROM (SELECT y.observed_generation, y.attempts, y.next_attempt_at, y.converged_generation, coalesce(y.converged_defaults, ''), y.rolling_since
              FROM jsonb_to_record(said) AS y(observed_generation bigint, attempts integer, next_attempt_at timestamptz,
                converged_generation bigint, converged_defaults text, rolling_since timestamptz)
            EXCEPT SELECT o.observed_generation, o.attempts, o.next_attempt_at, o.converged_generation, o.converged_defaults,
                o.rolling_since FROM core.status o WHERE o.owner = wanted) AS x
    ON CONFLICT (owner) DO UPDATE SET epoch = excluded.epoch, observed_generation = excluded.observed_generation,
        attempts = excluded.attempts, next_attempt_at = excluded.next_attempt_at, converged_generation = excluded.converged_generation,
        converged_defaults = excluded.converged_defaults, rolling_since = excluded.rolling_since
     WHERE s.epoch <= excluded.epoch AND s.observed_generation <= excluded.observed_generation;
    GET DIAGNOSTICS written = ROW_COUNT;
    RETURN written;
END $$;
COMMENT ON FUNCTION core.put_status IS 'Writes what was looked at, if it differs; how many rows.';

CREATE FUNCTION core.put_conditions(wanted text, said jsonb) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    written bigint;
    removed bigint;
BEGIN
    INSERT INTO core.conditions (owner, type, status, reason, message, since)
    SELECT wanted, x.type, x.status, x.reason, x.message, x.since
      FROM jsonb_to_recordset(said) AS x(type text, status text, reason text, message text, since timestamptz)
    EXCEPT SELECT c.owner, c.type, c.status, c.reason, c.message, c.since FROM core.conditions c WHERE c.owner = wanted
    ON CONFLICT (owner, type) DO UPDATE SET status = excluded.status, reason = excluded.reason, message = excluded.message, since = excluded.since;
    GET DIAGNOSTICS written = ROW_COUNT;
    DELETE FROM core.conditions c WHERE c.owner = wanted
       AND NOT EXISTS (SELECT FROM jsonb_array_elements(said) AS x WHERE x->>'type' = c.type);
    GET DIAGNOSTICS removed = ROW_COUNT;
    IF written + removed > 0 THEN
        PERFORM pg_notify('armillary_conditions', '');  -- for people who wait; one a transaction
    END IF;
    RETURN written + removed;
END $$;
COMMENT ON FUNCTION core.put_conditions IS 'Makes an owner''s conditions these; how many rows that wrote.';

CREATE FUNCTION core.put_units(wanted text, said jsonb) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    written bigint;
    removed bigint;
BEGIN
    DELETE FROM core.units u WHERE u.owner = wanted
       AND NOT EXISTS (SELECT FROM jsonb_array_elements(said) AS x WHERE x->>'unit' = u.unit);
    GET DIAGNOSTICS removed = ROW_COUNT;
    INSERT INTO core.units (owner, unit, position, component, state, detail)
    SELECT wanted, x->>'unit', n::integer, x->>'component', x->>'state', x->>'detail' FROM jsonb_array_elements(said) WITH ORDINALITY AS t(x, n)
    EXCEPT SELECT u.owner, u.unit, u.position, u.component, u.state, u.detail FROM core.units u WHERE u.owner = wanted
    ON CONFLICT (owner, unit) DO UPDATE SET position = excluded.position, component = excluded.component, state = excluded.state, detail = excluded.detail;
    GET DIAGNOSTICS written = ROW_COUNT;
    RETURN written + removed;
END $$;
COMMENT ON FUNCTION core.put_units IS 'Makes an owner''s units these; how many rows that wrote.';

CREATE FUNCTION core.put_objects(wanted text, said jsonb) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE written bigint;
BEGIN
    INSERT INTO core.objects (owner, kind, name, unit, digest, needs, state, retain, uid)
    SELECT wanted, r.kind, r.name, r.unit, r.digest, r.needs, r.state, r.retain, r.uid
      FROM jsonb_to_recordset(said) AS r(kind text, name text, unit text, digest text, needs jsonb, state text, retain boolean, uid text)
    EXCEPT SELECT o.owner, o.kind, o.name, o.unit, o.digest, o.needs, o.state, o.retain, o.uid FROM core.objects o WHERE o.owner = wanted
    ON CONFLICT (owner, kind, name) DO UPDATE SET unit = excluded.unit, digest = excluded.digest, needs = excluded.needs,
        state = excluded.state, retain = excluded.retain, uid = excluded.uid;
    GET DIAGNOSTICS written = ROW_COUNT;
    RETURN written;
END $$;
COMMENT ON FUNCTION core.put_objects IS 'Inserts or replaces inventory rows that differ; how many.';

CREATE FUNCTION core.put_happenings(wanted text, said jsonb) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    forgotten bigint;
    achieved bigint;
    happened bigint;
BEGIN
    DELETE FROM core.objects o USING jsonb_array_elements(said->'forget') AS f
     WHERE o.owner = wanted AND o.kind = f->>0 AND o.name = f->>1;
    GET DIAGNOSTICS forgotten = ROW_COUNT;
    achieved := core.put_milestones(wanted, said->'milestones');
    IF said->'events' <> '[]' THEN
        PERFORM core.open_month('events');
    END IF;
    INSERT INTO core.events (owner, reason, message, cause, object)
    SELECT wanted, e->>'reason', e->>'message', e->>'cause', coalesce(e->>'object', '') FROM jsonb_array_elements(said->'events') AS e;
    GET DIAGNOSTICS happened = ROW_COUNT;
    RETURN forgotten + achieved + happened;
END $$;
COMMENT ON FUNCTION core.put_happenings IS 'Forgets inventory rows, keeps milestones and events; how many rows.';

CREATE FUNCTION core.put_milestones(wanted text, said jsonb) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE written bigint;
BEGIN
    INSERT INTO core.milestones (owner, name, key, begun)
    SELECT wanted, m->>'name', m->>'key', ARRAY(SELECT jsonb_array_elements_text(m->'begun')) FROM jsonb_array_elements(said) AS m
    EXCEPT SELECT k.owner, k.name, k.key, k.begun FROM core.milestones k WHERE k.owner = wanted
    ON CONFLICT (owner, name) DO UPDATE SET key = excluded.key, begun = excluded.begun, at = now();
    GET DIAGNOSTICS written = ROW_COUNT;
    RETURN written;
END $$;
COMMENT ON FUNCTION core.put_milestones IS 'Keeps what tasks have achieved and begun; how many rows differed.';

CREATE FUNCTION core.remove_owner(gone text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE removing core.deployments;
BEGIN
    -- before its row: who gives the name to a new one locks in that order
    PERFORM core.lock_names();
    SELECT * INTO removing FROM core.deployments d WHERE d.owner = gone FOR UPDATE;
    -- a row that was undeleted meanwhile, is kept for longer, or still holds something, stays
    IF removing.id IS NOT NULL AND (removing.retain_until <= clock_timestamp()) IS NOT TRUE
        OR EXISTS (SELECT FROM core.objects o WHERE o.owner = gone AND o.state <> 'gone') THEN
        RETURN false;
    END IF;
    PERFORM set_config('armillary.removing', gone, true);
    DELETE FROM core.variables v WHERE v.deployment_id = removing.id;
    DELETE FROM core.components c WHERE c.deployment_id = removing.id;
    DELETE FROM core.alert_emails a WHERE a.deployment_id = removing.id;
    DELETE FROM core.deployments d WHERE d.id = removing.id;
    PERFORM set_config('armillary.removing', '', true);
    DELETE FROM core.status s WHERE s.owner = gone;
    DELETE FROM core.conditions c WHERE c.owner = gone;
    DELETE FROM core.units u WHERE u.owner = gone;
    DELETE FROM core.milestones m WHERE m.owner = gone;
    DELETE FROM core.approvals a WHERE a.owner = gone;
    DELETE FROM core.objects o WHERE o.owner = gone;
    DELETE FROM core.secrets s WHERE s.owner = gone;
    DELETE FROM core.secret_inbox i WHERE i.owner = gone;
    RETURN true;
END $$;
COMMENT ON FUNCTION core.remove_owner IS 'The end of a deployment of which nothing is left; false when it may not end yet. Events and audit stay.';
