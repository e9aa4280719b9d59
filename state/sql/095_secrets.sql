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
