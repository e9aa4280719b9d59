"""Audit and events by months, default variables, the sealing key, and constraints with names that say what they are.

The months are partitions in a schema of their own, so that what is old goes without being deleted. Rows keep their
numbers, times and transactions: by them clusters know the database again. Daemons of the revision before go on: no
function of theirs changes its signature.
"""
# ruff: noqa: E501 - comments of the schema are one line each

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_MONTHS_AHEAD = 3

_BEFORE = """
CREATE SCHEMA history;
COMMENT ON SCHEMA history IS 'The months of core.audit and core.events, as partitions. Nobody but the owner may enter.';
CREATE TABLE core.retention (
    relation text NOT NULL CONSTRAINT retention_is_kept_once_a_relation PRIMARY KEY
        CONSTRAINT only_history_is_forgotten CHECK (relation IN ('audit', 'events')),
    days integer NOT NULL CONSTRAINT history_is_kept_for_a_week_to_a_century CHECK (days BETWEEN 7 AND 36500)
);
COMMENT ON TABLE core.retention IS 'How long history is kept, in days. A month goes when all of it is older. Changed by the owner only.';
COMMENT ON COLUMN core.retention.relation IS 'audit or events.';
COMMENT ON COLUMN core.retention.days IS 'So many days are kept at least.';
INSERT INTO core.retention (relation, days) VALUES ('audit', 400), ('events', 30);
ALTER TABLE core.installation ADD COLUMN restored_at timestamptz;
COMMENT ON COLUMN core.installation.restored_at IS 'When it was restored from a backup: until somebody takes over, daemons only look.';
"""

_MOVE = """
ALTER TABLE core.{name} SET SCHEMA history;
CREATE TABLE core.{name} (
    LIKE history.{name} INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING COMMENTS INCLUDING IDENTITY INCLUDING STORAGE,
    CONSTRAINT {name}_rows_are_numbered PRIMARY KEY (id, at)
) PARTITION BY RANGE (at);
"""

_FILL = """
DO $$
DECLARE month timestamp;
BEGIN
    FOR month IN
        SELECT date_trunc('month', h.at AT TIME ZONE 'UTC') FROM history.{name} h
        UNION SELECT date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => n) FROM generate_series(0, {ahead}) n
    LOOP
        EXECUTE format('CREATE TABLE history.%I PARTITION OF core.{name} FOR VALUES FROM (%L) TO (%L)',
            '{name}_' || to_char(month, 'YYYY_MM'), month AT TIME ZONE 'UTC', (month + interval '1 month') AT TIME ZONE 'UTC');
    END LOOP;
END $$;
INSERT INTO core.{name} OVERRIDING SYSTEM VALUE SELECT * FROM history.{name};
SELECT setval('core.{name}_id_seq', s.last_value, s.is_called) FROM history.{name}_id_seq s;
DROP TABLE history.{name};
"""

_AFTER = """
COMMENT ON TABLE core.audit IS 'One row for each row of desired state that was changed, by months. Append-only.';
COMMENT ON TABLE core.events IS 'What happened to owners, by months.';
CREATE INDEX events_of_an_owner ON core.events (owner, id);
"""

_BACK = """
CREATE TABLE history.{name} (LIKE core.{name} INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING COMMENTS INCLUDING IDENTITY INCLUDING STORAGE);
INSERT INTO history.{name} OVERRIDING SYSTEM VALUE SELECT * FROM core.{name};
SELECT setval('history.{name}_id_seq', s.last_value, s.is_called) FROM core.{name}_id_seq s;
DROP TABLE core.{name};
ALTER TABLE history.{name} SET SCHEMA core;
ALTER TABLE core.{name} ADD PRIMARY KEY (id);
"""

# As 0001 first was, it had neither approvals nor what a pass remembers of its convergence: IF NOT EXISTS.
_FIRST_DAYS = """
CREATE TABLE IF NOT EXISTS core.approvals (
    owner text NOT NULL,
    what text NOT NULL CONSTRAINT approvals_are_known CHECK (what IN ('deletes', 'data', 'rollout')),
    reason text NOT NULL CONSTRAINT an_approval_has_a_reason CHECK (length(reason) BETWEEN 1 AND 1000),
    approved_by text NOT NULL,
    approved_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL DEFAULT now() + interval '1 hour',
    PRIMARY KEY (owner, what)
);
COMMENT ON TABLE core.approvals IS 'What people agreed to for one owner: deletes beyond the budget, the end of data that nothing uses, a held rollout.';
ALTER TABLE core.status ADD COLUMN IF NOT EXISTS converged_generation bigint,
    ADD COLUMN IF NOT EXISTS converged_defaults text NOT NULL DEFAULT '', ADD COLUMN IF NOT EXISTS rolling_since timestamptz;
COMMENT ON COLUMN core.status.converged_generation IS 'The generation at which all that was asked for was last there.';
COMMENT ON COLUMN core.status.converged_defaults IS 'The digest of the defaults at which all that was asked for was last there.';
COMMENT ON COLUMN core.status.rolling_since IS 'Since when a change that nobody asked for in particular is on its way.';
ALTER TABLE core.objects DROP CONSTRAINT inventory_states_are_known, ADD CONSTRAINT inventory_states_are_known
    CHECK (state IN ('intended', 'present', 'stopped', 'deleting', 'gone'));
ALTER TABLE core.milestones ADD COLUMN IF NOT EXISTS begun text[] NOT NULL DEFAULT '{}';
DELETE FROM core.milestones m USING core.milestones later
 WHERE later.owner = m.owner AND later.name = m.name AND (later.at, later.key) > (m.at, m.key);
ALTER TABLE core.milestones DROP CONSTRAINT milestones_pkey, ADD PRIMARY KEY (owner, name);
COMMENT ON TABLE core.milestones IS 'What each task has achieved last: done is a row.';
COMMENT ON COLUMN core.milestones.key IS 'Empty: nothing yet.';
COMMENT ON COLUMN core.milestones.begun IS 'What was started since: until something is achieved again, nobody knows how far it came.';
"""

_SECRETS = """
ALTER TABLE core.installation ADD COLUMN sealing_key text;
COMMENT ON COLUMN core.installation.sealing_key IS 'The id of the key that secrets are sealed with since the last rotation. The key itself is in no database.';
ALTER TABLE core.defaults ADD COLUMN refuse_plaintext boolean NOT NULL DEFAULT false;
"""

_RENAMED = (
    ("deployments", "deployments_workspace_id_fkey", "deployments_are_in_a_workspace"),
    ("deployments", "deployments_release_key", "a_release_is_given_once"),
    ("deployments", "deployments_release_fkey", "releases_are_written_down"),
    ("deployments", "deployments_cluster_fkey", "deployments_run_on_a_known_cluster"),
    ("components", "components_deployment_id_fkey", "components_belong_to_a_deployment"),
    ("variables", "variables_deployment_id_fkey", "variables_belong_to_a_deployment"),
    ("tokens", "tokens_sha256_key", "tokens_differ"),
    ("ports", "ports_deployment_id_fkey", "ports_belong_to_a_deployment"),
    ("ports", "ports_cluster_fkey", "ports_are_leased_on_a_known_cluster"),
    ("revisions", "revisions_deployment_id_fkey", "revisions_belong_to_a_deployment"),
    ("port_catalogue", "port_catalogue_position_key", "each_port_has_its_own_position"),
)
"""Constraints whose names people meet in errors: table, as PostgreSQL named it, as it says what it is."""

_DEFAULTS = """
CREATE TABLE core.default_variables (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT default_variables_are_numbered PRIMARY KEY,
    cluster text CONSTRAINT default_variables_are_of_a_known_cluster REFERENCES core.clusters ON UPDATE CASCADE ON DELETE CASCADE,
    workspace_id bigint CONSTRAINT default_variables_are_of_a_known_workspace REFERENCES core.workspaces ON DELETE CASCADE,
    key text NOT NULL CONSTRAINT default_variable_key_is_a_name_for_the_environment
        CHECK (key ~ '^[A-Za-z_][A-Za-z0-9_]{0,199}$'),
    value text NOT NULL CONSTRAINT default_variable_value_is_at_most_128_kib CHECK (octet_length(value) <= 131072),
    CONSTRAINT default_variables_are_of_one_layer CHECK (num_nonnulls(cluster, workspace_id) <= 1)
);
COMMENT ON TABLE core.default_variables IS 'Environment variables of the platform, of a cluster or of a workspace: what deployments have unless they say otherwise.';
CREATE UNIQUE INDEX a_default_variable_is_there_once ON core.default_variables (coalesce(cluster, ''), coalesce(workspace_id, 0), key);
"""

_AFTER_BACK = """
COMMENT ON TABLE core.audit IS 'One row for each row of desired state that was changed. Append-only.';
COMMENT ON TABLE core.events IS 'What happened to owners.';
CREATE INDEX events_of_an_owner ON core.events (owner, id);
DROP TABLE core.default_variables;
DROP TABLE core.retention;
ALTER TABLE core.installation DROP COLUMN restored_at, DROP COLUMN sealing_key;
ALTER TABLE core.defaults DROP COLUMN refuse_plaintext;
DROP SCHEMA history;
"""


def upgrade() -> None:
    """Copies both tables: about 10 seconds for a million rows."""
    cursor = op.get_bind().connection.cursor()
    cursor.execute(_FIRST_DAYS)
    cursor.execute(_BEFORE)
    cursor.execute(_SECRETS)
    for table, before, after in _RENAMED:
        cursor.execute(f"ALTER TABLE core.{table} RENAME CONSTRAINT {before} TO {after}")
    for name in ("audit", "events"):
        cursor.execute(_MOVE.format(name=name))
        cursor.execute(_FILL.format(name=name, ahead=_MONTHS_AHEAD))
    cursor.execute(_AFTER)
    cursor.execute(_DEFAULTS)


def downgrade() -> None:
    """One table each again, with every row."""
    cursor = op.get_bind().connection.cursor()
    for name in ("audit", "events"):
        cursor.execute(_BACK.format(name=name))
    for table, before, after in _RENAMED:
        cursor.execute(f"ALTER TABLE core.{table} RENAME CONSTRAINT {after} TO {before}")
    cursor.execute(_AFTER_BACK)
