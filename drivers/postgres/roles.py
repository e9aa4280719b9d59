"""Writing roles. The mark is written in the same transaction as the role."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from psycopg import sql

from drivers.postgres.catalog import DatabaseRow, RoleRow
from drivers.postgres.connection import Connection
from drivers.postgres.mark import Mark
from drivers.postgres.server import Server

_GRANTORS_SINCE = 160000  # before PostgreSQL 16 a membership had no grantor of its own, nor options
_END_SESSIONS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = ANY(%s) AND pid <> pg_backend_pid()
"""
_END_LEFT_OVER = """
SELECT pg_terminate_backend(a.pid) FROM pg_stat_activity a
 WHERE a.datname = %s AND a.usesysid IS NOT NULL AND NOT EXISTS (SELECT FROM pg_roles r WHERE r.oid = a.usesysid)
   AND pg_has_role('pg_signal_backend', 'USAGE')
"""
_OPTIONS = {
    "superuser": "NOSUPERUSER",
    "createrole": "NOCREATEROLE",
    "createdb": "NOCREATEDB",
    "replication": "NOREPLICATION",
    "bypassrls": "NOBYPASSRLS",
}


def verifier(connection: Connection, role: str, password: str) -> str:
    """The SCRAM verifier of a password, so that the server and its log never see the password itself."""
    made = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256")
    return made.decode()


def hash_of(secret: str) -> str:
    """What the mark keeps of a verifier. The verifier's random salt makes guessing passwords by it hopeless."""
    return hashlib.sha256(secret.encode()).hexdigest()


async def put_role(connection: Connection, name: str, row: RoleRow | None, secret: str, mark: Mark) -> None:
    """Make a role, or make it again what it should be."""
    role = sql.Identifier(name)
    async with connection.transaction():
        if row is None:
            await connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, sql.Literal(secret)))
        else:
            for statement in _repairs(connection, role, row):
                await connection.execute(statement)
            await connection.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(role, sql.Literal(secret)))
        await connection.execute(sql.SQL("COMMENT ON ROLE {} IS {}").format(role, sql.Literal(mark.comment)))
        if connection.info.parameter_status("is_superuser") != "on":
            await _join(connection, role)


def _repairs(connection: Connection, role: sql.Identifier, row: RoleRow) -> Iterator[sql.Composed]:
    """Only what differs: naming an attribute that is as it should be needs rights of its own."""
    words = [off for attribute, off in _OPTIONS.items() if getattr(row, attribute)]
    words += [] if row.login else ["LOGIN"]
    words += [] if row.inherit else ["INHERIT"]
    words += [] if row.connection_limit == -1 else ["CONNECTION LIMIT -1"]
    words += ["VALID UNTIL 'infinity'"] if row.expires else []
    if words:
        yield sql.SQL("ALTER ROLE {} {}").format(role, sql.SQL(" ".join(words)))
    for group, grantor in row.memberships:
        revoke = sql.SQL("REVOKE {} FROM {}").format(sql.Identifier(group), role)
        if connection.info.server_version >= _GRANTORS_SINCE:
            revoke += sql.SQL(" GRANTED BY {}").format(sql.Identifier(grantor))
        yield revoke + sql.SQL(" CASCADE")


async def _join(connection: Connection, role: sql.Identifier) -> None:
    """Become a member: who is no superuser acts on a role's things only as one of its members."""
    options = " WITH INHERIT TRUE, SET TRUE" if connection.info.server_version >= _GRANTORS_SINCE else ""
    await connection.execute(sql.SQL("GRANT {} TO CURRENT_USER" + options).format(role))


async def delete_role(server: Server, connection: Connection, row: RoleRow, database: DatabaseRow | None) -> None:
    """Drop a role. What it owns in its database is handed on, never dropped."""
    role = sql.Identifier(row.name)
    await end_sessions(connection, (row.name,))
    if database is not None:
        heir = sql.SQL("CURRENT_USER") if database.owner == row.name else sql.Identifier(database.owner)
        async with server.inside(database.name) as within, within.transaction():
            await within.execute(sql.SQL("REASSIGN OWNED BY {} TO {}").format(role, heir))
            await within.execute(sql.SQL("DROP OWNED BY {}").format(role))
    await connection.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(role))


async def end_left_over_sessions(connection: Connection, database: str) -> None:
    """End a database's sessions of roles that were dropped meanwhile; a role of that name made again is another.

    They may do nothing any more, yet are not broken either: Airflow keeps them in its pool and fails with each.
    Who is neither superuser nor in pg_signal_backend may end nobody's; then Airflow fails until it is restarted.
    """
    await connection.execute(_END_LEFT_OVER, (database,))


async def end_sessions(connection: Connection, roles: tuple[str, ...]) -> None:
    """End the sessions of these roles, whatever they do."""
    await connection.execute(_END_SESSIONS, (list(roles),))
