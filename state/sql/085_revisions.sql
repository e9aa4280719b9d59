-- Revisions: every generation is kept as a complete spec, at commit, when everything the transaction changed is there.
-- Of all the rows that a transaction changed only the first has an event at commit, and that keeps all of them at once.

-- planned once a session: a plan takes longer than a document
CREATE FUNCTION core.keep_revisions(ids bigint[]) RETURNS void LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
BEGIN
    INSERT INTO core.revisions (deployment_id, revision, spec, actor)
    SELECT d.id, d.generation, o.document, d.changed_by FROM core.deployments d JOIN core.documents o USING (id)
     WHERE d.id = ANY (ids)
    ON CONFLICT (deployment_id, revision) DO NOTHING;
END $$;
COMMENT ON FUNCTION core.keep_revisions IS 'Keeps the newest generations of some deployments.';

CREATE FUNCTION core.revisions_kept() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp SET TimeZone = 'UTC' AS $$
DECLARE noted text[] := string_to_array(current_setting('armillary.changed', true), ' ');
BEGIN
    IF TG_OP = 'INSERT' THEN
        PERFORM core.keep_revisions(ARRAY[NEW.id]);
        RETURN NULL;
    END IF;
    IF noted[1] IS DISTINCT FROM pg_current_xact_id()::text OR noted[3] = '*' THEN
        PERFORM core.keep_revisions(ARRAY(SELECT d.id FROM core.deployments d
            WHERE d.changed_in = pg_current_xact_id() AND d.changed_at = transaction_timestamp()));
    ELSE
        PERFORM core.keep_revisions(string_to_array(noted[3], ',')::bigint[]);
    END IF;
    -- what a transaction changes after SET CONSTRAINTS … IMMEDIATE is kept by its next event
    PERFORM set_config('armillary.keeper', '', true);
    RETURN NULL;
END $$;
COMMENT ON FUNCTION core.revisions_kept IS 'Trigger at commit: keeps the generations that the transaction made.';

CREATE CONSTRAINT TRIGGER z2_revision_of_new AFTER INSERT ON core.deployments
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION core.revisions_kept();
CREATE CONSTRAINT TRIGGER z2_revisions_of_changed AFTER UPDATE ON core.deployments
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (OLD.generation IS DISTINCT FROM NEW.generation AND current_setting('armillary.keeper', true) = pg_current_xact_id() || '/' || NEW.id)
    EXECUTE FUNCTION core.revisions_kept();
