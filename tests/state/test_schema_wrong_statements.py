"""Wrong statements in psql: each says what was wrong and what to do, and changes nothing."""

# ruff: noqa: E501 -- a table reads better with one case a line

from __future__ import annotations

import psycopg
import pytest

from tests.state.fleet import everything, fleet

DEPLOYMENT = "INSERT INTO armillary.deployments (workspace, name, airflow_version, dags_folder) VALUES "
EXTRA = "INSERT INTO armillary.deployments (workspace, name, airflow_version, dags_folder, {}) VALUES ('demo', 'x', '3.3.2', '/d', {})"
VARIABLE = "INSERT INTO armillary.variables (deployment, key, value) VALUES ('demo/hello', "
COMPONENTS = "UPDATE armillary.components SET "
DEPLOYMENTS = "UPDATE armillary.deployments SET "

# what it is: (the statement, its message as a pattern, a part of its hint; None where PostgreSQL itself says it)
WRONG = {
    "an unknown workspace": (DEPLOYMENT + "('nope', 'x', '3.3.2', '/d')", "no workspace 'nope'", "INSERT INTO armillary.workspaces"),
    "an unknown version": (DEPLOYMENT + "('demo', 'x', '1.0', '/d')", "no Airflow '1.0'", "Known versions: 3.3.2"),
    "no version": (DEPLOYMENT + "('demo', 'x', NULL, '/d')", "without a version", "Known versions"),
    "a relative folder": (DEPLOYMENT + "('demo', 'x', '3.3.2', 'dags')", "'dags' cannot be a folder of DAGs", "absolute path"),
    "a folder of two lines": (DEPLOYMENT + "('demo', 'x', '3.3.2', E'/d\\n[core]')", "cannot be a folder of DAGs", "on one line"),
    "no folder": (DEPLOYMENT + "('demo', 'x', '3.3.2', NULL)", "needs a folder of DAGs", "absolute path"),
    "a bad name": (DEPLOYMENT + "('demo', 'No Spaces', '3.3.2', '/d')", "'No Spaces' cannot be a deployment's name", "lowercase letters"),
    "a name too long": (DEPLOYMENT + "('demo', 'abcdefghijklmnopqrstuvwxyz', '3.3.2', '/d')", "cannot be a deployment's name", "at most 20"),
    "no name": (DEPLOYMENT + "('demo', NULL, '3.3.2', '/d')", "NULL cannot be a deployment's name", "lowercase letters"),
    "a name twice": (DEPLOYMENT + "('demo', 'hello', '3.3.2', '/d')", "demo/hello already", "UPDATE it"),
    "a renaming to a name that is taken": (DEPLOYMENTS + "name = 'taken' WHERE name = 'hello'", "demo/taken already", "another name"),
    "an unknown cluster": (EXTRA.format("cluster", "'moon'"), "no cluster 'moon'", "Clusters: local"),
    "a chosen release": (EXTRA.format("release", "'mine'"), "given, not chosen", "Leave release out"),
    "a chosen generation": (EXTRA.format("generation", "7"), "counted, not set", "Leave them out"),
    "one made deleted": (EXTRA.format("deletion_requested_at", "now()"), "being deleted", "Leave deletion_requested_at"),
    "a path that is not its name": (EXTRA.format("deployment", "'demo/y'"), "'demo/y' is not demo/x", "follows from workspace and name"),
    "an executor that is not offered": (DEPLOYMENTS + "executor = 'CeleryExecutor'", "'CeleryExecutor' is not offered", "LocalExecutor"),
    "a forged generation": (DEPLOYMENTS + "generation = 99", "cannot update column .generation.", None),
    "a moved workspace": (DEPLOYMENTS + "workspace = 'other'", "cannot update column .workspace.", None),
    "a moved release": (DEPLOYMENTS + "release = 'mine'", "release, workspace and cluster never change", "new deployment"),
    "a forged time of making": (DEPLOYMENTS + "created_at = now() - interval '1 year'", "counted, not set", "Leave them out"),
    "an unknown drift policy": (DEPLOYMENTS + "drift_policy = 'ignore'", "no drift policy 'ignore'", "repair"),
    "hibernation that is neither": (DEPLOYMENTS + "hibernated = NULL", "hibernated cannot be NULL", "true or false"),
    "a pause without a reason": (DEPLOYMENTS + "paused_until = now() + interval '1 h'", "pause needs a reason", "pause_reason together"),
    "an endless pause": (DEPLOYMENTS + "paused_until = 'infinity', pause_reason = 'x'", "paused_until cannot be infinity", "between the years"),
    "a pause that is over": ("SELECT armillary.pause('demo/hello', now() - interval '1 h', 'x')", "end in the future", "armillary.pause"),
    "a pause for no reason": ("SELECT armillary.pause('demo/hello', now() + interval '1 h', '')", "and a reason", "armillary.pause"),
    "times of a deletion that nobody asked for": (DEPLOYMENTS + "delete_after = now()", "is not being deleted", "DELETE FROM armillary.deployments"),
    "data going before its processes": (
        DEPLOYMENTS + "deletion_requested_at = now(), delete_after = now() + interval '2 h', retain_until = now() + interval '1 h'",
        "cannot go .* before", "Set retain_until to the same time"),
    "an unknown deployment": ("SELECT armillary.why('demo/nope')", "no deployment 'demo/nope'", "There are: demo/hello, demo/taken"),
    "a path without a workspace": ("SELECT armillary.undelete('hello')", "no deployment 'hello'", "Write workspace/name"),
    "a path of three": ("SELECT armillary.undelete('demo/hello/x')", "no deployment", "Write workspace/name"),
    "an unknown revision": ("SELECT armillary.rollback('demo/hello', 9)", "no revision 9", "newest revisions: 3, 2, 1"),
    "too many replicas": (COMPONENTS + "replicas = 9 WHERE component = 'scheduler'", "replicas of scheduler cannot be 9", "between 0 and 1"),
    "negative replicas": (COMPONENTS + "replicas = -1", "replicas of .* cannot be negative", "between 0"),
    "no replicas at all": (COMPONENTS + "replicas = NULL", "replicas of .* cannot be negative or NULL", "between 0"),
    "too little memory": (COMPONENTS + "memory_mib = 1", "memory_mib of .* cannot be 1", "between 64"),
    "too much of a core": (COMPONENTS + "cpu_millicores = 999999999", "cpu_millicores of", "256000"),
    "endless grace": (COMPONENTS + "grace_seconds = 99999", "grace_seconds of .* cannot be 99999", "36000"),
    "an unknown setting": (
        COMPONENTS + "settings = '{\"paralelism\": 4}' WHERE component = 'scheduler'", "scheduler has no setting 'paralelism'", "Its settings: parallelism"),
    "a setting of another component": (
        COMPONENTS + "settings = '{\"parallelism\": 4}' WHERE component = 'triggerer'", "triggerer has no setting", "Its settings: capacity"),
    "a setting of the wrong type": (
        COMPONENTS + "settings = '{\"parallelism\": \"4\"}' WHERE component = 'scheduler'", "parallelism of scheduler cannot be", "between 1 and 1024, without quotes"),
    "a setting out of its limits": (
        COMPONENTS + "settings = '{\"parallelism\": 1e9}' WHERE component = 'scheduler'", "parallelism of scheduler cannot be", "between 1 and 1024"),
    "settings that are no object": (COMPONENTS + "settings = '[]'", "must be a JSON object", '{"key": value}'),
    "no settings": (COMPONENTS + "settings = NULL", "must be a JSON object", "{} for none"),
    "broken JSON": (COMPONENTS + "settings = '{'", "invalid input syntax for type json", None),
    "a component of one's own": (
        "INSERT INTO armillary.components (deployment, component) VALUES ('demo/hello', 'x')", "follow from its executor", "UPDATE armillary.components"),
    "a component less": ("DELETE FROM armillary.components", "is not deleted", "SET replicas = 0"),
    "a component renamed": (COMPONENTS + "component = 'scheduler' WHERE component = 'triggerer'", "cannot become another", "other component's row"),
    "a reserved variable": (VARIABLE + "'AIRFLOW__CORE__FERNET_KEY', 'x')", "Armillary's own: it is generated once", "Leave it out"),
    "a reserved variable in small letters": (VARIABLE + "'airflow__core__executor', 'x')", "Armillary's own", "Leave it out"),
    "a reserved variable by a command": (VARIABLE + "'AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_CMD', 'x')", "Armillary's own", "Leave it out"),
    "a variable renamed to a reserved one": ("UPDATE armillary.variables SET key = 'AIRFLOW__API__PORT' WHERE key = 'PLAIN'", "Armillary's own", "Leave it out"),
    "a key that is no name": (VARIABLE + "'1 A', 'x')", "'1 A' cannot be the name", "letters, digits and underscores"),
    "a variable twice": (VARIABLE + "'PLAIN', 'x')", "has a variable PLAIN already", "UPDATE armillary.variables SET value"),
    "a variable without a value": (VARIABLE + "'A', NULL)", "A has no value", "Give it one"),
    "a value of 200 KiB": (VARIABLE + "'A', repeat('x', 200000))", "longer than 128 KiB", "secrets backend"),
    "a variable of nobody": ("INSERT INTO armillary.variables (deployment, key, value) VALUES ('demo/nope', 'A', 'x')", "no deployment 'demo/nope'", "There are"),
    "a reader that does not exist": (
        "INSERT INTO armillary.variables (deployment, key, value, components) VALUES ('demo/hello', 'A', 'x', '{worker}')",
        "no component 'worker' to read A", "Components: api-server"),
    "a secret without a value": (
        "INSERT INTO armillary.variables (deployment, key, secret) VALUES ('demo/hello', 'A', true)", "secret A has no value", "sealed"),
    "a secret of 200 KiB": ("UPDATE armillary.variables SET value = repeat('x', 200000) WHERE key = 'HUSH'", "longer than 128 KiB", "secrets backend"),
    "a secret made plain": ("UPDATE armillary.variables SET secret = false WHERE key = 'HUSH'", "HUSH has no value", "cannot be read back"),
    "a secret renamed": ("UPDATE armillary.variables SET key = 'OTHER' WHERE key = 'HUSH'", "cannot be renamed", "Insert one with the new name"),
    "a forged version": ("UPDATE armillary.variables SET version = 7", "cannot update column .version.", None),
    "an invented version": (
        "INSERT INTO armillary.variables (deployment, key, secret, version) VALUES ('demo/hello', 'A', true, 7)", "secret A has no value", "sealed"),
    "a workspace with deployments": ("DELETE FROM armillary.workspaces", "still has deployments: hello, taken", "Delete them first"),
    "a workspace renamed under its deployments": ("UPDATE armillary.workspaces SET name = 'x'", "has deployments", "new name"),
    "a workspace's bad name": ("INSERT INTO armillary.workspaces (name) VALUES ('UPPER')", "'UPPER' cannot be a workspace's name", "lowercase"),
    "a workspace twice": ("INSERT INTO armillary.workspaces (name) VALUES ('demo')", "a workspace demo already", "another name"),
    "a novel as a description": ("UPDATE armillary.workspaces SET description = repeat('x', 2000)", "longer than 1000", "in a sentence"),
    "defaults that cannot be": ("UPDATE armillary.defaults SET grace_seconds = -1", "grace_seconds_are_at_most_a_year", None),
    "a status written": ("UPDATE armillary.conditions SET status = 'True'", "permission denied|cannot update view", None),
    "the core": ("DELETE FROM core.deployments", "permission denied", None),
    "a truncated view": ("TRUNCATE armillary.deployments", "is not a table|permission denied", None),
    "a dropped view": ("DROP VIEW armillary.deployments", "must be owner", None),
}  # fmt: skip


@pytest.fixture(scope="module")
def url(make_database, template_database):
    with make_database(template_database) as url:
        yield url


@pytest.fixture(scope="module")
def admin(url):
    """An administrator's session on a fleet of two: one database for all, since nothing is ever changed."""
    with fleet(url, role="armillary_admin") as admin:
        admin.execute(DEPLOYMENT + "('demo', 'taken', '3.3.2', '/dags')")
        admin.execute(VARIABLE + "'PLAIN', 'x')")
        admin.execute(
            "INSERT INTO armillary.variables (deployment, key, value, secret) VALUES ('demo/hello', 'HUSH', 'x', true)"
        )
        yield admin


@pytest.fixture(scope="module")
def eye(url):
    """A superuser's session, to see everything."""
    with psycopg.connect(url, autocommit=True) as eye:
        yield eye


@pytest.mark.parametrize(("statement", "message", "hint"), WRONG.values(), ids=WRONG)
def test_a_wrong_statement_says_what_to_do_and_changes_nothing(admin, eye, statement, message, hint):
    before = everything(eye)

    with pytest.raises(psycopg.Error, match=message) as caught:
        admin.execute(statement)

    said = caught.value.diag
    assert (hint or "") in (said.message_hint or "")
    if hint is not None:
        assert said.sqlstate.startswith("AR")
        assert said.constraint_name
    assert everything(eye) == before
