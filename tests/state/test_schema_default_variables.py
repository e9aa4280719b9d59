"""Default variables in plain SQL: layers over each other, under a deployment's own, and nobody's generation."""

from __future__ import annotations

import concurrent.futures
import time
from typing import Any

import psycopg
import pytest

from tests.state.fleet import PLAIN, Sql, audited, fleet, generation, one, owner, rows

INSERT = "INSERT INTO armillary.default_variables (layer, name, key, value) VALUES (%s, %s, %s, %s)"
PLATFORM, CLUSTER, WORKSPACE = ("platform", ""), ("cluster", "local"), ("workspace", "demo")


@pytest.fixture
def sql(database_url):
    with fleet(database_url) as sql:
        yield sql


def load(sql: Sql) -> Any:
    return one(sql, "SELECT core.load(%s)", owner(sql))


def value(sql: Sql, key: str) -> Any:
    return load(sql)["spec"]["variables"].get(key, {}).get("value")


def refusal(sql: Sql, statement: str, *values: Any) -> str:
    with pytest.raises(psycopg.Error) as refused:
        sql.execute(statement.encode(), values or None)
    return f"{refused.value.diag.constraint_name}: {refused.value.diag.message_primary}"


def test_without_any_nothing_is_said_of_defaults(sql):
    assert load(sql)["defaults"] == ""
    assert load(sql)["spec"]["variables"] == {}


def test_the_narrower_layer_wins_and_the_deployment_s_own_over_all(sql):
    seen = []
    for layer in (PLATFORM, CLUSTER, WORKSPACE):
        sql.execute(INSERT, (*layer, "PROXY", layer[0]))
        seen.append(value(sql, "PROXY"))
    sql.execute(PLAIN, ("PROXY", "own"))
    seen.append(value(sql, "PROXY"))

    assert seen == ["platform", "cluster", "workspace", "own"]


def test_other_clusters_and_workspaces_are_not_reached(sql):
    sql.execute("INSERT INTO armillary.workspaces (name) VALUES ('other')")
    sql.execute(INSERT, ("workspace", "other", "PROXY", "x"))

    assert value(sql, "PROXY") is None
    assert load(sql)["defaults"] == ""


def test_the_digest_is_of_what_reaches_the_deployment(sql):
    digests = [load(sql)["defaults"]]
    sql.execute(INSERT, (*PLATFORM, "A", "1"))
    digests.append(load(sql)["defaults"])
    sql.execute(INSERT, (*CLUSTER, "B", "2"))
    digests.append(load(sql)["defaults"])
    sql.execute(PLAIN, ("B", "own"))

    assert len(set(digests)) == 3
    assert load(sql)["defaults"] == digests[1]


def test_they_are_audited_and_count_no_generation(sql):
    before, count = generation(sql), audited(sql)
    sql.execute(INSERT, (*PLATFORM, "A", "1"))
    sql.execute("UPDATE armillary.default_variables SET value = '2' WHERE key = 'A'")
    sql.execute("DELETE FROM armillary.default_variables WHERE key = 'A'")

    assert (generation(sql), audited(sql)) == (before, count + 3)


def test_people_see_which_layer_each_variable_is_from(sql):
    sql.execute(INSERT, (*WORKSPACE, "A", "1"))
    sql.execute(PLAIN, ("B", "2"))

    assert rows(sql, "SELECT key, value, layer FROM armillary.effective_variables ORDER BY key") == [
        ("A", "1", "workspace"),
        ("B", "2", "deployment"),
    ]
    assert rows(sql, "SELECT layer, name, key FROM armillary.default_variables") == [("workspace", "demo", "A")]


def test_a_renamed_workspace_keeps_its_defaults_and_a_deleted_one_takes_them_along(sql):
    sql.execute("INSERT INTO armillary.workspaces (name) VALUES ('other')")
    sql.execute(INSERT, ("workspace", "other", "A", "1"))
    sql.execute("UPDATE armillary.workspaces SET name = 'renamed' WHERE name = 'other'")
    kept = rows(sql, "SELECT name FROM armillary.default_variables")
    sql.execute("DELETE FROM armillary.workspaces WHERE name = 'renamed'")

    assert (kept, rows(sql, "SELECT name FROM armillary.default_variables")) == ([("renamed",)], [])


@pytest.mark.parametrize(
    ("values", "constraint"),
    [
        (("fleet", "", "A", "1"), "default_variables_are_of_a_layer"),
        (("platform", "all", "A", "1"), "the_platform_has_no_name"),
        (("workspace", "nobody", "A", "1"), "There is no workspace 'nobody'."),
        (("cluster", "", "A", "1"), "There is no cluster ''."),
        (("platform", "", "A", None), "a_default_variable_has_a_value"),
        (("platform", "", "AIRFLOW__CORE__FERNET_KEY", "x"), "variable_is_not_reserved"),
        (("platform", "", "1A", "x"), "variable_key_is_a_name_for_the_environment"),
        (("platform", "", "A", "x" * 131073), "default_variable_value_is_at_most_128_kib"),
    ],
)
def test_a_wrong_one_is_refused_and_nothing_changes(sql, values, constraint):
    assert constraint in refusal(sql, INSERT, *values)
    assert rows(sql, "SELECT * FROM core.default_variables") == []


def test_the_same_key_twice_in_a_layer_is_refused_with_the_statement_that_changes_it(sql):
    sql.execute(INSERT, (*PLATFORM, "A", "1"))
    with pytest.raises(psycopg.Error) as refused:
        sql.execute(INSERT, (*PLATFORM, "A", "2"))

    assert "UPDATE armillary.default_variables SET value" in str(refused.value.diag.message_hint)


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO armillary.default_variables (key, value) VALUES ('NEW', 'second')",
        "INSERT INTO core.default_variables (key, value) VALUES ('NEW', 'second')",
        "UPDATE armillary.default_variables SET key = 'NEW' WHERE key = 'OLD'",
    ],
)
def test_two_who_make_the_same_one_at_once_are_told_apart(sql, database_url, statement):
    sql.execute(INSERT, (*PLATFORM, "OLD", "x"))
    with (
        concurrent.futures.ThreadPoolExecutor(1) as pool,
        psycopg.connect(database_url, autocommit=True) as other,
    ):
        with sql.transaction():
            sql.execute(INSERT, (*PLATFORM, "NEW", "first"))
            second = pool.submit(other.execute, statement)
            until_waiting(sql, other.info.backend_pid)
        with pytest.raises(psycopg.Error, match="There is a default variable NEW in that layer already") as caught:
            second.result(30)

    assert caught.value.sqlstate == "AR002"
    assert caught.value.diag.message_hint
    assert rows(sql, "SELECT value FROM armillary.default_variables WHERE key = 'NEW'") == [("first",)]


def until_waiting(sql: Sql, pid: int) -> None:
    deadline = time.monotonic() + 30
    while not one(sql, "SELECT cardinality(pg_blocking_pids(%s)) > 0", pid):
        assert time.monotonic() < deadline, "the other session never waited"
