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
