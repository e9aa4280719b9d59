"""${message}

Revises: ${down_revision | comma,n}
"""

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None


def upgrade() -> None:
    """What an older release sees meanwhile: say it here."""


def downgrade() -> None:
    """Back to the revision before."""
