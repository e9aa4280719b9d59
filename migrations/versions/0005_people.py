"""Deployments say who is told when something is wrong with them.

Daemons of the revision before go on: what they know is as it was.
"""
# ruff: noqa: E501 - comments of the schema and reasons are one line each

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_EMAILS = """
CREATE TABLE core.alert_emails (
    deployment_id bigint NOT NULL CONSTRAINT alert_emails_belong_to_a_deployment REFERENCES core.deployments ON DELETE CASCADE,
    email text NOT NULL CONSTRAINT an_alert_email_is_an_address CHECK (length(email) <= 200
        AND email ~ '^[a-zA-Z0-9.!#$%&''*+/=?^_`{|}~-]+@[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?([.][a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*$'),
    path text,
    CONSTRAINT alert_emails_are_named_by_what_they_say PRIMARY KEY (deployment_id, email)
);
COMMENT ON TABLE core.alert_emails IS 'Who is to be told when something is wrong with a deployment. No generation counts them.';
COMMENT ON COLUMN core.alert_emails.path IS 'How people name the deployment. Kept by triggers.';
CREATE UNIQUE INDEX an_address_is_told_once ON core.alert_emails (deployment_id, lower(email));
CREATE INDEX alert_emails_by_path ON core.alert_emails ((path || ''));
"""

_EMAILS_BACK = "DROP TABLE core.alert_emails"


def upgrade() -> None:
    """Adds a table; writes no row anew."""
    cursor = op.get_bind().connection.cursor()
    cursor.execute(_EMAILS)


def downgrade() -> None:
    """Addresses are forgotten."""
    cursor = op.get_bind().connection.cursor()
    cursor.execute(_EMAILS_BACK)
