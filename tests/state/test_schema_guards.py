"""Guards and roles: bulk must be meant, nothing is truncated, and each role may do what it is for."""

from __future__ import annotations

import json

import psycopg
import pytest

from tests.state.fleet import (
    DOCUMENT,
    INSERT,
    PLAIN,
    SEAL,
    SECRET,
    everything,
    fleet,
    generation,
    one,
    owner,
    record,
    rows,
)

STOP = "UPDATE armillary.components SET replicas = 0"


@pytest.fixture
def sql(database_url):
    with fleet(database_url, others=4) as sql:
        yield sql


@pytest.fixture
def session(sql, database_url):
    """Sessions of a role, which must not outlive the test."""

    def open_session(role):
        return psycopg.connect(database_url, autocommit=True, options=f"-c role={role}")

    return open_session


def test_a_bulk_change_must_be_meant(sql):
    before = everything(sql)

    with pytest.raises(psycopg.Error, match="touches 5 deployments; without saying so it may touch 3") as caught:
        sql.execute(STOP)
    said = caught.value.diag
    assert (said.sqlstate, said.constraint_name) == ("AR004", "bulk_is_meant")
    assert "SET LOCAL armillary.allow_bulk = 'why'" in said.message_hint
    assert everything(sql) == before

    with sql.transaction():
        sql.execute("SET LOCAL armillary.allow_bulk = 'spring cleaning'")
        sql.execute(STOP)
    assert rows(sql, "SELECT DISTINCT replicas FROM armillary.components") == [(0,)]


def test_a_few_need_not_be_meant(sql):
    sql.execute("UPDATE armillary.deployments SET hibernated = true WHERE name IN ('hello', 'other0', 'other1')")

    assert one(sql, "SELECT count(*) FROM armillary.deployments WHERE hibernated") == 3


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE armillary.deployments SET hibernated = true WHERE name = %s",
        "DELETE FROM armillary.deployments WHERE name = %s",
        "UPDATE armillary.components SET replicas = 0 WHERE deployment = 'demo/' || %s",
        "INSERT INTO armillary.variables (deployment, key, value) VALUES ('demo/' || %s, 'A', 'x')",
        "SELECT armillary.restart('demo/' || %s)",
    ],
)
def test_the_same_by_a_loop_is_counted_too(sql, statement):
    before = everything(sql)

    def one_by_one():
        with sql.transaction():
            for name in ("hello", "other0", "other1", "other2"):
                sql.execute(statement, (name,))

    with pytest.raises(psycopg.Error, match="touches 4 deployments"):
        one_by_one()
    assert everything(sql) == before


def test_a_tenth_of_a_large_fleet_need_not_be_meant(sql):
    for number in range(36):
        sql.execute(INSERT, ("demo", f"d{number}"))
    some = "UPDATE armillary.deployments SET hibernated = true WHERE name = ANY (%s)"

    sql.execute(some, ([f"d{number}" for number in range(5)],))
    with pytest.raises(psycopg.Error, match="touches 6 deployments; without saying so it may touch 5"):
        sql.execute(some, ([f"d{number}" for number in range(10, 16)],))


def test_making_many_deployments_is_no_bulk_change(sql):
    with sql.transaction():
        for number in range(5):
            sql.execute("SELECT core.put_deployment('demo', %s, %s)", (f"d{number}", json.dumps(DOCUMENT)))

    assert one(sql, "SELECT count(*) FROM armillary.deployments") == 10


def test_the_limits_are_defaults_that_can_be_changed(sql):
    sql.execute("UPDATE armillary.defaults SET bulk_minimum = 10")
    sql.execute(STOP)

    assert (generation(sql), generation(sql, "other3")) == (2, 2)


def test_nobody_truncates_even_as_superuser(sql):
    for (table,) in rows(sql, "SELECT tablename FROM pg_tables WHERE schemaname = 'core'"):
        with pytest.raises(psycopg.Error, match="never truncated"):
            sql.execute(f"TRUNCATE core.{table} CASCADE")


def test_a_revoked_token_stays_revoked_and_an_administrator_can_revoke(sql, session):
    sql.execute("INSERT INTO core.tokens (name, sha256) VALUES ('ci', sha256('secret'))")
    with session("armillary_admin") as admin:
        assert rows(admin, "SELECT id, name, revoked_at FROM armillary.tokens") == [(1, "ci", None)]
        admin.execute("UPDATE armillary.tokens SET revoked_at = now() WHERE name = 'ci'")
        with pytest.raises(psycopg.Error, match="token ci was revoked"):
            admin.execute("UPDATE armillary.tokens SET revoked_at = NULL")
        with pytest.raises(psycopg.Error, match="cannot update column"):
            admin.execute("UPDATE armillary.tokens SET expires_at = NULL")


def test_a_viewer_reads_everything_but_who_did_what_and_changes_nothing(sql, session):
    with session("armillary_viewer") as viewer:
        assert one(viewer, "SELECT count(*) FROM armillary.fleet") == 5
        assert rows(viewer, "SELECT armillary.why('demo/hello')")
        for (view,) in rows(sql, "SELECT viewname FROM pg_views WHERE schemaname = 'armillary'"):
            if view in ("audit", "history"):
                continue
            viewer.execute(f"SELECT * FROM armillary.{view}")
        for statement in (STOP, "SELECT armillary.restart('demo/hello')", "SELECT * FROM core.secrets"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                viewer.execute(statement)


def test_an_administrator_does_all_of_it_without_seeing_the_core(sql, session):
    with session("armillary_admin") as admin:
        for statement in (
            "INSERT INTO armillary.workspaces (name) VALUES ('new')",
            INSERT.replace("%s, %s", "'new', 'x'"),
            "UPDATE armillary.components SET replicas = 0 WHERE deployment = 'new/x' AND component = 'triggerer'",
            "INSERT INTO armillary.variables (deployment, key, value, secret) VALUES ('new/x', 'A', 'x', true)",
            "UPDATE armillary.variables SET value = 'y' WHERE deployment = 'new/x'",
            "DELETE FROM armillary.variables WHERE deployment = 'new/x'",
            "SELECT armillary.pause('new/x', now() + interval '1 h', 'x')",
            "SELECT armillary.resume('new/x')",
            "SELECT armillary.rollback('new/x', 1)",
            "DELETE FROM armillary.deployments WHERE deployment = 'new/x'",
            "SELECT armillary.undelete('new/x')",
            "UPDATE armillary.defaults SET grace_seconds = 60",
        ):
            admin.execute(statement)
        for forbidden in (
            "SELECT * FROM core.secrets",
            "SELECT core.get_workspace('new')",
            "SELECT * FROM core.audit",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                admin.execute(forbidden)


def test_the_api_s_role_does_what_the_api_does(sql, session):
    with session("armillary_api") as api:
        api.execute("SELECT core.put_workspace('team', '{}')")
        api.execute("SELECT core.put_deployment('team', 'x', %s)", (json.dumps(DOCUMENT),))
        secret = DOCUMENT | {"variables": {"A": {"secret": True, "value": "x"}}}
        api.execute("SELECT core.put_deployment('team', 'x', %s, 1)", (json.dumps(secret),))
        api.execute("SELECT core.delete_deployment('team', 'x')")
        api.execute("SELECT armillary.why('team/x')")
        api.execute("INSERT INTO core.tokens (name, sha256) VALUES ('ci', sha256('secret'))")
        api.execute("INSERT INTO core.events (owner, reason, message) VALUES ('deployment/1', 'x', 'y')")
        for forbidden in ("SELECT * FROM core.secret_inbox", "UPDATE core.audit SET actor = 'x'"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                api.execute(forbidden)


def test_the_daemon_s_role_does_what_the_daemon_does(sql, session):
    sql.execute(SECRET, ("KEY", "x"))
    sql.execute(PLAIN, ("PLAIN", "x"))
    of = owner(sql)
    with session("armillary_daemon") as daemon:
        daemon.execute("SELECT core.acquire_lease('cluster/local', 'd', interval '15 s')")
        daemon.execute(SEAL)
        daemon.execute("SELECT core.mint(%s, 'fernet-key', 'k1', '\\x00')", (of,))
        assert one(daemon, "SELECT core.record(%s)", json.dumps([record(of)])) == [{"fenced": None}]
        assert one(daemon, "SELECT core.load(%s)", of)["secrets"].keys() == {"fernet-key", "variable/KEY"}
        daemon.execute("SELECT core.due(), core.owners()")
        sql.execute("DELETE FROM armillary.deployments WHERE name = 'hello'")
        sql.execute("UPDATE core.deployments SET delete_after = now(), retain_until = now() WHERE name = 'hello'")
        gone = record(
            of, status={"observed_generation": 9}, objects=[], forget=[["Process", "x"]], remove_owner=True
        )
        daemon.execute("SELECT core.record(%s)", (json.dumps([gone]),))

    assert one(sql, "SELECT count(*) FROM core.deployments WHERE owner = %s", of) == 0


def test_nobody_else_may_call_or_read_anything(sql):
    open_to_all = rows(
        sql,
        "SELECT p.oid::regprocedure::text FROM pg_proc p"
        " WHERE p.pronamespace::regnamespace::text IN ('core', 'armillary')"
        " AND has_function_privilege('public', p.oid, 'EXECUTE')",
    )
    readable = rows(
        sql,
        "SELECT c.oid::regclass::text FROM pg_class c"
        " WHERE c.relnamespace::regnamespace::text IN ('core', 'armillary')"
        " AND c.relkind IN ('r', 'v') AND has_table_privilege('public', c.oid, 'SELECT')",
    )

    assert (open_to_all, readable) == ([], [])


def test_functions_that_act_as_their_owner_have_a_fixed_search_path(sql):
    loose = rows(
        sql,
        "SELECT p.oid::regprocedure::text FROM pg_proc p WHERE p.prosecdef"
        " AND p.pronamespace::regnamespace::text IN ('core', 'armillary')"
        " AND NOT coalesce('search_path=core, pg_temp' = ANY (p.proconfig), false)",
    )

    assert loose == []
