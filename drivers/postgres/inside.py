"""Inside one database: who owns what is in schema public, and what the user role may do with it. Looks only.

Everything in schema public of a database of ours is the deployment's: it belongs to the owner role, and the user
role may use it. Other schemas, and what extensions brought, are somebody else's and are not looked at.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from drivers.postgres.connection import Connection

_COMMENT = """
SELECT obj_description(n.oid, 'pg_namespace') AS comment FROM pg_namespace n WHERE n.nspname = 'public'
"""

# Sequences of serial and identity columns follow their table; composite types of tables likewise.
STRANGERS = """
WITH place AS (SELECT oid FROM pg_namespace WHERE nspname = 'public'),
things AS (
    SELECT 'pg_class'::regclass AS class, c.oid, c.relowner AS owner, format('public.%%I', c.relname) AS name,
           CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'f' THEN 'FOREIGN TABLE'
                          WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS keyword
    FROM pg_class c
    WHERE c.relnamespace = (SELECT oid FROM place) AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
      AND NOT (c.relkind = 'S' AND EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
               AND d.objid = c.oid AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')))
    UNION ALL
    SELECT 'pg_type'::regclass, t.oid, t.typowner, format('public.%%I', t.typname),
           CASE t.typtype WHEN 'd' THEN 'DOMAIN' ELSE 'TYPE' END
    FROM pg_type t LEFT JOIN pg_class c ON c.oid = t.typrelid
    WHERE t.typnamespace = (SELECT oid FROM place)
      AND (t.typtype IN ('e', 'd', 'r') OR (t.typtype = 'c' AND c.relkind = 'c'))
    UNION ALL
    SELECT 'pg_proc'::regclass, p.oid, p.proowner,
           format('public.%%I(%%s)', p.proname, pg_get_function_identity_arguments(p.oid)), 'ROUTINE'
    FROM pg_proc p WHERE p.pronamespace = (SELECT oid FROM place)
)
SELECT keyword, name FROM things
WHERE owner IS DISTINCT FROM (SELECT oid FROM pg_roles WHERE rolname = %(owner)s)
  AND NOT EXISTS (SELECT FROM pg_depend e
                  WHERE e.classid = things.class AND e.objid = things.oid AND e.deptype = 'e')
ORDER BY keyword, name
"""

_RIGHTS = """
WITH place AS (SELECT oid, nspowner FROM pg_namespace WHERE nspname = 'public'),
owner AS (SELECT oid FROM pg_roles WHERE rolname = %(owner)s),
usr AS (SELECT oid FROM pg_roles WHERE rolname = %(user)s),
relations AS (
    SELECT c.oid, c.relname, c.relkind FROM pg_class c JOIN place ON c.relnamespace = place.oid
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND NOT EXISTS (SELECT FROM pg_depend e
          WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e')
),
defaults AS (
    SELECT d.defaclobjtype AS type, a.privilege_type AS privilege
    FROM pg_default_acl d, aclexplode(d.defaclacl) a
    WHERE d.defaclrole = (SELECT oid FROM owner) AND a.grantee = (SELECT oid FROM usr)
      AND d.defaclnamespace IN (0, (SELECT oid FROM place))
)
SELECT pg_get_userbyid(place.nspowner) AS schema_owner,
       coalesce(has_schema_privilege((SELECT oid FROM usr), place.oid, 'USAGE'), false) AS may_use,
       coalesce(has_schema_privilege((SELECT oid FROM usr), place.oid, 'CREATE'), false) AS may_create,
       ARRAY(SELECT relname::text FROM relations, usr WHERE relkind <> 'S' AND NOT (
               has_table_privilege(usr.oid, relations.oid, 'SELECT')
           AND has_table_privilege(usr.oid, relations.oid, 'INSERT')
           AND has_table_privilege(usr.oid, relations.oid, 'UPDATE')
           AND has_table_privilege(usr.oid, relations.oid, 'DELETE')) ORDER BY 1) AS closed_tables,
       ARRAY(SELECT relname::text FROM relations, usr WHERE relkind = 'S' AND NOT (
               has_sequence_privilege(usr.oid, relations.oid, 'USAGE')
           AND has_sequence_privilege(usr.oid, relations.oid, 'SELECT')
           AND has_sequence_privilege(usr.oid, relations.oid, 'UPDATE')) ORDER BY 1) AS closed_sequences,
       (SELECT count(DISTINCT (type, privilege)) FROM defaults
        WHERE (type = 'r' AND privilege IN ('SELECT', 'INSERT', 'UPDATE', 'DELETE'))
           OR (type = 'S' AND privilege IN ('USAGE', 'SELECT', 'UPDATE'))) = 7 AS has_defaults
FROM place
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inside:
    """What is not as it was granted. `schema_owner` None: there is no schema public at all."""

    schema_owner: str | None = None
    may_use: bool = False
    may_create: bool = False
    closed_tables: list[str] = field(default_factory=list)
    closed_sequences: list[str] = field(default_factory=list)
    has_defaults: bool = False
    strangers: list[str] = field(default_factory=list)


async def read_comment(connection: Connection) -> str | None:
    """The comment on schema public."""
    found = await (await connection.execute(_COMMENT)).fetchone()
    return None if found is None else found["comment"]


async def read_inside(connection: Connection, *, owner: str, user: str) -> Inside:
    """How schema public stands to the two roles."""
    names = {"owner": owner, "user": user}
    found: dict[str, Any] | None = await (await connection.execute(_RIGHTS, names)).fetchone()
    if found is None:
        return Inside()
    strangers = await read_strangers(connection, owner=owner)
    return Inside(**found, strangers=[name for _, name in strangers])


async def read_strangers(connection: Connection, *, owner: str) -> list[tuple[str, str]]:
    """What in schema public belongs to another role: keyword of ALTER, and its name ready for a statement."""
    cursor = await connection.execute(STRANGERS, {"owner": owner})
    return [(str(one["keyword"]), str(one["name"])) for one in await cursor.fetchall()]
