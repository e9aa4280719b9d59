"""Secrets in plain SQL: the value goes to the inbox and nowhere else; versions; minted once."""

from __future__ import annotations

import psycopg
import pytest

from tests.state.fleet import INSERT, PLAIN, SEAL, SECRET, fleet, generation, get, one, owner, put, rows

CANARY = "canary-5f1d"
INBOX = "SELECT owner, name, version, value FROM core.secret_inbox ORDER BY id"
VERSIONS = "SELECT version FROM core.secrets ORDER BY 1"


@pytest.fixture
def sql(database_url):
    with fleet(database_url) as sql:
        yield sql


def in_force(sql) -> int:
    return one(sql, "SELECT version FROM armillary.variables WHERE key = 'KEY'")


def versions(sql) -> list[int]:
    return [version for (version,) in rows(sql, VERSIONS)]


def test_a_secret_s_value_goes_to_the_inbox_and_nowhere_else(sql):
    returned = sql.execute(SECRET.encode() + b" RETURNING value, secret, version", ("KEY", CANARY)).fetchone()

    assert returned == (None, True, 0)
    ((version,),) = rows(sql, "SELECT version FROM core.secret_inbox")
    assert rows(sql, INBOX) == [(owner(sql), "variable/KEY", version, CANARY)]
    tables = rows(sql, "SELECT tablename FROM pg_tables WHERE schemaname = 'core' AND tablename <> 'secret_inbox'")
    held = [one(sql, f"SELECT coalesce(json_agg(t)::text, '') FROM core.{table} t") for (table,) in tables]
    assert not [text for text in held if CANARY in text]


def test_the_inbox_never_reaches_the_write_ahead_log(sql):
    assert one(sql, "SELECT relpersistence FROM pg_class WHERE oid = 'core.secret_inbox'::regclass") == "u"


def test_sealing_empties_the_inbox_gives_a_version_and_bumps(sql):
    sql.execute(SECRET, ("KEY", "x"))
    sql.execute(SEAL)

    assert (rows(sql, INBOX), versions(sql)) == ([], [in_force(sql)])
    assert generation(sql) == 3


def test_each_new_value_is_a_later_version_also_before_it_is_sealed(sql):
    sql.execute(SECRET, ("KEY", "a"))
    sql.execute("UPDATE armillary.variables SET value = 'b'")
    first, second = (version for *_, version, _ in rows(sql, INBOX))
    sql.execute(SEAL)
    sql.execute("UPDATE armillary.variables SET value = 'c'")
    sql.execute(SEAL)

    assert 0 < first < second < in_force(sql)
    assert versions(sql) == [first, second, in_force(sql)]


def test_an_older_version_sealed_late_does_not_come_into_force(sql):
    sql.execute(SECRET, ("KEY", "a"))
    sql.execute("UPDATE armillary.variables SET value = 'b'")
    for newest_first in rows(sql, "SELECT id FROM core.secret_inbox ORDER BY id DESC"):
        sql.execute("SELECT core.seal(%s, 'k1', '\\x00')", newest_first)

    assert len(versions(sql)) == 2
    assert in_force(sql) == versions(sql)[-1]


def test_two_daemons_take_different_rows(sql, database_url):
    sql.execute(SECRET, ("A", "a"))
    sql.execute(SECRET, ("B", "b"))
    with psycopg.connect(database_url) as first, psycopg.connect(database_url) as second:
        taken = first.execute("SELECT name FROM core.inbox_take(1)").fetchall()
        others = second.execute("SELECT name FROM core.inbox_take(10)").fetchall()

    assert (taken, others) == ([("variable/A",)], [("variable/B",)])


def test_a_value_that_is_sealed_already_needs_no_new_version(sql):
    sql.execute(SECRET, ("KEY", "a"))
    sql.execute(SEAL)
    first = in_force(sql)
    sql.execute("UPDATE armillary.variables SET value = 'a'")
    counted = generation(sql)
    sql.execute("SELECT core.seal_as(id, newest) FROM core.inbox_take(1)")

    assert (in_force(sql), rows(sql, INBOX), generation(sql)) == (first, [], counted)


def test_a_secret_whose_variable_changes_otherwise_keeps_its_version(sql):
    sql.execute(SECRET, ("KEY", "a"))
    sql.execute(SEAL)
    first = in_force(sql)
    sql.execute("UPDATE armillary.variables SET components = '{scheduler}'")

    assert (in_force(sql), rows(sql, INBOX)) == (first, [])


def test_a_plain_variable_becomes_secret_and_back(sql):
    sql.execute(PLAIN, ("KEY", "a"))
    sql.execute("UPDATE armillary.variables SET secret = true")
    assert [value for *_, value in rows(sql, INBOX)] == ["a"]
    sql.execute("UPDATE armillary.variables SET secret = false, value = 'public'")

    assert rows(sql, "SELECT value, secret, version FROM armillary.variables") == [("public", False, 0)]
    assert rows(sql, INBOX) == []


def test_a_variable_deleted_before_it_was_sealed_is_forgotten(sql):
    sql.execute(SECRET, ("KEY", CANARY))
    sql.execute("DELETE FROM armillary.variables")

    assert rows(sql, INBOX) == []


def test_a_deployment_that_goes_takes_its_secrets_along(sql):
    sql.execute(SECRET, ("KEY", "a"))
    sql.execute(SEAL)
    sql.execute("UPDATE armillary.variables SET value = 'b'")
    sql.execute("DELETE FROM armillary.deployments")
    sql.execute("UPDATE armillary.deployments SET delete_after = now(), retain_until = now()")
    sql.execute("SELECT core.remove_owner(%s)", (owner(sql),))

    assert (rows(sql, INBOX), versions(sql)) == ([], [])


def test_what_was_written_for_a_deployment_that_is_gone_is_dropped(sql):
    sql.execute(
        "INSERT INTO core.secret_inbox (owner, name, version, value, actor)"
        " VALUES ('deployment/99', 'variable/A', 1, 'x', 'x')"
    )
    sql.execute(SEAL)

    assert (rows(sql, INBOX), versions(sql)) == ([], [])


def test_a_version_that_was_taken_meanwhile_is_drawn_again(sql):
    sql.execute(SECRET, ("KEY", "a"))
    sql.execute(
        "INSERT INTO core.secrets (owner, name, version, key_id, ciphertext)"
        " SELECT owner, name, version, 'k', '' FROM core.secret_inbox"
    )
    sql.execute(SEAL)
    ((again,),) = rows(sql, "SELECT version FROM core.secret_inbox")
    sql.execute(SEAL)

    assert versions(sql)[0] < again == in_force(sql)


def test_many_secrets_sealed_at_once_are_no_bulk_change(sql):
    for number in range(5):
        sql.execute(INSERT, ("demo", f"d{number}"))
        sql.execute(
            "INSERT INTO armillary.variables (deployment, key, value, secret) VALUES (%s, 'KEY', 'x', true)",
            (f"demo/d{number}",),
        )
    sql.execute(SEAL)

    assert one(sql, "SELECT count(*) FROM armillary.variables WHERE version > 0") == 5
    assert one(sql, "SELECT count(DISTINCT deployment) FROM armillary.history WHERE revision = 3") == 5


def test_whoever_wrote_the_value_made_the_change_that_sealing_is(sql):
    with sql.transaction():
        sql.execute("SET LOCAL armillary.actor = 'alice'")
        sql.execute(SECRET, ("KEY", "x"))
    with sql.transaction():
        sql.execute("SET LOCAL armillary.actor = 'daemon'")
        sql.execute(SEAL)
        assert one(sql, "SELECT current_setting('armillary.actor')") == "daemon"

    assert one(sql, "SELECT actor FROM armillary.audit ORDER BY id DESC LIMIT 1") == "alice"


def test_a_document_keeps_what_is_sealed(sql):
    sql.execute(SECRET, ("KEY", "a"))
    sql.execute(SEAL)
    read_before = get(sql)
    sql.execute("UPDATE armillary.variables SET value = 'b'")
    sql.execute(SEAL)
    put(sql, read_before)

    assert in_force(sql) == versions(sql)[1]


def test_a_document_brings_a_deleted_secret_back_at_its_version(sql):
    sql.execute(SECRET, ("KEY", "a"))
    sql.execute(SEAL)
    read_before = get(sql)
    sql.execute("UPDATE armillary.variables SET value = 'b'")
    sql.execute(SEAL)
    sql.execute("DELETE FROM armillary.variables")

    put(sql, read_before)
    assert in_force(sql) == versions(sql)[0]
    sql.execute("DELETE FROM armillary.variables")
    sql.execute("INSERT INTO armillary.variables (deployment, key, secret) VALUES ('demo/hello', 'KEY', true)")
    assert in_force(sql) == versions(sql)[1]


def test_a_version_that_was_never_sealed_is_refused(sql):
    sql.execute(SECRET, ("KEY", "a"))
    sql.execute(SEAL)
    document = get(sql)
    sql.execute("DELETE FROM armillary.variables")
    document["variables"]["KEY"]["version"] = 9

    with pytest.raises(psycopg.Error, match="no version 9 of the secret KEY") as caught:
        put(sql, document)
    assert caught.value.diag.column_name == "/variables/KEY/version"


def test_a_rollback_restores_the_secret_s_version(sql):
    sql.execute(SECRET, ("KEY", "a"))
    sql.execute(SEAL)
    then = generation(sql)
    sql.execute("UPDATE armillary.variables SET value = 'b'")
    sql.execute(SEAL)

    assert one(sql, "SELECT armillary.rollback('demo/hello', %s)", then) == then + 2
    assert in_force(sql) == versions(sql)[0] < versions(sql)[1]


def test_a_secret_lost_in_a_crash_of_the_server_is_told(sql):
    sql.execute(SECRET, ("KEY", "a"))
    assert "waits to be sealed" in one(sql, "SELECT detail FROM armillary.waiting")
    sql.execute("DELETE FROM core.secret_inbox")  # as crash recovery does with an unlogged table

    assert "write its value again" in one(sql, "SELECT detail FROM armillary.waiting")
    why = [line for (line,) in rows(sql, "SELECT armillary.why('demo/hello')")]
    assert any("variable/KEY" in line and "write its value again" in line for line in why)


def test_a_minted_secret_is_never_minted_again(sql):
    mint = "SELECT core.mint(%s, 'fernet-key', 'k1', %s)"
    version = one(sql, mint, owner(sql), b"first")
    assert one(sql, mint, owner(sql), b"second") == version
    assert rows(sql, "SELECT ciphertext FROM core.secrets") == [(b"first",)]
