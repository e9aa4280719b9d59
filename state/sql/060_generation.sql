-- Generations: each transaction that really changes something desired counts once, and notifies once.

CREATE FUNCTION core.deployment_updated() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
DECLARE
    own_change boolean;
    by_child boolean := (NEW.changed_in, NEW.changed_at) IS DISTINCT FROM (OLD.changed_in, OLD.changed_at);
BEGIN
    PERFORM core.check_unmoved(OLD, NEW);
    NEW := core.with_deletion(OLD, NEW);
    own_change := core.wishes(NEW) IS DISTINCT FROM core.wishes(OLD);
    IF own_change THEN
        PERFORM core.check_deployment(NEW);
    END IF;
    IF NEW.name <> OLD.name AND NEW.deletion_requested_at IS NULL THEN
        PERFORM core.check_name_is_free(NEW);
    END IF;
    IF own_change OR by_child THEN
        IF (OLD.changed_in, OLD.changed_at) IS DISTINCT FROM (pg_current_xact_id(), transaction_timestamp()) THEN
            NEW.generation := core.next_generation(OLD, NEW);
            NEW.changed_by := core.actor();
        END IF;
        NEW.changed_in := pg_current_xact_id();
        NEW.changed_at := transaction_timestamp();
        PERFORM pg_notify('armillary', '');
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION core.deployment_updated IS 'Trigger: checks a changed deployment and counts its generation, once a transaction.';

CREATE FUNCTION core.next_generation(before core.deployments, after core.deployments) RETURNS bigint LANGUAGE plpgsql STABLE AS $$
DECLARE
    newest bigint;
    told jsonb;
    is_short boolean;
    hidden text;
BEGIN
    SELECT r.revision, r.spec, (r.spec->'components') - ARRAY(SELECT c.component FROM core.components c WHERE c.deployment_id = before.id) <> '{}'
      INTO newest, told, is_short
      FROM core.revisions r WHERE r.deployment_id = before.id ORDER BY r.revision DESC LIMIT 1;
    hidden := core.hidden_change(before, told, is_short);
    -- counting on would make it everybody's wish, and explain what it removes; what undoes it is welcome
    IF hidden IS NOT NULL AND core.hidden_change(after, told, is_short) IS NOT NULL
        AND current_setting('armillary.accepting', true) IS DISTINCT FROM before.owner THEN
        PERFORM core.refuse('hidden_changes_are_accepted_first', '', format('%s is held.', core.path_of(before.id)), hidden);
    END IF;
    -- rows that went back, and were accepted, go on beyond what was: a number tells one thing
    RETURN 1 + greatest(before.generation, newest);
END $$;
COMMENT ON FUNCTION core.next_generation IS 'The number of a deployment''s next generation. Raises when it was changed behind the triggers and is held.';

CREATE FUNCTION core.wishes(d core.deployments) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT to_jsonb(d) - ARRAY['generation', 'changed_in', 'changed_at', 'changed_by', 'owner']
$$;
COMMENT ON FUNCTION core.wishes IS 'A deployment''s own row without bookkeeping: whatever differs here is a change.';

CREATE FUNCTION core.touch(ids bigint[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF ids IS NULL THEN
        RETURN;
    END IF;
    -- in the order of their ids, so that two transactions wait for each other instead of deadlocking
    PERFORM FROM core.deployments WHERE id = ANY (ids) ORDER BY id FOR NO KEY UPDATE;
    UPDATE core.deployments SET changed_in = pg_current_xact_id(), changed_at = transaction_timestamp()
     WHERE id = ANY (ids)
       AND (changed_in, changed_at) IS DISTINCT FROM (pg_current_xact_id(), transaction_timestamp());
END $$;
COMMENT ON FUNCTION core.touch IS 'Counts a change of rows in other tables as a change of their deployments.';

CREATE FUNCTION core.children_inserted() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
BEGIN
    PERFORM core.touch((SELECT array_agg(DISTINCT deployment_id) FROM added));
    RETURN NULL;
END $$;
COMMENT ON FUNCTION core.children_inserted IS 'Trigger: a new component or variable is a change of its deployment.';

CREATE FUNCTION core.children_deleted() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
BEGIN
    PERFORM core.touch((SELECT array_agg(DISTINCT deployment_id) FROM removed));
    RETURN NULL;
END $$;
COMMENT ON FUNCTION core.children_deleted IS 'Trigger: a variable less is a change of its deployment.';

CREATE FUNCTION core.components_updated() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
BEGIN
    PERFORM core.touch((SELECT array_agg(DISTINCT n.deployment_id) FROM added n
        JOIN removed o USING (deployment_id, component) WHERE n IS DISTINCT FROM o));
    RETURN NULL;
END $$;
COMMENT ON FUNCTION core.components_updated IS 'Trigger: a component that differs is a change of its deployment.';

CREATE FUNCTION core.variables_updated() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
BEGIN
    PERFORM core.touch((SELECT array_agg(DISTINCT n.deployment_id) FROM added n
        LEFT JOIN removed o USING (deployment_id, key) WHERE n IS DISTINCT FROM o));
    RETURN NULL;
END $$;
COMMENT ON FUNCTION core.variables_updated IS 'Trigger: a variable that differs, or was renamed, is a change of its deployment.';

CREATE TRIGGER a1_generation BEFORE UPDATE ON core.deployments FOR EACH ROW EXECUTE FUNCTION core.deployment_updated();
CREATE TRIGGER g1_inserted AFTER INSERT ON core.components REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION core.children_inserted();
CREATE TRIGGER g1_updated AFTER UPDATE ON core.components REFERENCING OLD TABLE AS removed NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION core.components_updated();
CREATE TRIGGER g1_inserted AFTER INSERT ON core.variables REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION core.children_inserted();
CREATE TRIGGER g1_updated AFTER UPDATE ON core.variables REFERENCING OLD TABLE AS removed NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION core.variables_updated();
CREATE TRIGGER g1_deleted AFTER DELETE ON core.variables REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION core.children_deleted();
