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
