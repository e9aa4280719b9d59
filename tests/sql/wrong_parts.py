"""Wrong statements about components, variables, secrets, defaults and tokens."""

# ruff: noqa: E501 -- a catalogue reads better with one case a line

from __future__ import annotations

from tests.sql.wrong import Wrong, wrong

# fmt: off
_PART = "UPDATE armillary.components SET {} WHERE deployment = 'demo/hello' AND component = '{}'"
_VAR = "INSERT INTO armillary.variables (deployment, key, value) VALUES ('demo/hello', {})"
_SECRET = "UPDATE armillary.variables SET {} WHERE deployment = 'demo/hello' AND key = 'HUSH'"
_EMAIL = "INSERT INTO armillary.alert_emails (deployment, email) VALUES ({})"
_LAYER = "INSERT INTO armillary.default_variables (layer, name, key, value) VALUES ({})"
_HERE = "In deployment demo/hello."
_TYPED = "PostgreSQL reads a statement's constants before any row of ours exists; it names the value and its place"
_COMPUTED = "a trigger in place of the UPDATE would answer better, but an update that waited for another one would overwrite it unseen"

PARTS: tuple[Wrong, ...] = (
    wrong("too many replicas", _PART.format("replicas = 9", "scheduler"), "AR003", "replicas of scheduler cannot be 9", "between 0 and 1", detail=_HERE),
    wrong("too many replicas somewhere in the fleet", "UPDATE armillary.components SET replicas = 3", "AR003", "cannot be 3", "between 0 and 1", detail="In deployment demo/"),
    wrong("negative replicas", _PART.format("replicas = -1", "triggerer"), "AR003", "replicas of triggerer cannot be negative", "between 0", detail=_HERE),
    wrong("no replicas at all", _PART.format("replicas = NULL", "triggerer"), "AR003", "cannot be negative or NULL", "between 0", detail=_HERE),
    wrong("replicas in words", _PART.format("replicas = 'two'", "triggerer"), "22P02", 'type integer: "two"', raw=_TYPED),
    wrong("replicas beyond all numbers", _PART.format("replicas = 99999999999", "triggerer"), "22003", "integer out of range", raw=_TYPED),
    wrong("too little memory", _PART.format("memory_mib = 1", "triggerer"), "AR003", "memory_mib of triggerer cannot be 1", "between 64", detail=_HERE),
    wrong("too much of a core", _PART.format("cpu_millicores = 999999999", "triggerer"), "AR003", "cpu_millicores of triggerer", "256000", detail=_HERE),
    wrong("endless grace", _PART.format("grace_seconds = 99999", "triggerer"), "AR003", "grace_seconds of triggerer cannot be 99999", "36000", detail=_HERE),
    wrong("an unknown setting", _PART.format("""settings = '{"paralelism": 4}'""", "scheduler"), "AR003", "scheduler has no setting 'paralelism'", "Its settings: parallelism", detail=_HERE),
    wrong("a setting of another component", _PART.format("""settings = '{"parallelism": 4}'""", "triggerer"), "AR003", "triggerer has no setting", "Its settings: capacity", detail=_HERE),
    wrong("a setting of the wrong type", _PART.format("""settings = '{"parallelism": "4"}'""", "scheduler"), "AR003", "parallelism of scheduler cannot be", "between 1 and 1024, without quotes", detail=_HERE),
    wrong("a setting out of its limits", _PART.format("""settings = '{"parallelism": 1e9}'""", "scheduler"), "AR003", "parallelism of scheduler cannot be", "between 1 and 1024", detail=_HERE),
    wrong("a setting with a key of 10 MB", _PART.format("settings = jsonb_build_object(repeat('k', 10000000), 1)", "scheduler"), "AR003", "scheduler has no setting 'k{80}'", "Its settings", detail=_HERE),
    wrong("settings that are no object", _PART.format("settings = '[]'", "scheduler"), "AR003", "must be a JSON object", "{} for none", detail=_HERE),
    wrong("no settings", _PART.format("settings = NULL", "scheduler"), "AR003", "must be a JSON object", "{} for none", detail=_HERE),
    wrong("broken JSON", _PART.format("settings = '{'", "scheduler"), "22P02", "invalid input syntax for type json", detail="input string ended", raw=_TYPED),
    wrong("NUL in JSON", _PART.format("""settings = '{"a": "\\u0000"}'""", "scheduler"), "22P05", "unsupported Unicode escape", detail="cannot be converted to text", raw=_TYPED),
    wrong("a component of one's own", "INSERT INTO armillary.components (deployment, component) VALUES ('demo/hello', 'x')", "AR004", "follow from its executor", "UPDATE armillary.components"),
    wrong("a component less", "DELETE FROM armillary.components WHERE deployment = 'demo/hello' AND component = 'triggerer'", "AR004", "is not deleted", "SET replicas = 0", detail=_HERE),
    wrong("a component renamed", _PART.format("component = 'scheduler'", "triggerer"), "AR003", "cannot become another", "other component's row", detail=_HERE),
    wrong("a component moved", _PART.format("deployment = 'demo/taken'", "triggerer"), "0A000", 'cannot update column "deployment"', detail="not columns of their base", raw=_COMPUTED),
    wrong("a reserved variable", _VAR.format("'AIRFLOW__CORE__FERNET_KEY', 'x'"), "AR003", "Armillary's own: it is generated once", "Leave it out"),
    wrong("a reserved variable in small letters", _VAR.format("'airflow__core__executor', 'x'"), "AR003", "Armillary's own", "Leave it out"),
    wrong("a reserved variable by a command", _VAR.format("'AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_CMD', 'x'"), "AR003", "Armillary's own", "Leave it out"),
    wrong("a variable renamed to a reserved one", "UPDATE armillary.variables SET key = 'AIRFLOW__API__PORT' WHERE key = 'PLAIN'", "AR003", "Armillary's own", "Leave it out"),
    wrong("a variable renamed to another one", "UPDATE armillary.variables SET key = 'ALSO' WHERE key = 'PLAIN'", "AR002", "demo/hello has a variable ALSO already", "another name"),
    wrong("a key that is no name", _VAR.format("'1 A', 'x'"), "AR003", "'1 A' cannot be the name", "letters, digits and underscores"),
    wrong("a key of 10 MB", _VAR.format("repeat('K', 10000000), 'x'"), "AR003", "cannot be the name", "at most 200"),
    wrong("no key", _VAR.format("NULL, 'x'"), "AR003", "NULL cannot be the name", "letters, digits"),
    wrong("a variable twice", _VAR.format("'PLAIN', 'x'"), "AR002", "has a variable PLAIN already", "UPDATE armillary.variables SET value"),
    wrong("a variable without a value", _VAR.format("'A', NULL"), "AR003", "A has no value", "Give it one", detail=_HERE),
    wrong("a value of 10 MB", _VAR.format("'A', repeat('x', 10000000)"), "AR003", "longer than 128 KiB", "secrets backend", detail=_HERE),
    wrong("NUL in a value", _VAR.format(r"'A', E'a\x00b'"), "22021", "invalid byte sequence", raw="PostgreSQL's texts cannot hold NUL, and it refuses to read the statement"),
    wrong("a variable of nobody", "INSERT INTO armillary.variables (deployment, key, value) VALUES ('demo/nope', 'A', 'x')", "AR001", "no deployment 'demo/nope'", "There are"),
    wrong("a reader that does not exist", "INSERT INTO armillary.variables (deployment, key, value, components) VALUES ('demo/hello', 'A', 'x', '{worker}')", "AR003", "no component 'worker' to read A", "Components: api-server", detail=_HERE),
    wrong("readers that are no list", "INSERT INTO armillary.variables (deployment, key, value, components) VALUES ('demo/hello', 'A', 'x', 'worker')", "22P02", 'malformed array literal: "worker"', detail="must start with", raw=_TYPED),
    wrong("a secret without a value", "INSERT INTO armillary.variables (deployment, key, secret) VALUES ('demo/hello', 'A', true)", "AR003", "secret A has no value", "sealed", detail=_HERE),
    wrong("a secret of 10 MB", _SECRET.format("value = repeat('x', 10000000)"), "AR003", "longer than 128 KiB", "secrets backend", detail=_HERE),
    wrong("a secret made plain", _SECRET.format("secret = false"), "AR003", "HUSH has no value", "cannot be read back", detail=_HERE),
    wrong("a secret renamed", _SECRET.format("key = 'OTHER'"), "AR003", "cannot be renamed", "Insert one with the new name", detail=_HERE),
    wrong("a secret in the clear where that is refused", ("UPDATE armillary.defaults SET refuse_plaintext = true", _SECRET.format("value = 'canary'")), "AR004", "HUSH was given as plain text", "armillary secret seal demo/hello HUSH"),
    wrong("sealed text that is not whole", _SECRET.format("value = 'armillary-sealed.v1.k1'"), "AR003", "not whole", "Copy all of what this prints"),
    wrong("a forged version of a secret", _SECRET.format("version = 7"), "0A000", 'cannot update column "version"', detail="not columns of their base", raw=_COMPUTED),
    wrong("an invented version of a secret", "INSERT INTO armillary.variables (deployment, key, secret, version) VALUES ('demo/hello', 'A', true, 7)", "AR003", "secret A has no value", "sealed", detail=_HERE),
    wrong("a variable moved", "UPDATE armillary.variables SET deployment = 'demo/taken' WHERE key = 'PLAIN'", "0A000", 'cannot update column "deployment"', detail="not columns of their base", raw=_COMPUTED),
    wrong("an upsert", _VAR.format("'PLAIN', 'x'") + " ON CONFLICT (key) DO UPDATE SET value = 'x'", "42P10", "no unique or exclusion constraint matching", raw="PostgreSQL looks for the view's constraints, and a view has none; UPDATE, and INSERT where that met no row"),
    wrong("a default for an unknown layer", _LAYER.format("'planet', 'demo', 'A', 'x'"), "AR003", "no layer 'planet'", "Layers: platform"),
    wrong("a default for an unknown workspace", _LAYER.format("'workspace', 'nope', 'A', 'x'"), "AR001", "no workspace 'nope'", "armillary.workspaces"),
    wrong("a reserved default", _LAYER.format("'platform', '', 'AIRFLOW_HOME', 'x'"), "AR003", "Armillary's own", "Leave it out"),
    wrong("a default twice", _LAYER.format("'platform', '', 'PROXY', 'x'"), "AR002", "default variable PROXY in that layer already", "UPDATE armillary.default_variables"),
    wrong("a default renamed to another one", "UPDATE armillary.default_variables SET key = 'REGION' WHERE key = 'PROXY'", "AR002", "default variable REGION in that layer already", "another name"),
    wrong("a bad e-mail address", _EMAIL.format("'demo/hello', 'nobody'"), "AR003", "'nobody' cannot be an e-mail address", "team@example.org", detail=_HERE),
    wrong("an e-mail address with a name around it", _EMAIL.format("'demo/hello', 'Ann <ann@example.org>'"), "AR003", "cannot be an e-mail address", "without a name around it", detail=_HERE),
    wrong("an e-mail address of two lines", _EMAIL.format("'demo/hello', E'a@b.example\\nBcc: c@d.example'"), "AR003", "cannot be an e-mail address", "one address", detail=_HERE),
    wrong("an e-mail address of 10 MB", _EMAIL.format("'demo/hello', repeat('a', 10000000) || '@b'"), "AR003", "'a{60}' cannot be", "at most 200", detail=_HERE),
    wrong("no e-mail address", _EMAIL.format("'demo/hello', NULL"), "AR003", "NULL cannot be an e-mail address", "one address", detail=_HERE),
    wrong("an e-mail address twice", _EMAIL.format("'demo/hello', 'ANN@example.org'"), "AR002", "demo/hello tells ANN@example.org already", "Capital letters"),
    wrong("an e-mail address made another one that is there", "UPDATE armillary.alert_emails SET email = 'Bob@example.org' WHERE email = 'ann@example.org'", "AR002", "tells Bob@example.org already", "Nothing is to be done"),
    wrong("an e-mail address of nobody", _EMAIL.format("'demo/nope', 'ann@example.org'"), "AR001", "no deployment 'demo/nope'", "There are"),
    wrong("an e-mail address moved", "UPDATE armillary.alert_emails SET deployment = 'demo/taken'", "0A000", 'cannot update column "deployment"', detail="not columns of their base", raw=_COMPUTED),
    wrong("grace that cannot be", "UPDATE armillary.defaults SET grace_seconds = -1", "AR003", "grace_seconds cannot be -1", "between 0 and", detail="armillary.defaults"),
    wrong("retention that cannot be", "UPDATE armillary.defaults SET retention_seconds = NULL", "AR003", "retention_seconds cannot be NULL", "between 0 and", detail="armillary.defaults"),
    wrong("a bulk guard of nothing", "UPDATE armillary.defaults SET bulk_minimum = 0", "AR003", "bulk_minimum cannot be 0", "between 1 and", detail="armillary.defaults"),
    wrong("a bulk guard of 200 %", "UPDATE armillary.defaults SET bulk_percent = 200", "AR003", "bulk_percent cannot be 200", "between 0 and 100", detail="armillary.defaults"),
    wrong("plain text neither refused nor not", "UPDATE armillary.defaults SET refuse_plaintext = NULL", "AR003", "cannot be NULL", "true or false"),
    wrong("a second row of defaults", "INSERT INTO armillary.defaults (grace_seconds) VALUES (1)", "AR004", "takes no INSERT", "UPDATE armillary.defaults"),
    wrong("no defaults", "DELETE FROM armillary.defaults", "AR004", "takes no DELETE", "UPDATE armillary.defaults"),
    wrong("a token revived", "UPDATE armillary.tokens SET revoked_at = NULL WHERE name = 'old'", "AR004", "old was revoked", "armillary token create"),
    wrong("a token revoked at the end of time", "UPDATE armillary.tokens SET revoked_at = 'infinity' WHERE name = 'ci'", "AR003", "revoked_at cannot be infinity", "between the years"),
    wrong("a token made in SQL", "INSERT INTO armillary.tokens (name) VALUES ('mine')", "AR004", "takes no INSERT", "armillary token create"),
    wrong("a token deleted", "DELETE FROM armillary.tokens", "AR004", "takes no DELETE", "SET revoked_at"),
    wrong("a token that lasts longer", "UPDATE armillary.tokens SET expires_at = now() + interval '1 year'", "0A000", 'cannot update column "expires_at"', detail="not columns of their base", raw=_COMPUTED),
)
