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

CREATE FUNCTION core.where_is(deployment bigint) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT 'In deployment ' || core.path_of(deployment) || '.'
$$;
COMMENT ON FUNCTION core.where_is IS 'Where something was refused, as DETAIL: a statement over many rows needs it.';
