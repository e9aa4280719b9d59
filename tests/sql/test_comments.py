r"""The schema teaches: `\d+` and `\df+` explain every view, column and function, and what is violated says what."""

# ruff: noqa: E501 -- SQL, and what is said with it, reads better on one line

from __future__ import annotations

import re

import psycopg
import pytest

from tests.state.fleet import rows

_COMMENTED = {
    "view": """
        SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = 'armillary' AND c.relkind IN ('v', 'm', 'r', 'p') AND obj_description(c.oid, 'pg_class') IS NULL""",
    "column": """
        SELECT c.oid::regclass || '.' || a.attname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
          JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
         WHERE n.nspname = 'armillary' AND c.relkind IN ('v', 'm', 'r', 'p') AND col_description(c.oid, a.attnum) IS NULL""",
    "function": """
        SELECT p.oid::regprocedure::text FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
         WHERE n.nspname IN ('armillary', 'core') AND obj_description(p.oid, 'pg_proc') IS NULL""",
    "table": """
        SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = 'core' AND c.relkind IN ('r', 'p', 'v') AND obj_description(c.oid, 'pg_class') IS NULL""",
    "schema": """
        SELECT nspname FROM pg_namespace WHERE nspname IN ('core', 'armillary', 'history')
           AND obj_description(oid, 'pg_namespace') IS NULL""",
}
# primary keys are named as PostgreSQL names them: a person who repeats one is answered by a trigger before
_CONSTRAINTS = """
SELECT c.conrelid::regclass || ': ' || c.conname, c.conname::text FROM pg_constraint c JOIN pg_namespace n ON n.oid = c.connamespace
 WHERE n.nspname = 'core' AND c.contype IN ('c', 'u', 'f', 'x')
"""
# what has no columns of its own, and why
_JSON = {
    "core.components.settings": "each component has its own keys, typed and bounded by core.setting_catalogue",
    "core.revisions.spec": "a whole document, as it was in its release",
    "core.audit.before": "a row of any table",
    "core.audit.after": "a row of any table",
    "core.objects.needs": "pairs, written and read as one by the daemon only",
}


@pytest.fixture(scope="module")
def sql(make_database, template_database):
    with make_database(template_database) as url, psycopg.connect(url, autocommit=True) as sql:
        yield sql


@pytest.mark.parametrize("kind", _COMMENTED)
def test_everything_has_a_comment(sql, kind):
    assert [one for (one,) in rows(sql, _COMMENTED[kind])] == []


def test_comments_are_sentences(sql):
    said = rows(
        sql,
        "SELECT d.description FROM pg_description d JOIN pg_class c ON c.oid = d.objoid AND d.classoid = 'pg_class'::regclass"
        " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'armillary'",
    )
    assert len(said) > 100
    assert [one for (one,) in said if not re.search(r"[.!?…)]$", one)] == []


def test_no_constraint_has_a_name_that_postgresql_made_up(sql):
    assert [
        where for where, name in rows(sql, _CONSTRAINTS) if re.search(r"_(check|key|fkey|excl)\d*$", name)
    ] == []


def test_there_is_json_only_where_no_column_will_do(sql):
    columns = rows(
        sql,
        "SELECT table_schema || '.' || table_name || '.' || column_name FROM information_schema.columns"
        " WHERE table_schema = 'core' AND data_type IN ('json', 'jsonb')"
        " AND table_name IN (SELECT tablename FROM pg_tables WHERE schemaname = 'core')",
    )
    assert {one for (one,) in columns} == set(_JSON)
