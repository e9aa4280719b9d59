-- Who may do what. Roles belong to the whole server, so they may be there already.

DO $$
DECLARE role text;
BEGIN
    FOREACH role IN ARRAY ARRAY['armillary_daemon', 'armillary_api', 'armillary_admin', 'armillary_viewer', 'armillary_auditor'] LOOP
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
-- what there is to choose from comes with a release
REVOKE INSERT, UPDATE, DELETE ON core.airflow_versions, core.component_catalogue, core.setting_catalogue, core.port_catalogue,
    core.reserved_variables FROM armillary_daemon;
GRANT SELECT ON ALL TABLES IN SCHEMA core TO armillary_api;
REVOKE SELECT ON core.secret_inbox FROM armillary_api;
GRANT INSERT, UPDATE, DELETE ON core.workspaces, core.deployments, core.components, core.variables, core.default_variables,
    core.alert_emails, core.tokens
    TO armillary_api;
GRANT INSERT ON core.events TO armillary_api;
GRANT SELECT ON ALL TABLES IN SCHEMA armillary TO armillary_daemon, armillary_api;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA core, armillary TO armillary_daemon, armillary_api;

-- People get views and functions; nothing of schema core, not even its name. Administrators may also ask a view to change
-- that only shows: its trigger answers what to do instead, where PostgreSQL would only say no.
GRANT USAGE ON SCHEMA armillary TO armillary_admin, armillary_viewer, armillary_auditor;
GRANT SELECT ON ALL TABLES IN SCHEMA armillary TO armillary_admin, armillary_viewer, armillary_auditor;
GRANT INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA armillary TO armillary_admin;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA armillary TO armillary_admin;
GRANT EXECUTE ON FUNCTION armillary.why, armillary.plan_of, armillary.wait TO armillary_viewer;

-- Who did what, and what was asked for before, is for auditors: earlier values may be nobody else's business.
REVOKE SELECT ON armillary.audit, armillary.history FROM armillary_viewer;
GRANT EXECUTE ON FUNCTION armillary.why, armillary.plan_of, armillary.diff TO armillary_auditor;
