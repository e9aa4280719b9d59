-- The definitions of revision 0001 as they were released: made again when a database goes back to it, and what tests
-- begin from. Never changed.

-- 040_refusing.sql
-- Refusing, in one place. Each refusal has a code of our own class, a name (CONSTRAINT), a sentence, a hint that says
-- what to do, and the JSON pointer of the field in the deployment's document (COLUMN). state/errors.py maps the codes.

CREATE FUNCTION core.raise(code text, rule text, pointer text, message text, hint text) RETURNS void
LANGUAGE plpgsql SET search_path = core, pg_temp AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = code, CONSTRAINT = rule, COLUMN = pointer, MESSAGE = message, HINT = hint;
END $$;
COMMENT ON FUNCTION core.raise IS 'Codes: AR001 not found, AR002 changed meanwhile, AR003 cannot be, AR004 refused by a guard, AR005 fenced.';

CREATE FUNCTION core.not_found(message text, hint text) RETURNS void LANGUAGE sql AS
    $$ SELECT core.raise('AR001', 'exists', '', message, hint) $$;
COMMENT ON FUNCTION core.not_found IS 'Raises: what was named does not exist.';

CREATE FUNCTION core.conflict(message text, hint text) RETURNS void LANGUAGE sql AS
    $$ SELECT core.raise('AR002', 'unchanged', '', message, hint) $$;
COMMENT ON FUNCTION core.conflict IS 'Raises: it was changed meanwhile, or exists where it must not.';

CREATE FUNCTION core.invalid(rule text, pointer text, message text, hint text) RETURNS void LANGUAGE sql AS
    $$ SELECT core.raise('AR003', rule, pointer, message, hint) $$;
COMMENT ON FUNCTION core.invalid IS 'Raises: what is asked for cannot be.';

CREATE FUNCTION core.refuse(rule text, pointer text, message text, hint text) RETURNS void LANGUAGE sql AS
    $$ SELECT core.raise('AR004', rule, pointer, message, hint) $$;
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
    PERFORM pg_advisory_xact_lock(hashtext('armillary.deployments'));
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
    INSERT INTO core.components (deployment_id, component)
    SELECT NEW.id, c.component FROM core.component_catalogue c WHERE c.executor = NEW.executor;
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
            format('There is no Airflow %s here.', coalesce(quote_literal(d.airflow_version), 'without a version')),
            'Known versions: ' || (SELECT string_agg(version, ', ' ORDER BY version) FROM core.airflow_versions));
    END IF;
    IF NOT EXISTS (SELECT FROM core.component_catalogue c WHERE c.executor = d.executor) THEN
        PERFORM core.invalid('executor_is_offered', '/executor', format('The executor %L is not offered here.', d.executor),
            'Executors: ' || (SELECT string_agg(DISTINCT executor, ', ') FROM core.component_catalogue));
    END IF;
    IF NOT EXISTS (SELECT FROM core.clusters c WHERE c.name = d.cluster) THEN
        PERFORM core.invalid('cluster_exists', '/cluster', format('There is no cluster %L.', d.cluster),
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
        PERFORM core.invalid('drift_policy_is_repair_or_report', '/drift_policy', format('There is no drift policy %L.', d.drift_policy),
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

CREATE FUNCTION core.check_name_is_free(d core.deployments) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM core.deployments o WHERE o.workspace_id = d.workspace_id AND o.name = d.name
                  AND o.id IS DISTINCT FROM d.id AND o.deletion_requested_at IS NULL) THEN
        PERFORM core.conflict(format('There is a deployment %s/%s already.',
            (SELECT w.name FROM core.workspaces w WHERE w.id = d.workspace_id), d.name), 'UPDATE it, or choose another name.');
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
            NEW.generation := OLD.generation + 1;
            NEW.changed_by := core.actor();
        END IF;
        NEW.changed_in := pg_current_xact_id();
        NEW.changed_at := transaction_timestamp();
        PERFORM pg_notify('armillary', '');
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION core.deployment_updated IS 'Trigger: checks a changed deployment and counts its generation, once a transaction.';

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

-- 070_audit.sql
-- Audit: one row for each changed row of desired state, with who, before and after. Secrets are masked.

CREATE FUNCTION core.auditable(relation text, this jsonb, other jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN relation = 'variables' AND ((this->>'secret')::boolean OR (other->>'secret')::boolean)
                THEN jsonb_set(this, '{value}', '"(sealed)"') ELSE this END
         - ARRAY['generation', 'changed_in', 'changed_at', 'changed_by', 'sha256', 'owner']
$$;
COMMENT ON FUNCTION core.auditable IS 'A row as it may be kept: without bookkeeping, and without a value that is, was or becomes secret.';

CREATE FUNCTION core.key_of(columns text[], of_row jsonb) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT string_agg(of_row->>name, '/' ORDER BY n) FROM unnest(columns) WITH ORDINALITY AS c(name, n)
$$;
COMMENT ON FUNCTION core.key_of IS 'The primary key of a row as text.';

CREATE FUNCTION core.deployment_of(relation text, of_row jsonb) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE relation
        WHEN 'deployments' THEN (SELECT w.name FROM core.workspaces w WHERE w.id = (of_row->>'workspace_id')::bigint) || '/' || (of_row->>'name')
        WHEN 'approvals' THEN core.path_of((SELECT d.id FROM core.deployments d WHERE d.owner = of_row->>'owner'))
        ELSE core.path_of((of_row->>'deployment_id')::bigint) END
$$;
COMMENT ON FUNCTION core.deployment_of IS 'workspace/name of the deployment that a row belongs to, if it does.';

CREATE FUNCTION core.keep_audit(relation text, operation text, key text, before jsonb, after jsonb) RETURNS void LANGUAGE sql AS $$
    INSERT INTO core.audit (relation, key, deployment, operation, before, after, actor, actor_is_claimed, reason)
    VALUES (relation, key, core.deployment_of(relation, coalesce(after, before)), operation,
        core.auditable(relation, before, after), core.auditable(relation, after, before),
        core.actor(), core.actor_is_claimed(), coalesce(current_setting('armillary.allow_bulk', true), ''))
$$;
COMMENT ON FUNCTION core.keep_audit IS 'Keeps one audit row.';

CREATE FUNCTION core.audit_inserted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp SET TimeZone = 'UTC' AS $$
BEGIN
    PERFORM core.keep_audit(TG_TABLE_NAME, 'INSERT', core.key_of(TG_ARGV, to_jsonb(n)), NULL, to_jsonb(n)) FROM added n;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION core.audit_inserted IS 'Trigger: audits new rows. Its arguments are the columns of the primary key.';

CREATE FUNCTION core.audit_deleted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp SET TimeZone = 'UTC' AS $$
BEGIN
    PERFORM core.keep_audit(TG_TABLE_NAME, 'DELETE', core.key_of(TG_ARGV, to_jsonb(o)), to_jsonb(o), NULL) FROM removed o;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION core.audit_deleted IS 'Trigger: audits removed rows. Its arguments are the columns of the primary key.';

CREATE FUNCTION core.audit_updated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp SET TimeZone = 'UTC' AS $$
BEGIN
    -- a row whose key changed has no partner: it is kept as one that went and one that came
    PERFORM core.keep_audit(TG_TABLE_NAME, CASE WHEN o.key IS NULL THEN 'INSERT' WHEN n.key IS NULL THEN 'DELETE' ELSE 'UPDATE' END,
                            coalesce(n.key, o.key), o.row, n.row)
       FROM (SELECT to_jsonb(r) AS row, core.key_of(TG_ARGV, to_jsonb(r)) AS key FROM removed r) AS o
       FULL JOIN (SELECT to_jsonb(a) AS row, core.key_of(TG_ARGV, to_jsonb(a)) AS key FROM added a) AS n USING (key)
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
        EXECUTE format('CREATE TRIGGER z1_audit_updated AFTER UPDATE ON core.%I REFERENCING OLD TABLE AS removed NEW TABLE AS added
            FOR EACH STATEMENT EXECUTE FUNCTION core.audit_updated(%s)', one.relation, one.keys);
        EXECUTE format('CREATE TRIGGER z1_audit_deleted AFTER DELETE ON core.%I REFERENCING OLD TABLE AS removed
            FOR EACH STATEMENT EXECUTE FUNCTION core.audit_deleted(%s)', one.relation, one.keys);
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

CREATE FUNCTION core.document(deployment bigint) RETURNS jsonb LANGUAGE plpgsql STABLE SET TimeZone = 'UTC' AS $$
BEGIN
    RETURN (SELECT jsonb_build_object('workspace', w.name, 'name', d.name, 'release', d.release, 'cluster', d.cluster,
        'airflow_version', d.airflow_version, 'executor', d.executor, 'dags_folder', d.dags_folder,
        'hibernated', d.hibernated, 'drift_policy', d.drift_policy, 'paused_until', d.paused_until,
        'pause_reason', d.pause_reason, 'restarted_at', d.restarted_at, 'components', core.components_of(d.id),
        'variables', core.variables_of(d.id), 'generation', d.generation,
        'deletion_requested_at', d.deletion_requested_at, 'delete_after', d.delete_after,
        'retain_until', d.retain_until, 'created_at', d.created_at)
      FROM core.deployments d JOIN core.workspaces w ON w.id = d.workspace_id WHERE d.id = deployment);
END $$;
COMMENT ON FUNCTION core.document IS 'A deployment''s complete desired state. Secrets are versions.';

CREATE FUNCTION core.find(workspace text, name text) RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT d.id FROM core.deployments d JOIN core.workspaces w ON w.id = d.workspace_id
     WHERE w.name = find.workspace AND d.name = find.name
     ORDER BY d.deletion_requested_at DESC NULLS FIRST LIMIT 1
$$;
COMMENT ON FUNCTION core.find IS 'The deployment of that name; while none is, the one whose deletion was asked for last. NULL when there is none.';

CREATE FUNCTION core.resolve(path text) RETURNS bigint LANGUAGE plpgsql STABLE AS $$
DECLARE found bigint := core.find(split_part(path, '/', 1), split_part(path, '/', 2));
BEGIN
    IF found IS NULL OR path !~ '^[^/]+/[^/]+$' THEN
        PERFORM core.not_found(format('There is no deployment %L.', left(path, 100)),
            'Write workspace/name. There are: ' || coalesce((SELECT string_agg(w.name || '/' || d.name, ', ' ORDER BY d.id)
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

CREATE FUNCTION core.revision_kept() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
BEGIN
    INSERT INTO core.revisions (deployment_id, revision, spec, actor)
    SELECT d.id, d.generation, core.document(d.id), d.changed_by FROM core.deployments d WHERE d.id = NEW.id
    ON CONFLICT (deployment_id, revision) DO NOTHING;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION core.revision_kept IS 'Trigger at commit: keeps the generation that the transaction made.';

CREATE CONSTRAINT TRIGGER z2_revision_of_new AFTER INSERT ON core.deployments
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION core.revision_kept();
CREATE CONSTRAINT TRIGGER z2_revision_of_changed AFTER UPDATE ON core.deployments
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (OLD.generation IS DISTINCT FROM NEW.generation)
    EXECUTE FUNCTION core.revision_kept();

-- 090_components.sql
-- Components: what each row must be. Rows come with the deployment and go with it.

CREATE FUNCTION core.component_checked() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
DECLARE
    most integer;
    known text;
BEGIN
    IF TG_OP = 'UPDATE' AND (NEW.deployment_id, NEW.component) IS DISTINCT FROM (OLD.deployment_id, OLD.component) THEN
        PERFORM core.invalid('components_are_not_renamed', core.pointer('components', OLD.component),
            format('The component %s cannot become another one.', OLD.component), 'Change the other component''s row instead.');
    END IF;
    SELECT max(c.replicas_max) FILTER (WHERE c.component = NEW.component), string_agg(c.component, ', ' ORDER BY c.component)
      INTO most, known
      FROM core.component_catalogue c JOIN core.deployments d ON d.executor = c.executor WHERE d.id = NEW.deployment_id;
    IF most IS NULL THEN
        PERFORM core.invalid('component_is_known', core.pointer('components', NEW.component),
            format('There is no component %L in this deployment.', NEW.component), 'Components: ' || known);
    END IF;
    PERFORM core.check_amount(NEW.component, 'replicas', coalesce(NEW.replicas, -1), 0, most);
    PERFORM core.check_amount(NEW.component, 'cpu_millicores', NEW.cpu_millicores, 10, 256000);
    PERFORM core.check_amount(NEW.component, 'memory_mib', NEW.memory_mib, 64, 4194304);
    PERFORM core.check_amount(NEW.component, 'grace_seconds', coalesce(NEW.grace_seconds, -1), 0, 36000);
    PERFORM core.check_settings(NEW.component, NEW.settings);
    RETURN NEW;
END $$;
COMMENT ON FUNCTION core.component_checked IS 'Trigger: checks a component''s row.';

CREATE FUNCTION core.check_amount(component text, field text, amount integer, lowest integer, highest integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF amount NOT BETWEEN lowest AND highest THEN
        PERFORM core.invalid(field || '_are_within_limits', core.pointer('components', component, field),
            format('%s of %s cannot be %s.', field, component, CASE WHEN amount = -1 THEN 'negative or NULL' ELSE amount::text END),
            format('Choose between %s and %s.', lowest, highest));
    END IF;
END $$;
COMMENT ON FUNCTION core.check_amount IS 'Raises when a number of a component is out of its limits. NULL is within.';

CREATE FUNCTION core.check_settings(of_component text, settings jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    one record;
    known core.setting_catalogue;
BEGIN
    IF jsonb_typeof(settings) IS DISTINCT FROM 'object' THEN
        PERFORM core.invalid('settings_are_an_object', core.pointer('components', of_component, 'settings'),
            format('The settings of %s must be a JSON object.', of_component), 'Write {"key": value}, or {} for none.');
    END IF;
    FOR one IN SELECT key, value FROM jsonb_each(settings) LOOP
        SELECT * INTO known FROM core.setting_catalogue s WHERE s.component = of_component AND s.key = one.key;
        IF NOT FOUND THEN
            PERFORM core.invalid('setting_is_known', core.pointer('components', of_component, 'settings', one.key),
                format('%s has no setting %L.', of_component, left(one.key, 80)), 'Its settings: '
                || coalesce((SELECT string_agg(key, ', ' ORDER BY key) FROM core.setting_catalogue s WHERE s.component = of_component), 'none'));
        END IF;
        IF one.value::text !~ '^-?[0-9]{1,9}$' OR one.value::text::integer NOT BETWEEN known.minimum AND known.maximum THEN
            PERFORM core.invalid('setting_is_within_limits', core.pointer('components', of_component, 'settings', one.key),
                format('%s of %s cannot be %s.', one.key, of_component, left(one.value::text, 80)),
                format('Choose a whole number between %s and %s, without quotes. %s', known.minimum, known.maximum, known.meaning));
        END IF;
    END LOOP;
END $$;
COMMENT ON FUNCTION core.check_settings IS 'Raises when a setting is not in the catalogue, or out of its limits.';

CREATE FUNCTION core.component_stays() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
BEGIN
    -- a row that goes with its deployment has no deployment any more, or one that is just being removed
    IF EXISTS (SELECT FROM core.deployments d WHERE d.id = OLD.deployment_id
                  AND d.owner IS DISTINCT FROM current_setting('armillary.removing', true)) THEN
        PERFORM core.refuse('components_follow_from_the_executor', core.pointer('components', OLD.component),
            format('The component %s belongs to the deployment''s executor and is not deleted.', OLD.component),
            'To stop it: UPDATE armillary.components SET replicas = 0 WHERE …');
    END IF;
    RETURN OLD;
END $$;
COMMENT ON FUNCTION core.component_stays IS 'Trigger: a component goes only with its deployment.';

CREATE TRIGGER a1_check BEFORE INSERT OR UPDATE ON core.components FOR EACH ROW EXECUTE FUNCTION core.component_checked();
CREATE TRIGGER a2_stays BEFORE DELETE ON core.components FOR EACH ROW EXECUTE FUNCTION core.component_stays();

-- 095_secrets.sql
-- Secrets: the inbox where values wait, sealing them, and minting generated ones. PostgreSQL never holds a key.

CREATE FUNCTION core.newest_version(deployment bigint, key text) RETURNS integer LANGUAGE sql STABLE AS $$
    SELECT coalesce(max(s.version), 0) FROM core.secrets s JOIN core.deployments d ON d.owner = s.owner
     WHERE d.id = deployment AND s.name = 'variable/' || key
$$;
COMMENT ON FUNCTION core.newest_version IS 'The newest sealed version of a variable''s secret, or 0.';

CREATE FUNCTION core.is_sealed(deployment bigint, key text, at_version integer) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM core.secrets s JOIN core.deployments d ON d.owner = s.owner
     WHERE d.id = deployment AND s.name = 'variable/' || key AND s.version = at_version)
$$;
COMMENT ON FUNCTION core.is_sealed IS 'True when that version of a variable''s secret exists.';

CREATE FUNCTION core.put_in_inbox(deployment bigint, key text, value text) RETURNS void LANGUAGE sql AS $$
    INSERT INTO core.secret_inbox (owner, name, version, value, actor)
    SELECT d.owner, 'variable/' || key, 1 + greatest(core.newest_version(deployment, key),
            (SELECT max(i.version) FROM core.secret_inbox i WHERE i.owner = d.owner AND i.name = 'variable/' || key)), value, core.actor()
      FROM core.deployments d WHERE d.id = deployment;
    SELECT pg_notify('armillary', '');
$$;
COMMENT ON FUNCTION core.put_in_inbox IS 'Keeps a value until the daemon seals it, as the next version.';

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
        -- written by a transaction that could not see the newest version: it is taken again, as the next one
        UPDATE core.secret_inbox i SET version = 1 + (SELECT max(s.version) FROM core.secrets s
            WHERE s.owner = waiting.owner AND s.name = waiting.name) WHERE i.id = inbox_id;
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

CREATE FUNCTION core.mint(owner text, name text, key_id text, ciphertext bytea) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    newest integer;
    -- after a takeover others: what a backup has lost must not come again under the same version
    first integer := 1 + 1000 * (SELECT coalesce(max(l.epoch), 0) / 1000000 FROM core.leases l)::integer;
BEGIN
    INSERT INTO core.secrets AS s (owner, name, version, key_id, ciphertext)
    SELECT mint.owner, mint.name, first, mint.key_id, mint.ciphertext
     WHERE NOT EXISTS (SELECT FROM core.secrets o WHERE o.owner = mint.owner AND o.name = mint.name)
    ON CONFLICT DO NOTHING;
    IF FOUND THEN
        -- a change like any other: a backup from before it does not know what clusters were given since
        INSERT INTO core.audit (relation, key, deployment, operation, after, actor, actor_is_claimed)
        VALUES ('secrets', concat_ws('/', mint.owner, mint.name, first), core.path_of((SELECT d.id FROM core.deployments d WHERE d.owner = mint.owner)),
            'INSERT', jsonb_build_object('name', mint.name, 'version', first), core.actor(), core.actor_is_claimed());
    END IF;
    SELECT max(s.version) INTO newest FROM core.secrets s WHERE s.owner = mint.owner AND s.name = mint.name;
    RETURN newest;
END $$;
COMMENT ON FUNCTION core.mint IS 'Stores a generated secret where none of the name exists; the newest version. Never generates again.';

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
            format('The value of %s is longer than 128 KiB.', NEW.key), 'Keep large values in a file or a secrets backend.');
    END IF;
    IF NEW.secret THEN
        RETURN core.secret_variable(before, NEW);
    END IF;
    IF NEW.value IS NULL OR NEW.secret IS NULL THEN
        PERFORM core.invalid('a_plain_variable_has_a_value', core.pointer('variables', NEW.key, 'value'),
            format('The variable %s has no value.', NEW.key),
            'Give it one, or delete it. A secret cannot be read back into a plain variable.');
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
            'A variable cannot move to another deployment.', 'Insert it there and delete it here.');
    END IF;
    IF before.secret AND after.key <> before.key THEN
        PERFORM core.invalid('secrets_are_not_renamed', core.pointer('variables', before.key),
            format('The secret %s is sealed under its name and cannot be renamed.', before.key),
            'Insert one with the new name and its value, then delete this one.');
    END IF;
END $$;
COMMENT ON FUNCTION core.check_renaming IS 'Raises when a variable would become another deployment''s, or a secret another one.';

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
            format('There is no component %L to read %s.', unknown, v.key), 'Components: ' || array_to_string(known, ', '));
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
        PERFORM core.put_in_inbox(asked.deployment_id, asked.key, asked.value);
        after.value := NULL;
        after.version := CASE WHEN was_secret THEN before.version ELSE 0 END;
    ELSIF NOT was_secret AND coalesce(asked.version, 0) = 0 THEN
        after.version := newest;
    END IF;
    IF asked.value IS NULL AND NOT was_secret AND newest = 0 THEN
        PERFORM core.invalid('a_new_secret_has_a_value', core.pointer('variables', asked.key, 'value'),
            format('The secret %s has no value.', asked.key), 'Give it one once; it is sealed and never shown again.');
    END IF;
    IF after.version IS DISTINCT FROM before.version AND after.version <> 0 AND NOT core.is_sealed(asked.deployment_id, asked.key, after.version) THEN
        PERFORM core.invalid('secret_version_exists', core.pointer('variables', asked.key, 'version'),
            format('There is no version %s of the secret %s.', after.version, asked.key),
            format('Leave version out to keep what is sealed (the newest is %s), or give a value.', newest));
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
BEGIN
    PERFORM core.only(doc, ARRAY['workspace', 'name', 'release', 'cluster', 'airflow_version', 'executor', 'dags_folder', 'hibernated',
        'drift_policy', 'paused_until', 'pause_reason', 'restarted_at', 'components', 'variables', 'generation',
        'deletion_requested_at', 'delete_after', 'retain_until', 'created_at'], '');
    PERFORM core.same(doc, 'workspace', in_workspace), core.same(doc, 'name', called);
    SELECT w.id INTO workspace FROM core.workspaces w WHERE w.name = in_workspace FOR KEY SHARE;
    IF NOT FOUND THEN
        PERFORM core.not_found(format('There is no workspace %L.', left(in_workspace, 60)), 'Make it first.');
    END IF;
    d := core.locked(in_workspace, called, doc ? 'deletion_requested_at');
    IF expected IS NOT NULL AND expected IS DISTINCT FROM coalesce(d.generation, 0) THEN
        PERFORM core.conflict(CASE WHEN expected = 0 THEN format('%s/%s exists already, at generation %s.', in_workspace, called, d.generation)
            ELSE format('%s/%s is at generation %s, not %s.', in_workspace, called, coalesce(d.generation, 0), expected) END,
            'Read it again and repeat your change on what is there now.');
    END IF;
    IF d.id IS NULL THEN
        d := core.new_deployment(workspace, called, doc);
    ELSE
        PERFORM core.change_deployment(d, doc);
    END IF;
    PERFORM core.put_components(d.id, coalesce(nullif(doc->'components', 'null'), '{}'));
    PERFORM core.put_variables(d.id, coalesce(nullif(doc->'variables', 'null'), '{}'));
    RETURN core.document(d.id);
END $$;
COMMENT ON FUNCTION core.put_deployment IS 'Make a deployment, or make an existing one exactly this. The same document twice changes nothing. Expected 0: it must not exist.';

CREATE FUNCTION core.locked(in_workspace text, called text, also_deleted boolean) RETURNS core.deployments LANGUAGE plpgsql AS $$
DECLARE
    found bigint := core.find(in_workspace, called);
    d core.deployments;
BEGIN
    IF found IS NULL THEN
        -- somebody may be making it at this moment: wait for that, then look again
        PERFORM pg_advisory_xact_lock(hashtext('armillary.deployments'));
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
    IF wanted IS DISTINCT FROM d THEN
        UPDATE core.deployments u SET airflow_version = wanted.airflow_version, executor = wanted.executor,
            dags_folder = wanted.dags_folder, hibernated = wanted.hibernated, drift_policy = wanted.drift_policy,
            paused_until = wanted.paused_until, pause_reason = wanted.pause_reason, restarted_at = wanted.restarted_at,
            deletion_requested_at = wanted.deletion_requested_at, delete_after = wanted.delete_after, retain_until = wanted.retain_until
         WHERE u.id = d.id;
    END IF;
END $$;
COMMENT ON FUNCTION core.change_deployment IS 'Makes a deployment''s own fields those of a document; what the document leaves out falls to its default.';

CREATE FUNCTION core.put_components(deployment bigint, doc jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE one record;
BEGIN
    PERFORM core.only(doc, (SELECT array_agg(c.component ORDER BY c.component) FROM core.components c WHERE c.deployment_id = deployment), '/components');
    FOR one IN SELECT component, coalesce(nullif(doc->component, 'null'), '{}') AS said, core.pointer('components', component) AS place
                 FROM core.components WHERE deployment_id = deployment ORDER BY component LOOP
        PERFORM core.only(one.said, ARRAY['replicas', 'cpu_millicores', 'memory_mib', 'grace_seconds', 'settings'], one.place);
        UPDATE core.components c SET replicas = w.replicas, cpu_millicores = w.cpu, memory_mib = w.memory, grace_seconds = w.grace, settings = w.settings
          FROM (SELECT coalesce(core.whole(one.said, 'replicas', one.place), 1) AS replicas,
                       core.whole(one.said, 'cpu_millicores', one.place) AS cpu, core.whole(one.said, 'memory_mib', one.place) AS memory,
                       coalesce(core.whole(one.said, 'grace_seconds', one.place), 20) AS grace,
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
    found bigint := core.resolve(in_workspace || '/' || called);
    at_generation bigint;
BEGIN
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

CREATE FUNCTION core.workspace_checked() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
BEGIN
    PERFORM core.check_name(NEW.name, 'workspace');
    IF NEW.description IS NULL OR length(NEW.description) > 1000 THEN
        PERFORM core.invalid('workspace_description_is_short', '/description', 'A description cannot be NULL or longer than 1000 characters.',
            'Say it in a sentence; empty is fine.');
    END IF;
    IF EXISTS (SELECT FROM core.workspaces w WHERE w.name = NEW.name AND w.id <> NEW.id) THEN
        PERFORM core.conflict(format('There is a workspace %s already.', NEW.name), 'Use it, or choose another name.');
    END IF;
    IF TG_OP = 'INSERT' THEN
        NEW.generation := 1;
        NEW.created_at := now();
        RETURN NEW;
    END IF;
    IF NEW.name <> OLD.name AND EXISTS (SELECT FROM core.deployments d WHERE d.workspace_id = OLD.id) THEN
        PERFORM core.refuse('a_name_in_use_stays', '/name', format('Workspace %s has deployments, whose releases carry its name.', OLD.name),
            'Make a workspace with the new name and move there.');
    END IF;
    NEW.created_at := OLD.created_at;
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
    IF expected IS NOT NULL AND expected <> coalesce(w.generation, 0) THEN
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

CREATE FUNCTION core.bulk_is_meant() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
DECLARE
    touched integer;
    most integer;
BEGIN
    IF coalesce(current_setting('armillary.allow_bulk', true), '') <> '' THEN
        RETURN NULL;
    END IF;
    SELECT count(*) INTO touched FROM core.deployments d
     WHERE d.changed_in = pg_current_xact_id() AND d.changed_at = transaction_timestamp() AND d.created_at < transaction_timestamp();
    IF touched <= (SELECT bulk_minimum FROM core.defaults) THEN
        RETURN NULL;
    END IF;
    SELECT greatest(u.bulk_minimum, ceil(count(d.id) * u.bulk_percent / 100.0)) INTO most
      FROM core.defaults u LEFT JOIN core.deployments d ON true GROUP BY u.bulk_minimum, u.bulk_percent;
    IF touched > most THEN
        PERFORM core.refuse('bulk_is_meant', '',
            format('This transaction touches %s deployments; without saying so it may touch %s.', touched, most),
            'If you mean it, run first, in the same transaction: SET LOCAL armillary.allow_bulk = ''why''');
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION core.bulk_is_meant IS 'Trigger: counts the deployments that a transaction touches, however many statements it takes.';
CREATE TRIGGER y1_bulk AFTER UPDATE ON core.deployments FOR EACH STATEMENT EXECUTE FUNCTION core.bulk_is_meant();

CREATE FUNCTION core.token_stays_revoked() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
BEGIN
    IF OLD.revoked_at IS NOT NULL AND NEW.revoked_at IS DISTINCT FROM OLD.revoked_at THEN
        PERFORM core.refuse('a_revoked_token_stays_revoked', '', format('The token %s was revoked.', OLD.name), 'Make a new one: armillary token create');
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION core.token_stays_revoked IS 'Trigger: a revocation is final.';
CREATE TRIGGER a1_stays BEFORE UPDATE ON core.tokens FOR EACH ROW EXECUTE FUNCTION core.token_stays_revoked();

CREATE FUNCTION core.never_truncate() RETURNS trigger LANGUAGE plpgsql SET search_path = core, pg_temp AS $$
BEGIN
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
DECLARE d core.deployments := (SELECT o FROM core.deployments o WHERE o.owner = wanted);
BEGIN
    RETURN jsonb_build_object(
        'now', statement_timestamp(),
        'spec', core.spec_of(d),
        'generation', coalesce(d.generation, 0),
        'stage', coalesce(core.stage_of(d), 'active'),
        'stage_ends_at', CASE core.stage_of(d) WHEN 'stopping' THEN d.delete_after WHEN 'retaining' THEN d.retain_until END,
        'paused_until', CASE WHEN d.paused_until > statement_timestamp() THEN d.paused_until END,
        'pause_reason', CASE WHEN d.paused_until > statement_timestamp() THEN d.pause_reason ELSE '' END,
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
    written := written + core.put_objects(wanted, said->'objects') + core.put_happenings(wanted, said);
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
DECLARE removing core.deployments := (SELECT d FROM core.deployments d WHERE d.owner = gone FOR UPDATE);
BEGIN
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
-- other tables' rows are sub-selects, and a generation is an expression, so that nobody can forge it.

CREATE VIEW armillary.workspaces AS
    SELECT w.name, w.description, w.generation + 0 AS generation, w.created_at FROM core.workspaces w;
COMMENT ON VIEW armillary.workspaces IS 'Teams'' places for deployments. INSERT, UPDATE, DELETE; one with deployments cannot be deleted.';
COMMENT ON COLUMN armillary.workspaces.name IS 'Lowercase letters, digits and dashes, at most 20.';
COMMENT ON COLUMN armillary.workspaces.description IS 'For people.';
COMMENT ON COLUMN armillary.workspaces.generation IS 'Grows with every change. Read-only.';
COMMENT ON COLUMN armillary.workspaces.created_at IS 'When it was made.';

CREATE VIEW armillary.deployments AS
    SELECT (SELECT w.name FROM core.workspaces w WHERE w.id = d.workspace_id) AS workspace, d.name,
           (SELECT w.name FROM core.workspaces w WHERE w.id = d.workspace_id) || '/' || d.name AS deployment,
           d.release, d.cluster, d.airflow_version, d.executor, d.dags_folder, d.hibernated, d.drift_policy, d.paused_until,
           d.pause_reason, d.restarted_at, d.generation + 0 AS generation, d.deletion_requested_at, d.delete_after, d.retain_until,
           d.created_at
      FROM core.deployments d;
COMMENT ON VIEW armillary.deployments IS 'Desired Airflows. INSERT with workspace, name, airflow_version, dags_folder; UPDATE; DELETE asks for the deletion, which can be undone: armillary.undelete().';
COMMENT ON COLUMN armillary.deployments.workspace IS 'The workspace''s name; set at INSERT.';
COMMENT ON COLUMN armillary.deployments.name IS 'Unique in its workspace among deployments that are not being deleted.';
COMMENT ON COLUMN armillary.deployments.deployment IS 'workspace/name: how functions and other views name it. Read-only.';
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
    SELECT (SELECT w.name || '/' || d.name FROM core.deployments d JOIN core.workspaces w ON w.id = d.workspace_id
             WHERE d.id = c.deployment_id) AS deployment,
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
    SELECT (SELECT w.name || '/' || d.name FROM core.deployments d JOIN core.workspaces w ON w.id = d.workspace_id
             WHERE d.id = v.deployment_id) AS deployment,
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
    SELECT u.grace_seconds, u.retention_seconds, u.bulk_minimum, u.bulk_percent FROM core.defaults u;
COMMENT ON VIEW armillary.defaults IS 'One row: how long deletions can be undone and data is kept, and how many deployments a transaction may touch without saying so.';
COMMENT ON COLUMN armillary.defaults.grace_seconds IS 'From the wish to delete until processes and files are removed.';
COMMENT ON COLUMN armillary.defaults.retention_seconds IS 'From then until databases and volumes are removed.';
COMMENT ON COLUMN armillary.defaults.bulk_minimum IS 'So many deployments a transaction may always touch.';
COMMENT ON COLUMN armillary.defaults.bulk_percent IS 'Of a large fleet, so many percent.';

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
    SELECT s.component, s.key, s.minimum, s.maximum, s.usual, s.meaning FROM core.setting_catalogue s;
COMMENT ON VIEW armillary.settings IS 'Every setting that a component knows. Read-only.';
COMMENT ON COLUMN armillary.settings.component IS 'Whose setting it is.';
COMMENT ON COLUMN armillary.settings.key IS 'Its key in armillary.components.settings.';
COMMENT ON COLUMN armillary.settings.minimum IS 'The smallest value allowed.';
COMMENT ON COLUMN armillary.settings.maximum IS 'The largest value allowed.';
COMMENT ON COLUMN armillary.settings.usual IS 'What is used where it is not set.';
COMMENT ON COLUMN armillary.settings.meaning IS 'What it does.';

CREATE VIEW armillary.clusters AS SELECT c.name, c.driver, c.port_first, c.port_last FROM core.clusters c;
COMMENT ON VIEW armillary.clusters IS 'Where deployments run. Read-only.';
COMMENT ON COLUMN armillary.clusters.name IS 'Its name.';
COMMENT ON COLUMN armillary.clusters.driver IS 'How things are run there.';
COMMENT ON COLUMN armillary.clusters.port_first IS 'The first port that may be leased.';
COMMENT ON COLUMN armillary.clusters.port_last IS 'The last port that may be leased.';

CREATE VIEW armillary.ports AS
    SELECT (SELECT w.name || '/' || d.name FROM core.deployments d JOIN core.workspaces w ON w.id = d.workspace_id
             WHERE d.id = p.deployment_id) AS deployment, p.cluster, p.unit, p.port, p.number FROM core.ports p;
COMMENT ON VIEW armillary.ports IS 'Ports leased to deployments on a local cluster. Read-only; a port never moves.';
COMMENT ON COLUMN armillary.ports.deployment IS 'workspace/name.';
COMMENT ON COLUMN armillary.ports.cluster IS 'Where.';
COMMENT ON COLUMN armillary.ports.unit IS 'Which part listens.';
COMMENT ON COLUMN armillary.ports.port IS 'What for.';
COMMENT ON COLUMN armillary.ports.number IS 'The port on 127.0.0.1.';

-- 190_observed_views.sql
-- What is, for people: nothing here can be changed.

CREATE VIEW armillary.fleet AS
    SELECT w.name || '/' || d.name AS deployment, d.airflow_version, d.executor,
           CASE WHEN d.deletion_requested_at IS NULL THEN 'active' WHEN statement_timestamp() < d.delete_after THEN 'stopping'
                WHEN statement_timestamp() < d.retain_until THEN 'retaining' ELSE 'purging' END AS stage,
           coalesce(y.status, 'Unknown') AS synced, coalesce(y.reason, 'NotLookedAt') AS synced_reason,
           coalesce(r.status, 'Unknown') AS ready, coalesce(r.reason, 'NotLookedAt') AS ready_reason,
           d.generation, s.observed_generation,
           CASE WHEN y.status IS DISTINCT FROM 'True' THEN y.message WHEN r.status IS DISTINCT FROM 'True' THEN r.message END AS message,
           greatest(y.since, r.since) AS since
      FROM core.deployments d JOIN core.workspaces w ON w.id = d.workspace_id
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
    SELECT w.name || '/' || d.name AS deployment, d.generation, s.observed_generation, s.attempts, s.next_attempt_at
      FROM core.deployments d JOIN core.workspaces w ON w.id = d.workspace_id LEFT JOIN core.status s ON s.owner = d.owner;
COMMENT ON VIEW armillary.status IS 'What was looked at, and when what failed is tried again.';
COMMENT ON COLUMN armillary.status.deployment IS 'workspace/name.';
COMMENT ON COLUMN armillary.status.generation IS 'What is asked for.';
COMMENT ON COLUMN armillary.status.observed_generation IS 'What was last looked at; NULL: nothing yet.';
COMMENT ON COLUMN armillary.status.attempts IS 'Failed passes since the last success or change.';
COMMENT ON COLUMN armillary.status.next_attempt_at IS 'When the next one is.';

CREATE VIEW armillary.conditions AS
    SELECT w.name || '/' || d.name AS deployment, c.type, c.status, c.reason, c.message, c.since
      FROM core.conditions c JOIN core.deployments d ON d.owner = c.owner JOIN core.workspaces w ON w.id = d.workspace_id;
COMMENT ON VIEW armillary.conditions IS 'Synced and Ready of each deployment, with reason and since when.';
COMMENT ON COLUMN armillary.conditions.deployment IS 'workspace/name.';
COMMENT ON COLUMN armillary.conditions.type IS 'Synced: as asked for. Ready: works.';
COMMENT ON COLUMN armillary.conditions.status IS 'True, False or Unknown.';
COMMENT ON COLUMN armillary.conditions.reason IS 'Why, in a word.';
COMMENT ON COLUMN armillary.conditions.message IS 'Why, in a sentence.';
COMMENT ON COLUMN armillary.conditions.since IS 'When status last changed.';

CREATE VIEW armillary.units AS
    SELECT w.name || '/' || d.name AS deployment, u.unit, u.component, u.state, u.detail, u.position
      FROM core.units u JOIN core.deployments d ON d.owner = u.owner JOIN core.workspaces w ON w.id = d.workspace_id;
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
    SELECT w.name || '/' || d.name, i.name, 'waiting', 'A secret written at ' || i.written_at || ' waits to be sealed by the daemon.'
      FROM core.secret_inbox i JOIN core.deployments d ON d.owner = i.owner JOIN core.workspaces w ON w.id = d.workspace_id
    UNION ALL
    SELECT w.name || '/' || d.name, 'variable/' || v.key, 'failed', 'The secret was lost before it was sealed (the database''s server crashed): write its value again.'
      FROM core.variables v JOIN core.deployments d ON d.id = v.deployment_id JOIN core.workspaces w ON w.id = d.workspace_id
     WHERE v.secret AND v.version = 0
       AND NOT EXISTS (SELECT FROM core.secret_inbox i WHERE i.owner = d.owner AND i.name = 'variable/' || v.key);
COMMENT ON VIEW armillary.waiting IS 'What waits, and for what; what is held, and for whom.';
COMMENT ON COLUMN armillary.waiting.deployment IS 'workspace/name.';
COMMENT ON COLUMN armillary.waiting.unit IS 'The part, or variable/KEY of a secret that is not sealed.';
COMMENT ON COLUMN armillary.waiting.state IS 'waiting for something it needs, held until a person decides, blind (cannot be seen), or failed.';
COMMENT ON COLUMN armillary.waiting.detail IS 'For what, and what to do.';

CREATE VIEW armillary.objects AS
    SELECT coalesce(w.name || '/' || d.name, o.owner) AS deployment, o.kind, o.name, o.unit, o.state, o.retain, o.uid
      FROM core.objects o LEFT JOIN core.deployments d ON d.owner = o.owner LEFT JOIN core.workspaces w ON w.id = d.workspace_id;
COMMENT ON VIEW armillary.objects IS 'The inventory: everything that was made for deployments.';
COMMENT ON COLUMN armillary.objects.deployment IS 'workspace/name, or the owner when its row is gone.';
COMMENT ON COLUMN armillary.objects.kind IS 'What it is.';
COMMENT ON COLUMN armillary.objects.name IS 'Its name in the cluster.';
COMMENT ON COLUMN armillary.objects.unit IS 'The part that it was made for.';
COMMENT ON COLUMN armillary.objects.state IS 'intended, present, deleting or gone.';
COMMENT ON COLUMN armillary.objects.retain IS 'True: holds data, and is kept until retain_until.';
COMMENT ON COLUMN armillary.objects.uid IS 'Which one it is, should another of its name appear.';

CREATE VIEW armillary.events AS
    SELECT e.id, e.at, coalesce(w.name || '/' || d.name, e.owner) AS deployment, e.reason, e.cause, e.object, e.message
      FROM core.events e LEFT JOIN core.deployments d ON d.owner = e.owner LEFT JOIN core.workspaces w ON w.id = d.workspace_id;
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
    SELECT w.name || '/' || d.name AS deployment, r.revision, r.at, r.actor, r.spec
      FROM core.revisions r JOIN core.deployments d ON d.id = r.deployment_id JOIN core.workspaces w ON w.id = d.workspace_id;
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

-- 200_view_writes.sql
-- Writes that a view over one table cannot take by itself: names become ids, a deletion becomes a request.

CREATE FUNCTION core.view_insert_deployment() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
DECLARE in_workspace bigint := (SELECT w.id FROM core.workspaces w WHERE w.name = NEW.workspace);
BEGIN
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

CREATE FUNCTION core.view_insert_variable() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
DECLARE target bigint := core.resolve(NEW.deployment);
BEGIN
    IF EXISTS (SELECT FROM core.variables v WHERE v.deployment_id = target AND v.key = NEW.key) THEN
        PERFORM core.conflict(format('%s has a variable %s already.', NEW.deployment, NEW.key),
            format('UPDATE armillary.variables SET value = … WHERE deployment = %L AND key = %L', NEW.deployment, NEW.key));
    END IF;
    INSERT INTO core.variables (deployment_id, key, value, secret, version, components)
    VALUES (target, NEW.key, NEW.value, coalesce(NEW.secret, false), coalesce(NEW.version, 0), coalesce(NEW.components, '{}'))
    RETURNING value, secret, version, components INTO NEW.value, NEW.secret, NEW.version, NEW.components;
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

CREATE FUNCTION armillary.undelete(deployment text) RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
DECLARE target bigint := core.resolve(undelete.deployment);
BEGIN
    UPDATE core.deployments d SET deletion_requested_at = NULL
     WHERE d.id = target AND d.deletion_requested_at IS NOT NULL;
    RETURN CASE WHEN FOUND THEN 'undeleted' ELSE 'was not being deleted' END;
END $$;
COMMENT ON FUNCTION armillary.undelete IS 'Takes back a deletion, while the databases are still kept.';

CREATE FUNCTION armillary.pause(deployment text, until timestamptz, reason text) RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
BEGIN
    IF until IS NULL OR until <= now() OR coalesce(reason, '') = '' THEN
        PERFORM core.invalid('a_pause_has_a_reason', '/paused_until', 'A pause needs an end in the future and a reason.', 'SELECT armillary.pause(''demo/hello'', now() + interval ''1 hour'', ''maintenance'')');
    END IF;
    UPDATE core.deployments d SET paused_until = until, pause_reason = reason WHERE d.id = core.resolve(pause.deployment);
    RETURN format('paused until %s', until);
END $$;
COMMENT ON FUNCTION armillary.pause IS 'Nothing of the deployment is changed until then. What runs, runs on.';

CREATE FUNCTION armillary.resume(deployment text) RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
BEGIN
    UPDATE core.deployments d SET paused_until = NULL, pause_reason = '' WHERE d.id = core.resolve(resume.deployment) AND d.paused_until IS NOT NULL;
    RETURN CASE WHEN FOUND THEN 'resumed' ELSE 'was not paused' END;
END $$;
COMMENT ON FUNCTION armillary.resume IS 'Ends a pause.';

CREATE FUNCTION armillary.restart(deployment text) RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
BEGIN
    UPDATE core.deployments d SET restarted_at = now() WHERE d.id = core.resolve(restart.deployment);
    RETURN 'restarting';
END $$;
COMMENT ON FUNCTION armillary.restart IS 'Restarts every Airflow process of a deployment.';

CREATE FUNCTION armillary.hibernate(deployment text) RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
BEGIN
    UPDATE core.deployments d SET hibernated = true WHERE d.id = core.resolve(hibernate.deployment) AND NOT d.hibernated;
    RETURN 'hibernated';
END $$;
COMMENT ON FUNCTION armillary.hibernate IS 'Stops everything of a deployment and keeps it all.';

CREATE FUNCTION armillary.wake(deployment text) RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
BEGIN
    UPDATE core.deployments d SET hibernated = false WHERE d.id = core.resolve(wake.deployment) AND d.hibernated;
    RETURN 'awake';
END $$;
COMMENT ON FUNCTION armillary.wake IS 'Starts a hibernated deployment again.';

CREATE FUNCTION armillary.rollback(deployment text, revision bigint) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
DECLARE
    target bigint := core.resolve(rollback.deployment);
    now_is jsonb := core.document(target);
    earlier jsonb := (SELECT r.spec FROM core.revisions r WHERE r.deployment_id = target AND r.revision = rollback.revision);
BEGIN
    IF earlier IS NULL THEN
        PERFORM core.not_found(format('%s has no revision %s.', rollback.deployment, rollback.revision), 'Its newest revisions: '
            || (SELECT string_agg(n.revision::text, ', ' ORDER BY n.revision DESC) FROM (
                SELECT r.revision FROM core.revisions r WHERE r.deployment_id = target ORDER BY r.revision DESC LIMIT 20) AS n));
    END IF;
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
    UPDATE core.status s SET observed_generation = d.generation - 1, converged_generation = NULL
     WHERE s.owner = d.owner AND s.observed_generation > d.generation;
    IF NOT FOUND THEN
        RETURN format('%s did not go back: generation %s is what was last looked at, or newer', accept.deployment, d.generation);
    END IF;
    PERFORM pg_notify('armillary', '');
    RETURN format('generation %s of %s is accepted', d.generation, accept.deployment);
END $$;
COMMENT ON FUNCTION armillary.accept IS 'Accepts a desired state whose generation went back, as a restored database''s does.';

CREATE FUNCTION armillary.takeover(reason text) RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
BEGIN
    IF coalesce(reason, '') = '' THEN
        PERFORM core.invalid('a_takeover_has_a_reason', '/reason', 'A takeover needs a reason.',
            'SELECT armillary.takeover(''restored from the backup of Monday'')');
    END IF;
    -- far beyond whatever the clusters remember: nobody takes a million leases between two backups
    UPDATE core.leases l SET epoch = l.epoch + 1000000, expires_at = now();
    INSERT INTO core.audit (relation, key, operation, actor, actor_is_claimed, reason)
    VALUES ('installation', 'takeover', 'UPDATE', core.actor(), core.actor_is_claimed(), reason);
    PERFORM pg_notify('armillary', '');
    RETURN 'taken over; the daemon goes on within seconds';
END $$;
COMMENT ON FUNCTION armillary.takeover IS 'After a restore from a backup: lets the daemon act on this database again, although the clusters remember a later one.';

CREATE VIEW armillary.approvals AS
    SELECT coalesce(w.name || '/' || d.name, a.owner) AS deployment, a.what, a.reason, a.approved_by, a.approved_at, a.expires_at
      FROM core.approvals a LEFT JOIN core.deployments d ON d.owner = a.owner LEFT JOIN core.workspaces w ON w.id = d.workspace_id
     WHERE a.expires_at > now();
COMMENT ON VIEW armillary.approvals IS 'What is approved now, by whom and until when.';
COMMENT ON COLUMN armillary.approvals.deployment IS 'workspace/name, or deployment/<id> when its row is gone.';
COMMENT ON COLUMN armillary.approvals.what IS 'deletes beyond the budget, the end of data that nothing uses, or a rollout that is held.';
COMMENT ON COLUMN armillary.approvals.reason IS 'Why, in the words of who approved it.';
COMMENT ON COLUMN armillary.approvals.approved_by IS 'Who approved it.';
COMMENT ON COLUMN armillary.approvals.approved_at IS 'When it was approved.';
COMMENT ON COLUMN armillary.approvals.expires_at IS 'When it stops to count.';

-- 220_grants.sql
-- Who may do what. Roles belong to the whole server, so they may be there already.

DO $$
DECLARE role text;
BEGIN
    FOREACH role IN ARRAY ARRAY['armillary_daemon', 'armillary_api', 'armillary_admin', 'armillary_viewer'] LOOP
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
GRANT SELECT ON ALL TABLES IN SCHEMA core TO armillary_api;
REVOKE SELECT ON core.secret_inbox FROM armillary_api;
GRANT INSERT, UPDATE, DELETE ON core.workspaces, core.deployments, core.components, core.variables, core.tokens TO armillary_api;
GRANT INSERT ON core.events TO armillary_api;
GRANT SELECT ON ALL TABLES IN SCHEMA armillary TO armillary_daemon, armillary_api;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA core, armillary TO armillary_daemon, armillary_api;

-- People get views and functions; nothing of schema core, not even its name.
GRANT USAGE ON SCHEMA armillary TO armillary_admin, armillary_viewer;
GRANT SELECT ON ALL TABLES IN SCHEMA armillary TO armillary_admin, armillary_viewer;
GRANT INSERT, UPDATE, DELETE ON armillary.workspaces, armillary.deployments, armillary.components, armillary.variables TO armillary_admin;
GRANT UPDATE ON armillary.defaults, armillary.tokens TO armillary_admin;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA armillary TO armillary_admin;
GRANT EXECUTE ON FUNCTION armillary.why TO armillary_viewer;
