"""First light: every table. Its definitions come with each migration, from `state.definitions`."""

from alembic import op

from state import definitions

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing was there before: no older release sees this database."""
    cursor = op.get_bind().connection.cursor()
    for script in definitions.tables():
        cursor.execute(script)


def downgrade() -> None:
    """Everything goes, roles stay: they belong to the server."""
    op.execute("DROP SCHEMA armillary CASCADE")
    op.execute("DROP SCHEMA core CASCADE")
