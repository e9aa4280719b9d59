"""The catalog's rows about roles and databases: one statement, one snapshot. Modifies nothing.

`owners`' names of things are searched for in the comments as text, and judged afterwards (`whose`): a query
that parsed comments as JSON would fail on the first comment that is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from psycopg import sql

from drivers.postgres.connection import Connection
from drivers.postgres.translate import DATABASE, GRANT, ROLE
from model.names import Ref

_ROLES = """
SELECT '{role}' AS kind, to_jsonb(one) AS row FROM (
    SELECT r.oid::text AS uid, r.rolname AS name, r.rolsuper AS superuser, r.rolinherit AS inherit,
           r.rolcreaterole AS createrole, r.rolcreatedb AS createdb, r.rolcanlogin AS login,
           r.rolreplication AS replication, r.rolbypassrls AS bypassrls, r.rolconnlimit AS connection_limit,
           r.rolvaliduntil < 'infinity' AS expires, d.description AS comment,
           {password} AS password_hash,
           coalesce((SELECT jsonb_agg(jsonb_build_array(pg_get_userbyid(m.roleid), pg_get_userbyid(m.grantor))
                                      ORDER BY m.roleid, m.grantor)
                     FROM pg_auth_members m WHERE m.member = r.oid), '[]') AS memberships
    FROM {source} r
    LEFT JOIN pg_shdescription d ON d.objoid = r.oid AND d.classoid = 'pg_authid'::regclass
    WHERE r.rolname = ANY(%(roles)s) OR strpos(d.description, %(needle)s) > 0
) one
"""
_DATABASES = """
SELECT '{database}', to_jsonb(one) FROM (
    SELECT d.oid::text AS uid, d.datname AS name, pg_get_userbyid(d.datdba) AS owner,
           d.datallowconn AS allow_connections, d.datconnlimit AS connection_limit,
           d.datistemplate AS is_template, s.description AS comment, current_user AS admin,
           has_database_privilege(d.oid, 'CONNECT') AS may_connect,
           (SELECT coalesce(jsonb_agg(jsonb_build_array(
                       CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(a.grantee) END,
                       a.privilege_type) ORDER BY a.grantee, a.privilege_type), '[]')
            FROM aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a) AS privileges
    FROM pg_database d
    LEFT JOIN pg_shdescription s ON s.objoid = d.oid AND s.classoid = 'pg_database'::regclass
    WHERE d.datname = ANY(%(databases)s) OR strpos(s.description, %(needle)s) > 0
       OR d.datdba IN (SELECT objoid FROM pg_shdescription
                       WHERE classoid = 'pg_authid'::regclass AND strpos(description, %(needle)s) > 0)
) one
"""
_HASH = "encode(sha256(convert_to(r.rolpassword, 'UTF8')), 'hex')"
_READABLE = "SELECT has_table_privilege('pg_authid', 'SELECT') AS readable"


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleRow:
    """A role. `password_hash` is the hash of its verifier; None when it has no password or may not be read."""

    uid: str
    name: str
    superuser: bool
    inherit: bool
    createrole: bool
    createdb: bool
    login: bool
    replication: bool
    bypassrls: bool
    connection_limit: int
    expires: bool | None
    comment: str | None
    password_hash: str | None
    memberships: list[list[str]]
    is_password_readable: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseRow:
    """A database. `privileges` are pairs of grantee and privilege; `may_connect` is about ourselves."""

    uid: str
    name: str
    owner: str
    allow_connections: bool
    connection_limit: int
    is_template: bool
    comment: str | None
    admin: str
    may_connect: bool
    privileges: list[list[str]]

    @property
    def is_half_dropped(self) -> bool:
        """Whether a DROP DATABASE was cut off: PostgreSQL then lets nobody do anything but drop it again."""
        return self.connection_limit == -2

    @property
    def is_open(self) -> bool:
        """Whether we could connect to it."""
        return self.allow_connections and self.may_connect and not self.is_half_dropped


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """What one look showed, by name."""

    roles: Mapping[str, RoleRow] = field(default_factory=dict)
    databases: Mapping[str, DatabaseRow] = field(default_factory=dict)


async def read(connection: Connection, *, needle: str, wanted: Iterable[Ref] = ()) -> Catalog:
    """The roles and databases whose comment holds `needle` or whose name is wanted."""
    places = list(wanted)
    parameters = {
        "needle": needle,
        "roles": [ref.name for ref in places if ref.kind == ROLE],
        "databases": [ref.name for ref in places if ref.kind in (DATABASE, GRANT)],
    }
    readable = await _is_readable(connection)
    roles, databases = {}, {}
    async for found in await connection.execute(_query(readable=readable), parameters):
        row: dict[str, Any] = found["row"]
        if found["kind"] == ROLE:
            roles[row["name"]] = RoleRow(**row, is_password_readable=readable)
        else:
            databases[row["name"]] = DatabaseRow(**row)
    return Catalog(roles=roles, databases=databases)


async def fingerprint(connection: Connection, *, needle: str) -> str:
    """A hash of everything that `read` would return: equal as long as nothing changed."""
    query = sql.SQL("SELECT md5(string_agg(row::text, '' ORDER BY kind, row)) AS hash FROM ({}) rows").format(
        _query(readable=await _is_readable(connection))
    )
    cursor = await connection.execute(query, {"needle": needle, "roles": [], "databases": []})
    found = await cursor.fetchone()
    return str(found["hash"]) if found else ""


async def _is_readable(connection: Connection) -> bool:
    """Whether we may compare passwords' hashes: superusers may."""
    if connection.info.parameter_status("is_superuser") == "on":
        return True
    found = await (await connection.execute(_READABLE)).fetchone()
    return bool(found and found["readable"])


def _query(*, readable: bool) -> sql.Composed:
    # what a role may not read must not even be named in its query
    roles = sql.SQL(_ROLES).format(
        role=sql.SQL(ROLE),
        password=sql.SQL(_HASH if readable else "NULL"),
        source=sql.SQL("pg_authid" if readable else "pg_roles"),
    )
    return roles + sql.SQL(" UNION ALL ") + sql.SQL(_DATABASES).format(database=sql.SQL(DATABASE))
