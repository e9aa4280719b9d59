"""Wrong statements that reach too far: too many at once, what is only shown, what is behind, and other roles' rights."""

# ruff: noqa: E501 -- a catalogue reads better with one case a line

from __future__ import annotations

from tests.sql.wrong import Wrong, wrong

# fmt: off
_RIGHTS = "who may do what is PostgreSQL's to say; it names the thing. Nothing of ours runs before"
_BULK = "touches 4 deployments; without saying so it may touch 3"
_MEANT = "SET LOCAL armillary.allow_bulk"
_STOP = "UPDATE armillary.deployments SET hibernated = true WHERE deployment = 'demo/{}'"
_VIEWS = ("fleet", "status", "conditions", "units", "waiting", "objects", "events", "drift", "history", "audit", "approvals", "ports", "settings", "clusters", "sealing", "effective_variables")
_FIRST = ("hello", "taken", "other1", "other2")

_MANY: tuple[Wrong, ...] = (
    wrong("an UPDATE without WHERE", "UPDATE armillary.deployments SET hibernated = true", "AR004", "touches 7 deployments; without saying so it may touch 3", _MEANT),
    wrong("the same one by one in a transaction", tuple(_STOP.format(name) for name in _FIRST), "AR004", _BULK, _MEANT),
    wrong("the same by a loop", "DO $$ DECLARE d text; BEGIN FOR d IN SELECT deployment FROM armillary.fleet LOOP UPDATE armillary.deployments SET hibernated = true WHERE deployment = d; END LOOP; END $$", "AR004", _BULK, _MEANT),
    wrong("the same in savepoints", tuple(s for name in _FIRST for s in ("SAVEPOINT one", _STOP.format(name), "RELEASE one")), "AR004", _BULK, _MEANT),
    wrong("the same by functions", "SELECT armillary.hibernate(deployment) FROM armillary.fleet WHERE stage = 'active'", "AR004", _BULK, _MEANT),
    wrong("all components at once", "UPDATE armillary.components SET grace_seconds = 60", "AR004", "touches 7 deployments", _MEANT),
    wrong("a variable for everybody", "INSERT INTO armillary.variables (deployment, key, value) SELECT deployment, 'NEW', 'x' FROM armillary.fleet", "AR004", "deployments; without saying so it may touch 3", _MEANT),
    wrong("a DELETE without WHERE", "DELETE FROM armillary.deployments", "AR004", _BULK, _MEANT),
    wrong("different changes of different ones", (_STOP.format("hello"), "SELECT armillary.restart('demo/taken')", "UPDATE armillary.components SET replicas = 0 WHERE deployment = 'demo/other1' AND component = 'triggerer'", "DELETE FROM armillary.deployments WHERE deployment = 'demo/other2'"), "AR004", _BULK, _MEANT),
    wrong("meant, and for no reason", ("SET LOCAL armillary.allow_bulk = ''", "UPDATE armillary.deployments SET hibernated = true"), "AR004", "without saying so", _MEANT),
    wrong("wrong in the last row of many", ("SET LOCAL armillary.allow_bulk = 'test'", "UPDATE armillary.deployments SET dags_folder = CASE name WHEN 'other4' THEN 'relative' ELSE '/new' END"), "AR003", "'relative' cannot be a folder", "absolute path"),
)
_SHOWN: tuple[Wrong, ...] = (
    wrong("a status written", "UPDATE armillary.conditions SET status = 'True'", "AR004", "armillary.conditions takes no UPDATE: it only shows what the daemon saw", "armillary.deployments"),
    wrong("an observation forged", "UPDATE armillary.status SET observed_generation = 9", "AR004", "takes no UPDATE", "Change what is asked for"),
    wrong("a fleet without its row", "DELETE FROM armillary.fleet WHERE deployment = 'demo/hello'", "AR004", "takes no DELETE", "Change what is asked for"),
    wrong("an audit row changed", "UPDATE armillary.audit SET actor = 'somebody'", "AR004", "takes no UPDATE", "never changed"),
    wrong("an audit row forged", "INSERT INTO armillary.audit (relation, key) VALUES ('deployments', '1')", "AR004", "takes no INSERT", "writes itself"),
    wrong("an approval forged", "INSERT INTO armillary.approvals (deployment, what) VALUES ('demo/hello', 'data')", "AR004", "takes no INSERT", "armillary.approve"),
    wrong("a port moved", "UPDATE armillary.ports SET number = 80", "AR004", "takes no UPDATE", "never move"),
    *(wrong(f"all of {view} deleted", f"DELETE FROM armillary.{view}", "AR004", f"armillary.{view} takes no DELETE", "[a-z]") for view in _VIEWS),
)
_BEHIND: tuple[Wrong, ...] = (
    wrong("the core read", "SELECT * FROM core.secrets", "42501", "permission denied for schema core", raw=_RIGHTS),
    wrong("the core written", "DELETE FROM core.deployments", "42501", "permission denied for schema core", raw=_RIGHTS),
    wrong("a function of the core", "SELECT core.remove_owner('deployment/1')", "42501", "permission denied for schema core", raw=_RIGHTS),
    wrong("the core truncated", "TRUNCATE core.deployments", "42501", "permission denied for schema core", raw=_RIGHTS),
    wrong("a view truncated", "TRUNCATE armillary.deployments", "42809", '"deployments" is not a table', raw="PostgreSQL truncates tables only, and says that this is none"),
    wrong("a view dropped", "DROP VIEW armillary.deployments", "42501", "must be owner of view deployments", raw=_RIGHTS),
    wrong("a schema dropped", "DROP SCHEMA core CASCADE", "42501", "must be owner of schema core", raw=_RIGHTS),
    wrong("a function replaced", "CREATE OR REPLACE FUNCTION armillary.why(deployment text) RETURNS SETOF text LANGUAGE sql AS 'SELECT 1::text'", "42501", "permission denied for schema armillary", raw=_RIGHTS),
    wrong("a table in our schema", "CREATE TABLE armillary.mine (i int)", "42501", "permission denied for schema armillary", raw=_RIGHTS),
    wrong("a trigger switched off", "ALTER TABLE core.deployments DISABLE TRIGGER ALL", "42501", "permission denied for schema core", raw=_RIGHTS),
    wrong("all triggers switched off", "SET session_replication_role = replica", "42501", "permission denied to set parameter", raw=_RIGHTS),
    wrong("another role taken", "SET ROLE armillary_daemon", "42501", "permission denied to set role", raw=_RIGHTS),
    wrong("the server's files", "COPY armillary.deployments TO '/tmp/x'", "42501", "permission denied to COPY to a file", "psql's", raw=_RIGHTS),
    wrong("a viewer who changes", "UPDATE armillary.deployments SET hibernated = true WHERE deployment = 'demo/hello'", "42501", "permission denied for view deployments", role="armillary_viewer", raw=_RIGHTS),
    wrong("a viewer who acts", "SELECT armillary.restart('demo/hello')", "42501", "permission denied for function restart", role="armillary_viewer", raw=_RIGHTS),
    wrong("a viewer who looks who did what", "SELECT * FROM armillary.audit", "42501", "permission denied for view audit", role="armillary_viewer", raw=_RIGHTS),
    wrong("an auditor who changes", "DELETE FROM armillary.variables", "42501", "permission denied for view variables", role="armillary_auditor", raw=_RIGHTS),
    wrong("the API reading plain secrets", "SELECT * FROM core.secret_inbox", "42501", "permission denied for table secret_inbox", role="armillary_api", raw=_RIGHTS),
    wrong("the API forging the audit", "UPDATE core.audit SET actor = 'x'", "42501", "permission denied for table audit", role="armillary_api", raw=_RIGHTS),
    wrong("the API making a row go", "DELETE FROM core.deployments WHERE name = 'hello'", "AR004", "not before", "Ask for the deletion", role="armillary_api"),
    wrong("the daemon forging the audit", "DELETE FROM core.audit", "42501", "permission denied for table audit", role="armillary_daemon", raw=_RIGHTS),
    wrong("the daemon forgetting a release", "DELETE FROM core.releases", "42501", "permission denied for table releases", role="armillary_daemon", raw=_RIGHTS),
    wrong("the daemon making a row go", "DELETE FROM core.deployments", "AR004", "not before", "Ask for the deletion", role="armillary_daemon"),
    wrong("the daemon truncating", "TRUNCATE core.objects", "42501", "permission denied for table objects", role="armillary_daemon", raw=_RIGHTS),
)
REACH = _MANY + _SHOWN + _BEHIND
