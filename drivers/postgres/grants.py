"""Writing grants: who may connect, and what the two roles may do in schema public."""

from __future__ import annotations

from psycopg import sql

from drivers.postgres.catalog import DatabaseRow
from drivers.postgres.connection import Connection
from drivers.postgres.inside import read_strangers
from drivers.postgres.mark import Mark
from drivers.postgres.server import Server
from drivers.postgres.translate import GrantBody

_INSIDE = (
    "CREATE SCHEMA IF NOT EXISTS public",
    "ALTER SCHEMA public OWNER TO {owner}",
    "REVOKE ALL ON SCHEMA public FROM {user}",
    "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
    "GRANT USAGE ON SCHEMA public TO {user}",
    "GRANT {on_tables} ON ALL TABLES IN SCHEMA public TO {user}",
    "GRANT {on_sequences} ON ALL SEQUENCES IN SCHEMA public TO {user}",
    # what the migration makes later is open to the user role from its first moment
    "ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA public GRANT {on_tables} ON TABLES TO {user}",
    "ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA public GRANT {on_sequences} ON SEQUENCES TO {user}",
    "COMMENT ON SCHEMA public IS {comment}",
)
_OUT = (
    "REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {user}",
    "REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM {user}",
    "REVOKE ALL ON SCHEMA public FROM {user}",
    "ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA public REVOKE ALL ON TABLES FROM {user}",
    "ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA public REVOKE ALL ON SEQUENCES FROM {user}",
    "REVOKE ALL ON DATABASE {database} FROM {user}",
    "COMMENT ON SCHEMA public IS NULL",
)


async def put_grant(server: Server, connection: Connection, body: GrantBody, row: DatabaseRow, mark: Mark) -> None:
    """Make the privileges what they should be. The mark comes last: without it the work is not done."""
    await _let_in(connection, body, row)
    names = {
        "owner": sql.Identifier(body.owner),
        "user": sql.Identifier(body.user),
        "comment": sql.Literal(mark.comment),
        "on_tables": sql.SQL("SELECT, INSERT, UPDATE, DELETE"),
        "on_sequences": sql.SQL("USAGE, SELECT, UPDATE"),
    }
    async with server.inside(body.database) as within, within.transaction():
        for keyword, name in await read_strangers(within, owner=body.owner):
            # both were written by the server itself, quoted
            statement = f"ALTER {keyword} {name} OWNER TO {{owner}}"
            await within.execute(sql.SQL(statement).format(**names))
        for statement in _INSIDE:
            await within.execute(sql.SQL(statement).format(**names))


async def _let_in(connection: Connection, body: GrantBody, row: DatabaseRow) -> None:
    database = sql.Identifier(body.database)
    granted = {grantee for grantee, _ in row.privileges} - {body.owner, row.admin}
    async with connection.transaction():
        for grantee in sorted(granted | {"PUBLIC", body.user}):
            role = sql.SQL("PUBLIC") if grantee == "PUBLIC" else sql.Identifier(grantee)
            await connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM {} CASCADE").format(database, role))
        for privilege, grantee in (("ALL", body.owner), ("CONNECT", body.user)):
            statement = sql.SQL("GRANT {} ON DATABASE {} TO {}")
            await connection.execute(statement.format(sql.SQL(privilege), database, sql.Identifier(grantee)))


async def delete_grant(server: Server, database: str, *, owner: str, user: str) -> None:
    """Take from the user role what it was granted. The owner role keeps what it owns."""
    names = {"owner": sql.Identifier(owner), "user": sql.Identifier(user), "database": sql.Identifier(database)}
    async with server.inside(database) as within, within.transaction():
        for statement in _OUT:
            await within.execute(sql.SQL(statement).format(**names))
