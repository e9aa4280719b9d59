-- Leases: who may act on a cluster. Taken and renewed by one UPDATE each, under the database's clock.

CREATE FUNCTION core.acquire_lease(lease text, by_holder text, ttl interval) RETURNS bigint LANGUAGE sql AS $$
    -- beyond every epoch that was written under, also one of a time that a restore of this table has undone
    INSERT INTO core.leases AS l (name, holder, epoch, expires_at)
    SELECT lease, by_holder, 1 + coalesce(max(s.epoch), 0), clock_timestamp() + ttl FROM core.status s
    ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, epoch = greatest(l.epoch + 1, excluded.epoch), expires_at = clock_timestamp() + ttl
     WHERE l.holder = excluded.holder OR l.expires_at <= clock_timestamp()
    RETURNING epoch
$$;
COMMENT ON FUNCTION core.acquire_lease IS 'A new epoch, or NULL while another holder''s lease lasts. A holder that asks anew gets a new epoch: its earlier self is fenced.';

CREATE FUNCTION core.renew_lease(lease text, by_holder text, at_epoch bigint, ttl interval) RETURNS boolean LANGUAGE sql AS $$
    WITH renewed AS (UPDATE core.leases SET expires_at = clock_timestamp() + ttl
        WHERE name = lease AND holder = by_holder AND epoch = at_epoch RETURNING 1)
    SELECT EXISTS (SELECT FROM renewed)
$$;
COMMENT ON FUNCTION core.renew_lease IS 'Makes a lease last longer; false when it was lost.';

CREATE FUNCTION core.release_lease(lease text, by_holder text, at_epoch bigint) RETURNS void LANGUAGE sql AS $$
    UPDATE core.leases SET expires_at = clock_timestamp() WHERE name = lease AND holder = by_holder AND epoch = at_epoch
$$;
COMMENT ON FUNCTION core.release_lease IS 'Ends a lease early, so that the next holder need not wait.';
