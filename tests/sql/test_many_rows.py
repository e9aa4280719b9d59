"""What is done once for many rows is the same as row by row: counting, auditing and keeping what a transaction made."""

# ruff: noqa: E501 - statements are easier to read on one line each

from __future__ import annotations

import psycopg
import pytest

from tests.state.fleet import fleet, one, rows

MANY = 150
KEPT = "SELECT count(*) FROM core.revisions r JOIN core.deployments d ON d.id = r.deployment_id AND d.generation = r.revision"
BOOKKEEPING = {"id", "owner", "path", "generation", "changed_in", "changed_at", "changed_by"}


@pytest.fixture
def sql(database_url):
    with fleet(database_url, others=4) as sql:
        yield sql


def untold(sql):
    return rows(sql, "SELECT core.untold()")


def hibernate(sql, name):
    sql.execute("UPDATE armillary.deployments SET hibernated = NOT hibernated WHERE name = %s", (name,))


def test_more_deployments_than_are_remembered_by_name_are_all_kept(sql):
    with sql.transaction():
        for number in range(MANY):
            sql.execute(
                "INSERT INTO armillary.deployments (workspace, name, airflow_version, dags_folder)"
                " VALUES ('demo', %s, '3.3.2', '/dags')",
                (f"many{number}",),
            )
    newest = one(sql, "SELECT max(id) FROM core.audit")
    with sql.transaction():
        sql.execute("SET LOCAL armillary.allow_bulk = 'test'")
        hibernate(sql, "hello")
        sql.execute("UPDATE armillary.deployments SET dags_folder = '/new'")
        sql.execute("UPDATE armillary.components SET replicas = 0 WHERE component = 'triggerer'")

    assert set(rows(sql, "SELECT generation FROM core.deployments")) == {(2,)}
    assert one(sql, KEPT) == MANY + 5
    assert untold(sql) == []
    assert one(sql, "SELECT count(*) FROM core.audit WHERE id > %s", newest) == 2 * (MANY + 5) + 1


def test_what_a_savepoint_undid_is_neither_counted_nor_kept(sql):
    with sql.transaction():
        with sql.transaction(force_rollback=True):
            for name in ("hello", "other0", "other1"):
                hibernate(sql, name)
        hibernate(sql, "other2")
        with sql.transaction(force_rollback=True):
            hibernate(sql, "other3")
        hibernate(sql, "hello")
        hibernate(sql, "other1")

    changed = "SELECT name FROM core.deployments WHERE generation = 2 ORDER BY 1"
    assert rows(sql, changed) == [("hello",), ("other1",), ("other2",)]
    assert (one(sql, KEPT), untold(sql)) == (5, [])


def test_a_bulk_change_is_counted_over_many_statements(sql):
    with sql.transaction():
        for name in ("hello", "other0", "other1", "hello"):
            hibernate(sql, name)
        with (
            pytest.raises(psycopg.Error, match="touches 4 deployments; without saying so it may touch 3"),
            sql.transaction(),
        ):
            sql.execute(
                "UPDATE armillary.components SET replicas = 0 WHERE deployment = 'demo/other2' AND component = 'triggerer'"
            )
        hibernate(sql, "other1")

    assert one(sql, "SELECT count(*) FROM core.deployments WHERE generation = 2") == 3
    assert untold(sql) == []


def test_what_is_changed_after_constraints_were_checked_early_is_kept_too(sql):
    with sql.transaction():
        hibernate(sql, "hello")
        sql.execute("SET CONSTRAINTS ALL IMMEDIATE")
        sql.execute("SET CONSTRAINTS ALL DEFERRED")
        hibernate(sql, "other0")
        hibernate(sql, "other1")

    assert (one(sql, KEPT), untold(sql)) == (5, [])


def test_what_one_transaction_remembers_is_nothing_to_the_next(sql):
    for name in ("hello", "other0", "other1", "other2", "other3"):
        hibernate(sql, name)
    sql.execute("SET armillary.changed = '1 99 7'; SET armillary.keeper = '1/7'")
    hibernate(sql, "hello")

    assert (one(sql, KEPT), untold(sql)) == (5, [])


def test_every_column_of_a_deployment_is_a_wish_or_bookkeeping(sql):
    """A column that is added later and forgotten here would be neither counted nor audited."""
    columns = {
        name
        for (name,) in rows(
            sql,
            "SELECT attname FROM pg_attribute WHERE attrelid = 'core.deployments'::regclass AND attnum > 0 AND NOT attisdropped",
        )
    }
    compared = one(sql, "SELECT prosrc FROM pg_proc WHERE oid = 'core.differs'::regproc")
    wishes = {column for column in columns if f"one.{column}" in compared and f"other.{column}" in compared}
    audited = one(sql, "SELECT core.audited(d) FROM core.deployments d LIMIT 1")
    generic = one(sql, "SELECT core.auditable('deployments', to_jsonb(d), NULL) FROM core.deployments d LIMIT 1")

    assert columns == wishes | BOOKKEEPING
    assert audited == generic
    assert audited.keys() == wishes | {"id"}
