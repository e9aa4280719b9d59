-- What people agree to: deletes nobody asked for, the end of data, a held rollout, a state that went back.

CREATE FUNCTION core.owner_named(target text) RETURNS text LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF target ~ '^(deployment|platform)/' AND EXISTS (
        SELECT FROM core.objects o WHERE o.owner = target UNION ALL SELECT FROM core.status s WHERE s.owner = target) THEN
        RETURN target;  -- what is left of a deployment whose row is gone has no other name
    END IF;
    RETURN (SELECT d.owner FROM core.deployments d WHERE d.id = core.resolve(target));
END $$;
COMMENT ON FUNCTION core.owner_named IS 'The owner that people call workspace/name, or deployment/<id> when its row is gone.';

CREATE FUNCTION armillary.approve(target text, what text, reason text DEFAULT 'looked at') RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
DECLARE named text := core.owner_named(target);
BEGIN
    IF what IS NULL OR what NOT IN ('deletes', 'data', 'rollout') THEN
        PERFORM core.invalid('approvals_are_known', '/what', format('%L cannot be approved.', what),
            'Approve deletes (of what is no longer desired), data (its end, where nothing uses it), or rollout (a held one).');
    END IF;
    INSERT INTO core.approvals (owner, what, reason, approved_by) VALUES (named, what, reason, core.actor())
    ON CONFLICT ON CONSTRAINT approvals_pkey DO UPDATE SET reason = excluded.reason, approved_by = excluded.approved_by,
        approved_at = now(), expires_at = excluded.expires_at;
    UPDATE core.status s SET next_attempt_at = now() WHERE s.owner = named;
    PERFORM pg_notify('armillary', '');
    RETURN format('%s of %s approved for an hour', what, target);
END $$;
COMMENT ON FUNCTION armillary.approve IS 'Agrees for one hour to what is held: deletes, data or rollout, of workspace/name (or deployment/<id> when its row is gone).';

CREATE FUNCTION armillary.accept(deployment text) RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
DECLARE d core.deployments := (SELECT o FROM core.deployments o WHERE o.id = core.resolve(accept.deployment));
BEGIN
    IF core.held_because(d) IS NOT NULL THEN
        PERFORM set_config('armillary.accepting', d.owner, true);
        PERFORM core.count_hidden(d);
        PERFORM set_config('armillary.accepting', '', true);
        RETURN format('what was changed behind the triggers is accepted as generation %s of %s',
            (SELECT o.generation FROM core.deployments o WHERE o.id = d.id), accept.deployment);
    END IF;
    UPDATE core.status s SET observed_generation = d.generation - 1, converged_generation = NULL
     WHERE s.owner = d.owner AND s.observed_generation > d.generation;
    IF NOT FOUND THEN
        RETURN format('%s did not go back: generation %s is what was last looked at, or newer', accept.deployment, d.generation);
    END IF;
    PERFORM pg_notify('armillary', '');
    RETURN format('generation %s of %s is accepted', d.generation, accept.deployment);
END $$;
COMMENT ON FUNCTION armillary.accept IS 'Accepts a desired state whose generation went back, as a restored database''s does, or that was changed behind the triggers.';

CREATE FUNCTION armillary.takeover(reason text) RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
BEGIN
    IF coalesce(reason, '') = '' THEN
        PERFORM core.invalid('a_takeover_has_a_reason', '/reason', 'A takeover needs a reason.',
            'SELECT armillary.takeover(''restored from the backup of Monday'')');
    END IF;
    -- far beyond whatever the clusters remember: nobody takes a million leases between two backups
    UPDATE core.leases l SET epoch = l.epoch + 1000000, expires_at = now();
    UPDATE core.installation SET restored_at = NULL;
    INSERT INTO core.audit (relation, key, operation, actor, actor_is_claimed, reason)
    VALUES ('installation', 'takeover', 'UPDATE', core.actor(), core.actor_is_claimed(), reason);
    PERFORM pg_notify('armillary', '');
    RETURN 'taken over; the daemon goes on within seconds';
END $$;
COMMENT ON FUNCTION armillary.takeover IS 'After a restore from a backup: lets the daemon act on this database again, although the clusters remember a later one.';

CREATE VIEW armillary.approvals AS
    SELECT coalesce(d.path || '', a.owner) AS deployment, a.what, a.reason, a.approved_by, a.approved_at, a.expires_at
      FROM core.approvals a LEFT JOIN core.deployments d ON d.owner = a.owner
     WHERE a.expires_at > now();
COMMENT ON VIEW armillary.approvals IS 'What is approved now, by whom and until when.';
COMMENT ON COLUMN armillary.approvals.deployment IS 'workspace/name, or deployment/<id> when its row is gone.';
COMMENT ON COLUMN armillary.approvals.what IS 'deletes beyond the budget, the end of data that nothing uses, or a rollout that is held.';
COMMENT ON COLUMN armillary.approvals.reason IS 'Why, in the words of who approved it.';
COMMENT ON COLUMN armillary.approvals.approved_by IS 'Who approved it.';
COMMENT ON COLUMN armillary.approvals.approved_at IS 'When it was approved.';
COMMENT ON COLUMN armillary.approvals.expires_at IS 'When it stops to count.';
