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
