"""What people name a deployment by stands in its rows, and an index finds it; rows of deployments have room to change.

Clusters may be Kubernetes too.

Daemons of the revision before go on: they read and write what they did, and triggers keep the new columns.
"""
# ruff: noqa: E501 - comments of the schema are one line each

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_NAMED = ("deployments", "components", "variables")

_PATHS = """
UPDATE core.deployments d SET path = (
    SELECT w.name || '/' || d.name || CASE WHEN d.deletion_requested_at IS NOT NULL AND EXISTS (
                SELECT FROM core.deployments o WHERE o.workspace_id = d.workspace_id AND o.name = d.name AND o.id <> d.id
                   AND (o.deletion_requested_at IS NULL OR (o.deletion_requested_at, o.id) > (d.deletion_requested_at, d.id)))
           THEN '@' || d.release ELSE '' END
      FROM core.workspaces w WHERE w.id = d.workspace_id);
UPDATE core.components c SET path = d.path FROM core.deployments d WHERE d.id = c.deployment_id;
UPDATE core.variables v SET path = d.path FROM core.deployments d WHERE d.id = v.deployment_id;
"""


_DRIVERS = """
ALTER TABLE core.clusters DROP CONSTRAINT cluster_driver_is_known,
    ADD CONSTRAINT cluster_driver_is_known CHECK (driver IN ({}))
"""


def upgrade() -> None:
    """Writes every row of deployments, components and variables anew: about a second for 10,000 deployments."""
    cursor = op.get_bind().connection.cursor()
    for table in _NAMED:
        cursor.execute(f"ALTER TABLE core.{table} ADD COLUMN path text")
        cursor.execute(
            f"COMMENT ON COLUMN core.{table}.path IS 'How people name the deployment. Kept by triggers.'"
        )
    cursor.execute(_DRIVERS.format("'local', 'kubernetes'"))
    # an index on a column that every change writes makes every change write every index
    cursor.execute("DROP INDEX core.deployments_changed_in")
    cursor.execute("ALTER TABLE core.deployments SET (fillfactor = 70)")
    cursor.execute("ALTER TABLE core.components SET (fillfactor = 80)")
    cursor.execute(_PATHS)
    for table in _NAMED:
        # as the views say it: PostgreSQL itself refuses to change what is no plain column
        cursor.execute(f"CREATE INDEX {table}_by_path ON core.{table} ((path || ''))")


def downgrade() -> None:
    """The columns go, with their indexes. Refused by the server while deployments are on a Kubernetes cluster."""
    cursor = op.get_bind().connection.cursor()
    cursor.execute("DELETE FROM core.clusters WHERE driver = 'kubernetes'")
    cursor.execute(_DRIVERS.format("'local'"))
    for table in _NAMED:
        cursor.execute(f"ALTER TABLE core.{table} DROP COLUMN path")
    cursor.execute("ALTER TABLE core.deployments RESET (fillfactor)")
    cursor.execute("ALTER TABLE core.components RESET (fillfactor)")
    cursor.execute("CREATE INDEX deployments_changed_in ON core.deployments (changed_in)")
