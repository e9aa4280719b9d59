-- Waiting from SQL, until what was just asked for is there. The function is VOLATILE and looks again in a loop: in READ
-- COMMITTED each look sees what others have committed meanwhile.

CREATE FUNCTION core.said(moment timestamptz) RETURNS text LANGUAGE sql STABLE AS
    $$ SELECT to_char(moment, 'YYYY-MM-DD HH24:MI:SS TZ') $$;
COMMENT ON FUNCTION core.said IS 'A time for people, in the session''s time zone.';

CREATE FUNCTION core.check_waiting(d core.deployments, until text, timeout interval) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF until IS NULL OR until NOT IN ('synced', 'ready', 'stopped', 'gone') THEN
        PERFORM core.invalid('waits_are_known', '/until', format('Nobody can wait until a deployment is %L.', left(until, 60)),
            'Wait until it is synced (all that is asked for is there), ready (that, and it works), stopped or gone.');
    END IF;
    IF timeout IS NULL OR timeout <= interval '0' OR timeout > interval '1 hour' THEN
        PERFORM core.invalid('a_wait_ends', '/timeout', format('A wait cannot last %s.', coalesce(timeout::text, 'for ever')),
            'Give more than nothing and at most an hour, as in interval ''5 min''; then wait again.');
    END IF;
    IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        PERFORM core.refuse('waiting_is_read_committed', '', format('In a transaction at isolation level %s nothing that others commit is seen.',
            current_setting('transaction_isolation')), 'Wait outside of it: COMMIT first, then SELECT armillary.wait(…).');
    END IF;
    IF d.changed_in = pg_current_xact_id_if_assigned() AND d.changed_at = transaction_timestamp() THEN
        PERFORM core.refuse('what_is_waited_for_is_committed', '', 'This transaction has changed the deployment, and nothing happens before it commits.',
            'COMMIT first, then SELECT armillary.wait(…).');
    END IF;
END $$;
COMMENT ON FUNCTION core.check_waiting IS 'Raises when a wait is not one that could end well.';

CREATE FUNCTION core.has_come(d core.deployments, since bigint, until text) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN until = 'gone' THEN d.id IS NULL ELSE EXISTS (
        SELECT FROM core.status s
          JOIN core.conditions y ON y.owner = s.owner AND y.type = 'Synced'
          LEFT JOIN core.conditions r ON r.owner = s.owner AND r.type = 'Ready'
         WHERE s.owner = d.owner AND s.observed_generation >= has_come.since AND y.status = 'True'
           AND CASE until WHEN 'ready' THEN r.status = 'True' WHEN 'stopped' THEN r.reason = 'Stopped' ELSE true END) END
$$;
COMMENT ON FUNCTION core.has_come IS 'True when the generation that is waited for, or a later one, is as wanted.';

-- asked for otherwise: told at once, because no time brings it
CREATE FUNCTION core.check_wish(d core.deployments, path text, until text, ends timestamptz) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF d.id IS NULL THEN
        PERFORM core.not_found(format('%s was removed meanwhile: nothing of it is left.', path), 'Make it anew: INSERT INTO armillary.deployments …');
    ELSIF d.paused_until > ends THEN
        PERFORM core.refuse('what_is_waited_for_can_come', '', format('%s is paused until %s, longer than you wait: %s', path, core.said(d.paused_until), d.pause_reason),
            format('SELECT armillary.resume(%L)', path));
    ELSIF until = 'gone' AND (d.retain_until <= ends) IS NOT TRUE THEN
        PERFORM core.refuse('what_is_waited_for_can_come', '', CASE WHEN d.retain_until IS NULL THEN format('Nobody asked for the deletion of %s.', path)
            ELSE format('%s is kept until %s, longer than you wait.', path, core.said(d.retain_until)) END,
            format('DELETE FROM armillary.deployments WHERE deployment = %L; it is gone after its retain_until, which may be set.', path));
    ELSIF until = 'ready' AND d.deletion_requested_at IS NOT NULL THEN
        PERFORM core.refuse('what_is_waited_for_can_come', '', format('%s is being deleted.', path), format('SELECT armillary.undelete(%L)', path));
    ELSIF until = 'ready' AND d.hibernated THEN
        PERFORM core.refuse('what_is_waited_for_can_come', '', format('%s is hibernated: nothing runs, as asked.', path), format('SELECT armillary.wake(%L)', path));
    ELSIF until = 'stopped' AND NOT d.hibernated AND d.deletion_requested_at IS NULL
        AND EXISTS (SELECT FROM core.components c WHERE c.deployment_id = d.id AND c.replicas > 0) THEN
        PERFORM core.refuse('what_is_waited_for_can_come', '', format('%s is asked to run.', path), format('SELECT armillary.hibernate(%L)', path));
    END IF;
END $$;
COMMENT ON FUNCTION core.check_wish IS 'Raises when what is waited for contradicts what is asked for, or will not be begun in time.';

CREATE FUNCTION core.check_not_stuck(d core.deployments, path text, since bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    held text := coalesce(core.restored_because(), core.held_because(d));
    stuck record;
BEGIN
    IF held IS NULL THEN
        -- what is tried again by itself has a time for that, and may come yet
        SELECT c.reason, c.message INTO stuck FROM core.conditions c JOIN core.status s ON s.owner = c.owner
         WHERE c.owner = d.owner AND c.reason IN ('Held', 'InvalidSpec') AND s.observed_generation >= check_not_stuck.since AND s.next_attempt_at IS NULL
         ORDER BY c.type DESC LIMIT 1;
        held := stuck.reason || ': ' || stuck.message;
    END IF;
    IF held IS NOT NULL THEN
        PERFORM core.refuse('what_is_waited_for_can_come', '', format('%s does not go on by itself. %s', path, held),
            format('Do what it says, then wait again. More: SELECT * FROM armillary.why(%L)', path));
    END IF;
END $$;
COMMENT ON FUNCTION core.check_not_stuck IS 'Raises when only a person can make it go on, with the reason.';

CREATE FUNCTION core.still_missing(d core.deployments, since bigint) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT coalesce((SELECT string_agg(s.why, ' ') FROM core.standstill(d) AS s),
        (SELECT string_agg(format('%s=%s (%s): %s.', c.type, c.status, c.reason, rtrim(c.message, '.')), ' ' ORDER BY c.type DESC)
           FROM core.conditions c WHERE c.owner = d.owner AND c.status <> 'True'),
        format('Generation %s is looked at.', since))
$$;
COMMENT ON FUNCTION core.still_missing IS 'What a wait that is over still waited for.';

CREATE FUNCTION armillary.wait(deployment text, until text DEFAULT 'ready', timeout interval DEFAULT '5 minutes') RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = core, pg_temp AS $$
DECLARE
    target bigint := core.resolve(wait.deployment);
    d core.deployments := (SELECT o FROM core.deployments o WHERE o.id = target);
    -- by name it might be another one when this one is gone, and by a later generation somebody else's wish
    path text := core.path_of(target);
    since bigint := d.generation;
    ends timestamptz;
    pause double precision := 0.02;
BEGIN
    PERFORM core.check_waiting(d, until, timeout);
    ends := clock_timestamp() + timeout;
    LOOP
        SELECT * INTO d FROM core.deployments o WHERE o.id = target;
        IF core.has_come(d, since, until) THEN
            RETURN CASE WHEN until = 'gone' THEN format('%s is gone', path) ELSE format('%s is %s at generation %s', path, until,
                (SELECT s.observed_generation FROM core.status s WHERE s.owner = d.owner)) END;
        END IF;
        PERFORM core.check_wish(d, path, until, ends), core.check_not_stuck(d, path, since);
        IF clock_timestamp() >= ends THEN
            PERFORM core.raise('AR006', 'a_wait_ends', '', format('%s is not %s after %s. %s', path, until, timeout, core.still_missing(d, since)),
                format('Wait again, or look: SELECT * FROM armillary.why(%L)', path));
        END IF;
        PERFORM pg_sleep(least(pause, greatest(0, extract(epoch FROM ends - clock_timestamp()))));
        pause := least(pause * 1.5, 0.25);
    END LOOP;
END $$;
COMMENT ON FUNCTION armillary.wait IS 'Returns when the generation of this moment is synced, ready (the default), stopped or gone. Raises at once when that cannot come, with the reason; after the timeout with what is missing.';
