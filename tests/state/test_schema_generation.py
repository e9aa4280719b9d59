"""What a new deployment gets; generations and notifications: once a transaction, for what really differs."""

from __future__ import annotations

import concurrent.futures

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.state.fleet import (
    INSERT,
    PLAIN,
    audited,
    fleet,
    generation,
    get,
    one,
    owner,
    places,
    record,
    rows,
    write,
)

TRIGGERER = "UPDATE armillary.components SET replicas = 0 WHERE component = 'triggerer'"


@pytest.fixture
def sql(database_url):
    with fleet(database_url) as sql:
        yield sql


def test_a_new_deployment_gets_a_release_its_components_and_ports(sql):
    made = rows(sql, "SELECT release, generation, executor, cluster, hibernated FROM armillary.deployments")
    components = rows(sql, "SELECT component, replicas FROM armillary.components ORDER BY 1")
    ports = rows(sql, "SELECT unit, port, number FROM armillary.ports ORDER BY number")

    assert made == [("demo-hello", 1, "LocalExecutor", "local", False)]
    assert components == [("api-server", 1), ("dag-processor", 1), ("scheduler", 1), ("triggerer", 1)]
    assert ports == [
        ("api-server", "http", 20000),
        ("scheduler", "health", 20001),
        ("scheduler", "logs", 20002),
        ("triggerer", "logs", 20003),
        ("redis", "broker", 20004),
        ("flower", "http", 20005),
    ]


def test_an_insert_returns_what_was_given(sql):
    returned = sql.execute(
        INSERT.encode() + b" RETURNING deployment, release, generation, executor", ("demo", "new")
    ).fetchone()

    assert returned == ("demo/new", "demo-new", 1, "LocalExecutor")


def test_the_next_deployment_gets_the_lowest_free_block_of_ports(sql):
    sql.execute(INSERT, ("demo", "other"))
    sql.execute("UPDATE armillary.deployments SET deletion_requested_at = now() WHERE name = 'hello'")
    sql.execute("UPDATE armillary.deployments SET delete_after = now(), retain_until = now() WHERE name = 'hello'")
    sql.execute("SELECT core.remove_owner(%s)", (owner(sql),))
    sql.execute(INSERT, ("demo", "third"))

    taken = "SELECT deployment, number FROM armillary.ports WHERE unit = 'api-server' ORDER BY 1"
    assert rows(sql, taken) == [("demo/other", 20016), ("demo/third", 20000)]


def test_a_gap_between_leased_blocks_is_leased_first(sql):
    for name in ("b", "c", "d"):
        sql.execute(INSERT, ("demo", name))
    sql.execute("DELETE FROM core.ports WHERE number BETWEEN 20032 AND 20047")
    for name in ("e", "f"):
        sql.execute(INSERT, ("demo", name))

    taken = (
        "SELECT number FROM armillary.ports WHERE unit = 'api-server'"
        " AND deployment IN ('demo/e', 'demo/f') ORDER BY 1"
    )
    assert rows(sql, taken) == [(20032,), (20064,)]


def test_a_moved_range_leases_no_port_that_is_leased(sql):
    sql.execute(INSERT, ("demo", "b"))
    sql.execute("UPDATE core.clusters SET port_first = 20010")
    sql.execute(INSERT, ("demo", "c"))

    taken = "SELECT number FROM armillary.ports WHERE deployment = 'demo/c' ORDER BY 1 LIMIT 1"
    assert rows(sql, taken) == [(20026,)]


def test_a_cluster_without_free_ports_says_so(sql):
    sql.execute("UPDATE core.clusters SET port_last = port_first + 16")

    with pytest.raises(psycopg.Error, match="no free block of 16 ports") as caught:
        sql.execute(INSERT, ("demo", "other"))
    assert caught.value.sqlstate == "AR004"
    assert one(sql, "SELECT count(*) FROM core.releases") == 1


def test_names_that_run_together_get_different_releases(sql):
    sql.execute("INSERT INTO armillary.workspaces (name) VALUES ('demo-a')")
    sql.execute(INSERT, ("demo-a", "b"))
    sql.execute(INSERT, ("demo", "a-b"))

    assert rows(sql, "SELECT release FROM armillary.deployments ORDER BY created_at OFFSET 1") == [
        ("demo-a-b",),
        ("demo-a-b-2",),
    ]


def test_deployments_made_at_once_get_their_own_releases_and_ports(sql, database_url):
    def make(number: int) -> None:
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute(INSERT, ("demo", f"d{number}"))

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(make, range(8)))

    assert one(sql, "SELECT count(DISTINCT release) FROM armillary.deployments") == 9
    assert one(sql, "SELECT count(DISTINCT number) FROM armillary.ports") == 54


def test_of_many_who_make_the_same_at_once_one_does_and_the_others_are_told(sql, database_url):
    def make(_: int) -> str:
        with psycopg.connect(database_url, autocommit=True) as connection:
            try:
                connection.execute(INSERT, ("demo", "same"))
            except psycopg.Error as error:
                return error.sqlstate or ""
            return "made"

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        answers = sorted(pool.map(make, range(4)))

    assert answers == ["AR002", "AR002", "AR002", "made"]


def test_a_component_s_change_bumps_its_deployment_and_no_other(sql):
    sql.execute(INSERT, ("demo", "other"))
    sql.execute(TRIGGERER.encode() + b" AND deployment = 'demo/hello'")

    assert (generation(sql), generation(sql, "other")) == (2, 1)


def test_many_changes_in_one_transaction_bump_once(sql):
    with sql.transaction():
        sql.execute(TRIGGERER)
        sql.execute(PLAIN, ("A", "1"))
        with sql.transaction():
            sql.execute("UPDATE armillary.deployments SET hibernated = true")
        sql.execute("UPDATE armillary.variables SET value = '2'")

    assert generation(sql) == 2


def test_a_change_that_is_undone_by_a_savepoint_does_not_count(sql):
    with sql.transaction():
        with sql.transaction(force_rollback=True):
            sql.execute(TRIGGERER)
        sql.execute("UPDATE armillary.components SET replicas = replicas")

    assert generation(sql) == 1


def test_an_update_that_changes_nothing_bumps_nothing_and_is_not_audited(sql):
    sql.execute(PLAIN, ("A", "1"))
    before, counted = audited(sql), generation(sql)
    sql.execute("UPDATE armillary.components SET replicas = replicas, settings = settings")
    sql.execute("UPDATE armillary.deployments SET name = name, hibernated = hibernated")
    sql.execute("UPDATE armillary.variables SET value = value, key = key")
    sql.execute("UPDATE armillary.workspaces SET description = description")

    assert (generation(sql), audited(sql)) == (counted, before)
    assert one(sql, "SELECT generation FROM armillary.workspaces") == 1


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM armillary.variables WHERE key = 'A'",
        "UPDATE armillary.variables SET key = 'B'",
        "UPDATE armillary.variables SET components = '{scheduler}'",
        "UPDATE armillary.components SET settings = '{\"parallelism\": 8}' WHERE component = 'scheduler'",
        "UPDATE armillary.deployments SET dags_folder = '/other'",
        "UPDATE armillary.deployments SET name = 'renamed'",
        "UPDATE armillary.deployments SET paused_until = now() + interval '1 h', pause_reason = 'x'",
        "DELETE FROM armillary.deployments",
        "SELECT armillary.restart('demo/hello')",
        "SELECT armillary.hibernate('demo/hello')",
    ],
)
def test_whatever_changes_what_is_asked_for_bumps_once_and_is_kept(sql, statement):
    sql.execute(PLAIN, ("A", "1"))
    sql.execute(statement)

    assert one(sql, "SELECT generation FROM armillary.deployments") == 3
    assert one(sql, "SELECT max(revision) FROM armillary.history") == 3
    assert one(sql, "SELECT spec FROM armillary.history WHERE revision = 3") == one(
        sql, "SELECT core.document(id) FROM core.deployments"
    )


def test_a_rolled_back_change_leaves_no_trace(sql):
    before = audited(sql)
    with sql.transaction(force_rollback=True):
        sql.execute("UPDATE armillary.deployments SET hibernated = true")

    assert (generation(sql), audited(sql)) == (1, before)
    assert rows(sql, "SELECT revision FROM armillary.history") == [(1,)]


def test_one_notification_a_transaction_and_none_for_what_the_daemon_writes(sql, database_url):
    with psycopg.connect(database_url, autocommit=True) as ear:
        ear.execute("LISTEN armillary")
        with sql.transaction():
            sql.execute(TRIGGERER)
            with sql.transaction():
                sql.execute("UPDATE armillary.deployments SET hibernated = true")
            sql.execute(PLAIN, ("A", "1"))
        write(sql, record(owner(sql)))
        sql.execute("UPDATE armillary.components SET replicas = replicas")
        heard = [one.payload for one in ear.notifies(timeout=0.3)]

    assert heard == [""]


def test_what_the_daemon_writes_bumps_nothing_and_only_a_generated_secret_is_audited(sql):
    before = audited(sql)
    write(sql, record(owner(sql)))
    assert (generation(sql), audited(sql)) == (1, before)

    for _ in range(2):
        sql.execute("SELECT core.mint(%s, 'fernet-key', 'k1', '\\x00')", (owner(sql),))
    assert (generation(sql), audited(sql)) == (1, before + 1)


def test_changes_of_the_same_rows_at_once_all_count(sql, database_url):
    def change(number: int) -> None:
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute(PLAIN, (f"K{number}", "x"))

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        list(pool.map(change, range(6)))

    assert generation(sql) == 7
    assert rows(sql, "SELECT revision FROM armillary.history ORDER BY 1") == [(one,) for one in range(1, 8)]


def test_fleet_wide_changes_at_once_wait_for_each_other_and_never_deadlock(sql, database_url):
    sql.execute(INSERT, ("demo", "other"))
    components = ("scheduler", "triggerer", "api-server", "dag-processor")

    def change(number: int) -> None:
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute(
                "UPDATE armillary.components SET grace_seconds = %s WHERE component = %s",
                (100 + number, components[number % 4]),
            )

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(change, range(16)))

    assert generation(sql) == generation(sql, "other") == 17


INTO = "INSERT INTO armillary.variables (deployment, key, value)"
STATEMENTS = st.sampled_from(
    [
        "UPDATE armillary.components SET replicas = 1 - replicas WHERE component = 'triggerer'",
        "UPDATE armillary.components SET memory_mib = 512",
        "UPDATE armillary.components SET memory_mib = NULL",
        "UPDATE armillary.components SET grace_seconds = grace_seconds",
        f"{INTO} SELECT 'demo/hello', 'K', 'x' WHERE NOT EXISTS (SELECT FROM armillary.variables)",
        "DELETE FROM armillary.variables",
        "UPDATE armillary.variables SET value = value || 'y'",
        "UPDATE armillary.deployments SET hibernated = NOT hibernated",
        "UPDATE armillary.deployments SET dags_folder = '/dags'",
        "DELETE FROM armillary.deployments",
        "UPDATE armillary.deployments SET deletion_requested_at = NULL",
    ]
)


@given(transactions=st.lists(st.lists(STATEMENTS, max_size=4), max_size=4))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_generation_is_a_complete_spec_and_a_spec_that_differs_is_another_generation(sql, transactions):
    for statements in transactions:
        before = get(sql)
        with sql.transaction():
            for statement in statements:
                sql.execute(statement)
        after = get(sql)
        bumped = after["generation"] - before["generation"]

        assert bumped in (0, 1)
        assert bumped == 1 or after == before
        assert one(sql, "SELECT spec FROM armillary.history ORDER BY revision DESC LIMIT 1") == after


def test_touching_nothing_writes_nothing(sql):
    before = places(sql, ("deployments", "revisions", "audit"))
    sql.execute("UPDATE armillary.components SET replicas = replicas")

    assert places(sql, ("deployments", "revisions", "audit")) == before
