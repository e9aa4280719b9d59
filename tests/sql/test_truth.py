"""Truth under the triggers: what a restore or a superuser changes behind them is counted, or held and told."""

from __future__ import annotations

import json

import psycopg
import pytest

from tests.state.fleet import PLAIN, condition, fleet, generation, one, owner, record, rows, write

FOUND = "SELECT count_missed FROM core.count_missed()"
HELD = "SELECT core.load(%s)->>'held'"
HELLO = "deployment_id = core.find('demo', 'hello')"
NAMING = """
SELECT t.tgenabled FROM pg_trigger t WHERE t.tgrelid = 'core.deployments'::regclass AND t.tgfoid IN (
    'core.deployment_named'::regproc, 'core.others_named'::regproc, 'core.parts_renamed'::regproc)
"""
NEWEST = "SELECT reason, message FROM armillary.events ORDER BY id DESC LIMIT 1"


@pytest.fixture
def sql(database_url):
    with fleet(database_url, others=2) as sql:
        sql.execute(PLAIN, ("GREETING", "good morning"))
        yield sql


def behind(sql, statement, *values):
    """What a superuser does whose session fires no trigger, as `pg_restore --disable-triggers` does."""
    with sql.transaction():
        sql.execute("SET LOCAL session_replication_role = replica")
        sql.execute(statement, values)


def told(sql, name="hello"):
    return one(sql, "SELECT core.is_told(core.find('demo', %s))", name)


def test_nothing_is_counted_while_every_change_is_made_in_the_open(sql):
    sql.execute(
        "UPDATE armillary.components SET replicas = 0 WHERE component = 'triggerer' AND deployment = 'demo/hello'"
    )
    sql.execute("SELECT armillary.pause('demo/other0', now() + interval '1 hour', 'why not')")
    sql.execute("DELETE FROM armillary.deployments WHERE deployment = 'demo/other1'")
    sql.execute(
        "INSERT INTO armillary.variables (deployment, key, value, secret) VALUES ('demo/hello', 'S', 'x', true)"
    )

    assert rows(sql, "SELECT core.untold()") == []
    assert rows(sql, FOUND) == []


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE core.deployments SET dags_folder = '/elsewhere' WHERE name = 'hello'",
        "UPDATE core.deployments SET hibernated = true WHERE name = 'hello'",
        f"UPDATE core.components SET replicas = 0 WHERE component = 'scheduler' AND {HELLO}",
        f"UPDATE core.components SET settings = '{{\"workers\": 9}}' WHERE component = 'api-server' AND {HELLO}",
        "UPDATE core.variables SET value = 'good night'",
        "DELETE FROM core.variables",
        "INSERT INTO core.variables (deployment_id, key, value) VALUES (core.find('demo', 'hello'), 'B', 'x')",
        "DELETE FROM core.revisions r WHERE r.deployment_id = core.find('demo', 'hello') AND r.revision > 1",
    ],
)
def test_a_change_behind_the_triggers_is_counted_once_with_a_revision_an_event_and_an_audit_row(sql, statement):
    before, whom = generation(sql), owner(sql)
    behind(sql, statement)

    assert rows(sql, FOUND) == [(whom,)]
    assert rows(sql, FOUND) == []
    assert generation(sql) == before + 1
    assert told(sql)
    assert rows(sql, "SELECT core.due()") != []
    reason, message = rows(sql, NEWEST)[0]
    assert reason == "ChangedBehindTriggers"
    assert f"generation {before + 1}" in message
    last = "SELECT actor, reason, after->>'generation' FROM armillary.audit ORDER BY id DESC LIMIT 1"
    assert rows(sql, last) == [("somebody behind the triggers", "changed behind the triggers", str(before + 1))]


def test_the_event_names_a_statement_that_shows_what_differs(sql):
    behind(sql, "UPDATE core.deployments SET dags_folder = '/elsewhere' WHERE name = 'hello'")
    sql.execute(FOUND)

    statement = rows(sql, NEWEST)[0][1].partition("What differs: ")[2]
    ((before, after),) = rows(sql, statement)
    assert (before["dags_folder"], after["dags_folder"]) == ("/dags", "/elsewhere")


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        (
            "UPDATE core.deployments SET release = 'demo-other0', name = 'hello' WHERE name = 'hello'",
            "its release was",
        ),
        (
            (
                "UPDATE core.deployments SET deletion_requested_at = now(), delete_after = now(),"
                " retain_until = now() WHERE name = 'hello'"
            ),
            "its deletion was asked for",
        ),
        (
            f"DELETE FROM core.components WHERE component = 'scheduler' AND {HELLO}",
            "components of it are missing",
        ),
        ("UPDATE core.deployments SET executor = 'Other' WHERE name = 'hello'", "its executor was"),
    ],
)
def test_what_would_remove_things_is_held_at_once_and_explained_until_a_person_accepts_it(sql, statement, said):
    before, whom = generation(sql), owner(sql)
    sql.execute(
        "INSERT INTO core.component_catalogue (executor, component, replicas_max)"
        " SELECT 'Other', component, replicas_max FROM core.component_catalogue WHERE executor = 'LocalExecutor'"
    )
    if "release" in statement:  # two rows of one release cannot be, not even behind the triggers
        behind(sql, "UPDATE core.deployments SET release = 'demo-gone' WHERE name = 'other0'")
    behind(sql, statement)

    held = one(sql, HELD, whom)
    assert said in held
    assert "SELECT armillary.accept('demo/hello')" in held
    rows(sql, FOUND)
    rows(sql, FOUND)
    assert generation(sql) == before
    told_of = rows(sql, "SELECT message FROM armillary.events WHERE deployment = 'demo/hello'")
    assert told_of == [(held,)]

    with pytest.raises(psycopg.Error, match="demo/hello is held") as refused:
        sql.execute("UPDATE armillary.deployments SET drift_policy = 'report' WHERE deployment = 'demo/hello'")
    assert "armillary.accept" in (refused.value.diag.message_hint or "")

    sql.execute("SELECT armillary.accept('demo/hello')")
    assert one(sql, HELD, whom) is None
    assert generation(sql) == before + 1
    assert told(sql)


def test_a_hidden_deletion_can_be_taken_back_instead_of_accepted(sql):
    whom = owner(sql)
    behind(
        sql,
        "UPDATE core.deployments SET deletion_requested_at = now(), delete_after = now() + interval '1 h',"
        " retain_until = now() + interval '2 h' WHERE name = 'hello'",
    )
    assert one(sql, HELD, whom) is not None

    sql.execute("SELECT armillary.undelete('demo/hello')")

    assert one(sql, HELD, whom) is None
    assert told(sql)


def test_an_older_daemon_takes_what_is_held_for_a_pause(sql):
    behind(sql, "UPDATE core.deployments SET executor = 'Other' WHERE name = 'hello'")

    loaded = one(sql, "SELECT core.load(%s)", owner(sql))

    assert loaded["paused_until"].startswith("2999")
    assert loaded["pause_reason"] == loaded["held"]


def test_rows_inserted_behind_the_triggers_get_what_a_trigger_would_have_given_them(sql):
    behind(
        sql,
        "INSERT INTO core.deployments (workspace_id, name, release, airflow_version, dags_folder)"
        " SELECT id, 'restored', 'demo-restored', '3.3.2', '/d' FROM core.workspaces",
    )

    assert rows(sql, FOUND) == [(owner(sql, "restored"),)]
    assert told(sql, "restored")
    asked = "SELECT count(*) FROM core.{} WHERE deployment_id = core.find('demo', 'restored')"
    assert one(sql, asked.format("components")) == 4
    assert one(sql, asked.format("ports")) == 6
    assert one(sql, "SELECT count(*) FROM core.releases WHERE release = 'demo-restored'") == 1


def test_a_generation_that_went_back_is_left_to_the_pass_and_counts_on_beyond_what_was_once_accepted(sql):
    for number in range(5):
        sql.execute(
            "UPDATE armillary.deployments SET dags_folder = %s WHERE deployment = 'demo/hello'", (f"/{number}",)
        )
    reached = generation(sql)
    write(sql, record(owner(sql), status={"observed_generation": reached, "conditions": [condition("Synced")]}))
    behind(sql, "UPDATE core.deployments SET generation = 2, dags_folder = '/old' WHERE name = 'hello'")

    assert rows(sql, FOUND) == []
    sql.execute("SELECT armillary.accept('demo/hello')")
    assert rows(sql, FOUND) == [(owner(sql),)]
    assert generation(sql) == reached + 1
    assert told(sql)


def test_a_fleet_changed_behind_the_triggers_is_counted_no_faster_than_a_person_may_change_it(database_url):
    with fleet(database_url, others=9) as sql:
        behind(sql, "UPDATE core.deployments SET dags_folder = '/elsewhere'")

        assert len(rows(sql, FOUND)) == 3
        assert len(rows(sql, FOUND)) == 3


def test_a_deployment_that_somebody_is_just_changing_is_left_for_the_next_minute(sql, database_url):
    behind(sql, "UPDATE core.deployments SET dags_folder = '/elsewhere' WHERE name = 'hello'")
    with psycopg.connect(database_url) as other:
        other.execute("SELECT FROM core.deployments WHERE name = 'hello' FOR UPDATE")

        assert rows(sql, FOUND) == []


def test_a_document_of_an_earlier_release_tells_no_field_that_came_later(sql):
    older = "SELECT core.in_shape_of(%s, %s)"
    document = {
        "a": 1,
        "new": 2,
        "components": {"x": {"r": 1, "new": 2}},
        "variables": {"K": {"value": "v"}, "L": {"value": "w"}},
    }
    told = {"a": 1, "components": {"x": {"r": 1}}, "variables": {"K": {"value": "v"}}}

    shaped = one(sql, older, json.dumps(document), json.dumps(told))

    assert shaped == {
        "a": 1,
        "components": {"x": {"r": 1}},
        "variables": {"K": {"value": "v"}, "L": {"value": "w"}},
    }


def test_triggers_that_a_broken_off_restore_left_off_are_told_with_the_statement_that_helps(sql):
    assert rows(sql, "SELECT * FROM armillary.unguarded") == []
    sql.execute("ALTER TABLE core.deployments DISABLE TRIGGER ALL")

    ((relation, triggers, what_to_do),) = rows(sql, "SELECT * FROM armillary.unguarded")
    assert (relation, triggers > 3) == ("core.deployments", True)
    sql.execute(what_to_do.partition(": ")[2])

    assert rows(sql, "SELECT * FROM armillary.unguarded") == []
    sql.execute("SELECT core.tend()")
    assert "O" not in {state for (state,) in rows(sql, NAMING)}
