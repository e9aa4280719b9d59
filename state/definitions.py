"""What the schema says besides its tables: functions, views, triggers and grants, dropped and made again together.

Their one place is `state/sql`. Tables are made by numbered revisions, so that rows survive; definitions hold no
rows, so each migration drops all of them and makes those of the revision that it comes to. What others were
granted on them is granted again. The files below 040 are the tables that revision 0001 makes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

Cursor = psycopg.Cursor[tuple[Any, ...]]
Granted = list[tuple[str, str, str, str, bool]]
"""Kind, signature (with a column, perhaps), whom, what, and whether it may be passed on."""

SCHEMAS = ["core", "armillary"]
ROLES = ["armillary_daemon", "armillary_api", "armillary_admin", "armillary_viewer", "armillary_auditor"]
"""Roles of ours: their grants are part of the definitions. Whatever others were granted is theirs."""

_RELEASED = Path(__file__).resolve().parent.parent / "migrations" / "released"
_FIRST = "040"

_TRIGGERS = """
SELECT t.tgname, n.nspname, c.relname
  FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = ANY (%s) AND c.relkind IN ('r', 'p') AND NOT t.tgisinternal AND t.tgparentid = 0
"""
_VIEWS = """
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = ANY (%s) AND c.relkind = 'v'
"""
_ROUTINES = """
SELECT p.oid::regprocedure::text FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
 WHERE n.nspname = ANY (%s)
   AND NOT EXISTS (
       SELECT FROM pg_depend e WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid AND e.deptype = 'e')
"""
_GRANTED = """
WITH things AS (
    SELECT 'TABLE' AS kind, c.oid::regclass::text AS name, '' AS part, c.relacl AS acl, c.relowner AS owner
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname = ANY (%(schemas)s) AND c.relkind = 'v'
    UNION ALL
    SELECT 'TABLE', c.oid::regclass::text, quote_ident(a.attname), a.attacl, c.relowner
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
     WHERE n.nspname = ANY (%(schemas)s) AND c.relkind = 'v' AND a.attacl IS NOT NULL
    UNION ALL
    SELECT 'FUNCTION', p.oid::regprocedure::text, '', p.proacl, p.proowner
      FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = ANY (%(schemas)s))
SELECT t.kind, t.name, g.privilege_type || CASE WHEN t.part = '' THEN '' ELSE ' (' || t.part || ')' END,
       r.rolname::text, g.is_grantable
  FROM things t, aclexplode(t.acl) g JOIN pg_roles r ON r.oid = g.grantee
 WHERE g.grantee <> t.owner AND r.rolname <> ALL (%(roles)s)
"""


def tables() -> Iterator[str]:
    """The scripts of the tables that the first revision makes."""
    return (text for name, text in scripts() if name < _FIRST)


def drop(cursor: Cursor) -> Granted:
    """Drop every definition, and take from our roles what they were granted; what others were granted there.

    Raises psycopg's DependentObjectsStillExist when somebody else's view or function stands on one.
    """
    if cursor.execute("SELECT to_regnamespace('core')").fetchone() == (None,):
        return []
    with _bare(cursor):
        return _drop(cursor)


def make(cursor: Cursor, revision: str, *, is_head: bool, granted: Granted) -> None:
    """Make the definitions that belong to a revision, and grant again what was granted to others."""
    if is_head:
        for name, text in scripts():
            if name >= _FIRST:
                cursor.execute(text.encode())
    else:
        cursor.execute((_RELEASED / f"{revision}.sql").read_bytes())
    with _bare(cursor):
        for kind, name, what, whom, passed_on in granted:
            _grant_again(cursor, kind, name, what, whom, passed_on=passed_on)


@contextmanager
def _bare(cursor: Cursor) -> Iterator[None]:
    """Every signature comes with its schema."""
    (path,) = cursor.execute("SELECT current_setting('search_path')").fetchone() or ("public",)
    cursor.execute("SET LOCAL search_path = pg_catalog")
    yield
    cursor.execute("SELECT set_config('search_path', %s, true)", (path,))


def _drop(cursor: Cursor) -> Granted:
    granted: Granted = cursor.execute(_GRANTED, {"schemas": SCHEMAS, "roles": ROLES}).fetchall()
    for trigger, schema, table in cursor.execute(_TRIGGERS, (SCHEMAS,)).fetchall():
        _run(cursor, "DROP TRIGGER {} ON {}", sql.Identifier(trigger), sql.Identifier(schema, table))
    # together, because they stand on each other, and never CASCADE: what is not ours is not dropped
    if views := cursor.execute(_VIEWS, (SCHEMAS,)).fetchall():
        _run(cursor, "DROP VIEW {}", sql.SQL(", ").join(sql.Identifier(*one) for one in views))
    if routines := cursor.execute(_ROUTINES, (SCHEMAS,)).fetchall():
        _run(cursor, "DROP ROUTINE {}", sql.SQL(", ").join(sql.SQL(one) for (one,) in routines))
    _forget_roles(cursor)
    return granted


def _grant_again(cursor: Cursor, kind: str, name: str, what: str, whom: str, *, passed_on: bool) -> None:
    to = "to_regclass" if kind == "TABLE" else "to_regprocedure"
    (found,) = cursor.execute(f"SELECT {to}(%s) IS NOT NULL".encode(), (name,)).fetchone() or (False,)
    if found:  # what this release has no more can be granted to nobody
        more = sql.SQL(" WITH GRANT OPTION" if passed_on else "")
        _run(cursor, f"GRANT {what} ON {kind} {name} TO {{}}{{}}", sql.Identifier(whom), more)


def _forget_roles(cursor: Cursor) -> None:
    known = cursor.execute("SELECT rolname::text FROM pg_roles WHERE rolname = ANY (%s)", (ROLES,)).fetchall()
    if not known:
        return
    roles = sql.SQL(", ").join(sql.Identifier(one) for (one,) in known)
    schemas = sql.SQL(", ").join(map(sql.Identifier, SCHEMAS))
    for what in ("ALL TABLES IN SCHEMA", "ALL SEQUENCES IN SCHEMA", "SCHEMA"):
        _run(cursor, f"REVOKE ALL ON {what} {{}} FROM {{}}", schemas, roles)


def _run(cursor: Cursor, statement: str, *parts: sql.Composable) -> None:
    cursor.execute(sql.SQL(statement).format(*parts))


def scripts() -> list[tuple[str, str]]:
    """Name and text of every file of `state/sql`, in order."""
    found = (one for one in files("state").joinpath("sql").iterdir() if one.name.endswith(".sql"))
    return sorted((one.name, one.read_text(encoding="utf-8")) for one in found)
