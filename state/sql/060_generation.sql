-- Generations: each transaction that really changes something desired counts once, and notifies once.

-- A row's trigger does only what must be done before the row is written. What can be said of many rows at once is said
-- after the statement, by core.deployments_changed, and at commit, by core.revisions_kept.

CREATE FUNCTION core.differs(one core.deployments, other core.deployments) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT (one.workspace_id, one.name, one.release, one.cluster, one.airflow_version, one.executor, one.dags_folder, one.hibernated,
            one.drift_policy, one.paused_until, one.pause_reason, one.restarted_at, one.deletion_requested_at, one.delete_after,
            one.retain_until, one.created_at)
        IS DISTINCT FROM
           (other.workspace_id, other.name, other.release, other.cluster, other.airflow_version, other.executor, other.dags_folder, other.hibernated,
            other.drift_policy, other.paused_until, other.pause_reason, other.restarted_at, other.deletion_requested_at, other.delete_after,
            other.retain_until, other.created_at)
$$;
COMMENT ON FUNCTION core.differs IS 'True when two rows ask for different things: all columns but bookkeeping.';

-- the same columns; what is left out here is not made first and then taken away
CREATE FUNCTION core.audited(d core.deployments) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object('id', d.id, 'workspace_id', d.workspace_id, 'name', d.name, 'release', d.release, 'cluster', d.cluster,
        'airflow_version', d.airflow_version, 'executor', d.executor, 'dags_folder', d.dags_folder, 'hibernated', d.hibernated,
        'drift_policy', d.drift_policy, 'paused_until', d.paused_until, 'pause_reason', d.pause_reason, 'restarted_at', d.restarted_at,
        'deletion_requested_at', d.deletion_requested_at, 'delete_after', d.delete_after, 'retain_until', d.retain_until, 'created_at', d.created_at)
$$;
COMMENT ON FUNCTION core.audited IS 'A deployment''s row as the audit keeps it: as core.auditable makes it, in half the time.';

CREATE FUNCTION core.deployment_updated() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
DECLARE
    own_change boolean;
    newest bigint;
BEGIN
    IF (NEW.release, NEW.workspace_id, NEW.cluster, NEW.generation, NEW.created_at)
        IS DISTINCT FROM (OLD.release, OLD.workspace_id, OLD.cluster, OLD.generation, OLD.created_at) THEN
        PERFORM core.check_unmoved(OLD, NEW);
    END IF;
    IF num_nonnulls(OLD.deletion_requested_at, NEW.deletion_requested_at, NEW.delete_after, NEW.retain_until) > 0 THEN
        NEW := core.with_deletion(OLD, NEW);
    END IF;
    own_change := core.differs(OLD, NEW);
    IF own_change THEN
        IF (NEW.name, NEW.airflow_version, NEW.executor, NEW.hibernated, NEW.drift_policy, NEW.paused_until, NEW.pause_reason, NEW.restarted_at)
            IS DISTINCT FROM (OLD.name, OLD.airflow_version, OLD.executor, OLD.hibernated, OLD.drift_policy, OLD.paused_until, OLD.pause_reason, OLD.restarted_at)
            OR (NEW.dags_folder ~ '^/[^\n\r]*$' AND length(NEW.dags_folder) <= 4000) IS NOT TRUE THEN
            PERFORM core.check_change(OLD, NEW);
        END IF;
    ELSIF (NEW.changed_in, NEW.changed_at) IS NOT DISTINCT FROM (OLD.changed_in, OLD.changed_at) THEN
        RETURN NEW;
    END IF;
    IF (OLD.changed_in, OLD.changed_at) IS DISTINCT FROM (pg_current_xact_id(), transaction_timestamp()) THEN
        -- rows that went back, and were accepted, go on beyond what was: a number tells one thing
        SELECT r.revision INTO newest FROM core.revisions r WHERE r.deployment_id = OLD.id AND r.revision > OLD.generation ORDER BY r.revision DESC LIMIT 1;
        NEW.generation := 1 + greatest(OLD.generation, newest);
        NEW.changed_by := core.actor();
        IF split_part(coalesce(current_setting('armillary.keeper', true), ''), '/', 1) <> pg_current_xact_id()::text THEN
            PERFORM set_config('armillary.keeper', pg_current_xact_id() || '/' || NEW.id, true);
        END IF;
    END IF;
    NEW.changed_in := pg_current_xact_id();
    NEW.changed_at := transaction_timestamp();
    RETURN NEW;
END $$;
COMMENT ON FUNCTION core.deployment_updated IS 'Trigger: checks a changed deployment and counts its generation, once a transaction.';

CREATE FUNCTION core.check_change(before core.deployments, after core.deployments) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM core.check_deployment(after);
    IF after.name <> before.name AND after.deletion_requested_at IS NULL THEN
        PERFORM core.check_name_is_free(after);
    END IF;
END $$;
COMMENT ON FUNCTION core.check_change IS 'Raises when a deployment cannot become what is asked for.';

CREATE FUNCTION core.may_be_hidden(d core.deployments, told jsonb) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT d.deletion_requested_at IS NOT NULL OR told->>'release' <> d.release OR told->>'cluster' <> d.cluster OR told->>'executor' <> d.executor
$$;
COMMENT ON FUNCTION core.may_be_hidden IS 'False when core.hidden_change finds nothing in a deployment''s own row, as it nearly always is.';

CREATE FUNCTION core.check_not_hidden(before core.deployments, after core.deployments) RETURNS void LANGUAGE plpgsql STABLE AS $$
DECLARE
    told jsonb;
    is_short boolean;
    hidden text;
BEGIN
    SELECT r.spec, (r.spec->'components') - ARRAY(SELECT c.component FROM core.components c WHERE c.deployment_id = before.id) <> '{}'
      INTO told, is_short
      FROM core.revisions r WHERE r.deployment_id = before.id ORDER BY r.revision DESC LIMIT 1;
    hidden := core.hidden_change(before, told, is_short);
    -- counting on would make it everybody's wish, and explain what it removes; what undoes it is welcome
    IF hidden IS NOT NULL AND core.hidden_change(after, told, is_short) IS NOT NULL
        AND current_setting('armillary.accepting', true) IS DISTINCT FROM 'deployment/' || before.id THEN
        PERFORM core.refuse('hidden_changes_are_accepted_first', '', format('%s is held.', core.path_of(before.id)), hidden);
    END IF;
END $$;
COMMENT ON FUNCTION core.check_not_hidden IS 'Raises when a deployment is counted on that was changed behind the triggers and is held.';

-- transition tables have no statistics: a plan that was made for one row would join ten thousand by nested loops
CREATE FUNCTION core.deployments_changed() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = core, pg_temp SET TimeZone = 'UTC' SET enable_nestloop = off AS $$
DECLARE
    counted bigint[];
    held boolean;
    audited bigint;
BEGIN
    SELECT array_agg(n.id), bool_or(core.may_be_hidden(o, r.spec) OR r.is_short) INTO counted, held
      FROM removed o JOIN added n USING (id) LEFT JOIN LATERAL (
           SELECT v.spec, (v.spec->'components') - ARRAY(SELECT c.component FROM core.components c WHERE c.deployment_id = v.deployment_id) <> '{}' AS is_short
             FROM core.revisions v WHERE v.deployment_id = n.id ORDER BY v.revision DESC LIMIT 1) AS r ON true
     WHERE n.generation <> o.generation;
    IF held THEN
        PERFORM core.check_not_hidden(o, n) FROM removed o JOIN added n USING (id) WHERE n.generation <> o.generation;
    END IF;
    IF counted IS NOT NULL THEN
        PERFORM core.note_changed(counted);
    END IF;
    PERFORM core.open_month('audit');
    INSERT INTO core.audit (relation, key, deployment, operation, before, after, actor, actor_is_claimed, reason)
    SELECT 'deployments', n.id::text, split_part(n.path, '@', 1), 'UPDATE', core.audited(o), core.audited(n), w.who, w.claimed, w.meant
      FROM removed o JOIN added n USING (id), core.who_acts() AS w WHERE core.differs(o, n);
    GET DIAGNOSTICS audited = ROW_COUNT;
    IF audited > 0 OR counted IS NOT NULL THEN
        PERFORM pg_notify('armillary', '');
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION core.deployments_changed IS 'Trigger: what a statement changed is counted, audited and told, for all of its rows at once.';

-- A transaction remembers what it has changed in a setting of its own: savepoints undo both together. Its form is
-- '<transaction> <how many> <ids>', with * for more than a hundred.
CREATE FUNCTION core.note_changed(ids bigint[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    noted text[] := string_to_array(current_setting('armillary.changed', true), ' ');
    known boolean := coalesce(noted[1] = pg_current_xact_id()::text, false);
    touched integer := cardinality(ids) + CASE WHEN known THEN noted[2]::integer ELSE 0 END;
BEGIN
    PERFORM set_config('armillary.changed', concat_ws(' ', pg_current_xact_id(), touched,
        CASE WHEN touched > 100 THEN '*' ELSE concat_ws(',', CASE WHEN known THEN noted[3] END, array_to_string(ids, ',')) END), true);
    IF touched > 1 THEN
        PERFORM core.check_bulk(touched);
    END IF;
END $$;
COMMENT ON FUNCTION core.note_changed IS 'Remembers until commit that the transaction changed these deployments. Raises when they are too many.';

CREATE FUNCTION core.touch(ids bigint[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF ids IS NULL THEN
        RETURN;
    END IF;
    IF cardinality(ids) > 1 THEN
        -- in the order of their ids, so that two transactions wait for each other instead of deadlocking
        PERFORM FROM core.deployments WHERE id = ANY (ids) ORDER BY id FOR NO KEY UPDATE;
    END IF;
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

-- a row whose path differs was renamed with its deployment, and nothing else
CREATE FUNCTION core.components_updated() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
BEGIN
    PERFORM core.touch((SELECT array_agg(DISTINCT n.deployment_id) FROM added n
        JOIN removed o USING (deployment_id, component) WHERE n IS DISTINCT FROM o AND n.path IS NOT DISTINCT FROM o.path));
    RETURN NULL;
END $$;
COMMENT ON FUNCTION core.components_updated IS 'Trigger: a component that differs is a change of its deployment.';

CREATE FUNCTION core.variables_updated() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
BEGIN
    PERFORM core.touch((SELECT array_agg(DISTINCT n.deployment_id) FROM added n
        LEFT JOIN removed o USING (deployment_id, key) WHERE n IS DISTINCT FROM o AND (o.key IS NULL OR n.path IS NOT DISTINCT FROM o.path)));
    RETURN NULL;
END $$;
COMMENT ON FUNCTION core.variables_updated IS 'Trigger: a variable that differs, or was renamed, is a change of its deployment.';

CREATE TRIGGER a1_generation BEFORE UPDATE ON core.deployments FOR EACH ROW EXECUTE FUNCTION core.deployment_updated();
CREATE TRIGGER y1_changed AFTER UPDATE ON core.deployments REFERENCING OLD TABLE AS removed NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION core.deployments_changed();
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
