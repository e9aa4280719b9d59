"""First light: the whole schema, from the SQL files of `state/sql` in the order of their names."""

from importlib.resources import files

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing was there before: no older release sees this database."""
    connection = op.get_bind().connection.cursor()
    scripts = (one for one in files("state").joinpath("sql").iterdir() if one.name.endswith(".sql"))
    for script in sorted(scripts, key=lambda one: one.name):
        connection.execute(script.read_text(encoding="utf-8"))


def downgrade() -> None:
    """Everything goes, roles stay: they belong to the server."""
    op.execute("DROP SCHEMA armillary CASCADE")
    op.execute("DROP SCHEMA core CASCADE")
