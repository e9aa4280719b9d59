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
