-- 040_refusing.sql
-- Refusing, in one place. Each refusal has a code of our own class, a name (CONSTRAINT), a sentence, a hint that says
-- what to do, the JSON pointer of the field in the deployment's document (COLUMN), and where a statement over many rows
-- met it (DETAIL). state/errors.py maps the codes.

CREATE FUNCTION core.raise(code text, rule text, pointer text, message text, hint text, place text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql SET search_path = core, pg_temp AS $$
BEGIN
    IF place IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = code, CONSTRAINT = rule, COLUMN = pointer, MESSAGE = message, HINT = hint;
    END IF;
    RAISE EXCEPTION USING ERRCODE = code, CONSTRAINT = rule, COLUMN = pointer, MESSAGE = message, HINT = hint, DETAIL = place;
END $$;
COMMENT ON FUNCTION core.raise IS 'Codes: AR001 not found, AR002 changed meanwhile, AR003 cannot be, AR004 refused by a guard, AR005 fenced, AR006 waited for in vain.';

CREATE FUNCTION core.not_found(message text, hint text) RETURNS void LANGUAGE sql AS
    $$ SELECT core.raise('AR001', 'exists', '', message, hint) $$;
COMMENT ON FUNCTION core.not_found IS 'Raises: what was named does not exist.';

CREATE FUNCTION core.conflict(message text, hint text) RETURNS void LANGUAGE sql AS
    $$ SELECT core.raise('AR002', 'unchanged', '', message, hint) $$;
COMMENT ON FUNCTION core.conflict IS 'Raises: it was changed meanwhile, or exists where it must not.';

CREATE FUNCTION core.invalid(rule text, pointer text, message text, hint text, place text DEFAULT NULL) RETURNS void LANGUAGE sql AS
    $$ SELECT core.raise('AR003', rule, pointer, message, hint, place) $$;
COMMENT ON FUNCTION core.invalid IS 'Raises: what is asked for cannot be.';

CREATE FUNCTION core.refuse(rule text, pointer text, message text, hint text, place text DEFAULT NULL) RETURNS void LANGUAGE sql AS
    $$ SELECT core.raise('AR004', rule, pointer, message, hint, place) $$;
COMMENT ON FUNCTION core.refuse IS 'Raises: a guard says no.';

CREATE FUNCTION core.pointer(VARIADIC steps text[]) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT string_agg('/' || replace(replace(step, '~', '~0'), '/', '~1'), '' ORDER BY n)
      FROM unnest(steps) WITH ORDINALITY AS s(step, n)
$$;
COMMENT ON FUNCTION core.pointer IS 'A JSON pointer (RFC 6901) of its steps.';

CREATE FUNCTION core.check_name(name text, of_what text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF name IS NULL OR name !~ '^[a-z]([a-z0-9-]{0,18}[a-z0-9])?$' THEN
        PERFORM core.invalid(of_what || '_name_is_lowercase_letters_digits_and_dashes', '/name',
            format('%s cannot be a %s''s name.', coalesce(quote_literal(left(name, 60)), 'NULL'), of_what),
            'Use lowercase letters, digits and dashes, at most 20, beginning with a letter and not ending with a dash.');
    END IF;
END $$;
COMMENT ON FUNCTION core.check_name IS 'Names become parts of host names, database names and paths.';

CREATE FUNCTION core.check_time(moment timestamptz, field text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    -- infinity and antiquity have no ISO form that others can read
    IF moment NOT BETWEEN '2000-01-01 00:00:00Z' AND '3000-01-01 00:00:00Z' THEN
        PERFORM core.invalid('times_are_of_this_millennium', core.pointer(field), format('%s cannot be %s.', field, moment),
            'Give a time between the years 2000 and 3000.');
    END IF;
END $$;
COMMENT ON FUNCTION core.check_time IS 'Every time that is asked for is finite.';

-- 045_actors.sql
-- Who acts, and on which deployment: what generations, audit and revisions say about a change.

CREATE FUNCTION core.actor() RETURNS text LANGUAGE sql STABLE AS $$
    SELECT coalesce(nullif(left(current_setting('armillary.actor', true), 200), ''), session_user)
$$;
COMMENT ON FUNCTION core.actor IS 'Who acts: the user that the session names in armillary.actor, else the role of the session.';

CREATE FUNCTION core.actor_is_claimed() RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT coalesce(current_setting('armillary.actor', true), '') <> ''
       AND NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = 'armillary_api' AND pg_has_role(session_user, r.oid, 'MEMBER'))
$$;
COMMENT ON FUNCTION core.actor_is_claimed IS 'True when a session that is not the API''s says who acts: kept, and not believed.';

CREATE FUNCTION core.path_of(deployment bigint) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT w.name || '/' || d.name FROM core.deployments d JOIN core.workspaces w ON w.id = d.workspace_id WHERE d.id = deployment
$$;
COMMENT ON FUNCTION core.path_of IS 'workspace/name of a deployment.';

CREATE FUNCTION core.where_is(deployment bigint) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT 'In deployment ' || core.path_of(deployment) || '.'
$$;
COMMENT ON FUNCTION core.where_is IS 'Where something was refused, as DETAIL: a statement over many rows needs it.';

-- 047_names.sql
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

CREATE FUNCTION core.lock_names() RETURNS void LANGUAGE sql AS $$
    SELECT pg_advisory_xact_lock(hashtext('armillary.deployments'))
$$;
COMMENT ON FUNCTION core.lock_names IS 'One transaction at a time gives or frees a name, a release or ports.';

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
    RETURN NULL;
END $$;
COMMENT ON FUNCTION core.parts_renamed IS 'Trigger: components and variables are named by their deployment.';

CREATE FUNCTION core.part_named() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
BEGIN
    NEW.path := (SELECT d.path FROM core.deployments d WHERE d.id = NEW.deployment_id);
    RETURN NEW;
END $$;
COMMENT ON FUNCTION core.part_named IS 'Trigger: a component or a variable is named by its deployment.';

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
END $$;
COMMENT ON FUNCTION core.name_again IS 'Names what a restore without triggers left without its name.';

-- 050_deployments.sql
-- Deployments: what a new one gets, what each must be, what never changes, and the times of a deletion.

CREATE FUNCTION core.deployment_inserted() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
DECLARE workspace_name text := (SELECT w.name FROM core.workspaces w WHERE w.id = NEW.workspace_id);
BEGIN
    IF NEW.release IS NOT NULL THEN
        PERFORM core.invalid('a_release_is_given', '/release', 'A release is given, not chosen.',
            'Leave release out: it is made of the workspace''s and the deployment''s name.');
    END IF;
    IF NEW.deletion_requested_at IS NOT NULL OR NEW.delete_after IS NOT NULL OR NEW.retain_until IS NOT NULL THEN
        PERFORM core.invalid('nothing_is_made_deleted', '/deletion_requested_at', 'A new deployment cannot be one that is being deleted.',
            'Leave deletion_requested_at, delete_after and retain_until out, or set them to null.');
    END IF;
    PERFORM core.check_deployment(NEW);
    -- two inserts at once must not be given the same release or ports, and not the same name either
    PERFORM core.lock_names();
    PERFORM core.check_name_is_free(NEW);
    NEW.release := core.next_release(workspace_name, NEW.name);
    INSERT INTO core.releases (release) VALUES (NEW.release);
    NEW.generation := 1;
    NEW.created_at := now();
    NEW.changed_in := pg_current_xact_id();
    NEW.changed_at := transaction_timestamp();
    NEW.changed_by := core.actor();
    PERFORM pg_notify('armillary', '');
    RETURN NEW;
END $$;
COMMENT ON FUNCTION core.deployment_inserted IS 'Trigger: gives a new deployment its release and generation 1.';

CREATE FUNCTION core.next_release(workspace text, name text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    base text := workspace || '-' || name;
    candidate text := base;
    n integer := 1;
BEGIN
    WHILE EXISTS (SELECT FROM core.releases r WHERE r.release = candidate) LOOP
        n := n + 1;
        candidate := base || '-' || n;
    END LOOP;
    RETURN candidate;
END $$;
COMMENT ON FUNCTION core.next_release IS 'The first of <workspace>-<name>, -2, -3, … that was never given to any deployment.';

CREATE FUNCTION core.deployment_completed() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
BEGIN
    PERFORM core.give_components(NEW.id, NEW.executor);
    PERFORM core.lease_ports(NEW.id, NEW.cluster);
    RETURN NULL;
END $$;
COMMENT ON FUNCTION core.deployment_completed IS 'Trigger: gives a new deployment its components and ports.';

CREATE FUNCTION core.lease_ports(deployment bigint, cluster_name text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    place core.clusters := (SELECT c FROM core.clusters c WHERE c.name = cluster_name);
    base integer;
BEGIN
    -- in order, the first block in use whose number is not its place leaves a gap before it
    SELECT place.port_first + 16 * coalesce(min(used.nth) FILTER (WHERE used.block <> used.nth), count(*)) INTO base
      FROM (SELECT b.block, row_number() OVER (ORDER BY b.block) - 1 AS nth
              FROM (SELECT DISTINCT (p.number - place.port_first) / 16 AS block FROM core.ports p
                     WHERE p.cluster = cluster_name AND p.number >= place.port_first) AS b) AS used;
    IF (base <= place.port_last - 15) IS NOT TRUE THEN
        PERFORM core.refuse('a_block_of_ports_is_free', '/cluster', format('Cluster %s has no free block of 16 ports.', cluster_name),
            'Delete deployments that are no longer needed; their ports are free when they are gone.');
    END IF;
    INSERT INTO core.ports (deployment_id, cluster, unit, port, number)
    SELECT deployment, cluster_name, c.unit, c.port, base + c.position FROM core.port_catalogue c;
END $$;
COMMENT ON FUNCTION core.lease_ports IS 'Leases the lowest free block of 16 ports of the cluster.';

CREATE FUNCTION core.check_deployment(d core.deployments) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM core.check_name(d.name, 'deployment');
    IF NOT EXISTS (SELECT FROM core.airflow_versions v WHERE v.version = d.airflow_version) THEN
        PERFORM core.invalid('airflow_version_is_known', '/airflow_version',
            format('There is no Airflow %s here.', coalesce(quote_literal(left(d.airflow_version, 60)), 'without a version')),
            'Known versions: ' || (SELECT string_agg(version, ', ' ORDER BY version) FROM core.airflow_versions));
    END IF;
    PERFORM core.check_executor(d);
    IF NOT EXISTS (SELECT FROM core.clusters c WHERE c.name = d.cluster) THEN
        PERFORM core.invalid('cluster_exists', '/cluster', format('There is no cluster %L.', left(d.cluster, 60)),
            'Clusters: ' || (SELECT string_agg(name, ', ' ORDER BY name) FROM core.clusters));
    END IF;
    PERFORM core.check_dags_folder(d.dags_folder);
    PERFORM core.check_operation(d);
END $$;
COMMENT ON FUNCTION core.check_deployment IS 'Raises when a deployment cannot be as it is asked for.';

CREATE FUNCTION core.check_dags_folder(folder text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF folder IS NULL THEN
        PERFORM core.invalid('dags_folder_is_an_absolute_path', '/dags_folder', 'A deployment needs a folder of DAGs.',
            'Set dags_folder to an absolute path.');
    ELSIF folder !~ '^/[^\n\r]*$' OR length(folder) > 4000 THEN
        PERFORM core.invalid('dags_folder_is_an_absolute_path', '/dags_folder', format('%L cannot be a folder of DAGs.', left(folder, 200)),
            'Set dags_folder to an absolute path on the cluster''s machine, on one line.');
    END IF;
END $$;
COMMENT ON FUNCTION core.check_dags_folder IS 'Raises when a folder of DAGs is no absolute path.';

CREATE FUNCTION core.check_operation(d core.deployments) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF d.hibernated IS NULL THEN
        PERFORM core.invalid('hibernated_is_true_or_false', '/hibernated', 'hibernated cannot be NULL.', 'Set it to true or false.');
    END IF;
    IF d.drift_policy IS NULL OR d.drift_policy NOT IN ('repair', 'report') THEN
        PERFORM core.invalid('drift_policy_is_repair_or_report', '/drift_policy', format('There is no drift policy %L.', left(d.drift_policy, 60)),
            'Set it to repair (the default) or report.');
    END IF;
    PERFORM core.check_time(d.restarted_at, 'restarted_at');
    PERFORM core.check_time(d.paused_until, 'paused_until');
    IF d.pause_reason IS NULL OR length(d.pause_reason) > 1000 THEN
        PERFORM core.invalid('pause_reason_is_short', '/pause_reason', 'pause_reason cannot be NULL or longer than 1000 characters.',
            'Say it in a sentence; empty while nothing is paused.');
    END IF;
    IF d.paused_until IS NOT NULL AND d.pause_reason = '' THEN
        PERFORM core.invalid('a_pause_has_a_reason', '/pause_reason', 'A pause needs a reason, for the next person.',
            'Set pause_reason together with paused_until, or: SELECT armillary.pause(''demo/hello'', now() + interval ''1 hour'', ''why'')');
    END IF;
END $$;
COMMENT ON FUNCTION core.check_operation IS 'Raises when hibernation, drift policy, pause or restart cannot be as asked for.';

CREATE FUNCTION core.deployment_is_there(workspace text, name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM core.conflict(format('There is a deployment %s/%s already.', workspace, name), 'Change that one, or choose another name.');
END $$;
COMMENT ON FUNCTION core.deployment_is_there IS 'Raises: a new deployment cannot have the name.';

CREATE FUNCTION core.check_name_is_free(d core.deployments) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    -- two that take the same name at once: the second waits here, then sees the first
    PERFORM core.lock_names();
    IF EXISTS (SELECT FROM core.deployments o WHERE o.workspace_id = d.workspace_id AND o.name = d.name
                  AND o.id IS DISTINCT FROM d.id AND o.deletion_requested_at IS NULL) THEN
        PERFORM core.deployment_is_there((SELECT w.name FROM core.workspaces w WHERE w.id = d.workspace_id), d.name);
    END IF;
END $$;
COMMENT ON FUNCTION core.check_name_is_free IS 'Raises when a deployment that is not being deleted has the name.';

-- The times of a deletion follow from the request and back: a person sets one column, the others come with it.
CREATE FUNCTION core.with_deletion(before core.deployments, asked core.deployments) RETURNS core.deployments LANGUAGE plpgsql AS $$
DECLARE
    usual core.defaults := (SELECT u FROM core.defaults u);
    after core.deployments := asked;
BEGIN
    IF asked.deletion_requested_at IS NULL THEN
        IF before.deletion_requested_at IS NOT NULL THEN
            PERFORM core.check_undelete(before, asked);
            after.delete_after := NULL;
            after.retain_until := NULL;
        ELSIF asked.delete_after IS NOT NULL OR asked.retain_until IS NOT NULL THEN
            PERFORM core.invalid('deletion_is_requested_first', '/deletion_requested_at',
                format('%s is not being deleted: it has no time of deletion.', asked.name),
                'Ask for the deletion first: DELETE FROM armillary.deployments WHERE deployment = ''workspace/name''');
        END IF;
        RETURN after;
    END IF;
    after.deletion_requested_at := coalesce(before.deletion_requested_at, now());
    after.delete_after := coalesce(asked.delete_after, after.deletion_requested_at + make_interval(secs => usual.grace_seconds));
    after.retain_until := coalesce(asked.retain_until, after.delete_after + make_interval(secs => usual.retention_seconds));
    PERFORM core.check_deletion_times(before, after);
    RETURN after;
END $$;
COMMENT ON FUNCTION core.with_deletion IS 'A deployment as asked for, with the times of its deletion set, kept or cleared.';

CREATE FUNCTION core.check_deletion_times(before core.deployments, after core.deployments) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM core.check_time(after.delete_after, 'delete_after');
    PERFORM core.check_time(after.retain_until, 'retain_until');
    IF after.retain_until < after.delete_after THEN
        PERFORM core.invalid('deletion_times_are_set_together_and_in_order', '/retain_until',
            format('Data cannot go (retain_until %s) before the processes (delete_after %s).', after.retain_until, after.delete_after),
            'Set retain_until to the same time or a later one, in the same statement.');
    END IF;
    IF before.retain_until <= clock_timestamp() AND after.retain_until > before.retain_until THEN
        PERFORM core.refuse('what_is_being_purged_is_not_kept', '/retain_until', 'It is too late: the databases may be removed already.',
            'Make a new deployment; its release will be a new one.');
    END IF;
END $$;
COMMENT ON FUNCTION core.check_deletion_times IS 'Raises when the times of a deletion cannot be.';

CREATE FUNCTION core.check_undelete(before core.deployments, after core.deployments) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF before.retain_until <= clock_timestamp() THEN
        PERFORM core.refuse('what_is_being_purged_is_not_kept', '/deletion_requested_at',
            'It is too late: the databases may be removed already.', 'Make a new deployment; its release will be a new one.');
    END IF;
    IF EXISTS (SELECT FROM core.deployments o WHERE o.workspace_id = after.workspace_id AND o.name = after.name
                  AND o.id <> after.id AND o.deletion_requested_at IS NULL) THEN
        PERFORM core.refuse('the_name_is_free', '/deletion_requested_at',
            format('The name %s was given to a new deployment meanwhile.', after.name),
            format('Give this one another name in the same statement (… SET deletion_requested_at = NULL, name = ''…'' WHERE release = %L), or delete the new one first.', before.release));
    END IF;
END $$;
COMMENT ON FUNCTION core.check_undelete IS 'Raises when a deletion cannot be taken back.';

CREATE FUNCTION core.check_unmoved(before core.deployments, after core.deployments) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF (after.release, after.workspace_id, after.cluster) IS DISTINCT FROM (before.release, before.workspace_id, before.cluster) THEN
        PERFORM core.invalid('a_deployment_never_moves', CASE WHEN after.cluster IS DISTINCT FROM before.cluster THEN '/cluster' ELSE '/release' END,
            'A deployment''s release, workspace and cluster never change.',
            'Make a new deployment where you want it and delete this one.');
    END IF;
    IF (after.generation, after.created_at) IS DISTINCT FROM (before.generation, before.created_at) THEN
        PERFORM core.invalid('generations_are_counted', '/generation', 'A deployment''s generation and created_at are counted, not set.',
            'Leave them out.');
    END IF;
END $$;
COMMENT ON FUNCTION core.check_unmoved IS 'Raises when what never changes would change.';

CREATE TRIGGER a1_complete BEFORE INSERT ON core.deployments FOR EACH ROW EXECUTE FUNCTION core.deployment_inserted();
CREATE TRIGGER a2_components AFTER INSERT ON core.deployments FOR EACH ROW EXECUTE FUNCTION core.deployment_completed();

-- 060_generation.sql
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

-- 065_executors.sql
-- Executors: which a deployment may have, and the components that come and go with another one.

CREATE FUNCTION core.check_executor(d core.deployments) RETURNS void LANGUAGE plpgsql AS $$
DECLARE kind text := (SELECT c.driver FROM core.clusters c WHERE c.name = d.cluster);
BEGIN
    IF EXISTS (SELECT FROM core.component_catalogue c WHERE c.executor = d.executor) THEN
        RETURN;
    END IF;
    PERFORM core.invalid('executor_is_offered', '/executor',
        CASE WHEN d.executor = 'KubernetesExecutor' AND kind = 'local'
             THEN format('The KubernetesExecutor makes a pod for each task, and cluster %s is one machine without pods.', d.cluster)
             ELSE format('The executor %L is not offered here.', left(d.executor, 60)) END,
        'Executors: ' || (SELECT string_agg(DISTINCT c.executor, ', ' ORDER BY c.executor) FROM core.component_catalogue c));
END $$;
COMMENT ON FUNCTION core.check_executor IS 'Raises when a deployment cannot have its executor, and says why.';

CREATE FUNCTION core.give_components(deployment bigint, for_executor text) RETURNS void LANGUAGE sql AS $$
    INSERT INTO core.components (deployment_id, component, grace_seconds)
    SELECT deployment, c.component, c.grace_seconds FROM core.component_catalogue c WHERE c.executor = for_executor
    ON CONFLICT DO NOTHING
$$;
COMMENT ON FUNCTION core.give_components IS 'Gives a deployment the components of an executor that it has not yet, each as it usually is.';

CREATE FUNCTION core.is_left_over(c core.components, of_executor text) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT NOT EXISTS (SELECT FROM core.component_catalogue k WHERE k.executor = of_executor AND k.component = c.component)
$$;
COMMENT ON FUNCTION core.is_left_over IS 'True when an executor has no such component.';

CREATE FUNCTION core.check_has_readers(v core.variables, of_executor text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE gone text := (SELECT string_agg(r, ', ' ORDER BY r) FROM unnest(v.components) AS r WHERE NOT EXISTS (
    SELECT FROM core.component_catalogue k WHERE k.executor = of_executor AND k.component = r));
BEGIN
    IF gone IS NOT NULL THEN
        PERFORM core.invalid('readers_are_components', core.pointer('variables', v.key, 'components'),
            format('The variable %s is for %s, which a deployment with the %s does not have.', v.key, gone, of_executor),
            'Change first who reads it, or delete it.', core.where_is(v.deployment_id));
    END IF;
END $$;
COMMENT ON FUNCTION core.check_has_readers IS 'Raises when a variable is for a component that an executor does not have.';

-- without nested loops, as core.deployments_changed: a plan that was made for one row would be kept for ten thousand
CREATE FUNCTION core.executors_followed() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = core, pg_temp SET enable_nestloop = off AS $$
DECLARE moved bigint[] := (SELECT array_agg(n.id) FROM removed o JOIN added n USING (id) WHERE n.executor <> o.executor);
BEGIN
    IF moved IS NULL THEN
        RETURN NULL;
    END IF;
    PERFORM core.check_has_readers(v, d.executor) FROM core.variables v JOIN core.deployments d ON d.id = v.deployment_id
      WHERE d.id = ANY (moved) AND v.components <> '{}';
    DELETE FROM core.components c USING core.deployments d
     WHERE d.id = c.deployment_id AND d.id = ANY (moved) AND core.is_left_over(c, d.executor);
    PERFORM core.give_components(d.id, d.executor) FROM core.deployments d WHERE d.id = ANY (moved);
    RETURN NULL;
END $$;
COMMENT ON FUNCTION core.executors_followed IS 'Trigger: with another executor components come and go.';

-- y2: after core.deployments_changed, which would take components that are missing for a change behind the triggers
CREATE TRIGGER y2_executors AFTER UPDATE ON core.deployments REFERENCING OLD TABLE AS removed NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION core.executors_followed();

-- 070_audit.sql
-- Audit: one row for each changed row of desired state, with who, before and after. Secrets are masked.

CREATE FUNCTION core.auditable(relation text, this jsonb, other jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN relation = 'variables' AND ((this->>'secret')::boolean OR (other->>'secret')::boolean)
                THEN jsonb_set(this, '{value}', '"(sealed)"') ELSE this END
         - ARRAY['generation', 'changed_in', 'changed_at', 'changed_by', 'sha256', 'owner', 'path']
$$;
COMMENT ON FUNCTION core.auditable IS 'A row as it may be kept: without bookkeeping, and without a value that is, was or becomes secret.';

CREATE FUNCTION core.key_of(columns text[], of_row jsonb) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT string_agg(of_row->>name, '/' ORDER BY n) FROM unnest(columns) WITH ORDINALITY AS c(name, n)
$$;
COMMENT ON FUNCTION core.key_of IS 'The primary key of a row as text.';

CREATE FUNCTION core.deployment_of(relation text, of_row jsonb) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE relation
        WHEN 'approvals' THEN core.path_of((SELECT d.id FROM core.deployments d WHERE d.owner = of_row->>'owner'))
        ELSE split_part(of_row->>'path', '@', 1) END
$$;
COMMENT ON FUNCTION core.deployment_of IS 'workspace/name of the deployment that a row belongs to, if it does.';

CREATE FUNCTION core.who_acts(OUT who text, OUT claimed boolean, OUT meant text) LANGUAGE plpgsql STABLE AS $$
BEGIN
    who := core.actor();
    claimed := core.actor_is_claimed();
    meant := coalesce(current_setting('armillary.allow_bulk', true), '');
END $$;
COMMENT ON FUNCTION core.who_acts IS 'Who acts, whether only they say so, and why a bulk change is meant: once a statement, the same for all of its rows.';

CREATE FUNCTION core.audit_inserted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp SET TimeZone = 'UTC' AS $$
BEGIN
    PERFORM core.open_month('audit');
    INSERT INTO core.audit (relation, key, deployment, operation, after, actor, actor_is_claimed, reason)
    SELECT TG_TABLE_NAME, core.key_of(TG_ARGV, r.row), core.deployment_of(TG_TABLE_NAME, r.row), 'INSERT',
           core.auditable(TG_TABLE_NAME, r.row, NULL), w.who, w.claimed, w.meant
      FROM (SELECT to_jsonb(a) AS row FROM added a) AS r, core.who_acts() AS w;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION core.audit_inserted IS 'Trigger: audits new rows. Its arguments are the columns of the primary key.';

CREATE FUNCTION core.audit_deleted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp SET TimeZone = 'UTC' AS $$
BEGIN
    PERFORM core.open_month('audit');
    INSERT INTO core.audit (relation, key, deployment, operation, before, actor, actor_is_claimed, reason)
    SELECT TG_TABLE_NAME, core.key_of(TG_ARGV, r.row), core.deployment_of(TG_TABLE_NAME, r.row), 'DELETE',
           core.auditable(TG_TABLE_NAME, r.row, NULL), w.who, w.claimed, w.meant
      FROM (SELECT to_jsonb(o) AS row FROM removed o) AS r, core.who_acts() AS w;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION core.audit_deleted IS 'Trigger: audits removed rows. Its arguments are the columns of the primary key.';

CREATE FUNCTION core.audit_updated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp SET TimeZone = 'UTC' SET enable_nestloop = off AS $$
BEGIN
    PERFORM core.open_month('audit');
    -- a row whose key changed has no partner: it is kept as one that went and one that came
    INSERT INTO core.audit (relation, key, deployment, operation, before, after, actor, actor_is_claimed, reason)
    SELECT TG_TABLE_NAME, coalesce(n.key, o.key), core.deployment_of(TG_TABLE_NAME, coalesce(n.row, o.row)),
           CASE WHEN o.key IS NULL THEN 'INSERT' WHEN n.key IS NULL THEN 'DELETE' ELSE 'UPDATE' END,
           core.auditable(TG_TABLE_NAME, o.row, n.row), core.auditable(TG_TABLE_NAME, n.row, o.row), w.who, w.claimed, w.meant
      FROM (SELECT to_jsonb(r) AS row, core.key_of(TG_ARGV, to_jsonb(r)) AS key FROM removed r) AS o
      FULL JOIN (SELECT to_jsonb(a) AS row, core.key_of(TG_ARGV, to_jsonb(a)) AS key FROM added a) AS n USING (key)
     CROSS JOIN core.who_acts() AS w
     WHERE core.auditable(TG_TABLE_NAME, o.row, NULL) IS DISTINCT FROM core.auditable(TG_TABLE_NAME, n.row, NULL);
    RETURN NULL;
END $$;
COMMENT ON FUNCTION core.audit_updated IS 'Trigger: audits rows that differ. Its arguments are the columns of the primary key.';

DO $$
DECLARE one record;
BEGIN
    FOR one IN SELECT * FROM (VALUES
        ('workspaces', '''id'''), ('deployments', '''id'''), ('components', '''deployment_id'', ''component'''),
        ('variables', '''deployment_id'', ''key'''), ('defaults', '''only_one'''), ('clusters', '''name'''), ('tokens', '''id'''),
        ('approvals', '''owner'', ''what''')
    ) AS t(relation, keys) LOOP
        EXECUTE format('CREATE TRIGGER z1_audit_inserted AFTER INSERT ON core.%I REFERENCING NEW TABLE AS added
            FOR EACH STATEMENT EXECUTE FUNCTION core.audit_inserted(%s)', one.relation, one.keys);
        EXECUTE format('CREATE TRIGGER z1_audit_deleted AFTER DELETE ON core.%I REFERENCING OLD TABLE AS removed
            FOR EACH STATEMENT EXECUTE FUNCTION core.audit_deleted(%s)', one.relation, one.keys);
        CONTINUE WHEN one.relation = 'deployments';  -- by core.deployments_changed, with the rest
        EXECUTE format('CREATE TRIGGER z1_audit_updated AFTER UPDATE ON core.%I REFERENCING OLD TABLE AS removed NEW TABLE AS added
            FOR EACH STATEMENT EXECUTE FUNCTION core.audit_updated(%s)', one.relation, one.keys);
    END LOOP;
END $$;

CREATE FUNCTION core.history_is_append_only() RETURNS trigger LANGUAGE plpgsql SET search_path = core, pg_temp AS $$
BEGIN
    PERFORM core.refuse('history_is_append_only', '', format('Rows of %s are never changed.', TG_TABLE_NAME),
        'The table''s owner may disable this trigger to remove old rows.');
    RETURN NULL;
END $$;
COMMENT ON FUNCTION core.history_is_append_only IS 'Trigger: refuses to change what was.';
CREATE TRIGGER a1_append_only BEFORE UPDATE OR DELETE ON core.audit FOR EACH ROW EXECUTE FUNCTION core.history_is_append_only();
CREATE TRIGGER a1_append_only BEFORE UPDATE ON core.revisions FOR EACH ROW EXECUTE FUNCTION core.history_is_append_only();
CREATE TRIGGER a1_append_only BEFORE UPDATE OR DELETE ON core.releases FOR EACH ROW EXECUTE FUNCTION core.history_is_append_only();

-- 075_history.sql
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

-- 080_documents.sql
-- Deployments as documents, the read half, and how they are named: 'workspace/name'. Times are in UTC everywhere.
-- What is asked often is PL/pgSQL, whose plans a session keeps.

CREATE FUNCTION core.components_of(deployment bigint) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (SELECT coalesce(jsonb_object_agg(c.component, jsonb_build_object('replicas', c.replicas, 'cpu_millicores', c.cpu_millicores,
               'memory_mib', c.memory_mib, 'grace_seconds', c.grace_seconds, 'settings', c.settings)), '{}')
      FROM core.components c WHERE c.deployment_id = deployment);
END $$;
COMMENT ON FUNCTION core.components_of IS 'The components of a deployment, by name.';

CREATE FUNCTION core.variables_of(deployment bigint) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (SELECT coalesce(jsonb_object_agg(v.key, CASE WHEN v.secret
               THEN jsonb_build_object('secret', true, 'version', v.version, 'components', v.components)
               ELSE jsonb_build_object('value', v.value, 'components', v.components) END), '{}')
      FROM core.variables v WHERE v.deployment_id = deployment);
END $$;
COMMENT ON FUNCTION core.variables_of IS 'The variables of a deployment, by key. Secrets are versions.';

CREATE VIEW core.documents AS
    SELECT d.id, jsonb_build_object('workspace', w.name, 'name', d.name, 'release', d.release, 'cluster', d.cluster,
           'airflow_version', d.airflow_version, 'executor', d.executor, 'dags_folder', d.dags_folder,
           'hibernated', d.hibernated, 'drift_policy', d.drift_policy, 'paused_until', d.paused_until,
           'pause_reason', d.pause_reason, 'restarted_at', d.restarted_at, 'components', (
                SELECT coalesce(jsonb_object_agg(c.component, jsonb_build_object('replicas', c.replicas, 'cpu_millicores', c.cpu_millicores,
                       'memory_mib', c.memory_mib, 'grace_seconds', c.grace_seconds, 'settings', c.settings)), '{}')
                  FROM core.components c WHERE c.deployment_id = d.id),
           'variables', (
                SELECT coalesce(jsonb_object_agg(v.key, CASE WHEN v.secret
                       THEN jsonb_build_object('secret', true, 'version', v.version, 'components', v.components)
                       ELSE jsonb_build_object('value', v.value, 'components', v.components) END), '{}')
                  FROM core.variables v WHERE v.deployment_id = d.id),
           'generation', d.generation, 'deletion_requested_at', d.deletion_requested_at, 'delete_after', d.delete_after,
           'retain_until', d.retain_until, 'created_at', d.created_at) AS document
      FROM core.deployments d JOIN core.workspaces w ON w.id = d.workspace_id;
COMMENT ON VIEW core.documents IS 'The complete desired state of each deployment. Secrets are versions. Times are in the session''s zone: ask in UTC.';

CREATE FUNCTION core.document(deployment bigint) RETURNS jsonb LANGUAGE plpgsql STABLE SET TimeZone = 'UTC' AS $$
BEGIN
    RETURN (SELECT o.document FROM core.documents o WHERE o.id = deployment);
END $$;
COMMENT ON FUNCTION core.document IS 'A deployment''s complete desired state. Secrets are versions.';

CREATE FUNCTION core.find(workspace text, name text) RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT d.id FROM core.deployments d JOIN core.workspaces w ON w.id = d.workspace_id
     WHERE w.name = find.workspace AND d.name = find.name
     ORDER BY d.deletion_requested_at DESC NULLS FIRST, d.id DESC LIMIT 1
$$;
COMMENT ON FUNCTION core.find IS 'The deployment of that name; while none is, the one whose deletion was asked for last. NULL when there is none.';

-- by the pairs of letters that two names share (Dice), so that no extension is needed
CREATE FUNCTION core.nearest(wanted text, known text[]) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    WITH pairs AS (SELECT DISTINCT substr('/' || wanted || '/', n, 2) AS pair FROM generate_series(1, length(wanted) + 1) n)
    SELECT string_agg(near.name, ' or ' ORDER BY near.likeness DESC, near.name) FROM (
        SELECT k.name, 2.0 * count(p.pair) / ((SELECT count(*) FROM pairs) + count(*)) AS likeness
          FROM unnest(known) AS k(name), LATERAL (SELECT DISTINCT substr('/' || k.name || '/', n, 2) AS pair
               FROM generate_series(1, length(k.name) + 1) n) AS o LEFT JOIN pairs p ON p.pair = o.pair
         GROUP BY k.name HAVING 2.0 * count(p.pair) / ((SELECT count(*) FROM pairs) + count(*)) >= 0.65
         ORDER BY likeness DESC, k.name LIMIT 3) AS near
$$;
COMMENT ON FUNCTION core.nearest IS 'At most three of the known names that are most like the wanted one; NULL when none is.';

CREATE FUNCTION core.resolve(path text) RETURNS bigint LANGUAGE plpgsql STABLE AS $$
DECLARE found bigint := CASE WHEN path LIKE '%@%' THEN (SELECT d.id FROM core.deployments d
        WHERE d.path || '' = resolve.path AND d.release = split_part(resolve.path, '@', 2))
    ELSE core.find(split_part(path, '/', 1), split_part(path, '/', 2)) END;
BEGIN
    IF found IS NULL OR path !~ '^[^/]+/[^/]+$' THEN
        PERFORM core.not_found(format('There is no deployment %L.', left(path, 100)), 'Write workspace/name. '
            || coalesce('Did you mean ' || core.nearest(left(path, 100), ARRAY(SELECT w.name || '/' || d.name
                FROM core.deployments d JOIN core.workspaces w ON w.id = d.workspace_id)) || '? ', '')
            || 'There are: ' || coalesce((SELECT string_agg(w.name || '/' || d.name, ', ' ORDER BY d.id)
                FROM (SELECT * FROM core.deployments ORDER BY id LIMIT 20) d JOIN core.workspaces w ON w.id = d.workspace_id), 'none'));
    END IF;
    RETURN found;
END $$;
COMMENT ON FUNCTION core.resolve IS 'The deployment named workspace/name. Raises when there is none.';

CREATE FUNCTION core.get_deployment(workspace text, name text) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN core.document(core.resolve(workspace || '/' || name));
END $$;
COMMENT ON FUNCTION core.get_deployment IS 'The document of a deployment. Raises when there is none.';

CREATE FUNCTION core.list_deployments(in_workspace text DEFAULT NULL) RETURNS SETOF jsonb LANGUAGE sql STABLE AS $$
    SELECT core.document(d.id) FROM core.deployments d JOIN core.workspaces w ON w.id = d.workspace_id
     WHERE in_workspace IS NULL OR w.name = in_workspace ORDER BY w.name, d.name, d.id
$$;
COMMENT ON FUNCTION core.list_deployments IS 'The documents of all deployments, or of a workspace''s; also of those being deleted.';

-- 085_revisions.sql
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

-- 090_components.sql
-- Components: what each row must be. Rows come with the deployment and go with it.

CREATE FUNCTION core.component_checked() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
DECLARE
    most integer;
    known text;
BEGIN
    IF TG_OP = 'UPDATE' AND (NEW.deployment_id, NEW.component) IS DISTINCT FROM (OLD.deployment_id, OLD.component) THEN
        PERFORM core.invalid('components_are_not_renamed', core.pointer('components', OLD.component),
            format('The component %s cannot become another one.', OLD.component), 'Change the other component''s row instead.',
            core.where_is(OLD.deployment_id));
    END IF;
    SELECT max(c.replicas_max) FILTER (WHERE c.component = NEW.component), string_agg(c.component, ', ' ORDER BY c.component)
      INTO most, known
      FROM core.component_catalogue c JOIN core.deployments d ON d.executor = c.executor WHERE d.id = NEW.deployment_id;
    IF most IS NULL THEN
        PERFORM core.invalid('component_is_known', core.pointer('components', NEW.component),
            format('There is no component %L in this deployment.', NEW.component), 'Components: ' || known, core.where_is(NEW.deployment_id));
    END IF;
    PERFORM core.check_amount(NEW, 'replicas', coalesce(NEW.replicas, -1), 0, most);
    PERFORM core.check_amount(NEW, 'cpu_millicores', NEW.cpu_millicores, 10, 256000);
    PERFORM core.check_amount(NEW, 'memory_mib', NEW.memory_mib, 64, 4194304);
    PERFORM core.check_amount(NEW, 'grace_seconds', coalesce(NEW.grace_seconds, -1), 0, 36000);
    PERFORM core.check_settings(NEW);
    RETURN NEW;
END $$;
COMMENT ON FUNCTION core.component_checked IS 'Trigger: checks a component''s row.';

CREATE FUNCTION core.check_amount(of_component core.components, field text, amount integer, lowest integer, highest integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF amount NOT BETWEEN lowest AND highest THEN
        PERFORM core.invalid(field || '_are_within_limits', core.pointer('components', of_component.component, field),
            format('%s of %s cannot be %s.', field, of_component.component, CASE WHEN amount = -1 THEN 'negative or NULL' ELSE amount::text END),
            format('Choose between %s and %s.', lowest, highest), core.where_is(of_component.deployment_id));
    END IF;
END $$;
COMMENT ON FUNCTION core.check_amount IS 'Raises when a number of a component is out of its limits. NULL is within.';

CREATE FUNCTION core.check_settings(c core.components) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    one record;
    known core.setting_catalogue;
    of_component text := c.component;
BEGIN
    IF jsonb_typeof(c.settings) IS DISTINCT FROM 'object' THEN
        PERFORM core.invalid('settings_are_an_object', core.pointer('components', of_component, 'settings'),
            format('The settings of %s must be a JSON object.', of_component), 'Write {"key": value}, or {} for none.', core.where_is(c.deployment_id));
    END IF;
    FOR one IN SELECT key, value FROM jsonb_each(c.settings) LOOP
        SELECT * INTO known FROM core.setting_catalogue s WHERE s.component = of_component AND s.key = one.key;
        IF NOT FOUND THEN
            PERFORM core.invalid('setting_is_known', core.pointer('components', of_component, 'settings', one.key),
                format('%s has no setting %L.', of_component, left(one.key, 80)), 'Its settings: '
                || coalesce((SELECT string_agg(key, ', ' ORDER BY key) FROM core.setting_catalogue s WHERE s.component = of_component), 'none'), core.where_is(c.deployment_id));
        END IF;
        IF known.pattern IS NOT NULL THEN
            PERFORM core.check_text(c, known, one.value);
        ELSIF one.value::text !~ '^-?[0-9]{1,9}$' OR one.value::text::integer NOT BETWEEN known.minimum AND known.maximum THEN
            PERFORM core.invalid('setting_is_within_limits', core.pointer('components', of_component, 'settings', one.key),
                format('%s of %s cannot be %s.', one.key, of_component, left(one.value::text, 80)),
                format('Choose a whole number between %s and %s, without quotes. %s', known.minimum, known.maximum, known.meaning), core.where_is(c.deployment_id));
        END IF;
    END LOOP;
END $$;
COMMENT ON FUNCTION core.check_settings IS 'Raises when a setting is not in the catalogue, or out of its limits.';

CREATE FUNCTION core.check_text(c core.components, known core.setting_catalogue, value jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE said text := value #>> '{}';
BEGIN
    IF (jsonb_typeof(value) = 'string' AND said ~ known.pattern AND length(said) BETWEEN known.minimum AND known.maximum) IS NOT TRUE THEN
        PERFORM core.invalid('setting_is_within_limits', core.pointer('components', c.component, 'settings', known.key),
            format('%s of %s cannot be %s.', known.key, c.component, left(value::text, 80)),
            'Write a text in quotes. ' || known.meaning, core.where_is(c.deployment_id));
    END IF;
END $$;
COMMENT ON FUNCTION core.check_text IS 'Raises when a setting that is a text does not look as it must.';

CREATE FUNCTION core.component_stays() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
BEGIN
    -- a row that goes with its deployment has no deployment any more, or one that is just being removed
    IF EXISTS (SELECT FROM core.deployments d WHERE d.id = OLD.deployment_id AND NOT core.is_left_over(OLD, d.executor)
                  AND d.owner IS DISTINCT FROM current_setting('armillary.removing', true)) THEN
        PERFORM core.refuse('components_follow_from_the_executor', core.pointer('components', OLD.component),
            format('The component %s belongs to the deployment''s executor and is not deleted.', OLD.component),
            'To stop it: UPDATE armillary.components SET replicas = 0 WHERE …', core.where_is(OLD.deployment_id));
    END IF;
    RETURN OLD;
END $$;
COMMENT ON FUNCTION core.component_stays IS 'Trigger: a component goes only with its deployment, or with an executor.';

CREATE TRIGGER a1_check BEFORE INSERT OR UPDATE ON core.components FOR EACH ROW EXECUTE FUNCTION core.component_checked();
CREATE TRIGGER a2_stays BEFORE DELETE ON core.components FOR EACH ROW EXECUTE FUNCTION core.component_stays();

-- 095_secrets.sql
-- Secrets: the inbox where values wait, sealing them, and minting generated ones. PostgreSQL never holds a key.

CREATE FUNCTION core.newest_version(deployment bigint, key text) RETURNS integer LANGUAGE sql STABLE AS $$
    SELECT coalesce(max(s.version), 0) FROM core.secrets s JOIN core.deployments d ON d.owner = s.owner
     WHERE d.id = deployment AND s.name = 'variable/' || key
$$;
COMMENT ON FUNCTION core.newest_version IS 'The newest sealed version of a variable''s secret, or 0.';

-- Objects' digests hold versions, never values, and a restored database forgets versions that clusters know. Counted by ones
-- they would come again, for other values. The lot is a 4096th of what the type has left, half a million at first, so that
-- numbers do not run out: of one variable's they would after some hundred thousand changes.
CREATE FUNCTION core.next_version(newest integer) RETURNS integer LANGUAGE sql VOLATILE AS $$
    SELECT newest + 1 + floor(random() * ((2147483647 - newest) / 4096))::integer
$$;
COMMENT ON FUNCTION core.next_version IS 'A version beyond that one, by lot: two histories of a database do not give two values the same.';

CREATE FUNCTION core.is_sealed(deployment bigint, key text, at_version integer) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM core.secrets s JOIN core.deployments d ON d.owner = s.owner
     WHERE d.id = deployment AND s.name = 'variable/' || key AND s.version = at_version)
$$;
COMMENT ON FUNCTION core.is_sealed IS 'True when that version of a variable''s secret exists.';

CREATE FUNCTION core.put_in_inbox(deployment bigint, key text, value text) RETURNS void LANGUAGE sql AS $$
    INSERT INTO core.secret_inbox (owner, name, version, value, actor)
    SELECT d.owner, 'variable/' || key, core.next_version(greatest(core.newest_version(deployment, key),
            (SELECT max(i.version) FROM core.secret_inbox i WHERE i.owner = d.owner AND i.name = 'variable/' || key))), value, core.actor()
      FROM core.deployments d WHERE d.id = deployment;
    SELECT pg_notify('armillary', '');
$$;
COMMENT ON FUNCTION core.put_in_inbox IS 'Keeps a value until the daemon seals it, as a version that follows.';

CREATE FUNCTION core.drop_from_inbox(deployment bigint, key text) RETURNS void LANGUAGE sql AS $$
    DELETE FROM core.secret_inbox i USING core.deployments d WHERE d.id = deployment AND i.owner = d.owner AND i.name = 'variable/' || key
$$;
COMMENT ON FUNCTION core.drop_from_inbox IS 'Forgets values that are not wanted any more.';

CREATE FUNCTION core.inbox_take(most integer)
RETURNS TABLE (id bigint, owner text, name text, version integer, value text, newest integer) LANGUAGE sql AS $$
    -- a batch of secrets is not one person's bulk change
    SELECT set_config('armillary.allow_bulk', 'secrets are sealed', true);
    SELECT i.id, i.owner, i.name, i.version, i.value,
           (SELECT max(s.version) FROM core.secrets s WHERE s.owner = i.owner AND s.name = i.name)
      FROM core.secret_inbox i ORDER BY i.id LIMIT most FOR UPDATE OF i SKIP LOCKED
$$;
COMMENT ON FUNCTION core.inbox_take IS 'What waits to be sealed, locked for this transaction (two daemons take different rows), each with its newest sealed version.';

CREATE FUNCTION core.seal(inbox_id bigint, key_id text, ciphertext bytea) RETURNS void LANGUAGE plpgsql AS $$
DECLARE waiting core.secret_inbox;
BEGIN
    SELECT * INTO waiting FROM core.secret_inbox i WHERE i.id = inbox_id FOR UPDATE;
    IF EXISTS (SELECT FROM core.secrets s WHERE s.owner = waiting.owner AND s.name = waiting.name AND s.version = waiting.version) THEN
        -- written by a transaction that could not see the newest version: it is taken again, as one that follows
        UPDATE core.secret_inbox i SET version = core.next_version((SELECT max(s.version) FROM core.secrets s
            WHERE s.owner = waiting.owner AND s.name = waiting.name)) WHERE i.id = inbox_id;
        RETURN;
    END IF;
    DELETE FROM core.secret_inbox i WHERE i.id = inbox_id;
    IF EXISTS (SELECT FROM core.deployments d WHERE d.owner = waiting.owner) THEN
        INSERT INTO core.secrets (owner, name, version, key_id, ciphertext)
        VALUES (waiting.owner, waiting.name, waiting.version, seal.key_id, seal.ciphertext);
        PERFORM core.refer(waiting, waiting.version, false);
    END IF;
END $$;
COMMENT ON FUNCTION core.seal IS 'Replaces an inbox row by its sealed version and lets the variable refer to it.';

CREATE FUNCTION core.seal_as(inbox_id bigint, existing integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE waiting core.secret_inbox;
BEGIN
    DELETE FROM core.secret_inbox i WHERE i.id = inbox_id RETURNING * INTO waiting;
    IF EXISTS (SELECT FROM core.secrets s WHERE s.owner = waiting.owner AND s.name = waiting.name AND s.version = existing) THEN
        PERFORM core.refer(waiting, existing, true);
    END IF;
END $$;
COMMENT ON FUNCTION core.seal_as IS 'For a value that is sealed already: drops the inbox row and lets the variable refer to that version.';

CREATE FUNCTION core.refer(waiting core.secret_inbox, to_version integer, also_back boolean) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    actor text := coalesce(current_setting('armillary.actor', true), '');
    bulk text := coalesce(current_setting('armillary.allow_bulk', true), '');
BEGIN
    -- who wrote the value made the change
    PERFORM set_config('armillary.actor', waiting.actor, true), set_config('armillary.allow_bulk', 'secrets are sealed', true);
    UPDATE core.variables v SET version = to_version FROM core.deployments d
     WHERE d.owner = waiting.owner AND v.deployment_id = d.id AND waiting.name = 'variable/' || v.key AND v.secret
       AND (v.version < to_version OR also_back AND v.version > to_version);
    PERFORM set_config('armillary.actor', actor, true), set_config('armillary.allow_bulk', bulk, true);
END $$;
COMMENT ON FUNCTION core.refer IS 'Lets the variable of an inbox row refer to a sealed version, to an older one only when asked to: that is a new generation.';

CREATE FUNCTION core.mint(owner text, name text, key_id text, ciphertext bytea, first integer DEFAULT 1) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE newest integer;
BEGIN
    -- two who mint at once, in two daemons, come with two versions: the second sees the first's
    PERFORM pg_advisory_xact_lock(hashtextextended(concat_ws('/', mint.owner, mint.name), 0));
    INSERT INTO core.secrets AS s (owner, name, version, key_id, ciphertext)
    SELECT mint.owner, mint.name, first, mint.key_id, mint.ciphertext
     WHERE NOT EXISTS (SELECT FROM core.secrets o WHERE o.owner = mint.owner AND o.name = mint.name)
    ON CONFLICT DO NOTHING;
    IF FOUND THEN
        PERFORM core.open_month('audit');
        -- a change like any other: a backup from before it does not know what clusters were given since
        INSERT INTO core.audit (relation, key, deployment, operation, after, actor, actor_is_claimed)
        VALUES ('secrets', concat_ws('/', mint.owner, mint.name, first), core.path_of((SELECT d.id FROM core.deployments d WHERE d.owner = mint.owner)),
            'INSERT', jsonb_build_object('name', mint.name, 'version', first), core.actor(), core.actor_is_claimed());
    END IF;
    SELECT max(s.version) INTO newest FROM core.secrets s WHERE s.owner = mint.owner AND s.name = mint.name;
    RETURN newest;
END $$;
COMMENT ON FUNCTION core.mint IS 'Stores a generated secret, sealed as that version, where none of the name exists; the newest version. Never generates again.';

-- Text that `armillary secret seal` printed: armillary-sealed.v1.<key>.<owner>.<variable>.<base64>. Whose it is stands in
-- it readably, so that a mistake is told at once; the daemon, which has the keys, checks that it is true.
CREATE FUNCTION core.check_sealed(deployment bigint, key text, value text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    path text := core.path_of(deployment);
    parts text[] := CASE WHEN value LIKE 'armillary-sealed.%' THEN string_to_array(value, '.') END;
BEGIN
    IF parts IS NULL THEN
        -- what the API was given came to it in no statement
        IF (SELECT u.refuse_plaintext FROM core.defaults u)
            AND (coalesce(current_setting('armillary.actor', true), '') = '' OR core.actor_is_claimed()) THEN
            PERFORM core.refuse('secrets_are_sealed_before_sql', core.pointer('variables', key, 'value'),
                format('The secret %s was given as plain text, which this installation refuses in SQL.', key),
                format('Run: armillary secret seal %s %s  and give what it prints as the value. Or PUT it over HTTP.', path, key));
        END IF;
        RETURN;
    END IF;
    IF array_length(parts, 1) <> 6 OR parts[2] <> 'v1' OR parts[6] !~ '^[A-Za-z0-9_-]{38,}$' THEN
        PERFORM core.invalid('sealed_text_is_whole', core.pointer('variables', key, 'value'),
            format('The sealed text for %s is not whole, or of another release.', key),
            format('Copy all of what this prints, on one line: armillary secret seal %s %s', path, key));
    ELSIF parts[4] <> 'deployment/' || deployment OR parts[5] <> key THEN
        PERFORM core.invalid('sealed_text_is_for_its_place', core.pointer('variables', key, 'value'),
            format('The text was sealed for %s of %s, not for %s of %s.', left(parts[5], 60),
                coalesce((SELECT core.path_of(d.id) FROM core.deployments d WHERE d.owner = parts[4]), left(parts[4], 60)), key, path),
            format('Seal the value for its place: armillary secret seal %s %s', path, key));
    END IF;
END $$;
COMMENT ON FUNCTION core.check_sealed IS 'Raises when a secret''s value is sealed text for another place, or plain text where that is refused.';

CREATE FUNCTION core.refuse_sealed(inbox_id bigint, why text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE waiting core.secret_inbox;
BEGIN
    DELETE FROM core.secret_inbox i WHERE i.id = inbox_id RETURNING * INTO waiting;
    PERFORM core.open_month('events');
    INSERT INTO core.events (owner, reason, message, object)
    SELECT waiting.owner, 'SecretRefused', format('The sealed text that %s wrote does not open: %s', waiting.actor, why), waiting.name
     WHERE waiting.owner IS NOT NULL;
END $$;
COMMENT ON FUNCTION core.refuse_sealed IS 'Drops a sealed text that does not open, and tells it as an event. What was in force stays in force.';

-- Deleted rows stay in the table's file until it is vacuumed. A truncated table has a new, empty file.
CREATE FUNCTION core.scrub_inbox() RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
BEGIN
    BEGIN
        LOCK TABLE core.secret_inbox IN ACCESS EXCLUSIVE MODE NOWAIT;
    EXCEPTION WHEN lock_not_available THEN
        RETURN false;  -- somebody writes a secret: nobody waits for cleaning
    END;
    IF EXISTS (SELECT FROM core.secret_inbox) THEN
        RETURN false;
    END IF;
    PERFORM set_config('armillary.scrubbing', 'yes', true);
    TRUNCATE core.secret_inbox;
    PERFORM set_config('armillary.scrubbing', '', true);
    RETURN true;
END $$;
COMMENT ON FUNCTION core.scrub_inbox IS 'Gives an empty inbox a new file, so that nothing sealed or undone is left in the old one. False: it is in use.';

CREATE FUNCTION core.rotate_key(key_id text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE core.installation i SET sealing_key = rotate_key.key_id WHERE i.sealing_key IS DISTINCT FROM rotate_key.key_id;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    PERFORM core.open_month('audit');
    INSERT INTO core.audit (relation, key, operation, after, actor, actor_is_claimed, reason)
    VALUES ('secrets', rotate_key.key_id, 'UPDATE', jsonb_build_object('sealing_key', rotate_key.key_id), core.actor(), core.actor_is_claimed(), 'the key was rotated');
END $$;
COMMENT ON FUNCTION core.rotate_key IS 'Says which key is the current one from now on, and keeps that in the audit.';

CREATE FUNCTION core.reseal_take(key_id text, most integer, beyond text[])
RETURNS TABLE (owner text, name text, version integer, sealed_with text, ciphertext bytea) LANGUAGE sql AS $$
    SELECT s.owner, s.name, s.version, s.key_id, s.ciphertext FROM core.secrets s
     WHERE s.key_id <> reseal_take.key_id AND (s.owner, s.name, s.version) > (beyond[1], beyond[2], beyond[3]::integer)
     ORDER BY s.owner, s.name, s.version LIMIT most FOR NO KEY UPDATE OF s
$$;
COMMENT ON FUNCTION core.reseal_take IS 'The next secrets that are sealed with another key than that one, beyond a place, locked for this transaction.';

CREATE FUNCTION core.reseal(of_owner text, of_name text, of_version integer, key_id text, ciphertext bytea) RETURNS void LANGUAGE sql AS $$
    UPDATE core.secrets s SET key_id = reseal.key_id, ciphertext = reseal.ciphertext
     WHERE s.owner = of_owner AND s.name = of_name AND s.version = of_version
$$;
COMMENT ON FUNCTION core.reseal IS 'The same value of the same version, sealed with another key: nothing that anybody wished, so no generation.';

CREATE VIEW armillary.sealing AS
    SELECT coalesce(k.key_id, i.sealing_key) AS key, coalesce(k.key_id, i.sealing_key) IS NOT DISTINCT FROM i.sealing_key AS is_current,
           coalesce(k.secrets, 0) AS secrets, coalesce(k.owners, 0) AS owners
      FROM core.installation i FULL JOIN (
           SELECT s.key_id, count(*) AS secrets, count(DISTINCT s.owner) AS owners FROM core.secrets s GROUP BY s.key_id) AS k
        ON k.key_id = i.sealing_key
     WHERE coalesce(k.key_id, i.sealing_key) IS NOT NULL;
COMMENT ON VIEW armillary.sealing IS 'How many secrets are sealed by which key: the progress of a rotation. It is over when only the current key has any.';
COMMENT ON COLUMN armillary.sealing.key IS 'The key''s id. The key itself is in the key ring on the daemon''s machine.';
COMMENT ON COLUMN armillary.sealing.is_current IS 'True: the key of the last rotation, which new values are sealed with. Never true before the first rotation.';
COMMENT ON COLUMN armillary.sealing.secrets IS 'So many versions of secrets are sealed with it.';
COMMENT ON COLUMN armillary.sealing.owners IS 'Of so many deployments.';

-- 100_variables.sql
-- Variables: what each row must be. The value of a secret one goes to the inbox, and never into the row.

CREATE FUNCTION core.variable_checked() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
DECLARE before core.variables;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        before := OLD;
        PERFORM core.check_renaming(before, NEW);
    END IF;
    PERFORM core.check_key(NEW.key);
    NEW.components := ARRAY(SELECT DISTINCT c FROM unnest(NEW.components) AS c ORDER BY c);
    PERFORM core.check_readers(NEW);
    IF octet_length(NEW.value) > 131072 THEN
        PERFORM core.invalid('variable_value_is_at_most_128_kib', core.pointer('variables', NEW.key, 'value'),
            format('The value of %s is longer than 128 KiB.', NEW.key), 'Keep large values in a file or a secrets backend.',
            core.where_is(NEW.deployment_id));
    END IF;
    IF NEW.secret THEN
        RETURN core.secret_variable(before, NEW);
    END IF;
    IF NEW.value IS NULL OR NEW.secret IS NULL THEN
        PERFORM core.invalid('a_plain_variable_has_a_value', core.pointer('variables', NEW.key, 'value'),
            format('The variable %s has no value.', NEW.key),
            'Give it one, or delete it. A secret cannot be read back into a plain variable.',
            core.where_is(NEW.deployment_id));
    END IF;
    IF before.secret THEN
        PERFORM core.drop_from_inbox(NEW.deployment_id, NEW.key);
    END IF;
    NEW.version := 0;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION core.variable_checked IS 'Trigger: checks a variable''s row and hides a secret''s value.';

CREATE FUNCTION core.check_renaming(before core.variables, after core.variables) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF after.deployment_id <> before.deployment_id THEN
        PERFORM core.invalid('variables_stay_in_their_deployment', core.pointer('variables', before.key),
            'A variable cannot move to another deployment.', 'Insert it there and delete it here.', core.where_is(before.deployment_id));
    END IF;
    IF before.secret AND after.key <> before.key THEN
        PERFORM core.invalid('secrets_are_not_renamed', core.pointer('variables', before.key),
            format('The secret %s is sealed under its name and cannot be renamed.', before.key),
            'Insert one with the new name and its value, then delete this one.', core.where_is(before.deployment_id));
    END IF;
    IF after.key <> before.key AND EXISTS (SELECT FROM core.variables v WHERE v.deployment_id = before.deployment_id AND v.key = after.key) THEN
        PERFORM core.conflict(format('%s has a variable %s already.', core.path_of(before.deployment_id), after.key),
            'Change that one and delete this one, or choose another name.');
    END IF;
END $$;
COMMENT ON FUNCTION core.check_renaming IS 'Raises when a variable would become another deployment''s or take another one''s name, or a secret would be renamed.';

CREATE FUNCTION core.check_key(key text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE why text := (SELECT r.reason FROM core.reserved_variables r WHERE upper(check_key.key) IN (r.key, r.key || '_CMD', r.key || '_SECRET'));
BEGIN
    IF why IS NOT NULL THEN
        PERFORM core.invalid('variable_is_not_reserved', core.pointer('variables', key),
            format('The variable %s is Armillary''s own: %s.', key, why), 'Leave it out.');
    END IF;
    IF key IS NULL OR key !~ '^[A-Za-z_][A-Za-z0-9_]{0,199}$' THEN
        PERFORM core.invalid('variable_key_is_a_name_for_the_environment', core.pointer('variables', coalesce(key, '')),
            format('%s cannot be the name of a variable.', coalesce(quote_literal(left(key, 60)), 'NULL')),
            'Use letters, digits and underscores, at most 200, not beginning with a digit.');
    END IF;
END $$;
COMMENT ON FUNCTION core.check_key IS 'Raises when a variable''s name cannot be, or is one that Armillary sets itself.';

CREATE FUNCTION core.check_readers(v core.variables) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    known text[] := ARRAY(SELECT c.component FROM core.components c WHERE c.deployment_id = v.deployment_id ORDER BY 1);
    unknown text := (SELECT c FROM unnest(v.components) AS c WHERE c <> ALL (known) OR c IS NULL LIMIT 1);
BEGIN
    IF NOT v.components <@ known THEN
        PERFORM core.invalid('readers_are_components', core.pointer('variables', v.key, 'components'),
            format('There is no component %L to read %s.', left(unknown, 60), v.key), 'Components: ' || array_to_string(known, ', '),
            core.where_is(v.deployment_id));
    END IF;
END $$;
COMMENT ON FUNCTION core.check_readers IS 'Raises when a variable would be read by a component that is not there.';

-- A value goes to the inbox. Without one, the sealed version in force stays in force; a variable that was not secret
-- before (or not there) takes the version it names, else the newest.
CREATE FUNCTION core.secret_variable(before core.variables, asked core.variables) RETURNS core.variables LANGUAGE plpgsql AS $$
DECLARE
    after core.variables := asked;
    newest integer := core.newest_version(asked.deployment_id, asked.key);
    was_secret boolean := coalesce(before.secret, false);
BEGIN
    IF asked.value IS NOT NULL THEN
        PERFORM core.check_sealed(asked.deployment_id, asked.key, asked.value);
        PERFORM core.put_in_inbox(asked.deployment_id, asked.key, asked.value);
        after.value := NULL;
        after.version := CASE WHEN was_secret THEN before.version ELSE 0 END;
    ELSIF NOT was_secret AND coalesce(asked.version, 0) = 0 THEN
        after.version := newest;
    END IF;
    IF asked.value IS NULL AND NOT was_secret AND newest = 0 THEN
        PERFORM core.invalid('a_new_secret_has_a_value', core.pointer('variables', asked.key, 'value'),
            format('The secret %s has no value.', asked.key), 'Give it one once; it is sealed and never shown again.',
            core.where_is(asked.deployment_id));
    END IF;
    IF after.version IS DISTINCT FROM before.version AND after.version <> 0 AND NOT core.is_sealed(asked.deployment_id, asked.key, after.version) THEN
        PERFORM core.invalid('secret_version_exists', core.pointer('variables', asked.key, 'version'),
            format('There is no version %s of the secret %s.', after.version, asked.key),
            format('Leave version out to keep what is sealed (the newest is %s), or give a value.', newest), core.where_is(asked.deployment_id));
    END IF;
    RETURN after;
END $$;
COMMENT ON FUNCTION core.secret_variable IS 'A secret variable''s row as it is stored: without its value, referring to a sealed version.';

CREATE FUNCTION core.variable_deleted() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
BEGIN
    PERFORM core.drop_from_inbox(OLD.deployment_id, OLD.key);
    RETURN NULL;
END $$;
COMMENT ON FUNCTION core.variable_deleted IS 'Trigger: what waits to be sealed for a deleted variable is forgotten.';

CREATE TRIGGER a1_check BEFORE INSERT OR UPDATE ON core.variables FOR EACH ROW EXECUTE FUNCTION core.variable_checked();
CREATE TRIGGER a2_forget AFTER DELETE ON core.variables FOR EACH ROW WHEN (OLD.secret) EXECUTE FUNCTION core.variable_deleted();

-- 105_default_variables.sql
-- Default variables: what every deployment of the platform, of a cluster or of a workspace has, unless it says otherwise.
-- They are no part of a deployment's own wishes: its generation does not count them. They reach deployments at their next
-- look, at most a minute later, a few at a time (the fleet gate).

CREATE FUNCTION core.default_variable_checked() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
BEGIN
    PERFORM core.check_key(NEW.key);
    IF NEW.value IS NULL THEN
        PERFORM core.invalid('a_default_variable_has_a_value', core.pointer('variables', NEW.key, 'value'),
            format('The default variable %s has no value.', NEW.key), 'Give it one, or delete it.');
    END IF;
    IF octet_length(NEW.value) > 131072 THEN
        PERFORM core.invalid('default_variable_value_is_at_most_128_kib', core.pointer('variables', NEW.key, 'value'),
            format('The value of %s is longer than 128 KiB.', NEW.key), 'Keep large values in a file or a secrets backend.');
    END IF;
    IF TG_OP = 'INSERT' OR NEW.key <> OLD.key THEN
        -- two that take the same name at once: the second waits here, then sees the first
        PERFORM pg_advisory_xact_lock(hashtext('armillary.default_variables'));
        IF EXISTS (SELECT FROM core.default_variables v WHERE v.key = NEW.key AND v.id <> NEW.id
            AND v.cluster IS NOT DISTINCT FROM NEW.cluster AND v.workspace_id IS NOT DISTINCT FROM NEW.workspace_id) THEN
            PERFORM core.conflict(format('There is a default variable %s in that layer already.', NEW.key),
                'Change that one and delete this one, or choose another name.');
        END IF;
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION core.default_variable_checked IS 'Trigger: checks a default variable''s row.';
CREATE TRIGGER a1_check BEFORE INSERT OR UPDATE ON core.default_variables FOR EACH ROW EXECUTE FUNCTION core.default_variable_checked();

-- the narrower layer wins
CREATE FUNCTION core.inherited_variables(d core.deployments) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (SELECT coalesce(jsonb_object_agg(i.key, jsonb_build_object('value', i.value, 'components', '[]'::jsonb)), '{}') FROM (
        SELECT DISTINCT ON (v.key) v.key, v.value FROM core.default_variables v
         WHERE (v.cluster IS NULL OR v.cluster = d.cluster) AND (v.workspace_id IS NULL OR v.workspace_id = d.workspace_id)
           AND NOT EXISTS (SELECT FROM core.variables own WHERE own.deployment_id = d.id AND own.key = v.key)
         ORDER BY v.key, v.workspace_id NULLS LAST, v.cluster NULLS LAST) AS i);
END $$;
COMMENT ON FUNCTION core.inherited_variables IS 'The default variables that reach a deployment, by key: those that it has none of its own for.';

CREATE FUNCTION core.effective(spec jsonb, inherited jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN inherited = '{}' THEN spec ELSE jsonb_set(spec, '{variables}', inherited || (spec->'variables')) END
$$;
COMMENT ON FUNCTION core.effective IS 'A spec with the default variables that reach it.';

CREATE FUNCTION core.find_layer(of_layer text, called text, OUT workspace bigint, OUT cluster text) LANGUAGE plpgsql STABLE AS $$
BEGIN
    workspace := (SELECT w.id FROM core.workspaces w WHERE of_layer = 'workspace' AND w.name = called);
    cluster := (SELECT c.name FROM core.clusters c WHERE of_layer = 'cluster' AND c.name = called);
    IF of_layer NOT IN ('platform', 'cluster', 'workspace') THEN
        PERFORM core.invalid('default_variables_are_of_a_layer', '/layer', format('There is no layer %L.', left(of_layer, 60)),
            'Layers: platform (name empty), cluster, workspace.');
    ELSIF of_layer = 'platform' AND coalesce(called, '') <> '' THEN
        PERFORM core.invalid('the_platform_has_no_name', '/name', 'The layer platform is the whole installation: it has no name.', 'Leave name out.');
    ELSIF of_layer <> 'platform' AND workspace IS NULL AND cluster IS NULL THEN
        PERFORM core.not_found(format('There is no %s %L.', of_layer, left(coalesce(called, ''), 60)),
            format('SELECT name FROM armillary.%ss', of_layer));
    END IF;
END $$;
COMMENT ON FUNCTION core.find_layer IS 'The workspace or the cluster that a layer of default variables is of; neither: the platform. Raises for a layer that is not there.';

CREATE FUNCTION core.default_variables_of(of_layer text, called text) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
DECLARE layer record := core.find_layer(of_layer, called);
BEGIN
    RETURN (SELECT coalesce(jsonb_object_agg(v.key, jsonb_build_object('value', v.value)), '{}') FROM core.default_variables v
             WHERE v.cluster IS NOT DISTINCT FROM layer.cluster AND v.workspace_id IS NOT DISTINCT FROM layer.workspace);
END $$;
COMMENT ON FUNCTION core.default_variables_of IS 'The default variables of one layer as documents, by key.';

CREATE FUNCTION core.put_default_variable(of_layer text, called text, of_key text, new_value text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE layer record := core.find_layer(of_layer, called);
BEGIN
    UPDATE core.default_variables v SET value = new_value
     WHERE v.key = of_key AND v.cluster IS NOT DISTINCT FROM layer.cluster AND v.workspace_id IS NOT DISTINCT FROM layer.workspace;
    IF FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO core.default_variables (cluster, workspace_id, key, value) VALUES (layer.cluster, layer.workspace, of_key, new_value);
    RETURN true;
END $$;
COMMENT ON FUNCTION core.put_default_variable IS 'Makes a default variable of a layer, or makes it so. True: it is new.';

CREATE FUNCTION core.delete_default_variable(of_layer text, called text, of_key text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE layer record := core.find_layer(of_layer, called);
BEGIN
    DELETE FROM core.default_variables v
     WHERE v.key = of_key AND v.cluster IS NOT DISTINCT FROM layer.cluster AND v.workspace_id IS NOT DISTINCT FROM layer.workspace;
    IF NOT FOUND THEN
        PERFORM core.not_found(format('There is no default variable %L in that layer.', left(of_key, 60)),
            'There are: ' || coalesce((SELECT string_agg(k, ', ' ORDER BY k) FROM jsonb_object_keys(core.default_variables_of(of_layer, called)) AS k), 'none'));
    END IF;
END $$;
COMMENT ON FUNCTION core.delete_default_variable IS 'Removes a default variable of a layer. Raises when it is not there.';

CREATE FUNCTION core.view_insert_default_variable() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
DECLARE
    of_layer text := coalesce(NEW.layer, 'platform');
    layer record := core.find_layer(of_layer, NEW.name);
BEGIN
    IF EXISTS (SELECT FROM core.default_variables v WHERE v.key = NEW.key AND v.cluster IS NOT DISTINCT FROM layer.cluster
               AND v.workspace_id IS NOT DISTINCT FROM layer.workspace) THEN
        PERFORM core.conflict(format('There is a default variable %s in that layer already.', NEW.key),
            format('UPDATE armillary.default_variables SET value = … WHERE layer = %L AND name = %L AND key = %L', of_layer, coalesce(NEW.name, ''), NEW.key));
    END IF;
    INSERT INTO core.default_variables (cluster, workspace_id, key, value) VALUES (layer.cluster, layer.workspace, NEW.key, NEW.value);
    NEW.layer := of_layer;
    NEW.name := coalesce(NEW.name, '');
    RETURN NEW;
END $$;
COMMENT ON FUNCTION core.view_insert_default_variable IS 'Trigger: INSERT INTO armillary.default_variables.';

CREATE VIEW armillary.default_variables AS
    -- no function of schema core: whoever reads a view needs the right to its functions
    SELECT CASE WHEN v.workspace_id IS NOT NULL THEN 'workspace' WHEN v.cluster IS NOT NULL THEN 'cluster' ELSE 'platform' END AS layer,
           coalesce(v.cluster, (SELECT w.name FROM core.workspaces w WHERE w.id = v.workspace_id), '') AS name,
           v.key, v.value
      FROM core.default_variables v;
COMMENT ON VIEW armillary.default_variables IS 'Environment variables that deployments have unless they have their own: of the platform, over it of their cluster, over that of their workspace. INSERT, UPDATE, DELETE. They reach deployments a few at a time.';
COMMENT ON COLUMN armillary.default_variables.layer IS 'platform, cluster or workspace; set at INSERT.';
COMMENT ON COLUMN armillary.default_variables.name IS 'Of the cluster or the workspace; empty for the platform. Set at INSERT.';
COMMENT ON COLUMN armillary.default_variables.key IS 'Name of the environment variable.';
COMMENT ON COLUMN armillary.default_variables.value IS 'Its value. Secrets belong to deployments: armillary.variables.';
CREATE TRIGGER insert_default_variable INSTEAD OF INSERT ON armillary.default_variables FOR EACH ROW EXECUTE FUNCTION core.view_insert_default_variable();

CREATE VIEW armillary.effective_variables AS
    SELECT w.name || '/' || d.name AS deployment, e.key, e.value, e.secret, e.layer
      FROM core.deployments d JOIN core.workspaces w ON w.id = d.workspace_id
     CROSS JOIN LATERAL (
            SELECT v.key, v.value, v.secret, 'deployment' AS layer FROM core.variables v WHERE v.deployment_id = d.id
            UNION ALL
            SELECT i.key, i.value, false, i.layer FROM (
                SELECT DISTINCT ON (v.key) v.key, v.value,
                       CASE WHEN v.workspace_id IS NOT NULL THEN 'workspace' WHEN v.cluster IS NOT NULL THEN 'cluster' ELSE 'platform' END AS layer
                  FROM core.default_variables v
                 WHERE (v.cluster IS NULL OR v.cluster = d.cluster) AND (v.workspace_id IS NULL OR v.workspace_id = d.workspace_id)
                 ORDER BY v.key, v.workspace_id NULLS LAST, v.cluster NULLS LAST) AS i
             WHERE NOT EXISTS (SELECT FROM core.variables own WHERE own.deployment_id = d.id AND own.key = i.key)) AS e;
COMMENT ON VIEW armillary.effective_variables IS 'The environment variables that each deployment really has, and which layer each is from. Read-only.';
COMMENT ON COLUMN armillary.effective_variables.deployment IS 'workspace/name.';
COMMENT ON COLUMN armillary.effective_variables.key IS 'Name of the environment variable.';
COMMENT ON COLUMN armillary.effective_variables.value IS 'Its value; NULL for a secret.';
COMMENT ON COLUMN armillary.effective_variables.secret IS 'True: sealed.';
COMMENT ON COLUMN armillary.effective_variables.layer IS 'platform, cluster, workspace or deployment: where the value is from.';

CREATE TRIGGER z1_audit_inserted AFTER INSERT ON core.default_variables REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION core.audit_inserted('id');
CREATE TRIGGER z1_audit_updated AFTER UPDATE ON core.default_variables REFERENCING OLD TABLE AS removed NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION core.audit_updated('id');
CREATE TRIGGER z1_audit_deleted AFTER DELETE ON core.default_variables REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION core.audit_deleted('id');

-- 110_fields.sql
-- Reading a document's fields: each is asked for with its JSON type and refused with its place.

CREATE FUNCTION core.field(doc jsonb, key text, kind text, place text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF doc->key IS NULL OR doc->key = 'null' THEN
        RETURN NULL;
    END IF;
    IF jsonb_typeof(doc->key) <> kind THEN
        PERFORM core.invalid('fields_have_their_type', place || core.pointer(key),
            format('%s must be of type %s.', key, kind), format('It is of type %s.', jsonb_typeof(doc->key)));
    END IF;
    RETURN doc->>key;
END $$;
COMMENT ON FUNCTION core.field IS 'A field as text; NULL when it is missing or null. Raises when it has another type.';

CREATE FUNCTION core.whole(doc jsonb, key text, place text) RETURNS integer LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE said text := core.field(doc, key, 'number', place);
BEGIN
    IF said !~ '^-?[0-9]{1,9}$' THEN
        PERFORM core.invalid('fields_have_their_type', place || core.pointer(key),
            format('%s must be a whole number, not %s.', key, left(said, 40)), 'Write it without a fraction or an exponent.');
    END IF;
    RETURN said;
END $$;
COMMENT ON FUNCTION core.whole IS 'A field that is a whole number, or NULL.';

CREATE FUNCTION core.moment(doc jsonb, key text, place text) RETURNS timestamptz LANGUAGE plpgsql STABLE SET TimeZone = 'UTC' AS $$
BEGIN
    RETURN core.field(doc, key, 'string', place)::timestamptz;
EXCEPTION WHEN data_exception THEN
    PERFORM core.invalid('fields_have_their_type', place || core.pointer(key),
        format('%s is no time.', key), 'Write it as 2026-11-22T12:00:00Z.');
    RETURN NULL;
END $$;
COMMENT ON FUNCTION core.moment IS 'A field that is a time, or NULL. Without an offset it is UTC.';

CREATE FUNCTION core.only(doc jsonb, keys text[], place text) RETURNS void LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE stranger text;
BEGIN
    IF jsonb_typeof(doc) IS DISTINCT FROM 'object' THEN
        PERFORM core.invalid('an_object_is_wanted', place, 'An object is wanted here.', 'Its fields: ' || array_to_string(keys, ', '));
    END IF;
    SELECT k INTO stranger FROM jsonb_object_keys(doc) AS k WHERE k <> ALL (keys) LIMIT 1;
    IF stranger IS NOT NULL THEN
        PERFORM core.invalid('fields_are_known', place || core.pointer(stranger),
            format('There is no field %L.', left(stranger, 80)), 'Fields: ' || array_to_string(keys, ', '));
    END IF;
END $$;
COMMENT ON FUNCTION core.only IS 'Raises when a document is no object, or has a field that nobody knows.';

CREATE FUNCTION core.same(doc jsonb, key text, said text) RETURNS void LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF coalesce(core.field(doc, key, 'string', ''), said) <> said THEN
        PERFORM core.invalid('a_document_is_its_path_s', core.pointer(key),
            format('The document''s %s is %L, but it is put at %L.', key, left(doc->>key, 60), said),
            format('Leave %s out, or put the document at its own name.', key));
    END IF;
END $$;
COMMENT ON FUNCTION core.same IS 'Raises when a document names itself differently from where it is put.';

-- 120_putting.sql
-- Deployments as documents, the write half: the same rows and triggers that SQL uses, so the effect is the same. What
-- would not change a row is not written.

CREATE FUNCTION core.put_deployment(in_workspace text, called text, doc jsonb, expected bigint DEFAULT NULL)
RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    d core.deployments;
    workspace bigint;
    components jsonb := coalesce(nullif(doc->'components', 'null'), '{}');
BEGIN
    PERFORM core.only(doc, ARRAY['workspace', 'name', 'release', 'cluster', 'airflow_version', 'executor', 'dags_folder', 'hibernated',
        'drift_policy', 'paused_until', 'pause_reason', 'restarted_at', 'components', 'variables', 'generation',
        'deletion_requested_at', 'delete_after', 'retain_until', 'created_at'], '');
    PERFORM core.same(doc, 'workspace', in_workspace), core.same(doc, 'name', called);
    SELECT w.id INTO workspace FROM core.workspaces w WHERE w.name = in_workspace FOR KEY SHARE;
    IF NOT FOUND THEN
        PERFORM core.not_found(format('There is no workspace %L.', left(in_workspace, 60)), 'Make it first.');
    END IF;
    d := core.locked(in_workspace, called, doc);
    IF expected = 0 AND d.id IS NOT NULL THEN
        PERFORM core.deployment_is_there(in_workspace, called);
    ELSIF expected IS NOT NULL AND expected IS DISTINCT FROM coalesce(d.generation, 0) THEN
        PERFORM core.conflict(format('%s/%s is at generation %s, not %s.', in_workspace, called, coalesce(d.generation, 0), expected),
            'Read it again and repeat your change on what is there now.');
    END IF;
    IF d.id IS NULL THEN
        d := core.new_deployment(workspace, called, doc);
    ELSE
        components := core.without_left_overs(d, coalesce(doc->>'executor', 'LocalExecutor'), components);
        PERFORM core.change_deployment(d, doc);
    END IF;
    PERFORM core.put_components(d.id, components);
    PERFORM core.put_variables(d.id, coalesce(nullif(doc->'variables', 'null'), '{}'));
    RETURN core.document(d.id);
END $$;
COMMENT ON FUNCTION core.put_deployment IS 'Make a deployment, or make an existing one exactly this. The same document twice changes nothing. Expected 0: it must not exist.';

CREATE FUNCTION core.locked(in_workspace text, called text, doc jsonb) RETURNS core.deployments LANGUAGE plpgsql AS $$
DECLARE
    also_deleted boolean := doc ? 'deletion_requested_at';
    found bigint := core.find(in_workspace, called);
    d core.deployments;
BEGIN
    IF found IS NULL OR also_deleted AND EXISTS (SELECT FROM core.deployments o WHERE o.id = found
                           AND (o.deletion_requested_at IS NULL) <> (doc->>'deletion_requested_at' IS NULL)) THEN
        -- somebody may be giving the name at this moment: wait for that, then look again
        PERFORM core.lock_names();
        found := core.find(in_workspace, called);
    END IF;
    -- children before their parent, as statements on components and variables lock them, so that neither deadlocks
    PERFORM FROM core.components c WHERE c.deployment_id = found ORDER BY c.component FOR NO KEY UPDATE;
    PERFORM FROM core.variables v WHERE v.deployment_id = found ORDER BY v.key FOR NO KEY UPDATE;
    SELECT * INTO d FROM core.deployments o WHERE o.id = found AND (o.deletion_requested_at IS NULL OR also_deleted) FOR NO KEY UPDATE;
    RETURN d;
END $$;
COMMENT ON FUNCTION core.locked IS 'The deployment of that name with its rows locked; NULL when there is none, or only one being deleted and that is not meant.';

CREATE FUNCTION core.new_deployment(in_workspace bigint, called text, doc jsonb) RETURNS core.deployments LANGUAGE plpgsql AS $$
DECLARE made core.deployments;
BEGIN
    INSERT INTO core.deployments (workspace_id, name, cluster, airflow_version, executor, dags_folder, hibernated, drift_policy,
        paused_until, pause_reason, restarted_at, deletion_requested_at)
    VALUES (in_workspace, called, coalesce(core.field(doc, 'cluster', 'string', ''), 'local'),
        core.field(doc, 'airflow_version', 'string', ''), coalesce(core.field(doc, 'executor', 'string', ''), 'LocalExecutor'),
        core.field(doc, 'dags_folder', 'string', ''), coalesce(core.field(doc, 'hibernated', 'boolean', '')::boolean, false),
        coalesce(core.field(doc, 'drift_policy', 'string', ''), 'repair'), core.moment(doc, 'paused_until', ''),
        coalesce(core.field(doc, 'pause_reason', 'string', ''), ''), core.moment(doc, 'restarted_at', ''),
        core.moment(doc, 'deletion_requested_at', ''))
    RETURNING * INTO made;
    RETURN made;
END $$;
COMMENT ON FUNCTION core.new_deployment IS 'Makes a deployment of a document''s own fields.';

CREATE FUNCTION core.change_deployment(d core.deployments, doc jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE wanted core.deployments := d;
BEGIN
    wanted.release := coalesce(core.field(doc, 'release', 'string', ''), d.release);
    wanted.cluster := coalesce(core.field(doc, 'cluster', 'string', ''), d.cluster);
    wanted.airflow_version := core.field(doc, 'airflow_version', 'string', '');
    wanted.executor := coalesce(core.field(doc, 'executor', 'string', ''), 'LocalExecutor');
    wanted.dags_folder := core.field(doc, 'dags_folder', 'string', '');
    wanted.hibernated := coalesce(core.field(doc, 'hibernated', 'boolean', '')::boolean, false);
    wanted.drift_policy := coalesce(core.field(doc, 'drift_policy', 'string', ''), 'repair');
    wanted.paused_until := core.moment(doc, 'paused_until', '');
    wanted.pause_reason := coalesce(core.field(doc, 'pause_reason', 'string', ''), '');
    wanted.restarted_at := core.moment(doc, 'restarted_at', '');
    IF doc ? 'deletion_requested_at' THEN
        wanted.deletion_requested_at := core.moment(doc, 'deletion_requested_at', '');
        wanted.delete_after := coalesce(core.moment(doc, 'delete_after', ''), d.delete_after);
        wanted.retain_until := coalesce(core.moment(doc, 'retain_until', ''), d.retain_until);
    END IF;
    wanted := core.with_deletion(d, wanted);
    PERFORM core.check_unmoved(d, wanted);
    IF (wanted.deletion_requested_at, wanted.delete_after, wanted.retain_until)
        IS DISTINCT FROM (d.deletion_requested_at, d.delete_after, d.retain_until) THEN
        UPDATE core.deployments u SET airflow_version = wanted.airflow_version, executor = wanted.executor,
            dags_folder = wanted.dags_folder, hibernated = wanted.hibernated, drift_policy = wanted.drift_policy,
            paused_until = wanted.paused_until, pause_reason = wanted.pause_reason, restarted_at = wanted.restarted_at,
            deletion_requested_at = wanted.deletion_requested_at, delete_after = wanted.delete_after, retain_until = wanted.retain_until
         WHERE u.id = d.id;
    ELSIF wanted IS DISTINCT FROM d THEN
        -- without the times of a deletion: naming them would lock all names (b0_names_first)
        UPDATE core.deployments u SET airflow_version = wanted.airflow_version, executor = wanted.executor,
            dags_folder = wanted.dags_folder, hibernated = wanted.hibernated, drift_policy = wanted.drift_policy,
            paused_until = wanted.paused_until, pause_reason = wanted.pause_reason, restarted_at = wanted.restarted_at
         WHERE u.id = d.id;
    END IF;
END $$;
COMMENT ON FUNCTION core.change_deployment IS 'Makes a deployment''s own fields those of a document; what the document leaves out falls to its default.';

-- a document that was read and given another executor names what the former one had: repeating it asks for nothing
CREATE FUNCTION core.without_left_overs(d core.deployments, to_executor text, doc jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE had jsonb;
BEGIN
    IF d.executor = to_executor OR jsonb_typeof(doc) <> 'object' THEN
        RETURN doc;
    END IF;
    had := core.components_of(d.id);
    RETURN doc - ARRAY(SELECT c.component FROM core.components c
        WHERE c.deployment_id = d.id AND core.is_left_over(c, to_executor) AND doc->c.component = had->c.component);
END $$;
COMMENT ON FUNCTION core.without_left_overs IS 'The components of a document without those that another executor has not, where it only repeats what they are.';

CREATE FUNCTION core.put_components(deployment bigint, doc jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE one record;
BEGIN
    PERFORM core.only(doc, (SELECT array_agg(c.component ORDER BY c.component) FROM core.components c WHERE c.deployment_id = deployment), '/components');
    FOR one IN SELECT c.component, coalesce(nullif(doc->c.component, 'null'), '{}') AS said, core.pointer('components', c.component) AS place,
                      k.grace_seconds AS usual_grace
                 FROM core.components c JOIN core.deployments d ON d.id = c.deployment_id
                 LEFT JOIN core.component_catalogue k ON k.executor = d.executor AND k.component = c.component
                WHERE c.deployment_id = deployment ORDER BY c.component LOOP
        PERFORM core.only(one.said, ARRAY['replicas', 'cpu_millicores', 'memory_mib', 'grace_seconds', 'settings'], one.place);
        UPDATE core.components c SET replicas = w.replicas, cpu_millicores = w.cpu, memory_mib = w.memory, grace_seconds = w.grace, settings = w.settings
          FROM (SELECT coalesce(core.whole(one.said, 'replicas', one.place), 1) AS replicas,
                       core.whole(one.said, 'cpu_millicores', one.place) AS cpu, core.whole(one.said, 'memory_mib', one.place) AS memory,
                       coalesce(core.whole(one.said, 'grace_seconds', one.place), one.usual_grace, 20) AS grace,
                       coalesce(core.field(one.said, 'settings', 'object', one.place)::jsonb, '{}') AS settings) AS w
         WHERE c.deployment_id = deployment AND c.component = one.component
           AND (c.replicas, c.cpu_millicores, c.memory_mib, c.grace_seconds, c.settings)
               IS DISTINCT FROM (w.replicas, w.cpu, w.memory, w.grace, w.settings);
    END LOOP;
END $$;
COMMENT ON FUNCTION core.put_components IS 'Makes a deployment''s components those of a document; what it leaves out falls to its default.';

CREATE FUNCTION core.put_variables(deployment bigint, doc jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE one record;
BEGIN
    IF jsonb_typeof(doc) <> 'object' THEN
        PERFORM core.invalid('an_object_is_wanted', '/variables', 'variables must be an object.', 'Write {"KEY": {"value": "…"}}.');
    END IF;
    DELETE FROM core.variables v WHERE v.deployment_id = deployment AND NOT doc ? v.key;
    FOR one IN SELECT key, value AS said, core.pointer('variables', key) AS place FROM jsonb_each(doc) ORDER BY key LOOP
        PERFORM core.only(one.said, ARRAY['value', 'secret', 'version', 'components'], one.place);
        PERFORM core.put_variable(deployment, one.key, one.said, one.place);
    END LOOP;
END $$;
COMMENT ON FUNCTION core.put_variables IS 'Makes a deployment''s variables those of a document.';

CREATE FUNCTION core.put_variable(deployment bigint, called text, said jsonb, place text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    wants_secret boolean := coalesce(core.field(said, 'secret', 'boolean', place)::boolean, false);
    new_value text := core.field(said, 'value', 'string', place);
    at_version integer := coalesce(core.whole(said, 'version', place), 0);
    readers text[] := ARRAY(SELECT DISTINCT c FROM jsonb_array_elements_text(
        coalesce(core.field(said, 'components', 'array', place)::jsonb, '[]')) AS c ORDER BY c);
BEGIN
    -- the version of a secret that is there is not written: it stays what it is, whatever a document that was read before says
    UPDATE core.variables v SET value = new_value, secret = wants_secret, components = readers,
           version = CASE WHEN v.secret THEN v.version ELSE at_version END
     WHERE v.deployment_id = deployment AND v.key = called
       AND (new_value IS DISTINCT FROM v.value OR v.secret <> wants_secret OR v.components <> readers);
    IF NOT FOUND AND NOT EXISTS (SELECT FROM core.variables v WHERE v.deployment_id = deployment AND v.key = called) THEN
        INSERT INTO core.variables (deployment_id, key, value, secret, version, components)
        VALUES (deployment, called, new_value, wants_secret, at_version, readers);
    END IF;
END $$;
COMMENT ON FUNCTION core.put_variable IS 'Makes one variable what a document says. A secret without a value keeps what is sealed.';

CREATE FUNCTION core.request_deletion(deployment bigint) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    UPDATE core.deployments d SET deletion_requested_at = now() WHERE d.id = deployment AND d.deletion_requested_at IS NULL;
    RETURN FOUND;
END $$;
COMMENT ON FUNCTION core.request_deletion IS 'Asks for a deletion. False when that was done before.';

CREATE FUNCTION core.delete_deployment(in_workspace text, called text, expected bigint DEFAULT NULL) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    found bigint;
    at_generation bigint;
BEGIN
    PERFORM core.lock_names();  -- before the row, as always
    found := core.resolve(in_workspace || '/' || called);
    SELECT generation INTO at_generation FROM core.deployments WHERE id = found FOR NO KEY UPDATE;
    IF expected IS NOT NULL AND expected <> at_generation THEN
        PERFORM core.conflict(format('%s/%s is at generation %s, not %s.', in_workspace, called, at_generation, expected),
            'Read it again and decide anew.');
    END IF;
    PERFORM core.request_deletion(found);
    RETURN core.document(found);
END $$;
COMMENT ON FUNCTION core.delete_deployment IS 'Asks for a deletion, as DELETE on armillary.deployments does.';

-- 130_workspaces.sql
-- Workspaces: their rows' checks, and as documents.

CREATE FUNCTION core.workspace_is_there(name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM core.conflict(format('There is a workspace %s already.', name), 'Use it, or choose another name.');
END $$;
COMMENT ON FUNCTION core.workspace_is_there IS 'Raises: a new workspace cannot have the name.';

CREATE FUNCTION core.workspace_checked() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
BEGIN
    PERFORM core.check_name(NEW.name, 'workspace');
    IF NEW.description IS NULL OR length(NEW.description) > 1000 THEN
        PERFORM core.invalid('workspace_description_is_short', '/description', 'A description cannot be NULL or longer than 1000 characters.',
            'Say it in a sentence; empty is fine.');
    END IF;
    IF EXISTS (SELECT FROM core.workspaces w WHERE w.name = NEW.name AND w.id <> NEW.id) THEN
        PERFORM core.workspace_is_there(NEW.name);
    END IF;
    IF TG_OP = 'INSERT' THEN
        -- two inserts at once must not be given the same name: the second waits here, then sees the first
        PERFORM pg_advisory_xact_lock(hashtext('armillary.workspaces'));
        IF EXISTS (SELECT FROM core.workspaces w WHERE w.name = NEW.name) THEN
            PERFORM core.workspace_is_there(NEW.name);
        END IF;
        NEW.generation := 1;
        NEW.created_at := now();
        RETURN NEW;
    END IF;
    IF NEW.name <> OLD.name AND EXISTS (SELECT FROM core.deployments d WHERE d.workspace_id = OLD.id) THEN
        PERFORM core.refuse('a_name_in_use_stays', '/name', format('Workspace %s has deployments, whose releases carry its name.', OLD.name),
            'Make a workspace with the new name and move there.');
    END IF;
    IF (NEW.generation, NEW.created_at) IS DISTINCT FROM (OLD.generation, OLD.created_at) THEN
        PERFORM core.invalid('generations_are_counted', '/generation', 'A workspace''s generation and created_at are counted, not set.',
            'Leave them out.', format('In workspace %s.', OLD.name));
    END IF;
    NEW.generation := OLD.generation + ((NEW.name, NEW.description) IS DISTINCT FROM (OLD.name, OLD.description))::integer;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION core.workspace_checked IS 'Trigger: checks a workspace''s row and counts its generation.';

CREATE FUNCTION core.workspace_is_empty() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
DECLARE names text;
BEGIN
    SELECT string_agg(d.name || CASE WHEN d.deletion_requested_at IS NULL THEN '' ELSE ' (kept until ' || d.retain_until::date || ')' END, ', ' ORDER BY d.id)
      INTO names FROM core.deployments d WHERE d.workspace_id = OLD.id;
    IF names IS NOT NULL THEN
        PERFORM core.refuse('a_workspace_with_deployments_stays', '', format('Workspace %s still has deployments: %s.', OLD.name, left(names, 500)),
            'Delete them first (DELETE FROM armillary.deployments …). What is kept goes sooner when you set its retain_until.');
    END IF;
    RETURN OLD;
END $$;
COMMENT ON FUNCTION core.workspace_is_empty IS 'Trigger: a workspace goes only when it has no deployment, not even one that is kept.';

CREATE TRIGGER a1_check BEFORE INSERT OR UPDATE ON core.workspaces FOR EACH ROW EXECUTE FUNCTION core.workspace_checked();
CREATE TRIGGER a1_empty BEFORE DELETE ON core.workspaces FOR EACH ROW EXECUTE FUNCTION core.workspace_is_empty();

CREATE FUNCTION core.workspace_document(w core.workspaces) RETURNS jsonb LANGUAGE sql STABLE SET TimeZone = 'UTC' AS $$
    SELECT jsonb_build_object('name', w.name, 'description', w.description, 'generation', w.generation, 'created_at', w.created_at)
$$;
COMMENT ON FUNCTION core.workspace_document IS 'A workspace as a document.';

CREATE FUNCTION core.list_workspaces() RETURNS SETOF jsonb LANGUAGE sql STABLE AS $$
    SELECT core.workspace_document(w) FROM core.workspaces w ORDER BY w.name
$$;
COMMENT ON FUNCTION core.list_workspaces IS 'The documents of all workspaces.';

CREATE FUNCTION core.get_workspace(called text) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
DECLARE w core.workspaces;
BEGIN
    SELECT * INTO w FROM core.workspaces o WHERE o.name = called;
    IF NOT FOUND THEN
        PERFORM core.not_found(format('There is no workspace %L.', left(called, 60)),
            'There are: ' || coalesce((SELECT string_agg(name, ', ' ORDER BY name) FROM core.workspaces), 'none'));
    END IF;
    RETURN core.workspace_document(w);
END $$;
COMMENT ON FUNCTION core.get_workspace IS 'The document of a workspace. Raises when there is none.';

CREATE FUNCTION core.put_workspace(called text, doc jsonb, expected bigint DEFAULT NULL) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    w core.workspaces;
    said text;
BEGIN
    PERFORM core.only(doc, ARRAY['name', 'description', 'generation', 'created_at'], '');
    PERFORM core.same(doc, 'name', called);
    said := coalesce(core.field(doc, 'description', 'string', ''), '');
    SELECT * INTO w FROM core.workspaces o WHERE o.name = called FOR NO KEY UPDATE;
    IF expected = 0 AND w.id IS NOT NULL THEN
        PERFORM core.workspace_is_there(called);
    ELSIF expected IS NOT NULL AND expected <> coalesce(w.generation, 0) THEN
        PERFORM core.conflict(format('Workspace %s is at generation %s, not %s.', called, coalesce(w.generation, 0), expected),
            'Read it again and repeat your change on what is there now.');
    END IF;
    IF w.id IS NULL THEN
        INSERT INTO core.workspaces (name, description) VALUES (called, said);
    ELSIF w.description <> said THEN
        UPDATE core.workspaces o SET description = said WHERE o.id = w.id;
    END IF;
    RETURN core.get_workspace(called);
END $$;
COMMENT ON FUNCTION core.put_workspace IS 'Make a workspace, or make an existing one exactly this. Expected 0: it must not exist.';

CREATE FUNCTION core.delete_workspace(called text, expected bigint DEFAULT NULL) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE w jsonb := core.get_workspace(called);
BEGIN
    IF expected IS NOT NULL AND expected <> (w->>'generation')::bigint THEN
        PERFORM core.conflict(format('Workspace %s is at generation %s, not %s.', called, w->>'generation', expected), 'Read it again and decide anew.');
    END IF;
    DELETE FROM core.workspaces o WHERE o.name = called;
    RETURN w;
END $$;
COMMENT ON FUNCTION core.delete_workspace IS 'Removes a workspace that has no deployment.';

-- 140_guards.sql
-- Guards: what nobody may do by accident.

CREATE FUNCTION core.deployment_row_stays() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
BEGIN
    IF current_setting('armillary.removing', true) IS DISTINCT FROM OLD.owner THEN
        PERFORM core.refuse('a_deployment_goes_last', '', 'A deployment''s row goes when nothing of the deployment is left, not before.',
            'Ask for the deletion: DELETE FROM armillary.deployments WHERE deployment = ''workspace/name''');
    END IF;
    RETURN OLD;
END $$;
COMMENT ON FUNCTION core.deployment_row_stays IS 'Trigger: only core.remove_owner removes a deployment''s row.';
CREATE TRIGGER a1_stays BEFORE DELETE ON core.deployments FOR EACH ROW EXECUTE FUNCTION core.deployment_row_stays();

CREATE FUNCTION core.check_bulk(touched integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE most integer;
BEGIN
    IF coalesce(current_setting('armillary.allow_bulk', true), '') <> '' OR touched <= (SELECT bulk_minimum FROM core.defaults) THEN
        RETURN;
    END IF;
    SELECT greatest(u.bulk_minimum, ceil(count(d.id) * u.bulk_percent / 100.0)) INTO most
      FROM core.defaults u LEFT JOIN core.deployments d ON true GROUP BY u.bulk_minimum, u.bulk_percent;
    IF touched > most THEN
        PERFORM core.refuse('bulk_is_meant', '',
            format('This transaction touches %s deployments; without saying so it may touch %s.', touched, most),
            'If you mean it, run first, in the same transaction: SET LOCAL armillary.allow_bulk = ''why''');
    END IF;
END $$;
COMMENT ON FUNCTION core.check_bulk IS 'Raises when a transaction touches more deployments than it may without saying so, however many statements it takes.';

CREATE FUNCTION core.token_stays_revoked() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
BEGIN
    PERFORM core.check_time(NEW.revoked_at, 'revoked_at');
    IF OLD.revoked_at IS NOT NULL AND NEW.revoked_at IS DISTINCT FROM OLD.revoked_at THEN
        PERFORM core.refuse('a_revoked_token_stays_revoked', '', format('The token %s was revoked.', OLD.name), 'Make a new one: armillary token create');
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION core.token_stays_revoked IS 'Trigger: a revocation is final.';
CREATE TRIGGER a1_stays BEFORE UPDATE ON core.tokens FOR EACH ROW EXECUTE FUNCTION core.token_stays_revoked();

CREATE FUNCTION core.check_default(field text, amount integer, lowest integer, highest integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF (amount BETWEEN lowest AND highest) IS NOT TRUE THEN
        PERFORM core.invalid('defaults_are_within_limits', core.pointer(field), format('%s cannot be %s.', field, coalesce(amount::text, 'NULL')),
            format('Choose between %s and %s.', lowest, highest), 'In armillary.defaults, which every deployment starts from.');
    END IF;
END $$;
COMMENT ON FUNCTION core.check_default IS 'Raises when a number of the defaults is out of its limits.';

CREATE FUNCTION core.defaults_checked() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
BEGIN
    PERFORM core.check_default('grace_seconds', NEW.grace_seconds, 0, 31622400),
            core.check_default('retention_seconds', NEW.retention_seconds, 0, 316224000),
            core.check_default('bulk_minimum', NEW.bulk_minimum, 1, 2147483647),
            core.check_default('bulk_percent', NEW.bulk_percent, 0, 100);
    IF NEW.refuse_plaintext IS NULL THEN
        PERFORM core.invalid('refuse_plaintext_is_true_or_false', '/refuse_plaintext', 'refuse_plaintext cannot be NULL.', 'Set it to true or false.');
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION core.defaults_checked IS 'Trigger: checks the one row of defaults.';
CREATE TRIGGER a1_check BEFORE UPDATE ON core.defaults FOR EACH ROW EXECUTE FUNCTION core.defaults_checked();

CREATE FUNCTION core.never_truncate() RETURNS trigger LANGUAGE plpgsql SET search_path = core, pg_temp AS $$
BEGIN
    IF TG_TABLE_NAME = 'secret_inbox' AND current_setting('armillary.scrubbing', true) = 'yes' THEN
        RETURN NULL;  -- by core.scrub_inbox, which has seen that nothing is in it
    END IF;
    PERFORM core.refuse('nothing_is_truncated', '', format('%s is never truncated.', TG_TABLE_NAME),
        'Delete deployments one by one; each is kept until its retain_until.');
    RETURN NULL;
END $$;
COMMENT ON FUNCTION core.never_truncate IS 'Trigger: a table that is suddenly empty would read as a wish to remove everything.';
DO $$
DECLARE relation text;
BEGIN
    FOR relation IN SELECT tablename FROM pg_tables WHERE schemaname = 'core' LOOP
        EXECUTE format('CREATE TRIGGER a1_never BEFORE TRUNCATE ON core.%I FOR EACH STATEMENT EXECUTE FUNCTION core.never_truncate()', relation);
    END LOOP;
END $$;

-- 150_load.sql
-- What the daemon reads: one owner in one snapshot, what is due, which owners there are. PL/pgSQL, because a session
-- keeps its plans; before PostgreSQL 18, functions in SQL are planned at every call. A STABLE function sees what the
-- statement that calls it sees, so it is one snapshot still.

CREATE FUNCTION core.stage_of(d core.deployments) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN d.deletion_requested_at IS NULL THEN 'active'
                WHEN statement_timestamp() < d.delete_after THEN 'stopping'
                WHEN statement_timestamp() < d.retain_until THEN 'retaining'
                ELSE 'purging' END
$$;
COMMENT ON FUNCTION core.stage_of IS 'What a deletion has come to, by the database''s clock.';

CREATE FUNCTION core.status_of(wanted text) RETURNS jsonb LANGUAGE plpgsql STABLE SET TimeZone = 'UTC' AS $$
BEGIN
    RETURN (SELECT jsonb_build_object('observed_generation', s.observed_generation, 'attempts', s.attempts, 'next_attempt_at', s.next_attempt_at,
        'converged_generation', s.converged_generation, 'converged_defaults', s.converged_defaults, 'rolling_since', s.rolling_since,
        'conditions', (SELECT coalesce(jsonb_agg(jsonb_build_object('type', c.type, 'status', c.status, 'reason', c.reason,
            'message', c.message, 'since', c.since) ORDER BY c.type DESC), '[]') FROM core.conditions c WHERE c.owner = wanted),
        'units', (SELECT coalesce(jsonb_agg(jsonb_build_object('unit', u.unit, 'component', u.component, 'state', u.state,
            'detail', u.detail) ORDER BY u.position), '[]') FROM core.units u WHERE u.owner = wanted))
      FROM core.status s WHERE s.owner = wanted);
END $$;
COMMENT ON FUNCTION core.status_of IS 'The recorded status of an owner, or NULL.';

CREATE FUNCTION core.spec_of(d core.deployments) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (SELECT jsonb_build_object('workspace', w.name, 'name', d.name, 'release', d.release,
        'cluster', d.cluster, 'airflow_version', d.airflow_version, 'executor', d.executor, 'dags_folder', d.dags_folder,
        'hibernated', d.hibernated, 'drift_policy', d.drift_policy, 'restarted_at', d.restarted_at,
        'components', core.components_of(d.id), 'variables', core.variables_of(d.id))
      FROM core.workspaces w WHERE w.id = d.workspace_id);
END $$;
COMMENT ON FUNCTION core.spec_of IS 'What a pass renders; NULL when there is no deployment.';

-- in UTC whatever the session's zone: the text of restarted_at is part of every process's digest
CREATE FUNCTION core.load(wanted text) RETURNS jsonb LANGUAGE plpgsql STABLE SET TimeZone = 'UTC' AS $$
DECLARE
    d core.deployments := (SELECT o FROM core.deployments o WHERE o.owner = wanted);
    inherited jsonb := CASE WHEN d.id IS NOT NULL THEN core.inherited_variables(d) END;
    held text := coalesce(core.restored_because(), CASE WHEN d.id IS NOT NULL THEN core.held_because(d) END);
BEGIN
    RETURN jsonb_build_object(
        'now', statement_timestamp(),
        'spec', core.effective(core.spec_of(d), inherited),
        'defaults', CASE WHEN inherited = '{}' THEN '' ELSE md5(inherited::text) END,
        'generation', coalesce(d.generation, 0),
        'stage', coalesce(core.stage_of(d), 'active'),
        'stage_ends_at', CASE core.stage_of(d) WHEN 'stopping' THEN d.delete_after WHEN 'retaining' THEN d.retain_until END,
        -- held in the same snapshot: no pass ever acts on it. Daemons of an earlier release take it for a pause
        'held', held,
        'paused_until', CASE WHEN held IS NOT NULL THEN timestamptz '2999-01-01 00:00:00Z'
            WHEN d.paused_until > statement_timestamp() THEN d.paused_until END,
        'pause_reason', CASE WHEN held IS NOT NULL THEN held WHEN d.paused_until > statement_timestamp() THEN d.pause_reason ELSE '' END,
        'secrets', (SELECT coalesce(jsonb_object_agg(name, version), '{}') FROM (
            SELECT s.name, max(s.version) AS version FROM core.secrets s WHERE s.owner = wanted GROUP BY s.name) AS newest),
        'ports', (SELECT coalesce(jsonb_agg(jsonb_build_array(p.unit, p.port, p.number) ORDER BY p.number), '[]')
            FROM core.ports p WHERE p.deployment_id = d.id),
        'milestones', (SELECT coalesce(jsonb_agg(jsonb_build_object('name', m.name, 'key', m.key, 'begun', m.begun) ORDER BY m.name), '[]')
            FROM core.milestones m WHERE m.owner = wanted),
        'inventory', (SELECT coalesce(jsonb_agg(jsonb_build_object('kind', o.kind, 'name', o.name, 'unit', o.unit, 'digest', o.digest,
            'needs', o.needs, 'state', o.state, 'retain', o.retain, 'uid', o.uid) ORDER BY o.kind, o.name), '[]')
            FROM core.objects o WHERE o.owner = wanted),
        'approvals', (SELECT coalesce(jsonb_agg(a.what), '[]') FROM core.approvals a
            WHERE a.owner = wanted AND a.expires_at > statement_timestamp()),
        'moment', core.newest_change(),
        'status', core.status_of(wanted));
END $$;
COMMENT ON FUNCTION core.load IS 'Everything a pass needs to know about one owner, in one snapshot.';

CREATE FUNCTION core.due() RETURNS TABLE (owner text, cluster text, workspace text, generation bigint) LANGUAGE plpgsql STABLE AS $$
BEGIN
    -- IS NOT NULL first: NULL AND EXISTS (…) looks the row up, false AND EXISTS (…) does not
    RETURN QUERY SELECT d.owner, d.cluster, w.name, d.generation FROM core.deployments d JOIN core.workspaces w ON w.id = d.workspace_id
      LEFT JOIN core.status s ON s.owner = d.owner
     WHERE s.observed_generation IS DISTINCT FROM d.generation
        OR s.next_attempt_at <= statement_timestamp()
        OR s.next_attempt_at > statement_timestamp() + interval '5 minutes'  -- set by a clock that has gone back since
        OR d.paused_until IS NOT NULL AND d.paused_until <= statement_timestamp() AND EXISTS (
            SELECT FROM core.conditions c WHERE c.owner = d.owner AND c.type = 'Synced' AND c.reason = 'Paused')
        OR d.delete_after IS NOT NULL AND d.delete_after <= statement_timestamp() AND s.next_attempt_at IS NULL
           AND d.paused_until > statement_timestamp() IS NOT TRUE
           AND (d.retain_until <= statement_timestamp() OR EXISTS (
                SELECT FROM core.objects o WHERE o.owner = d.owner AND NOT o.retain AND o.state IN ('intended', 'present', 'stopped')));
END $$;
COMMENT ON FUNCTION core.due IS 'The queue''s source: what is desired is not what was last looked at, an attempt is due, a pause is over, or a deletion has come to its next stage and that is not done.';

CREATE FUNCTION core.owners() RETURNS TABLE (owner text, cluster text, workspace text) LANGUAGE sql STABLE AS $$
    SELECT d.owner, d.cluster, w.name FROM core.deployments d JOIN core.workspaces w ON w.id = d.workspace_id
    UNION ALL
    SELECT l.owner, '', '' FROM (SELECT o.owner FROM core.objects o UNION SELECT s.owner FROM core.status s) AS l
     WHERE NOT EXISTS (SELECT FROM core.deployments d WHERE d.owner = l.owner)
    ORDER BY 1
$$;
COMMENT ON FUNCTION core.owners IS 'Every owner that is desired, still holds something or was told of, with its cluster and workspace if it has a row.';

CREATE FUNCTION core.token_of(a core.audit) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT left(encode(sha256(convert_to(concat_ws(' ', a.id, a.transaction, extract(epoch FROM a.at)), 'UTF8')), 'hex'), 16)
$$;
COMMENT ON FUNCTION core.token_of IS 'What only this change has: its number comes again after a restore, its time does not.';

CREATE FUNCTION core.newest_change() RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT coalesce((SELECT jsonb_build_array(a.id, core.token_of(a)) FROM core.audit a ORDER BY a.id DESC LIMIT 1), '[0, ""]')
$$;
COMMENT ON FUNCTION core.newest_change IS 'The newest change of desired state: its number and token.';

CREATE FUNCTION core.knows(number bigint, token text) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT number = 0 OR EXISTS (SELECT FROM core.audit a WHERE a.id = number AND core.token_of(a) = token)
$$;
COMMENT ON FUNCTION core.knows IS 'True when that change is part of this database''s history.';

-- 160_record.sql
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

-- 170_leases.sql
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

-- 180_views.sql
-- What administrators see and change. Simple views over one table stay updatable by PostgreSQL itself; names of
-- other tables' rows are sub-selects. What is counted is a plain column: the table's trigger refuses it with a hint.

CREATE VIEW armillary.workspaces AS
    SELECT w.name, w.description, w.generation, w.created_at FROM core.workspaces w;
COMMENT ON VIEW armillary.workspaces IS 'Teams'' places for deployments. INSERT, UPDATE, DELETE; one with deployments cannot be deleted.';
COMMENT ON COLUMN armillary.workspaces.name IS 'Lowercase letters, digits and dashes, at most 20.';
COMMENT ON COLUMN armillary.workspaces.description IS 'For people.';
COMMENT ON COLUMN armillary.workspaces.generation IS 'Grows with every change. Read-only.';
COMMENT ON COLUMN armillary.workspaces.created_at IS 'When it was made.';

CREATE VIEW armillary.deployments AS
    SELECT (SELECT w.name FROM core.workspaces w WHERE w.id = d.workspace_id) AS workspace, d.name,
           d.path || '' AS deployment,
           d.release, d.cluster, d.airflow_version, d.executor, d.dags_folder, d.hibernated, d.drift_policy, d.paused_until,
           d.pause_reason, d.restarted_at, d.generation, d.deletion_requested_at, d.delete_after, d.retain_until,
           d.created_at
      FROM core.deployments d;
COMMENT ON VIEW armillary.deployments IS 'Desired Airflows. INSERT with workspace, name, airflow_version, dags_folder; UPDATE; DELETE asks for the deletion, which can be undone: armillary.undelete().';
COMMENT ON COLUMN armillary.deployments.workspace IS 'The workspace''s name; set at INSERT.';
COMMENT ON COLUMN armillary.deployments.name IS 'Unique in its workspace among deployments that are not being deleted.';
COMMENT ON COLUMN armillary.deployments.deployment IS 'workspace/name: how functions and other views name it; of one being deleted whose name was given to another, workspace/name@release. Read-only.';
COMMENT ON COLUMN armillary.deployments.release IS 'Name of its database, folder and roles. Given once, never changed, never used again.';
COMMENT ON COLUMN armillary.deployments.cluster IS 'Where it runs. Never changes.';
COMMENT ON COLUMN armillary.deployments.airflow_version IS 'The Airflow that runs; changing it migrates the database.';
COMMENT ON COLUMN armillary.deployments.executor IS 'How Airflow runs tasks.';
COMMENT ON COLUMN armillary.deployments.dags_folder IS 'Absolute path of the folder with DAG files. Never written to.';
COMMENT ON COLUMN armillary.deployments.hibernated IS 'True: nothing runs, everything is kept.';
COMMENT ON COLUMN armillary.deployments.drift_policy IS 'repair (the default), or report: drift is shown and left alone.';
COMMENT ON COLUMN armillary.deployments.paused_until IS 'Until then nothing is changed. A pause always expires.';
COMMENT ON COLUMN armillary.deployments.pause_reason IS 'Why, for the next person.';
COMMENT ON COLUMN armillary.deployments.restarted_at IS 'Every process is restarted when this changes.';
COMMENT ON COLUMN armillary.deployments.generation IS 'Grows once a transaction that changes what is desired. Read-only.';
COMMENT ON COLUMN armillary.deployments.deletion_requested_at IS 'When the deletion was asked for; NULL undoes it. Everything is stopped at once.';
COMMENT ON COLUMN armillary.deployments.delete_after IS 'From then on everything but data is removed.';
COMMENT ON COLUMN armillary.deployments.retain_until IS 'From then on databases and volumes are removed too, and then this row.';
COMMENT ON COLUMN armillary.deployments.created_at IS 'When it was made.';

CREATE VIEW armillary.components AS
    SELECT c.path || '' AS deployment,
           c.component, c.replicas, c.cpu_millicores, c.memory_mib, c.grace_seconds, c.settings
      FROM core.components c;
COMMENT ON VIEW armillary.components IS 'The parts of each deployment. UPDATE them: takes effect within a second.';
COMMENT ON COLUMN armillary.components.deployment IS 'workspace/name.';
COMMENT ON COLUMN armillary.components.component IS 'api-server, scheduler, dag-processor, triggerer.';
COMMENT ON COLUMN armillary.components.replicas IS 'How many run; 0 stops it.';
COMMENT ON COLUMN armillary.components.cpu_millicores IS 'A limit in thousandths of a core; advisory on a local cluster.';
COMMENT ON COLUMN armillary.components.memory_mib IS 'A limit in MiB; advisory on a local cluster.';
COMMENT ON COLUMN armillary.components.grace_seconds IS 'How long it may take to stop before it is killed.';
COMMENT ON COLUMN armillary.components.settings IS 'Its settings as a JSON object; see armillary.settings for the keys.';

CREATE VIEW armillary.variables AS
    SELECT v.path || '' AS deployment,
           v.key, v.value, v.secret, v.version + 0 AS version, v.components
      FROM core.variables v;
COMMENT ON VIEW armillary.variables IS 'Environment variables of deployments. INSERT, UPDATE, DELETE. With secret = true the value is sealed and never shown.';
COMMENT ON COLUMN armillary.variables.deployment IS 'workspace/name; set at INSERT.';
COMMENT ON COLUMN armillary.variables.key IS 'Name of the environment variable.';
COMMENT ON COLUMN armillary.variables.value IS 'Its value; of a secret, written once and read as NULL.';
COMMENT ON COLUMN armillary.variables.secret IS 'True: sealed.';
COMMENT ON COLUMN armillary.variables.version IS 'Of a secret: the version in force; 0 until the daemon has sealed it. Read-only.';
COMMENT ON COLUMN armillary.variables.components IS 'Who reads it; empty: every Airflow process. Changing it restarts who reads it.';

CREATE VIEW armillary.defaults AS
    SELECT u.grace_seconds, u.retention_seconds, u.bulk_minimum, u.bulk_percent, u.refuse_plaintext FROM core.defaults u;
COMMENT ON VIEW armillary.defaults IS 'One row: how long deletions can be undone and data is kept, and how many deployments a transaction may touch without saying so.';
COMMENT ON COLUMN armillary.defaults.grace_seconds IS 'From the wish to delete until processes and files are removed.';
COMMENT ON COLUMN armillary.defaults.retention_seconds IS 'From then until databases and volumes are removed.';
COMMENT ON COLUMN armillary.defaults.bulk_minimum IS 'So many deployments a transaction may always touch.';
COMMENT ON COLUMN armillary.defaults.bulk_percent IS 'Of a large fleet, so many percent.';
COMMENT ON COLUMN armillary.defaults.refuse_plaintext IS 'True: SQL may set a secret only to what armillary secret seal printed.';

CREATE VIEW armillary.tokens AS
    SELECT t.id + 0 AS id, t.name || '' AS name, t.created_at + interval '0' AS created_at, t.expires_at + interval '0' AS expires_at, t.revoked_at
      FROM core.tokens t;
COMMENT ON VIEW armillary.tokens IS 'The API''s bearer tokens, without what would let anybody in. UPDATE … SET revoked_at = now() ends one.';
COMMENT ON COLUMN armillary.tokens.id IS 'Its number.';
COMMENT ON COLUMN armillary.tokens.name IS 'What it is for.';
COMMENT ON COLUMN armillary.tokens.created_at IS 'When it was made.';
COMMENT ON COLUMN armillary.tokens.expires_at IS 'When it ends by itself; NULL: never.';
COMMENT ON COLUMN armillary.tokens.revoked_at IS 'When it was ended. Final. The API may accept it for some seconds more.';

CREATE VIEW armillary.settings AS
    SELECT s.component, s.key, s.minimum, s.maximum, s.usual, s.meaning, s.pattern FROM core.setting_catalogue s;
COMMENT ON VIEW armillary.settings IS 'Every setting that a component knows. Read-only.';
COMMENT ON COLUMN armillary.settings.component IS 'Whose setting it is.';
COMMENT ON COLUMN armillary.settings.key IS 'Its key in armillary.components.settings.';
COMMENT ON COLUMN armillary.settings.pattern IS 'What a text must look like; NULL for whole numbers.';
COMMENT ON COLUMN armillary.settings.minimum IS 'The smallest value allowed; of a text, its length.';
COMMENT ON COLUMN armillary.settings.maximum IS 'The largest value allowed; of a text, its length.';
COMMENT ON COLUMN armillary.settings.usual IS 'What is used where it is not set; of a text, its length.';
COMMENT ON COLUMN armillary.settings.meaning IS 'What it does.';

CREATE VIEW armillary.clusters AS SELECT c.name, c.driver, c.port_first, c.port_last FROM core.clusters c;
COMMENT ON VIEW armillary.clusters IS 'Where deployments run. Read-only.';
COMMENT ON COLUMN armillary.clusters.name IS 'Its name.';
COMMENT ON COLUMN armillary.clusters.driver IS 'How things are run there.';
COMMENT ON COLUMN armillary.clusters.port_first IS 'The first port that may be leased.';
COMMENT ON COLUMN armillary.clusters.port_last IS 'The last port that may be leased.';

CREATE VIEW armillary.ports AS
    SELECT d.path || '' AS deployment, p.cluster, p.unit, p.port, p.number FROM core.ports p JOIN core.deployments d ON d.id = p.deployment_id;
COMMENT ON VIEW armillary.ports IS 'Ports leased to deployments on a local cluster. Read-only; a port never moves.';
COMMENT ON COLUMN armillary.ports.deployment IS 'workspace/name.';
COMMENT ON COLUMN armillary.ports.cluster IS 'Where.';
COMMENT ON COLUMN armillary.ports.unit IS 'Which part listens.';
COMMENT ON COLUMN armillary.ports.port IS 'What for.';
COMMENT ON COLUMN armillary.ports.number IS 'The port on 127.0.0.1.';

-- 190_observed_views.sql
-- What is, for people: nothing here can be changed.

CREATE VIEW armillary.fleet AS
    SELECT d.path || '' AS deployment, d.airflow_version, d.executor,
           CASE WHEN d.deletion_requested_at IS NULL THEN 'active' WHEN statement_timestamp() < d.delete_after THEN 'stopping'
                WHEN statement_timestamp() < d.retain_until THEN 'retaining' ELSE 'purging' END AS stage,
           coalesce(y.status, 'Unknown') AS synced, coalesce(y.reason, 'NotLookedAt') AS synced_reason,
           coalesce(r.status, 'Unknown') AS ready, coalesce(r.reason, 'NotLookedAt') AS ready_reason,
           d.generation, s.observed_generation,
           CASE WHEN y.status IS DISTINCT FROM 'True' THEN y.message WHEN r.status IS DISTINCT FROM 'True' THEN r.message END AS message,
           greatest(y.since, r.since) AS since
      FROM core.deployments d
      LEFT JOIN core.status s ON s.owner = d.owner
      LEFT JOIN core.conditions y ON y.owner = d.owner AND y.type = 'Synced'
      LEFT JOIN core.conditions r ON r.owner = d.owner AND r.type = 'Ready';
COMMENT ON VIEW armillary.fleet IS 'One line a deployment: is it as asked (synced), does it work (ready), and if not, why.';
COMMENT ON COLUMN armillary.fleet.deployment IS 'workspace/name.';
COMMENT ON COLUMN armillary.fleet.airflow_version IS 'The Airflow asked for.';
COMMENT ON COLUMN armillary.fleet.executor IS 'How Airflow runs tasks.';
COMMENT ON COLUMN armillary.fleet.stage IS 'active; of a deletion: stopping (can be undone, nothing is removed), retaining (only data is left), purging.';
COMMENT ON COLUMN armillary.fleet.synced IS 'True: what is observed is what is asked.';
COMMENT ON COLUMN armillary.fleet.synced_reason IS 'Why, in a word.';
COMMENT ON COLUMN armillary.fleet.ready IS 'True: it works.';
COMMENT ON COLUMN armillary.fleet.ready_reason IS 'Why, in a word.';
COMMENT ON COLUMN armillary.fleet.generation IS 'What is asked for.';
COMMENT ON COLUMN armillary.fleet.observed_generation IS 'What the rest of the line is about.';
COMMENT ON COLUMN armillary.fleet.message IS 'The sentence of what is not as it should be.';
COMMENT ON COLUMN armillary.fleet.since IS 'When synced or ready last changed.';

CREATE VIEW armillary.status AS
    SELECT d.path || '' AS deployment, d.generation, s.observed_generation, s.attempts, s.next_attempt_at
      FROM core.deployments d LEFT JOIN core.status s ON s.owner = d.owner;
COMMENT ON VIEW armillary.status IS 'What was looked at, and when what failed is tried again.';
COMMENT ON COLUMN armillary.status.deployment IS 'workspace/name.';
COMMENT ON COLUMN armillary.status.generation IS 'What is asked for.';
COMMENT ON COLUMN armillary.status.observed_generation IS 'What was last looked at; NULL: nothing yet.';
COMMENT ON COLUMN armillary.status.attempts IS 'Failed passes since the last success or change.';
COMMENT ON COLUMN armillary.status.next_attempt_at IS 'When the next one is.';

CREATE VIEW armillary.conditions AS
    SELECT d.path || '' AS deployment, c.type, c.status, c.reason, c.message, c.since
      FROM core.conditions c JOIN core.deployments d ON d.owner = c.owner;
COMMENT ON VIEW armillary.conditions IS 'Synced and Ready of each deployment, with reason and since when.';
COMMENT ON COLUMN armillary.conditions.deployment IS 'workspace/name.';
COMMENT ON COLUMN armillary.conditions.type IS 'Synced: as asked for. Ready: works.';
COMMENT ON COLUMN armillary.conditions.status IS 'True, False or Unknown.';
COMMENT ON COLUMN armillary.conditions.reason IS 'Why, in a word.';
COMMENT ON COLUMN armillary.conditions.message IS 'Why, in a sentence.';
COMMENT ON COLUMN armillary.conditions.since IS 'When status last changed.';

CREATE VIEW armillary.units AS
    SELECT d.path || '' AS deployment, u.unit, u.component, u.state, u.detail, u.position
      FROM core.units u JOIN core.deployments d ON d.owner = u.owner;
COMMENT ON VIEW armillary.units IS 'How each part of each deployment is doing.';
COMMENT ON COLUMN armillary.units.deployment IS 'workspace/name.';
COMMENT ON COLUMN armillary.units.unit IS 'The part.';
COMMENT ON COLUMN armillary.units.component IS 'The component that it belongs to.';
COMMENT ON COLUMN armillary.units.state IS 'waiting, held, blind, applying, progressing, ready, failed, stopped or done.';
COMMENT ON COLUMN armillary.units.detail IS 'What there is to say about it.';
COMMENT ON COLUMN armillary.units.position IS 'The order in which parts are made.';

CREATE VIEW armillary.waiting AS
    SELECT deployment, unit, state, detail FROM armillary.units WHERE state IN ('waiting', 'held', 'blind', 'failed')
    UNION ALL
    SELECT d.path || '', '', CASE c.reason WHEN 'Blind' THEN 'blind' WHEN 'Paused' THEN 'paused' WHEN 'Refused' THEN 'failed' ELSE 'held' END, c.message
      FROM core.conditions c JOIN core.deployments d ON d.owner = c.owner
     WHERE c.type = 'Synced' AND c.reason IN ('Held', 'Blind', 'Paused', 'Refused', 'InvalidSpec')
       AND NOT EXISTS (SELECT FROM core.units u WHERE u.owner = c.owner AND u.state IN ('held', 'blind', 'failed'))
    UNION ALL
    SELECT d.path || '', i.name, 'waiting', 'A secret written at ' || i.written_at || ' waits to be sealed by the daemon.'
      FROM core.secret_inbox i JOIN core.deployments d ON d.owner = i.owner
    UNION ALL
    SELECT d.path || '', 'variable/' || v.key, 'failed', 'The secret was not sealed (the database''s server crashed before, or its sealed text did not open): write its value again.'
      FROM core.variables v JOIN core.deployments d ON d.id = v.deployment_id
     WHERE v.secret AND v.version = 0
       AND NOT EXISTS (SELECT FROM core.secret_inbox i WHERE i.owner = d.owner AND i.name = 'variable/' || v.key);
COMMENT ON VIEW armillary.waiting IS 'What waits, and for what; what is held, and for whom.';
COMMENT ON COLUMN armillary.waiting.deployment IS 'workspace/name.';
COMMENT ON COLUMN armillary.waiting.unit IS 'The part, or variable/KEY of a secret that is not sealed; empty: all of the deployment.';
COMMENT ON COLUMN armillary.waiting.state IS 'waiting for something it needs, held until a person decides, blind (cannot be seen), paused, or failed.';
COMMENT ON COLUMN armillary.waiting.detail IS 'For what, and what to do.';

CREATE VIEW armillary.objects AS
    SELECT coalesce(d.path || '', o.owner) AS deployment, o.kind, o.name, o.unit, o.state, o.retain, o.uid
      FROM core.objects o LEFT JOIN core.deployments d ON d.owner = o.owner;
COMMENT ON VIEW armillary.objects IS 'The inventory: everything that was made for deployments.';
COMMENT ON COLUMN armillary.objects.deployment IS 'workspace/name, or the owner when its row is gone.';
COMMENT ON COLUMN armillary.objects.kind IS 'What it is.';
COMMENT ON COLUMN armillary.objects.name IS 'Its name in the cluster.';
COMMENT ON COLUMN armillary.objects.unit IS 'The part that it was made for.';
COMMENT ON COLUMN armillary.objects.state IS 'intended, present, deleting or gone.';
COMMENT ON COLUMN armillary.objects.retain IS 'True: holds data, and is kept until retain_until.';
COMMENT ON COLUMN armillary.objects.uid IS 'Which one it is, should another of its name appear.';

CREATE VIEW armillary.events AS
    SELECT e.id, e.at, coalesce(d.path || '', e.owner) AS deployment, e.reason, e.cause, e.object, e.message
      FROM core.events e LEFT JOIN core.deployments d ON d.owner = e.owner;
COMMENT ON VIEW armillary.events IS 'What happened, newest with the highest id. Cause drift: something was changed behind Armillary''s back and repaired.';
COMMENT ON COLUMN armillary.events.id IS 'Grows.';
COMMENT ON COLUMN armillary.events.at IS 'When.';
COMMENT ON COLUMN armillary.events.deployment IS 'workspace/name, or the owner when its row is gone.';
COMMENT ON COLUMN armillary.events.reason IS 'What, in a word.';
COMMENT ON COLUMN armillary.events.cause IS 'Why: generation (somebody changed what is asked), drift, orphan, …';
COMMENT ON COLUMN armillary.events.object IS 'What it concerns; empty: the whole deployment.';
COMMENT ON COLUMN armillary.events.message IS 'The sentence.';

CREATE VIEW armillary.drift AS
    SELECT at, deployment, object, message FROM armillary.events WHERE cause = 'drift';
COMMENT ON VIEW armillary.drift IS 'Every repair of something that was changed out of band.';
COMMENT ON COLUMN armillary.drift.at IS 'When.';
COMMENT ON COLUMN armillary.drift.deployment IS 'workspace/name.';
COMMENT ON COLUMN armillary.drift.object IS 'What had been changed.';
COMMENT ON COLUMN armillary.drift.message IS 'What was done about it.';

CREATE VIEW armillary.history AS
    SELECT d.path || '' AS deployment, r.revision, r.at, r.actor, r.spec
      FROM core.revisions r JOIN core.deployments d ON d.id = r.deployment_id;
COMMENT ON VIEW armillary.history IS 'Every generation as a complete spec; armillary.rollback() restores one.';
COMMENT ON COLUMN armillary.history.deployment IS 'workspace/name.';
COMMENT ON COLUMN armillary.history.revision IS 'The generation.';
COMMENT ON COLUMN armillary.history.at IS 'When it was made.';
COMMENT ON COLUMN armillary.history.actor IS 'By whom.';
COMMENT ON COLUMN armillary.history.spec IS 'All of it. Secrets are versions.';

CREATE VIEW armillary.audit AS
    SELECT a.id, a.at, a.transaction, a.relation, a.key, a.deployment, a.operation, a.before, a.after, a.session_role, a.actor,
           a.actor_is_claimed, a.reason
      FROM core.audit a;
COMMENT ON VIEW armillary.audit IS 'One row a changed row: who, what, before and after. Secrets are masked.';
COMMENT ON COLUMN armillary.audit.id IS 'Grows.';
COMMENT ON COLUMN armillary.audit.at IS 'When.';
COMMENT ON COLUMN armillary.audit.transaction IS 'Rows of one transaction belong together.';
COMMENT ON COLUMN armillary.audit.relation IS 'The table.';
COMMENT ON COLUMN armillary.audit.key IS 'The row''s primary key.';
COMMENT ON COLUMN armillary.audit.deployment IS 'workspace/name, where it concerns one.';
COMMENT ON COLUMN armillary.audit.operation IS 'INSERT, UPDATE or DELETE.';
COMMENT ON COLUMN armillary.audit.before IS 'The row before; NULL for a new one.';
COMMENT ON COLUMN armillary.audit.after IS 'The row after; NULL for one that went.';
COMMENT ON COLUMN armillary.audit.session_role IS 'The role that logged in.';
COMMENT ON COLUMN armillary.audit.actor IS 'Who acted, as the session said; else the role.';
COMMENT ON COLUMN armillary.audit.actor_is_claimed IS 'True: a session said so that is not the API''s. Kept, and not believed.';
COMMENT ON COLUMN armillary.audit.reason IS 'Why a bulk change was meant.';

-- 192_unguarded.sql
-- What is under no guard: tables whose triggers are off, as a restore leaves them that was broken off in the middle.

CREATE VIEW armillary.unguarded AS
    SELECT t.tgrelid::regclass::text AS relation, count(*)::integer AS triggers,
           format('When no restore is at work, as the owner of the database: ALTER TABLE %s ENABLE TRIGGER ALL', t.tgrelid::regclass) AS what_to_do
      FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
     WHERE c.relnamespace IN ('core'::regnamespace, 'armillary'::regnamespace) AND t.tgenabled = 'D'
     GROUP BY t.tgrelid;
COMMENT ON VIEW armillary.unguarded IS 'Tables whose triggers are off: what is changed there is not checked, counted or audited. Empty: all is well.';
COMMENT ON COLUMN armillary.unguarded.relation IS 'The table.';
COMMENT ON COLUMN armillary.unguarded.triggers IS 'How many of its triggers are off.';
COMMENT ON COLUMN armillary.unguarded.what_to_do IS 'The statement that switches them on again. What was changed meanwhile is found within a minute.';

-- 200_view_writes.sql
-- Writes that a view over one table cannot take by itself: names become ids, a deletion becomes a request.

CREATE FUNCTION core.view_insert_deployment() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
DECLARE in_workspace bigint;
BEGIN
    -- one that is just being deleted is waited for
    SELECT w.id INTO in_workspace FROM core.workspaces w WHERE w.name = NEW.workspace FOR KEY SHARE;
    IF in_workspace IS NULL THEN
        PERFORM core.not_found(format('There is no workspace %L.', left(NEW.workspace, 60)), 'INSERT INTO armillary.workspaces (name) VALUES (…)');
    END IF;
    IF NEW.generation IS NOT NULL OR NEW.created_at IS NOT NULL THEN
        PERFORM core.invalid('generations_are_counted', '/generation', 'A deployment''s generation and created_at are counted, not set.', 'Leave them out.');
    END IF;
    IF NEW.deployment <> NEW.workspace || '/' || NEW.name THEN
        PERFORM core.invalid('a_document_is_its_path_s', '/name', format('%L is not %s/%s.', left(NEW.deployment, 60), NEW.workspace, NEW.name),
            'Leave the column deployment out: it follows from workspace and name.');
    END IF;
    INSERT INTO core.deployments (workspace_id, name, release, cluster, airflow_version, executor, dags_folder, hibernated, drift_policy,
        paused_until, pause_reason, restarted_at, deletion_requested_at, delete_after, retain_until)
    VALUES (in_workspace, NEW.name, NEW.release, coalesce(NEW.cluster, 'local'), NEW.airflow_version, coalesce(NEW.executor, 'LocalExecutor'),
        NEW.dags_folder, coalesce(NEW.hibernated, false), coalesce(NEW.drift_policy, 'repair'), NEW.paused_until,
        coalesce(NEW.pause_reason, ''), NEW.restarted_at, NEW.deletion_requested_at, NEW.delete_after, NEW.retain_until)
    RETURNING release, cluster, executor, hibernated, drift_policy, pause_reason, generation, created_at
         INTO NEW.release, NEW.cluster, NEW.executor, NEW.hibernated, NEW.drift_policy, NEW.pause_reason, NEW.generation, NEW.created_at;
    NEW.deployment := NEW.workspace || '/' || NEW.name;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION core.view_insert_deployment IS 'Trigger: INSERT INTO armillary.deployments.';
CREATE TRIGGER insert_deployment INSTEAD OF INSERT ON armillary.deployments FOR EACH ROW EXECUTE FUNCTION core.view_insert_deployment();

CREATE FUNCTION core.view_delete_deployment() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
BEGIN
    -- one whose deletion was asked for before is not counted: DELETE answers how many it was asked for now
    RETURN CASE WHEN core.request_deletion((SELECT d.id FROM core.deployments d WHERE d.release = OLD.release)) THEN OLD END;
END $$;
COMMENT ON FUNCTION core.view_delete_deployment IS 'Trigger: DELETE FROM armillary.deployments is a request.';
CREATE TRIGGER delete_deployment INSTEAD OF DELETE ON armillary.deployments FOR EACH ROW EXECUTE FUNCTION core.view_delete_deployment();

CREATE FUNCTION core.variable_is_there(deployment text, key text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM core.conflict(format('%s has a variable %s already.', deployment, key),
        format('UPDATE armillary.variables SET value = … WHERE deployment = %L AND key = %L', deployment, key));
END $$;
COMMENT ON FUNCTION core.variable_is_there IS 'Raises: a new variable cannot have the name.';

CREATE FUNCTION core.view_insert_variable() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
DECLARE target bigint := core.resolve(NEW.deployment);
BEGIN
    IF EXISTS (SELECT FROM core.variables v WHERE v.deployment_id = target AND v.key = NEW.key) THEN
        PERFORM core.variable_is_there(NEW.deployment, NEW.key);
    END IF;
    INSERT INTO core.variables (deployment_id, key, value, secret, version, components)
    VALUES (target, NEW.key, NEW.value, coalesce(NEW.secret, false), coalesce(NEW.version, 0), coalesce(NEW.components, '{}'))
    ON CONFLICT DO NOTHING
    RETURNING value, secret, version, components INTO NEW.value, NEW.secret, NEW.version, NEW.components;
    IF NOT FOUND THEN
        PERFORM core.variable_is_there(NEW.deployment, NEW.key);  -- since this moment, by another session
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION core.view_insert_variable IS 'Trigger: INSERT INTO armillary.variables.';
CREATE TRIGGER insert_variable INSTEAD OF INSERT ON armillary.variables FOR EACH ROW EXECUTE FUNCTION core.view_insert_variable();

CREATE FUNCTION core.view_insert_component() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
BEGIN
    PERFORM core.refuse('components_follow_from_the_executor', '', 'A deployment''s components follow from its executor.',
        'Change one: UPDATE armillary.components SET replicas = … WHERE deployment = ''workspace/name'' AND component = ''…''');
    RETURN NULL;
END $$;
COMMENT ON FUNCTION core.view_insert_component IS 'Trigger: INSERT INTO armillary.components is refused with a hint.';
CREATE TRIGGER insert_component INSTEAD OF INSERT ON armillary.components FOR EACH ROW EXECUTE FUNCTION core.view_insert_component();

-- 210_people.sql
-- Functions for people. Each is one change of what is desired, or one answer.

CREATE FUNCTION armillary.why(deployment text) RETURNS SETOF text LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = core, pg_temp AS $$
DECLARE d core.deployments := (SELECT o FROM core.deployments o WHERE o.id = core.resolve(why.deployment));
BEGIN
    RETURN QUERY SELECT format('%s is at generation %s, observed %s, %s.', why.deployment, d.generation,
        coalesce((SELECT s.observed_generation::text FROM core.status s WHERE s.owner = d.owner), 'never'), core.stage_of(d));
    IF d.deletion_requested_at IS NOT NULL THEN
        RETURN QUERY SELECT format('Its deletion was asked for; processes and files are removed after %s, data after %s. Until then: SELECT armillary.undelete(%L)',
            to_char(d.delete_after, 'YYYY-MM-DD HH24:MI:SS TZ'), to_char(d.retain_until, 'YYYY-MM-DD HH24:MI:SS TZ'), why.deployment);
    END IF;
    IF d.paused_until > now() THEN
        RETURN QUERY SELECT format('It is paused until %s: %s', to_char(d.paused_until, 'YYYY-MM-DD HH24:MI:SS TZ'), d.pause_reason);
    END IF;
    IF coalesce(core.restored_because(), core.held_because(d)) IS NOT NULL THEN
        RETURN QUERY SELECT coalesce(core.restored_because(), core.held_because(d));
    END IF;
    RETURN QUERY SELECT format('%s=%s (%s since %s): %s', c.type, c.status, c.reason, to_char(c.since, 'YYYY-MM-DD HH24:MI:SS TZ'), c.message)
        FROM core.conditions c WHERE c.owner = d.owner ORDER BY c.type DESC;
    RETURN QUERY SELECT format('%s is %s%s', u.unit, u.state, CASE WHEN u.detail = '' THEN '' ELSE ': ' || u.detail END)
        FROM core.units u WHERE u.owner = d.owner AND u.state NOT IN ('ready', 'done') ORDER BY u.position;
    RETURN QUERY SELECT format('%s: %s', x.unit, x.detail) FROM armillary.waiting x
        WHERE x.deployment = why.deployment AND x.unit LIKE 'variable/%';
    RETURN QUERY SELECT format('%s %s%s: %s', to_char(e.at, 'HH24:MI:SS'), e.reason, CASE WHEN e.object = '' THEN '' ELSE ' ' || e.object END, e.message)
        FROM (SELECT * FROM core.events v WHERE v.owner = d.owner ORDER BY v.id DESC LIMIT 5) AS e ORDER BY e.id;
END $$;
COMMENT ON FUNCTION armillary.why IS 'Why a deployment is as it is: conditions, what is not ready, the last five events.';

CREATE FUNCTION core.but(deployment bigint, also_hibernated boolean DEFAULT true) RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE d core.deployments := (SELECT o FROM core.deployments o WHERE o.id = deployment);
BEGIN
    RETURN CASE WHEN d.deletion_requested_at IS NOT NULL THEN format(', but it is being deleted: SELECT armillary.undelete(%L)', core.path_of(d.id))
                WHEN d.paused_until > clock_timestamp() THEN format(', but only when its pause ends at %s: SELECT armillary.resume(%L)', core.said(d.paused_until), core.path_of(d.id))
                WHEN d.hibernated AND also_hibernated THEN format(', but it is hibernated and nothing runs: SELECT armillary.wake(%L)', core.path_of(d.id))
                ELSE '' END;
END $$;
COMMENT ON FUNCTION core.but IS 'The rest of an answer, when what was asked for has no effect yet: why, and what to run.';

CREATE FUNCTION armillary.undelete(deployment text) RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
DECLARE target bigint := core.resolve(undelete.deployment);
BEGIN
    UPDATE core.deployments d SET deletion_requested_at = NULL
     WHERE d.id = target AND d.deletion_requested_at IS NOT NULL;
    RETURN CASE WHEN FOUND THEN 'undeleted' ELSE 'was not being deleted' END;
END $$;
COMMENT ON FUNCTION armillary.undelete IS 'Takes back a deletion, while the databases are still kept.';

CREATE FUNCTION armillary.pause(deployment text, until timestamptz, reason text) RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
DECLARE target bigint := core.resolve(pause.deployment);
BEGIN
    IF until IS NULL OR until <= clock_timestamp() THEN
        PERFORM core.invalid('a_pause_ends_in_the_future', '/paused_until', CASE WHEN until IS NULL THEN 'A pause needs an end: none lasts for ever.'
            ELSE format('A pause cannot end at %s, which is past.', core.said(until)) END,
            format('SELECT armillary.pause(%L, now() + interval ''1 hour'', ''maintenance'')', pause.deployment));
    ELSIF coalesce(reason, '') = '' THEN
        PERFORM core.invalid('a_pause_has_a_reason', '/pause_reason', 'A pause needs a reason, for the next person.',
            format('SELECT armillary.pause(%L, now() + interval ''1 hour'', ''maintenance'')', pause.deployment));
    END IF;
    UPDATE core.deployments d SET paused_until = until, pause_reason = reason WHERE d.id = target;
    RETURN format('paused until %s', core.said(until));
END $$;
COMMENT ON FUNCTION armillary.pause IS 'Nothing of the deployment is changed until then. What runs, runs on.';

CREATE FUNCTION armillary.resume(deployment text) RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
DECLARE
    target bigint := core.resolve(resume.deployment);
    was_paused boolean := (SELECT d.paused_until IS NOT NULL FROM core.deployments d WHERE d.id = target);
BEGIN
    -- a reason goes with its pause, also one that was left of a pause that somebody ended by hand
    UPDATE core.deployments d SET paused_until = NULL, pause_reason = ''
     WHERE d.id = target AND (d.paused_until IS NOT NULL OR d.pause_reason <> '');
    RETURN CASE WHEN was_paused THEN 'resumed' ELSE 'was not paused' END;
END $$;
COMMENT ON FUNCTION armillary.resume IS 'Ends a pause.';

CREATE FUNCTION armillary.restart(deployment text) RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
DECLARE target bigint := core.resolve(restart.deployment);
BEGIN
    UPDATE core.deployments d SET restarted_at = now() WHERE d.id = target;
    RETURN 'restarting' || core.but(target);
END $$;
COMMENT ON FUNCTION armillary.restart IS 'Restarts every Airflow process of a deployment.';

CREATE FUNCTION armillary.hibernate(deployment text) RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
DECLARE target bigint := core.resolve(hibernate.deployment);
BEGIN
    UPDATE core.deployments d SET hibernated = true WHERE d.id = target AND NOT d.hibernated;
    RETURN CASE WHEN FOUND THEN 'hibernated' ELSE 'was hibernated already' END || core.but(target, also_hibernated => false);
END $$;
COMMENT ON FUNCTION armillary.hibernate IS 'Stops everything of a deployment and keeps it all.';

CREATE FUNCTION armillary.wake(deployment text) RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
DECLARE target bigint := core.resolve(wake.deployment);
BEGIN
    UPDATE core.deployments d SET hibernated = false WHERE d.id = target AND d.hibernated;
    RETURN CASE WHEN FOUND THEN 'awake' ELSE 'was awake already' END || core.but(target);
END $$;
COMMENT ON FUNCTION armillary.wake IS 'Starts a hibernated deployment again.';

CREATE FUNCTION armillary.rollback(deployment text, revision bigint) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
DECLARE
    target bigint := core.resolve(rollback.deployment);
    now_is jsonb := core.document(target);
    earlier jsonb := core.told(rollback.deployment, target, rollback.revision);
BEGIN
    IF now_is->>'deletion_requested_at' IS NOT NULL THEN
        PERFORM core.refuse('what_is_being_deleted_is_not_rolled_back', '', format('%s is being deleted.', rollback.deployment),
            format('SELECT armillary.undelete(%L)', rollback.deployment));
    END IF;
    -- what is asked for goes back; names, a pause and the last restart stay as they are now
    PERFORM core.put_deployment(split_part(rollback.deployment, '/', 1), split_part(rollback.deployment, '/', 2),
        (earlier - ARRAY['workspace', 'name', 'deletion_requested_at', 'delete_after', 'retain_until']) || jsonb_build_object(
            'paused_until', now_is->'paused_until', 'pause_reason', now_is->'pause_reason', 'restarted_at', now_is->'restarted_at'));
    UPDATE core.variables v SET version = (earlier->'variables'->v.key->>'version')::integer
     WHERE v.deployment_id = target AND v.secret AND (earlier->'variables'->v.key->>'version')::integer NOT IN (0, v.version);
    RETURN (SELECT d.generation FROM core.deployments d WHERE d.id = target);
END $$;
COMMENT ON FUNCTION armillary.rollback IS 'Makes an earlier revision the newest generation, which it returns. Secrets go back to the versions they had.';

-- 212_diff.sql
-- What differs between two revisions, for people: a row a field, named as errors name it, by its JSON pointer.

CREATE FUNCTION core.leaves(document jsonb, place text DEFAULT '') RETURNS TABLE (path text, value text) LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE one record;
BEGIN
    FOR one IN SELECT e.key, e.value FROM jsonb_each(document) AS e LOOP
        IF jsonb_typeof(one.value) = 'object' THEN
            RETURN QUERY SELECT * FROM core.leaves(one.value, place || core.pointer(one.key));
        ELSE
            path := place || core.pointer(one.key);
            value := one.value #>> '{}';
            RETURN NEXT;
        END IF;
    END LOOP;
END $$;
COMMENT ON FUNCTION core.leaves IS 'Every field of a document that is no object itself, by its JSON pointer, as text. JSON''s null is NULL.';

-- what was plain before it became a secret, or will be plain after, is nobody's to see by comparing
CREATE FUNCTION core.masked(document jsonb, hidden text[]) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT jsonb_set(document - 'generation', '{variables}', (
        SELECT coalesce(jsonb_object_agg(v.key, CASE WHEN v.key = ANY (hidden) AND v.value ? 'value'
                THEN jsonb_set(v.value, '{value}', '"(sealed)"') ELSE v.value END), '{}')
          FROM jsonb_each(document->'variables') AS v))
$$;
COMMENT ON FUNCTION core.masked IS 'A document without its number and without the values of those variables.';

CREATE FUNCTION core.told(deployment text, target bigint, wanted bigint) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
DECLARE spec jsonb := (SELECT r.spec FROM core.revisions r WHERE r.deployment_id = target AND r.revision = wanted);
BEGIN
    IF spec IS NULL THEN
        PERFORM core.not_found(format('%s has no revision %s.', deployment, coalesce(wanted::text, 'NULL')), 'Its newest revisions: '
            || coalesce((SELECT string_agg(n.revision::text, ', ' ORDER BY n.revision DESC) FROM (
                SELECT r.revision FROM core.revisions r WHERE r.deployment_id = target ORDER BY r.revision DESC LIMIT 20) AS n), 'none'));
    END IF;
    RETURN spec;
END $$;
COMMENT ON FUNCTION core.told IS 'What a revision of a deployment tells. Raises when there is none of that number.';

CREATE FUNCTION armillary.diff(deployment text, revision bigint, other bigint DEFAULT NULL)
RETURNS TABLE (path text, before text, after text) LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = core, pg_temp AS $$
DECLARE
    target bigint := core.resolve(diff.deployment);
    earlier jsonb := core.told(diff.deployment, target, diff.revision);
    later jsonb := core.told(diff.deployment, target,
        coalesce(diff.other, (SELECT max(r.revision) FROM core.revisions r WHERE r.deployment_id = target)));
    hidden text[] := ARRAY(
        SELECT v.key FROM jsonb_each(earlier->'variables') v WHERE v.value ? 'secret'
        UNION SELECT v.key FROM jsonb_each(later->'variables') v WHERE v.value ? 'secret'
        UNION SELECT v.key FROM core.variables v WHERE v.deployment_id = target AND v.secret);
BEGIN
    RETURN QUERY SELECT coalesce(o.path, n.path), o.value, n.value
      FROM core.leaves(core.masked(earlier, hidden)) AS o FULL JOIN core.leaves(core.masked(later, hidden)) AS n USING (path)
     WHERE o.value IS DISTINCT FROM n.value ORDER BY 1;
END $$;
COMMENT ON FUNCTION armillary.diff IS 'What differs between two revisions of a deployment (the second left out: the newest): path, before, after. Of secrets their versions.';

-- 213_plan.sql
-- What the daemon last said that it would do. A plan itself is not stored: it is a moment's answer (GET …/plan). What a
-- pass leaves behind is the state of every unit with its reason, the inventory written ahead, and events with causes.

CREATE FUNCTION core.cause_of(d core.deployments, of_unit text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT coalesce(
        (SELECT e.cause FROM core.events e JOIN core.objects o ON o.owner = e.owner AND e.object = o.kind || '/' || o.name
          WHERE e.owner = d.owner AND o.unit = of_unit AND e.cause IS NOT NULL AND e.at >= d.changed_at ORDER BY e.id DESC LIMIT 1),
        (SELECT CASE WHEN s.converged_generation IS DISTINCT FROM d.generation THEN 'generation'
                     WHEN s.rolling_since IS NOT NULL THEN 'renderer or defaults'
                     WHEN s.attempts > 0 THEN 'retry' END
           FROM core.status s WHERE s.owner = d.owner))
$$;
COMMENT ON FUNCTION core.cause_of IS 'Why something is done to a unit, as far as it was recorded: the newest event of this generation, else what its status tells.';

CREATE FUNCTION core.standstill(d core.deployments) RETURNS TABLE (state text, why text) LANGUAGE plpgsql STABLE AS $$
DECLARE
    seen bigint := (SELECT s.observed_generation FROM core.status s WHERE s.owner = d.owner);
    held text := coalesce(core.restored_because(), core.held_because(d));
BEGIN
    IF held IS NOT NULL THEN
        RETURN QUERY SELECT 'held', held;
    ELSIF d.paused_until > clock_timestamp() THEN
        RETURN QUERY SELECT 'paused', format('Nothing is changed until %s: %s', core.said(d.paused_until), d.pause_reason);
    ELSIF NOT EXISTS (SELECT FROM core.leases l WHERE l.name = core.lease_of(d.owner) AND l.expires_at > clock_timestamp()) THEN
        RETURN QUERY SELECT 'unled', format('No daemon acts on cluster %s now. It is started with: armillary up', d.cluster);
    END IF;
    IF seen IS DISTINCT FROM d.generation THEN
        RETURN QUERY SELECT 'unseen', format('Generation %s was not looked at yet%s.', d.generation,
            CASE WHEN seen IS NULL THEN '' ELSE format('; what else is said here is of generation %s', seen) END);
    END IF;
END $$;
COMMENT ON FUNCTION core.standstill IS 'What keeps all of a deployment from being changed now; no row when nothing does.';

CREATE FUNCTION armillary.plan_of(deployment text)
RETURNS TABLE (unit text, state text, object text, cause text, why text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = core, pg_temp AS $$
DECLARE d core.deployments := (SELECT o FROM core.deployments o WHERE o.id = core.resolve(plan_of.deployment));
BEGIN
    RETURN QUERY SELECT '', s.state, '', NULL::text, s.why FROM core.standstill(d) AS s;
    RETURN QUERY SELECT u.unit, u.state, '', core.cause_of(d, u.unit), u.detail
      FROM core.units u WHERE u.owner = d.owner AND u.state NOT IN ('ready', 'done', 'stopped') ORDER BY u.position;
    RETURN QUERY SELECT o.unit, CASE o.state WHEN 'intended' THEN 'being made' WHEN 'deleting' THEN 'being removed' ELSE 'stopped' END,
            o.kind || '/' || o.name, core.cause_of(d, o.unit),
            CASE o.state WHEN 'intended' THEN 'Its making was begun and was not seen to end.'
                         WHEN 'deleting' THEN 'Its removal was begun and was not seen to end.' ELSE 'It stands still while a task needs that.' END
      FROM core.objects o WHERE o.owner = d.owner AND o.state IN ('intended', 'deleting', 'stopped') ORDER BY o.kind, o.name;
    RETURN QUERY SELECT w.unit, w.state, '', 'generation'::text, w.detail
      FROM armillary.waiting w WHERE w.deployment = d.path || '' AND w.unit LIKE 'variable/%' AND d.deletion_requested_at IS NULL;
    RETURN QUERY SELECT '', 'later', '', 'generation'::text, x.why FROM (
        SELECT format('Processes, configuration and files are removed after %s.', core.said(d.delete_after)), 1 WHERE d.delete_after > clock_timestamp()
        UNION ALL
        SELECT format('Databases and logs are removed after %s.', core.said(d.retain_until)), 2 WHERE d.retain_until > clock_timestamp()
    ) AS x(why, n) ORDER BY x.n;
END $$;
COMMENT ON FUNCTION armillary.plan_of IS 'What the daemon last said that it will do, and why; no rows: nothing. What it would do this moment is asked over HTTP: GET …/plan.';

-- 215_approving.sql
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

-- 216_waiting_for.sql
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

-- 218_read_only_views.sql
-- What views answer that only show. PostgreSQL would say that a view cannot be updated and ask for a trigger; this trigger
-- says what to change instead. It is a statement's, so that a statement that meets no row is answered too.

CREATE FUNCTION core.only_shown() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
BEGIN
    PERFORM core.refuse('what_is_only_shown_is_not_written', '',
        format('armillary.%s takes no %s: it %s.', TG_TABLE_NAME, TG_OP, TG_ARGV[0]), TG_ARGV[1]);
    RETURN NULL;
END $$;
COMMENT ON FUNCTION core.only_shown IS 'Trigger: refuses to write what is only shown. Its arguments are what is shown, and what to do instead.';

DO $$
DECLARE
    one record;
    verb text;
    change_wishes text := 'Change what is asked for: armillary.deployments, armillary.components, armillary.variables. The rest follows from it.';
BEGIN
    FOR one IN SELECT * FROM (VALUES
        ('fleet', 'INSERT UPDATE DELETE', 'only shows what the daemon saw', change_wishes),
        ('status', 'INSERT UPDATE DELETE', 'only shows what the daemon saw', change_wishes),
        ('conditions', 'INSERT UPDATE DELETE', 'only shows what the daemon saw', change_wishes),
        ('units', 'INSERT UPDATE DELETE', 'only shows what the daemon saw', change_wishes),
        ('waiting', 'INSERT UPDATE DELETE', 'only shows what the daemon waits for', 'Look why, and do what it says: SELECT * FROM armillary.why(''workspace/name'')'),
        ('objects', 'INSERT UPDATE DELETE', 'only shows what was made', change_wishes),
        ('events', 'INSERT UPDATE DELETE', 'only shows what happened', 'Events go by themselves when they are old.'),
        ('drift', 'INSERT UPDATE DELETE', 'only shows what happened', 'Events go by themselves when they are old.'),
        ('history', 'INSERT UPDATE DELETE', 'only shows what was asked for', 'To go back to a revision: SELECT armillary.rollback(''workspace/name'', revision)'),
        ('audit', 'INSERT UPDATE DELETE', 'only shows who changed what', 'The audit writes itself, and is never changed.'),
        ('approvals', 'INSERT UPDATE DELETE', 'only shows what is approved', 'SELECT armillary.approve(''workspace/name'', ''deletes'', ''why''); it ends by itself after an hour.'),
        ('ports', 'INSERT UPDATE DELETE', 'only shows which ports are leased', 'Ports come with a deployment, never move, and are free when it is gone.'),
        ('settings', 'INSERT UPDATE DELETE', 'only shows which settings there are', 'To set one: UPDATE armillary.components SET settings = settings || ''{"key": 1}'' WHERE …'),
        ('clusters', 'INSERT UPDATE DELETE', 'only shows where deployments run', 'Clusters are made by the installation, not in SQL.'),
        ('sealing', 'INSERT UPDATE DELETE', 'only shows which key sealed what', 'To seal with a new key: armillary secret rotate-key'),
        ('unguarded', 'INSERT UPDATE DELETE', 'only shows whose triggers are off', 'Do what its column what_to_do says.'),
        ('effective_variables', 'INSERT UPDATE DELETE', 'only shows what variables come to', 'Change armillary.variables, or armillary.default_variables for many at once.'),
        ('defaults', 'INSERT DELETE', 'is one row that is always there', 'Change it: UPDATE armillary.defaults SET …'),
        ('tokens', 'INSERT DELETE', 'never holds what a token is made of', 'Make one: armillary token create. End one: UPDATE armillary.tokens SET revoked_at = now() WHERE id = …')
    ) AS v(name, verbs, shows, instead) LOOP
        FOREACH verb IN ARRAY string_to_array(one.verbs, ' ') LOOP
            -- what PostgreSQL wants to see before it runs a statement's trigger, and would run if that let anything pass
            EXECUTE format('CREATE TRIGGER only_shown_row_%s INSTEAD OF %s ON armillary.%I FOR EACH ROW EXECUTE FUNCTION core.only_shown(%L, %L)',
                lower(verb), verb, one.name, one.shows, one.instead);
            EXECUTE format('CREATE TRIGGER only_shown_%s BEFORE %s ON armillary.%I FOR EACH STATEMENT EXECUTE FUNCTION core.only_shown(%L, %L)',
                lower(verb), verb, one.name, one.shows, one.instead);
        END LOOP;
    END LOOP;
END $$;

-- 220_grants.sql
-- Who may do what. Roles belong to the whole server, so they may be there already.

DO $$
DECLARE role text;
BEGIN
    FOREACH role IN ARRAY ARRAY['armillary_daemon', 'armillary_api', 'armillary_admin', 'armillary_viewer', 'armillary_auditor'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', role);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL;  -- another database of this server was migrated at the same moment
            END;
        END IF;
    END LOOP;
END $$;

REVOKE ALL ON SCHEMA core, armillary FROM PUBLIC;
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA core, armillary FROM PUBLIC;

GRANT USAGE ON SCHEMA core, armillary TO armillary_daemon, armillary_api;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA core TO armillary_daemon;
REVOKE UPDATE, DELETE ON core.audit, core.releases FROM armillary_daemon;
REVOKE UPDATE ON core.revisions FROM armillary_daemon;
-- what there is to choose from comes with a release
REVOKE INSERT, UPDATE, DELETE ON core.airflow_versions, core.component_catalogue, core.setting_catalogue, core.port_catalogue,
    core.reserved_variables FROM armillary_daemon;
GRANT SELECT ON ALL TABLES IN SCHEMA core TO armillary_api;
REVOKE SELECT ON core.secret_inbox FROM armillary_api;
GRANT INSERT, UPDATE, DELETE ON core.workspaces, core.deployments, core.components, core.variables, core.default_variables, core.tokens
    TO armillary_api;
GRANT INSERT ON core.events TO armillary_api;
GRANT SELECT ON ALL TABLES IN SCHEMA armillary TO armillary_daemon, armillary_api;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA core, armillary TO armillary_daemon, armillary_api;

-- People get views and functions; nothing of schema core, not even its name. Administrators may also ask a view to change
-- that only shows: its trigger answers what to do instead, where PostgreSQL would only say no.
GRANT USAGE ON SCHEMA armillary TO armillary_admin, armillary_viewer, armillary_auditor;
GRANT SELECT ON ALL TABLES IN SCHEMA armillary TO armillary_admin, armillary_viewer, armillary_auditor;
GRANT INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA armillary TO armillary_admin;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA armillary TO armillary_admin;
GRANT EXECUTE ON FUNCTION armillary.why, armillary.plan_of, armillary.wait TO armillary_viewer;

-- Who did what, and what was asked for before, is for auditors: earlier values may be nobody else's business.
REVOKE SELECT ON armillary.audit, armillary.history FROM armillary_viewer;
GRANT EXECUTE ON FUNCTION armillary.why, armillary.plan_of, armillary.diff TO armillary_auditor;

-- 230_truth.sql
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
