"""Alert e-mails in plain SQL: rows of a deployment that go where it goes, and change nothing that runs."""

from __future__ import annotations

import psycopg
import pytest

from tests.state.fleet import INSERT, Sql, fleet, generation, owner, rows

TELL = "INSERT INTO armillary.alert_emails (deployment, email) VALUES ('demo/hello', %s)"
TOLD = "SELECT deployment, email FROM armillary.alert_emails ORDER BY email"
AUDITED = "SELECT deployment, operation FROM armillary.audit WHERE relation = 'alert_emails' ORDER BY id"


@pytest.fixture
def sql(database_url):
    with fleet(database_url, others=1) as sql:
        sql.execute(TELL, ("ann@example.org",))
        yield sql


def test_an_address_is_told_of_one_deployment_and_changes_nothing_that_runs(sql: Sql) -> None:
    before = rows(sql, "SELECT id, generation FROM core.deployments ORDER BY id")
    sql.execute(TELL, ("bob@example.org",))
    sql.execute("UPDATE armillary.alert_emails SET email = 'eve@example.org' WHERE email = 'bob@example.org'")
    sql.execute("DELETE FROM armillary.alert_emails WHERE email = 'ann@example.org'")

    assert rows(sql, TOLD) == [("demo/hello", "eve@example.org")]
    assert rows(sql, "SELECT id, generation FROM core.deployments ORDER BY id") == before
    assert rows(sql, "SELECT core.untold()") == []


def test_each_change_is_one_row_of_the_audit_with_the_deployment(sql: Sql) -> None:
    sql.execute("UPDATE armillary.alert_emails SET email = email")
    sql.execute("DELETE FROM armillary.alert_emails")

    assert rows(sql, AUDITED) == [("demo/hello", "INSERT"), ("demo/hello", "DELETE")]


def test_it_follows_its_deployment_s_name_also_behind_the_triggers(sql: Sql) -> None:
    sql.execute("UPDATE armillary.deployments SET name = 'moved' WHERE deployment = 'demo/hello'")
    renamed = rows(sql, TOLD)
    with sql.transaction():
        sql.execute("SET LOCAL session_replication_role = replica")
        sql.execute("UPDATE core.deployments SET name = 'hidden' WHERE name = 'moved'")

    assert renamed == [("demo/moved", "ann@example.org")]
    assert rows(sql, TOLD) == [("demo/hidden", "ann@example.org")]


def test_what_a_restore_left_unnamed_is_named_within_a_minute(sql: Sql) -> None:
    sql.execute("ALTER TABLE core.alert_emails DISABLE TRIGGER ALL")
    sql.execute("UPDATE core.alert_emails SET path = NULL")
    sql.execute("ALTER TABLE core.alert_emails ENABLE TRIGGER ALL")
    sql.execute("SELECT core.tend()")

    assert rows(sql, TOLD) == [("demo/hello", "ann@example.org")]


def test_it_goes_with_its_deployment_and_not_before(sql: Sql) -> None:
    of = owner(sql)
    sql.execute("DELETE FROM armillary.deployments WHERE deployment = 'demo/hello'")
    sql.execute(INSERT, ("demo", "hello"))
    asked = rows(sql, TOLD)
    sql.execute(
        "UPDATE armillary.deployments SET delete_after = now(), retain_until = now()"
        " WHERE deletion_requested_at IS NOT NULL"
    )
    sql.execute("SELECT core.remove_owner(%s)", (of,))

    assert asked == [("demo/hello@demo-hello", "ann@example.org")]
    assert rows(sql, TOLD) == []
    assert rows(sql, AUDITED)[-1] == ("demo/hello", "DELETE")


def test_a_rollback_leaves_it_alone(sql: Sql) -> None:
    before = generation(sql)
    sql.execute("SELECT armillary.hibernate('demo/hello')")
    sql.execute("SELECT armillary.rollback('demo/hello', %s)", (before,))

    assert rows(sql, TOLD) == [("demo/hello", "ann@example.org")]


def test_two_that_add_the_same_address_at_once_are_not_both_let_in(sql: Sql, database_url: str) -> None:
    with psycopg.connect(database_url) as other:
        other.execute(TELL, ("bob@example.org",))
        sql.execute("SET lock_timeout = '200ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            sql.execute(TELL, ("Bob@example.org",))
        other.commit()
    with pytest.raises(psycopg.Error, match=r"demo/hello tells Bob@example\.org already"):
        sql.execute(TELL, ("Bob@example.org",))
