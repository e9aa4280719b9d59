"""What people name a deployment by is kept in its rows, also behind the triggers, and an index finds it."""

from __future__ import annotations

import psycopg
import pytest

from tests.state.fleet import INSERT, PLAIN, fleet, generation, one, owner, rows

EVERY_NAME = """
SELECT d.release, d.deployment, (SELECT count(*) FROM armillary.components c WHERE c.deployment = d.deployment),
       (SELECT count(*) FROM armillary.variables v WHERE v.deployment = d.deployment)
  FROM armillary.deployments d ORDER BY d.release
"""


@pytest.fixture
def sql(database_url):
    with fleet(database_url) as sql:
        sql.execute(PLAIN, ("A", "1"))
        yield sql


def named(sql):
    """Every deployment by its release, with how it and its parts are named."""
    return rows(sql, EVERY_NAME)


def test_one_that_is_being_deleted_and_its_parts_leave_their_name_to_a_new_one(sql):
    sql.execute("DELETE FROM armillary.deployments")
    assert named(sql) == [("demo-hello", "demo/hello", 4, 1)]
    before = rows(sql, "SELECT generation FROM core.deployments")

    sql.execute(INSERT, ("demo", "hello"))

    assert named(sql) == [("demo-hello", "demo/hello@demo-hello", 4, 1), ("demo-hello-2", "demo/hello", 4, 0)]
    assert rows(sql, "SELECT generation FROM core.deployments WHERE release = 'demo-hello'") == before
    assert rows(sql, "SELECT FROM armillary.audit WHERE relation = 'components' AND operation = 'UPDATE'") == []


def test_a_name_that_is_given_up_or_taken_back_is_free_again(sql):
    sql.execute("DELETE FROM armillary.deployments")
    sql.execute(INSERT, ("demo", "hello"))
    sql.execute("UPDATE armillary.deployments SET name = 'other' WHERE release = 'demo-hello-2'")
    assert named(sql) == [("demo-hello", "demo/hello", 4, 1), ("demo-hello-2", "demo/other", 4, 0)]

    sql.execute("DELETE FROM armillary.deployments WHERE name = 'other'")
    sql.execute("UPDATE armillary.deployments SET name = 'hello' WHERE release = 'demo-hello-2'")
    assert [line[1] for line in named(sql)] == ["demo/hello@demo-hello", "demo/hello"]

    sql.execute("UPDATE armillary.deployments SET delete_after = now(), retain_until = now() WHERE name = 'hello'")
    sql.execute("SELECT core.remove_owner(%s)", (one(sql, "SELECT max(owner) FROM core.deployments"),))
    assert named(sql) == [("demo-hello", "demo/hello", 4, 1)]


def test_a_rename_renames_the_parts_and_is_one_change_of_one_row(sql):
    before, newest = generation(sql), one(sql, "SELECT max(id) FROM core.audit")
    renamed = "UPDATE armillary.deployments SET name = 'other' RETURNING deployment, generation"

    assert rows(sql, renamed) == [("demo/other", before + 1)]
    assert named(sql) == [("demo-hello", "demo/other", 4, 1)]
    assert one(sql, "SELECT count(*) FROM core.audit WHERE id > %s", newest) == 1


KINDS = """
SELECT t.tgrelid::regclass::text, t.tgname, t.tgenabled FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
 WHERE c.relnamespace = 'core'::regnamespace AND t.tgparentid = 0 ORDER BY 1, 2
"""


def restored_without_triggers(sql, tables):
    """What `pg_restore --disable-triggers` does to the triggers of the tables that it fills."""
    for table in tables:
        sql.execute(f"ALTER TABLE core.{table} DISABLE TRIGGER ALL")
        sql.execute(f"ALTER TABLE core.{table} ENABLE TRIGGER ALL")


def test_triggers_that_a_restore_left_ordinary_fire_always_again_within_a_minute(sql, database_url):
    tables = ("workspaces", "deployments", "components", "variables", "alert_emails")
    before = rows(sql, KINDS)
    restored_without_triggers(sql, tables)
    assert rows(sql, KINDS) != before

    with psycopg.connect(database_url, autocommit=True, options="-c role=armillary_daemon") as daemon:
        daemon.execute("SELECT core.tend()")
    assert rows(sql, KINDS) == before
    with sql.transaction():
        sql.execute("SET LOCAL session_replication_role = replica")
        sql.execute("UPDATE core.deployments SET name = 'moved'")
    assert named(sql) == [("demo-hello", "demo/moved", 4, 1)]


def test_who_writes_is_not_held_up_by_that_and_a_restore_at_work_is_left_alone(sql, database_url):
    restored_without_triggers(sql, ("deployments",))
    left = rows(sql, KINDS)
    with psycopg.connect(database_url) as writing:
        writing.execute("UPDATE core.deployments SET hibernated = true")
        sql.execute("SET lock_timeout = '2s'")
        sql.execute("SELECT core.tend()")
        assert rows(sql, KINDS) == left
    sql.execute("ALTER TABLE core.deployments DISABLE TRIGGER ALL")
    off = rows(sql, KINDS)
    sql.execute("SELECT core.tend()")

    assert rows(sql, KINDS) == off


@pytest.mark.parametrize("view", ["deployments", "components", "variables"])
def test_nobody_changes_how_a_deployment_is_named(sql, view):
    with pytest.raises(psycopg.Error, match='cannot update column "deployment"'):
        sql.execute(f"UPDATE armillary.{view} SET deployment = 'demo/other'")


def test_who_writes_behind_the_triggers_is_found_by_name_too(sql):
    with sql.transaction():
        sql.execute("SET LOCAL session_replication_role = replica")
        sql.execute("UPDATE core.deployments SET name = 'moved'")
        sql.execute(
            "INSERT INTO core.variables (deployment_id, key, value) SELECT id, 'B', '2' FROM core.deployments"
        )
        sql.execute("UPDATE core.workspaces SET name = 'team'")

    assert named(sql) == [("demo-hello", "team/moved", 4, 2)]


def test_what_a_restore_without_triggers_left_unnamed_is_named_within_a_minute(sql):
    for table in ("deployments", "components", "variables"):
        sql.execute(f"ALTER TABLE core.{table} DISABLE TRIGGER ALL")
        sql.execute(f"UPDATE core.{table} SET path = NULL")
        sql.execute(f"ALTER TABLE core.{table} ENABLE TRIGGER ALL")
    assert named(sql) == [("demo-hello", None, 0, 0)]

    sql.execute("SELECT core.tend()")

    assert named(sql) == [("demo-hello", "demo/hello", 4, 1)]
    assert rows(sql, "SELECT core.untold()") == []
    assert owner(sql)


@pytest.mark.parametrize("view", ["deployments", "components", "variables", "alert_emails", "fleet"])
def test_an_index_finds_what_is_named(sql, view):
    sql.execute("SET enable_seqscan = off")
    plan = "\n".join(
        line for (line,) in rows(sql, f"EXPLAIN SELECT * FROM armillary.{view} WHERE deployment = 'a/b'")
    )

    table = "deployments" if view == "fleet" else view
    assert f"{table}_by_path" in plan
