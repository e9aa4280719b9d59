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
