"""Writing databases. They are made and mended in place, and never replaced: they hold data."""

from __future__ import annotations

from psycopg import errors, sql

from drivers.base import Unavailable
from drivers.postgres.catalog import DatabaseRow
from drivers.postgres.connection import Connection
from drivers.postgres.mark import Mark
from drivers.postgres.roles import end_sessions
from drivers.postgres.translate import DatabaseBody

_HOLDERS = """
SELECT DISTINCT coalesce(usename, backend_type) || coalesce(' (' || nullif(application_name, '') || ')', '') AS who
FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid() ORDER BY 1 LIMIT 5
"""


async def put_database(connection: Connection, body: DatabaseBody, row: DatabaseRow | None, mark: Mark) -> None:
    """Make a database, or make it again what it should be."""
    name, owner = sql.Identifier(body.name), sql.Identifier(body.owner)
    if row is None:
        # template0: nothing an administrator put into template1 comes along, and nobody is connected to it
        statement = "CREATE DATABASE {} OWNER {} TEMPLATE template0 ENCODING 'UTF8'"
        await connection.execute(sql.SQL(statement).format(name, owner))
    async with connection.transaction():
        if row is not None and row.owner != body.owner:
            await connection.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(name, owner))
        if row is not None and not (row.allow_connections and row.connection_limit == -1 and not row.is_template):
            options = "ALTER DATABASE {} WITH ALLOW_CONNECTIONS true CONNECTION LIMIT -1 IS_TEMPLATE false"
            await connection.execute(sql.SQL(options).format(name))
        if row is None:
            # until its grants are made nobody but the owner has business here
            await connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name))
        await connection.execute(sql.SQL("COMMENT ON DATABASE {} IS {}").format(name, sql.Literal(mark.comment)))


async def delete_database(connection: Connection, row: DatabaseRow, roles: tuple[str, ...]) -> None:
    """Drop a database, ending the sessions of our own roles only. Raises Unavailable naming who else is in it."""
    name = sql.Identifier(row.name)
    if row.is_template:
        await connection.execute(sql.SQL("ALTER DATABASE {} WITH IS_TEMPLATE false").format(name))
    # a client that reconnects at once must not keep its database alive for ever
    for role in ("PUBLIC", *roles):
        grantee = sql.SQL(role) if role == "PUBLIC" else sql.Identifier(role)
        await connection.execute(sql.SQL("REVOKE CONNECT ON DATABASE {} FROM {}").format(name, grantee))
    await end_sessions(connection, roles)
    try:
        await connection.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(name))
    except errors.ObjectInUse:
        holders = [str(one["who"]) for one in await (await connection.execute(_HOLDERS, (row.name,))).fetchall()]
        who = ", ".join(holders) or "somebody"
        raise Unavailable(
            f"database {row.name!r} is still used by {who}; it is dropped once they have left"
        ) from None
