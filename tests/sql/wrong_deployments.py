"""Wrong statements about workspaces, deployments and their deletion."""

# ruff: noqa: E501 -- a catalogue reads better with one case a line

from __future__ import annotations

from tests.sql.wrong import Wrong, wrong

# fmt: off
_NEW = "INSERT INTO armillary.deployments (workspace, name, airflow_version, dags_folder) VALUES "
_MORE = "INSERT INTO armillary.deployments (workspace, name, airflow_version, dags_folder, {}) VALUES ('demo', 'x', '3.3.2', '/d', {})"
_SET = "UPDATE armillary.deployments SET {} WHERE deployment = 'demo/hello'"
_GOING = "UPDATE armillary.deployments SET {} WHERE deployment = 'demo/going'"
_TYPED = "PostgreSQL reads a statement's constants before any row of ours exists; it names the value and its place"
_COMPUTED = "a trigger in place of the UPDATE would answer better, but an update that waited for another one would overwrite it unseen"

DEPLOYMENTS: tuple[Wrong, ...] = (
    wrong("an unknown workspace", _NEW + "('nope', 'x', '3.3.2', '/d')", "AR001", "no workspace 'nope'", "INSERT INTO armillary.workspaces"),
    wrong("no workspace", _NEW + "(NULL, 'x', '3.3.2', '/d')", "AR001", "no workspace", "INSERT INTO armillary.workspaces"),
    wrong("an unknown version", _NEW + "('demo', 'x', '1.0', '/d')", "AR003", "no Airflow '1.0'", "Known versions: 2.11.2, 3.3.2"),
    wrong("an unknown version for one that runs", _SET.format("airflow_version = '2.0'"), "AR003", "no Airflow '2.0'", "Known versions"),
    wrong("no version", _NEW + "('demo', 'x', NULL, '/d')", "AR003", "without a version", "Known versions"),
    wrong("a version of 10 MB", _NEW + "('demo', 'x', repeat('9', 10000000), '/d')", "AR003", "no Airflow '9{60}'", "Known versions"),
    wrong("a relative folder", _NEW + "('demo', 'x', '3.3.2', 'dags')", "AR003", "'dags' cannot be a folder of DAGs", "absolute path"),
    wrong("a URL for a folder", _NEW + "('demo', 'x', '3.3.2', 'https://git.example/dags')", "AR003", "cannot be a folder of DAGs", "absolute path"),
    wrong("a folder of two lines", _NEW + "('demo', 'x', '3.3.2', E'/d\\n[core]')", "AR003", "cannot be a folder of DAGs", "on one line"),
    wrong("a folder of 10 MB", _NEW + "('demo', 'x', '3.3.2', '/' || repeat('d', 10000000))", "AR003", "cannot be a folder of DAGs", "absolute path"),
    wrong("no folder", _NEW + "('demo', 'x', '3.3.2', NULL)", "AR003", "needs a folder of DAGs", "absolute path"),
    wrong("a bad name", _NEW + "('demo', 'No Spaces', '3.3.2', '/d')", "AR003", "'No Spaces' cannot be a deployment's name", "lowercase letters"),
    wrong("an e-mail address for a name", _NEW + "('demo', 'alice@example.com', '3.3.2', '/d')", "AR003", "cannot be a deployment's name", "lowercase letters"),
    wrong("a name too long", _NEW + "('demo', 'abcdefghijklmnopqrstuvwxyz', '3.3.2', '/d')", "AR003", "cannot be a deployment's name", "at most 20"),
    wrong("no name", _NEW + "('demo', NULL, '3.3.2', '/d')", "AR003", "NULL cannot be a deployment's name", "lowercase letters"),
    wrong("a name twice", _NEW + "('demo', 'hello', '3.3.2', '/d')", "AR002", "deployment demo/hello already", "another name"),
    wrong("a name twice in one statement", _NEW + "('demo', 'x', '3.3.2', '/d'), ('demo', 'x', '3.3.2', '/d')", "AR002", "deployment demo/x already", "another name"),
    wrong("a renaming to a name that is taken", _SET.format("name = 'taken'"), "AR002", "demo/taken already", "another name"),
    wrong("an unknown cluster", _MORE.format("cluster", "'moon'"), "AR003", "no cluster 'moon'", "Clusters: local"),
    wrong("a chosen release", _MORE.format("release", "'mine'"), "AR003", "given, not chosen", "Leave release out"),
    wrong("a chosen generation", _MORE.format("generation", "7"), "AR003", "counted, not set", "Leave them out"),
    wrong("one made deleted", _MORE.format("deletion_requested_at", "now()"), "AR003", "being deleted", "Leave deletion_requested_at"),
    wrong("a path that is not its name", _MORE.format("deployment", "'demo/y'"), "AR003", "'demo/y' is not demo/x", "follows from workspace and name"),
    wrong("an executor that is not offered", _SET.format("executor = 'MagicExecutor'"), "AR003", "'MagicExecutor' is not offered", "LocalExecutor"),
    wrong("pods on one machine", _SET.format("executor = 'KubernetesExecutor'"), "AR003", "one machine without pods", "CeleryExecutor, LocalExecutor"),
    wrong("a forged generation", _SET.format("generation = 99"), "AR003", "counted, not set", "Leave them out"),
    wrong("a forged time of making", _SET.format("created_at = now() - interval '1 year'"), "AR003", "counted, not set", "Leave them out"),
    wrong("a moved release", _SET.format("release = 'mine'"), "AR003", "release, workspace and cluster never change", "new deployment"),
    wrong("a moved cluster", _SET.format("cluster = 'moon'"), "AR003", "release, workspace and cluster never change", "new deployment"),
    wrong("a moved workspace", _SET.format("workspace = 'empty'"), "0A000", 'cannot update column "workspace" of view "deployments"', detail="not columns of their base", raw=_COMPUTED),
    wrong("a path written", _SET.format("deployment = 'demo/new'"), "0A000", 'cannot update column "deployment"', detail="not columns of their base", raw=_COMPUTED),
    wrong("an unknown drift policy", _SET.format("drift_policy = 'ignore'"), "AR003", "no drift policy 'ignore'", "repair"),
    wrong("hibernation that is neither", _SET.format("hibernated = NULL"), "AR003", "hibernated cannot be NULL", "true or false"),
    wrong("hibernation of the wrong type", _SET.format("hibernated = 'maybe'"), "22P02", 'type boolean: "maybe"', raw=_TYPED),
    wrong("a time that is none", _SET.format("restarted_at = 'soon'"), "22007", 'type timestamp with time zone: "soon"', raw=_TYPED),
    wrong("a time without end", _SET.format("restarted_at = 'infinity'"), "AR003", "restarted_at cannot be infinity", "between the years"),
    wrong("a column that does not exist", _SET.format("replicas = 2"), "42703", 'column "replicas" of relation "deployments" does not exist', raw="PostgreSQL knows the view's columns and names the one that it does not know"),
    wrong("a pause without a reason", _SET.format("paused_until = now() + interval '1 h'"), "AR003", "pause needs a reason", "pause_reason together"),
    wrong("an endless pause", _SET.format("paused_until = 'infinity', pause_reason = 'x'"), "AR003", "paused_until cannot be infinity", "between the years"),
    wrong("a pause that is over", "SELECT armillary.pause('demo/hello', now() - interval '1 h', 'x')", "AR003", "which is past", "armillary.pause"),
    wrong("a pause for ever", "SELECT armillary.pause('demo/hello', NULL, 'x')", "AR003", "none lasts for ever", "armillary.pause"),
    wrong("a pause for no reason", "SELECT armillary.pause('demo/hello', now() + interval '1 h', '')", "AR003", "needs a reason", "armillary.pause"),
    wrong("times of a deletion that nobody asked for", _SET.format("delete_after = now()"), "AR003", "hello is not being deleted", "DELETE FROM armillary.deployments"),
    wrong("data going before its processes", _GOING.format("delete_after = now() + interval '2 h', retain_until = now() + interval '1 h'"), "AR003", "cannot go .* before", "Set retain_until to the same time"),
    wrong("an undeletion to a name that is taken", _GOING.format("name = 'hello', deletion_requested_at = NULL"), "AR004", "was given to a new deployment", "another name"),
    wrong("a rollback of what is being deleted", "SELECT armillary.rollback('demo/going', 1)", "AR004", "is being deleted", "armillary.undelete"),
    wrong("an unknown deployment", "SELECT armillary.why('demo/nope')", "AR001", "no deployment 'demo/nope'", "There are: demo/hello, demo/taken"),
    wrong("a deployment misspelt", "SELECT armillary.restart('demo/helo')", "AR001", "no deployment 'demo/helo'", "Did you mean .?demo/hello"),
    wrong("a path without a workspace", "SELECT armillary.undelete('hello')", "AR001", "no deployment 'hello'", "Write workspace/name"),
    wrong("a path of three", "SELECT armillary.undelete('demo/hello/x')", "AR001", "no deployment", "Write workspace/name"),
    wrong("no deployment at all", "SELECT armillary.restart(NULL)", "AR001", "no deployment", "Write workspace/name"),
    wrong("an unknown revision", "SELECT armillary.rollback('demo/hello', 99)", "AR001", "no revision 99", "newest revisions: "),
    wrong("a revision that is no number", "SELECT armillary.rollback('demo/hello', 'last')", "22P02", 'type bigint: "last"', raw=_TYPED),
    wrong("an approval of anything", "SELECT armillary.approve('demo/hello', 'everything')", "AR003", "'everything' cannot be approved", "deletes"),
    wrong("a takeover for no reason", "SELECT armillary.takeover('')", "AR003", "needs a reason", "armillary.takeover"),
    wrong("a wait for what nobody knows", "SELECT armillary.wait('demo/hello', 'happy')", "AR003", "until a deployment is 'happy'", "synced"),
    wrong("a wait inside the change", ("SELECT armillary.restart('demo/hello')", "SELECT armillary.wait('demo/hello')"), "AR004", "nothing happens before it commits", "COMMIT first"),
    wrong("a wait in repeatable read", ("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", "SELECT armillary.wait('demo/hello')"), "AR004", "isolation level repeatable read", "COMMIT first"),
    wrong("a function that does not exist", "SELECT armillary.reboot('demo/hello')", "42883", r"function armillary.reboot\(unknown\) does not exist", raw=r"PostgreSQL looks for the name before anything of ours runs; \df armillary.* lists them"),
    wrong("a workspace with deployments deleted", "DELETE FROM armillary.workspaces WHERE name = 'demo'", "AR004", "still has deployments: hello, taken", "Delete them first"),
    wrong("a workspace renamed under its deployments", "UPDATE armillary.workspaces SET name = 'x' WHERE name = 'demo'", "AR004", "has deployments", "new name"),
    wrong("a workspace's bad name", "INSERT INTO armillary.workspaces (name) VALUES ('UPPER')", "AR003", "'UPPER' cannot be a workspace's name", "lowercase"),
    wrong("a workspace without a name", "INSERT INTO armillary.workspaces (description) VALUES ('x')", "AR003", "NULL cannot be a workspace's name", "lowercase"),
    wrong("a workspace twice", "INSERT INTO armillary.workspaces (name) VALUES ('demo')", "AR002", "a workspace demo already", "another name"),
    wrong("a novel as a description", "UPDATE armillary.workspaces SET description = repeat('x', 2000)", "AR003", "longer than 1000", "in a sentence"),
    wrong("a workspace's generation forged", "UPDATE armillary.workspaces SET generation = 9 WHERE name = 'demo'", "AR003", "counted, not set", "Leave them out", detail="In workspace demo"),
)
