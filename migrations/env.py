"""How Alembic runs a revision: on the connection that `state.migrate` hands over, in its one transaction."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], version_table="schema_version")
context.run_migrations()
