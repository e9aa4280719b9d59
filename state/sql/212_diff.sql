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
