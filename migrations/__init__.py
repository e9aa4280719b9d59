"""Alembic's revisions of the state database."""
