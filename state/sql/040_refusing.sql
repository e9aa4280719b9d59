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
