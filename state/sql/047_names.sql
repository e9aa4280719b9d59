-- How people name each deployment, kept where it is looked for: in the deployment's row and in those of its components
-- and variables, each with an index. Its triggers fire always, also for who writes behind the other triggers.

CREATE FUNCTION core.path_among_others(d core.deployments) RETURNS text LANGUAGE plpgsql STABLE AS $$
BEGIN
    -- one that is being deleted leaves its name to a new one: whoever names that one must not mean this one, too
    RETURN (SELECT w.name || '/' || d.name || CASE
               WHEN d.deletion_requested_at IS NOT NULL AND EXISTS (
                   SELECT FROM core.deployments o WHERE o.workspace_id = d.workspace_id AND o.name = d.name AND o.id <> d.id
                      AND (o.deletion_requested_at IS NULL OR (o.deletion_requested_at, o.id) > (d.deletion_requested_at, d.id)))
               THEN '@' || d.release ELSE '' END
      FROM core.workspaces w WHERE w.id = d.workspace_id);
END $$;
COMMENT ON FUNCTION core.path_among_others IS 'workspace/name; workspace/name@release while another deployment has the name.';

CREATE FUNCTION core.lock_names() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF pg_try_advisory_xact_lock(hashtext('armillary.deployments')) THEN
        RETURN;
    END IF;
    IF split_part(current_setting('armillary.changed', true), ' ', 1) = pg_current_xact_id()::text THEN
        PERFORM core.await_names();
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('armillary.deployments'));
END $$;
COMMENT ON FUNCTION core.lock_names IS 'One transaction at a time gives or frees a name, a release or ports.';

-- Names come before rows. A transaction that has changed rows first and then wants the names may be waited for by whoever has
-- them: it gives way, at once and by name, where PostgreSQL would undo one of the two after a second.
CREATE FUNCTION core.await_names() RETURNS void LANGUAGE plpgsql AS $$
DECLARE until timestamptz := clock_timestamp() + interval '1 second';
BEGIN
    WHILE clock_timestamp() < until AND NOT pg_try_advisory_xact_lock(hashtext('armillary.deployments')) LOOP
        IF core.names_wait_for_us() THEN
            PERFORM core.conflict('Somebody who gives or frees a name waits for what this transaction has changed before.',
                'Run the transaction again; what makes, renames, deletes or undeletes deployments comes first in it.');
        END IF;
        PERFORM pg_sleep(0.02);
    END LOOP;
END $$;
COMMENT ON FUNCTION core.await_names IS 'Waits up to a second for the names. Raises when who has them waits for this transaction.';

CREATE FUNCTION core.names_wait_for_us() RETURNS boolean LANGUAGE sql AS $$
    WITH RECURSIVE ahead(pid) AS (
        SELECT l.pid FROM pg_locks l
         WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
           AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
           AND (l.classid::bigint << 32 | l.objid::bigint) = hashtext('armillary.deployments')
        UNION SELECT b.pid FROM ahead a, unnest(pg_blocking_pids(a.pid)) AS b(pid))
    SELECT EXISTS (SELECT FROM ahead a WHERE a.pid = pg_backend_pid())
$$;
COMMENT ON FUNCTION core.names_wait_for_us IS 'True when whoever has the names waits for this session, through others perhaps.';

CREATE FUNCTION core.name_group(workspace bigint, called text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM core.deployments d WHERE d.workspace_id = workspace AND d.name = called) THEN
        PERFORM core.lock_names();
        -- children before their parent, as statements on components and variables lock them, so that neither deadlocks
        PERFORM FROM core.components c JOIN core.deployments d ON d.id = c.deployment_id
          WHERE d.workspace_id = workspace AND d.name = called AND d.path IS DISTINCT FROM core.path_among_others(d)
          ORDER BY c.deployment_id, c.component FOR NO KEY UPDATE OF c;
        PERFORM FROM core.variables v JOIN core.deployments d ON d.id = v.deployment_id
          WHERE d.workspace_id = workspace AND d.name = called AND d.path IS DISTINCT FROM core.path_among_others(d)
          ORDER BY v.deployment_id, v.key FOR NO KEY UPDATE OF v;
        UPDATE core.deployments d SET path = core.path_among_others(d)
         WHERE d.workspace_id = workspace AND d.name = called AND d.path IS DISTINCT FROM core.path_among_others(d);
    END IF;
END $$;
COMMENT ON FUNCTION core.name_group IS 'Gives all deployments of one name the paths that they have beside each other.';

CREATE FUNCTION core.deployment_named() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
BEGIN
    NEW.path := core.path_among_others(NEW);
    RETURN NEW;
END $$;
COMMENT ON FUNCTION core.deployment_named IS 'Trigger: a deployment''s path follows from its row and from those of the same name.';

CREATE FUNCTION core.others_named() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM core.deployments d WHERE d.workspace_id = coalesce(NEW.workspace_id, OLD.workspace_id)
                  AND d.name IN (OLD.name, NEW.name) AND d.id <> coalesce(NEW.id, OLD.id)) THEN
        PERFORM core.name_group(coalesce(NEW.workspace_id, OLD.workspace_id), one)
           FROM unnest(ARRAY[OLD.name, NEW.name]) AS one WHERE one IS NOT NULL GROUP BY one;
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION core.others_named IS 'Trigger: a deployment that comes, goes or changes its name may change how those of the same name are named.';

CREATE FUNCTION core.parts_renamed() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
BEGIN
    UPDATE core.components c SET path = NEW.path WHERE c.deployment_id = NEW.id;
    UPDATE core.variables v SET path = NEW.path WHERE v.deployment_id = NEW.id;
    UPDATE core.alert_emails a SET path = NEW.path WHERE a.deployment_id = NEW.id;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION core.parts_renamed IS 'Trigger: components, variables and alert e-mails are named by their deployment.';

CREATE FUNCTION core.part_named() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
BEGIN
    NEW.path := (SELECT d.path FROM core.deployments d WHERE d.id = NEW.deployment_id);
    RETURN NEW;
END $$;
COMMENT ON FUNCTION core.part_named IS 'Trigger: a component, a variable or an alert e-mail is named by its deployment.';

CREATE FUNCTION core.workspace_renamed() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
BEGIN
    UPDATE core.deployments d SET path = core.path_among_others(d) WHERE d.workspace_id = NEW.id;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION core.workspace_renamed IS 'Trigger: deployments are named by their workspace.';

-- Names before rows. A statement that gives or frees a name locks its rows when it comes to them; whoever makes a new deployment
-- has locked the names by then, and locks the rows of that name to call them otherwise.
CREATE FUNCTION core.names_are_given() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
BEGIN
    PERFORM core.lock_names();
    RETURN NULL;
END $$;
COMMENT ON FUNCTION core.names_are_given IS 'Trigger: a statement that may give or free names locks them before any row.';

CREATE TRIGGER b0_names_first BEFORE UPDATE OF name, deletion_requested_at ON core.deployments
    FOR EACH STATEMENT EXECUTE FUNCTION core.names_are_given();
CREATE TRIGGER b1_path BEFORE INSERT ON core.deployments FOR EACH ROW EXECUTE FUNCTION core.deployment_named();
CREATE TRIGGER b1_path_again BEFORE UPDATE ON core.deployments FOR EACH ROW
    WHEN ((OLD.workspace_id, OLD.name, OLD.release, OLD.deletion_requested_at, OLD.path)
          IS DISTINCT FROM (NEW.workspace_id, NEW.name, NEW.release, NEW.deletion_requested_at, NEW.path))
    EXECUTE FUNCTION core.deployment_named();
CREATE TRIGGER c1_others AFTER INSERT OR DELETE ON core.deployments FOR EACH ROW EXECUTE FUNCTION core.others_named();
CREATE TRIGGER c1_others_again AFTER UPDATE ON core.deployments FOR EACH ROW
    WHEN ((OLD.workspace_id, OLD.name, OLD.release, OLD.deletion_requested_at)
          IS DISTINCT FROM (NEW.workspace_id, NEW.name, NEW.release, NEW.deletion_requested_at))
    EXECUTE FUNCTION core.others_named();
CREATE TRIGGER c2_parts AFTER UPDATE ON core.deployments FOR EACH ROW WHEN (OLD.path IS DISTINCT FROM NEW.path)
    EXECUTE FUNCTION core.parts_renamed();
CREATE TRIGGER b1_path BEFORE INSERT OR UPDATE OF deployment_id, path ON core.components FOR EACH ROW EXECUTE FUNCTION core.part_named();
CREATE TRIGGER b1_path BEFORE INSERT OR UPDATE OF deployment_id, path ON core.variables FOR EACH ROW EXECUTE FUNCTION core.part_named();
CREATE TRIGGER c1_renamed AFTER UPDATE ON core.workspaces FOR EACH ROW WHEN (OLD.name IS DISTINCT FROM NEW.name)
    EXECUTE FUNCTION core.workspace_renamed();

ALTER TABLE core.deployments ENABLE ALWAYS TRIGGER b1_path, ENABLE ALWAYS TRIGGER b1_path_again, ENABLE ALWAYS TRIGGER c1_others,
    ENABLE ALWAYS TRIGGER c1_others_again, ENABLE ALWAYS TRIGGER c2_parts;
ALTER TABLE core.components ENABLE ALWAYS TRIGGER b1_path;
ALTER TABLE core.variables ENABLE ALWAYS TRIGGER b1_path;
ALTER TABLE core.workspaces ENABLE ALWAYS TRIGGER c1_renamed;

CREATE FUNCTION core.name_again() RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
BEGIN
    -- an UPDATE that finds nothing locks nothing
    UPDATE core.deployments d SET path = core.path_among_others(d) WHERE d.path IS DISTINCT FROM core.path_among_others(d);
    UPDATE core.components c SET path = d.path FROM core.deployments d WHERE d.id = c.deployment_id AND c.path IS DISTINCT FROM d.path;
    UPDATE core.variables v SET path = d.path FROM core.deployments d WHERE d.id = v.deployment_id AND v.path IS DISTINCT FROM d.path;
    UPDATE core.alert_emails a SET path = d.path FROM core.deployments d WHERE d.id = a.deployment_id AND a.path IS DISTINCT FROM d.path;
END $$;
COMMENT ON FUNCTION core.name_again IS 'Names what a restore without triggers left without its name.';
