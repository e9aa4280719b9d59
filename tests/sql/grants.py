"""What each role may do on each object: as a table that people read, and as PostgreSQL answers when it is tried.

Letters are those of psql: r SELECT, a INSERT, w UPDATE, d DELETE, D TRUNCATE, x REFERENCES, t TRIGGER,
m MAINTAIN, X EXECUTE, U USAGE, C CREATE. Reading, writing, truncating, entering and creating are really tried; the
others, which need things to be made first, are asked for.
"""

# ruff: noqa: E501 -- SQL, and what is said with it, reads better on one line

from __future__ import annotations

import re
from collections.abc import Iterator

import psycopg

from tests.state.fleet import Sql, rows

ROLES = ("armillary_daemon", "armillary_api", "armillary_admin", "armillary_viewer", "armillary_auditor", "public")
_SCHEMAS = "('core', 'armillary', 'history', 'public')"
_NOBODY = "armillary_test_nobody"
_TABLE_VERBS = {"x": "REFERENCES", "t": "TRIGGER"}

Matrix = dict[str, tuple[str, ...]]
"""For each object what each of ROLES may do, in their order; '-' for nothing."""


def written(table: str) -> list[tuple[str, tuple[str, ...]]]:
    """The lines of a table: an object or a pattern with `*`, and what each role may do."""
    lines = (line.rsplit(None, len(ROLES)) for line in table.strip().splitlines() if line.strip())
    return [(re.sub(r"\s+", " ", name), tuple(may)) for name, *may in lines]


def expected(table: str, objects: list[str]) -> tuple[Matrix, list[str]]:
    """What a table says about each object: the last line that fits it. And lines that fit nothing."""
    found: Matrix = {}
    idle = []
    for name, may in written(table):
        fits = [one for one in objects if re.fullmatch(re.escape(name).replace(r"\*", ".*"), one)]
        found |= dict.fromkeys(fits, may)
        if not fits:
            idle.append(name)
    return found, idle


def tried(sql: Sql) -> Matrix:
    """What each role may really do on every schema, table, partition, view, sequence and function of ours."""
    sql.execute(f"DROP ROLE IF EXISTS {_NOBODY}; CREATE ROLE {_NOBODY}".encode())
    try:
        names = [_NOBODY if role == "public" else role for role in ROLES]
        columns = [dict(_tries(sql, name)) for name in names]
    finally:
        sql.execute(f"DROP ROLE {_NOBODY}".encode())
    return {one: tuple(column[one] or "-" for column in columns) for one in columns[0]}


def _tries(sql: Sql, role: str) -> Iterator[tuple[str, str]]:
    for (schema,) in rows(sql, f"SELECT nspname FROM pg_namespace WHERE nspname IN {_SCHEMAS} ORDER BY 1"):
        may = "U" if _asked(sql, "has_schema_privilege(%s, %s, 'USAGE')", role, schema) else ""
        yield f"schema {schema}", may + ("C" if _may(sql, role, f"CREATE TABLE {schema}.t (i int)") else "")
    for name, column, kind in rows(sql, _RELATIONS):
        yield name, _on_relation(sql, role, name, column, kind)
    for name, signature in rows(sql, _FUNCTIONS):
        usable = _asked(sql, "has_function_privilege(%s, %s::regprocedure, 'EXECUTE')", role, signature)
        yield name, "X" if usable else ""


_RELATIONS = f"""
SELECT n.nspname || '.' || c.relname, (SELECT a.attname FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0
        AND NOT a.attisdropped AND pg_column_is_updatable(c.oid, a.attnum, true) AND a.attgenerated = '' AND a.attidentity = ''
        ORDER BY a.attnum LIMIT 1), c.relkind::text
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname IN {_SCHEMAS} AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') ORDER BY 1
"""
_FUNCTIONS = f"""
SELECT p.oid::regprocedure::text, p.oid::regprocedure::text FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
 WHERE n.nspname IN {_SCHEMAS}
   AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid AND e.deptype = 'e')
 ORDER BY 1
"""


def _on_relation(sql: Sql, role: str, name: str, column: str | None, kind: str) -> str:
    if kind == "S":
        verbs = {"r": "SELECT", "w": "UPDATE", "U": "USAGE"}
        return "".join(
            k for k, v in verbs.items() if _asked(sql, f"has_sequence_privilege(%s, %s, '{v}')", role, name)
        )
    # EXPLAIN checks the rights of a statement as running it does, and runs nothing
    tries = {
        "r": f"EXPLAIN SELECT FROM {name}",
        "a": f"EXPLAIN INSERT INTO {name} DEFAULT VALUES",
        "w": f"EXPLAIN UPDATE {name} SET {column} = DEFAULT WHERE false" if column else "",
        "d": f"EXPLAIN DELETE FROM {name} WHERE false",
        "D": f"TRUNCATE {name}" if kind != "v" else "",
    }
    may = "".join(letter for letter, statement in tries.items() if statement and _may(sql, role, statement))
    return may + "".join(
        k for k, v in _TABLE_VERBS.items() if _asked(sql, f"has_table_privilege(%s, %s, '{v}')", role, name)
    )


def _may(sql: Sql, role: str, statement: str) -> bool:
    """Try, and undo it. Whatever else goes wrong, it was not for want of a right."""
    with sql.transaction(force_rollback=True):
        sql.execute(f"SET LOCAL ROLE {role}".encode())
        try:
            with sql.transaction():
                sql.execute(statement.encode())
        except (psycopg.errors.InsufficientPrivilege, psycopg.errors.ObjectNotInPrerequisiteState):
            return False  # the second: a view that nobody can write
        except psycopg.Error:
            return True
    return True


def _asked(sql: Sql, question: str, role: str, name: str) -> bool:
    ((answer,),) = rows(sql, f"SELECT {question}", role, name)
    return bool(answer)
