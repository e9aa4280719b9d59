-- History by months: audit and events are partitions in schema history, made ahead, and dropped when all of a month is
-- older than core.retention says. Months are of UTC.

CREATE FUNCTION core.month_of(relation text, moment timestamptz) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT relation || to_char(moment AT TIME ZONE 'UTC', '_YYYY_MM')
$$;
COMMENT ON FUNCTION core.month_of IS 'The name of the partition that holds a moment.';

CREATE FUNCTION core.open_month(relation text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
BEGIN
    -- an hour ahead too: what begins now may be written when the next month has come
    IF to_regclass('history.' || core.month_of(relation, clock_timestamp())) IS NULL
        OR to_regclass('history.' || core.month_of(relation, clock_timestamp() + interval '1 hour')) IS NULL THEN
        PERFORM core.make_months(relation);
    END IF;
END $$;
COMMENT ON FUNCTION core.open_month IS 'Makes sure that what happens now can be kept, also when no daemon has run for months.';

CREATE FUNCTION core.make_months(relation text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
DECLARE
    first timestamp := date_trunc('month', clock_timestamp() AT TIME ZONE 'UTC');
    month timestamp;
    part text;
BEGIN
    -- one at a time; those who only insert are not locked out
    EXECUTE format('LOCK TABLE core.%I IN SHARE UPDATE EXCLUSIVE MODE', relation);
    FOR month IN SELECT first + make_interval(months => n) FROM generate_series(0, 3) n LOOP
        part := core.month_of(relation, month AT TIME ZONE 'UTC');
        IF to_regclass('history.' || part) IS NULL THEN
            EXECUTE format('CREATE TABLE history.%I (LIKE core.%I INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE)', part, relation);
            EXECUTE format('ALTER TABLE core.%I ATTACH PARTITION history.%I FOR VALUES FROM (%L) TO (%L)', relation, part,
                month AT TIME ZONE 'UTC', (month + interval '1 month') AT TIME ZONE 'UTC');
        END IF;
    END LOOP;
END $$;
COMMENT ON FUNCTION core.make_months IS 'Makes the partitions of this month and of the three after it.';

CREATE FUNCTION core.forget_history(relation text, before timestamptz) RETURNS SETOF text LANGUAGE plpgsql SET search_path = core, pg_temp AS $$
DECLARE
    -- clusters know the database by its newest change, however old that is
    newest oid := (SELECT a.tableoid FROM core.audit a ORDER BY a.id DESC LIMIT 1);
    part text;
BEGIN
    FOR part IN SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
                 WHERE i.inhparent = ('core.' || quote_ident(relation))::regclass AND c.oid IS DISTINCT FROM newest
                   AND c.relname < core.month_of(relation, before) ORDER BY c.relname LOOP
        EXECUTE format('DROP TABLE history.%I', part);
        RETURN NEXT part;
    END LOOP;
END $$;
COMMENT ON FUNCTION core.forget_history IS 'Drops the months of audit or events that ended before a time; their names. For the owner: SELECT core.forget_history(''audit'', now() - interval ''1 year'')';

CREATE FUNCTION core.keep_history() RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
DECLARE
    kept core.retention;
    gone text;
BEGIN
    FOR kept IN SELECT * FROM core.retention ORDER BY relation LOOP
        PERFORM core.open_month(kept.relation);
        SELECT string_agg(f, ', ') INTO gone FROM core.forget_history(kept.relation, now() - make_interval(days => kept.days)) f;
        IF gone IS NOT NULL THEN
            INSERT INTO core.audit (relation, key, operation, actor, actor_is_claimed, reason)
            VALUES (kept.relation, gone, 'DELETE', core.actor(), core.actor_is_claimed(), format('older than %s days', kept.days));
        END IF;
    END LOOP;
END $$;
COMMENT ON FUNCTION core.keep_history IS 'Housekeeping: makes the months to come, and forgets those that core.retention does not keep; that is audited.';
