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
