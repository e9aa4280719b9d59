"""Who changed what: one audit row a changed row, with who, before and after; revisions; secrets in neither."""

from __future__ import annotations

import psycopg
import pytest

from tests.state.fleet import PLAIN, SEAL, SECRET, audited, fleet, one, owner, rows

LAST = " FROM armillary.audit ORDER BY id DESC LIMIT 1"
CANARY = "canary-5f1d"


@pytest.fixture
def sql(database_url):
    with fleet(database_url) as sql:
        yield sql


def test_every_changed_row_is_audited_once_with_before_and_after(sql):
    before = audited(sql)
    sql.execute("UPDATE armillary.components SET replicas = 0 WHERE component IN ('triggerer', 'scheduler')")

    kept = rows(
        sql,
        "SELECT relation, operation, deployment, before->>'replicas', after->>'replicas' FROM armillary.audit"
        " WHERE relation = 'components' AND operation = 'UPDATE'",
    )
    assert kept == [("components", "UPDATE", "demo/hello", "1", "0")] * 2
    assert audited(sql) == before + 2


def test_rows_of_one_transaction_belong_together(sql):
    with sql.transaction():
        sql.execute("UPDATE armillary.components SET replicas = 0 WHERE component = 'triggerer'")
        sql.execute("UPDATE armillary.deployments SET hibernated = true")

    last = rows(sql, "SELECT transaction::text, relation FROM armillary.audit ORDER BY id DESC LIMIT 2")
    assert {relation for _, relation in last} == {"components", "deployments"}
    assert len({transaction for transaction, _ in last}) == 1


def test_a_renamed_variable_is_one_that_went_and_one_that_came(sql):
    sql.execute(PLAIN, ("A", "1"))
    sql.execute("UPDATE armillary.variables SET key = 'B'")

    kept = rows(sql, "SELECT operation, before->>'key', after->>'key'" + LAST.replace("LIMIT 1", "LIMIT 2"))
    assert sorted(kept) == [("DELETE", "A", None), ("INSERT", None, "B")]


def test_a_deletion_of_everything_names_the_deployment_in_every_row(sql):
    sql.execute(PLAIN, ("A", "1"))
    sql.execute("DELETE FROM armillary.deployments")
    sql.execute("UPDATE armillary.deployments SET delete_after = now(), retain_until = now()")
    sql.execute("SELECT core.remove_owner(%s)", (owner(sql),))

    gone = rows(sql, "SELECT relation, deployment FROM armillary.audit WHERE operation = 'DELETE' ORDER BY 1, 2")
    assert gone == [("components", "demo/hello")] * 4 + [
        ("deployments", "demo/hello"),
        ("variables", "demo/hello"),
    ]


def test_a_claimed_actor_is_kept_and_not_believed(sql, database_url):
    sql.execute("CREATE ROLE somebody LOGIN PASSWORD 'x' IN ROLE armillary_admin")
    try:
        with psycopg.connect(database_url, autocommit=True, user="somebody", password="x") as other:
            other.execute("SET armillary.actor = 'the boss'")
            other.execute("UPDATE armillary.deployments SET hibernated = true")
        kept = rows(sql, "SELECT actor, session_role, actor_is_claimed" + LAST)
        history = rows(sql, "SELECT actor FROM armillary.history ORDER BY revision DESC LIMIT 1")
    finally:
        sql.execute("DROP ROLE somebody")

    assert kept == [("the boss", "somebody", True)]
    assert history == [("the boss",)]


def test_an_actor_of_the_api_s_role_is_believed(sql, database_url):
    sql.execute("CREATE ROLE the_api LOGIN PASSWORD 'x' IN ROLE armillary_api")
    try:
        with psycopg.connect(database_url, autocommit=True, user="the_api", password="x") as api:
            api.execute("SET armillary.actor = 'alice'")
            api.execute(
                "SELECT core.put_deployment('demo', 'hello', %s)",
                ('{"airflow_version": "3.3.2", "dags_folder": "/new"}',),
            )
        kept = rows(sql, "SELECT actor, session_role, actor_is_claimed" + LAST)
    finally:
        sql.execute("DROP ROLE the_api")

    assert kept == [("alice", "the_api", False)]


def test_without_an_actor_the_session_s_role_acted(sql):
    sql.execute("UPDATE armillary.deployments SET hibernated = true")

    assert rows(sql, "SELECT actor = session_user, actor_is_claimed" + LAST) == [(True, False)]


def test_the_reason_of_a_bulk_change_is_kept(sql):
    with sql.transaction():
        sql.execute("SET LOCAL armillary.allow_bulk = 'spring cleaning'")
        sql.execute("UPDATE armillary.deployments SET hibernated = true")

    assert one(sql, "SELECT reason" + LAST) == "spring cleaning"


@pytest.mark.parametrize("relation", ["audit", "revisions", "releases"])
def test_history_cannot_be_altered(sql, relation):
    column = {"audit": "actor", "revisions": "actor", "releases": "release"}[relation]
    with pytest.raises(psycopg.Error, match="never changed") as caught:
        sql.execute(f"UPDATE core.{relation} SET {column} = 'x'")

    assert caught.value.sqlstate == "AR004"
    with pytest.raises(psycopg.Error, match="never changed"):
        sql.execute("DELETE FROM core.audit")


def test_secrets_are_in_neither_audit_nor_revisions(sql):
    sql.execute(SECRET, ("KEY", CANARY + "-1"))
    sql.execute("UPDATE armillary.variables SET value = %s", (CANARY + "-2",))
    sql.execute(SEAL)
    sql.execute("DELETE FROM armillary.variables")

    kept = one(sql, "SELECT json_agg(a)::text FROM core.audit a") + one(
        sql, "SELECT json_agg(r)::text FROM core.revisions r"
    )
    assert CANARY not in kept
    assert "(sealed)" in kept


def test_a_plain_value_that_becomes_secret_is_masked_in_the_audit_row_of_that_change(sql):
    sql.execute(PLAIN, ("KEY", "public"))
    sql.execute("UPDATE armillary.variables SET secret = true, value = %s", (CANARY,))

    assert rows(sql, "SELECT before->>'value', after->>'value'" + LAST) == [("(sealed)", "(sealed)")]


def test_a_token_s_hash_is_not_in_the_audit(sql):
    sql.execute("INSERT INTO core.tokens (name, sha256) VALUES ('ci', sha256('secret'))")

    assert rows(sql, "SELECT relation, after ? 'sha256'" + LAST) == [("tokens", False)]


def test_revisions_say_who_made_each_generation(sql):
    with sql.transaction():
        sql.execute("SET LOCAL armillary.actor = 'alice'")
        sql.execute("UPDATE armillary.deployments SET hibernated = true")
    with sql.transaction():
        sql.execute("SET LOCAL armillary.actor = 'bob'")
        sql.execute(SECRET, ("KEY", "x"))
    sql.execute(SEAL)

    kept = rows(sql, "SELECT revision, actor FROM armillary.history WHERE revision > 1 ORDER BY 1")
    assert kept == [(2, "alice"), (3, "bob"), (4, "bob")]


def test_times_in_revisions_are_in_utc_whatever_the_session_s_zone(sql):
    sql.execute("SET TimeZone = 'Asia/Tokyo'")
    sql.execute("SELECT armillary.restart('demo/hello')")

    assert one(sql, "SELECT spec->>'restarted_at' FROM armillary.history WHERE revision = 2").endswith("+00:00")
    assert one(sql, "SELECT after->>'restarted_at'" + LAST).endswith("+00:00")
