"""For the person in psql: views to read, functions to call, and everything says what it is."""

from __future__ import annotations

import pytest

from tests.state.fleet import PLAIN, condition, fleet, generation, get, one, owner, record, rows, thing, write


@pytest.fixture
def sql(database_url):
    with fleet(database_url) as sql:
        yield sql


@pytest.fixture(scope="module")
def shared(make_database, template_database):
    with make_database(template_database) as url, fleet(url) as sql:
        yield sql


def why(sql) -> list[str]:
    return [line for (line,) in rows(sql, "SELECT armillary.why('demo/hello')")]


NAMESPACES = "IN ('core'::regnamespace, 'armillary'::regnamespace)"
SILENT = {
    "relations": f"SELECT c.oid::regclass::text FROM pg_class c WHERE c.relnamespace {NAMESPACES}"
    " AND c.relkind IN ('r', 'v') AND obj_description(c.oid, 'pg_class') IS NULL",
    "columns of views": "SELECT c.relname || '.' || a.attname FROM pg_attribute a JOIN pg_class c"
    " ON c.oid = a.attrelid WHERE c.relnamespace = 'armillary'::regnamespace AND c.relkind = 'v' AND a.attnum > 0"
    " AND col_description(a.attrelid, a.attnum) IS NULL",
    "functions": f"SELECT p.oid::regprocedure::text FROM pg_proc p WHERE p.pronamespace {NAMESPACES}"
    " AND obj_description(p.oid, 'pg_proc') IS NULL",
}


@pytest.mark.parametrize("what", SILENT)
def test_everything_says_what_it_is(shared, what):
    assert rows(shared, SILENT[what]) == []


def test_every_check_is_named_as_a_sentence(shared):
    unnamed = rows(
        shared,
        "SELECT conrelid::regclass::text, conname FROM pg_constraint WHERE contype = 'c'"
        " AND connamespace = 'core'::regnamespace AND conname ~ '_check[0-9]*$'",
    )

    assert unnamed == []


def test_a_new_deployment_was_not_looked_at_yet(sql):
    line = rows(sql, "SELECT stage, synced, synced_reason, ready, observed_generation FROM armillary.fleet")

    assert line == [("active", "Unknown", "NotLookedAt", "Unknown", None)]
    assert why(sql) == ["demo/hello is at generation 1, observed never, active."]


def test_what_the_daemon_recorded_is_seen_by_workspace_and_name(sql):
    waiting = {"unit": "migrate", "component": "migrate", "state": "waiting", "detail": "database is not ready"}
    status = {
        "conditions": [
            condition("Synced"),
            condition("Ready", "False", "NotHealthy") | {"message": "It is down."},
        ],
        "units": [waiting, waiting | {"unit": "scheduler", "state": "ready", "detail": ""}],
    }
    event = {"reason": "Created", "message": "It was absent", "cause": "generation", "object": "Process/x"}
    write(sql, record(owner(sql), status=status, events=[event], objects=[thing(), thing("y", state="deleting")]))

    fleet_line = (
        "SELECT deployment, synced, ready, ready_reason, message, observed_generation FROM armillary.fleet"
    )
    assert rows(sql, fleet_line) == [("demo/hello", "True", "False", "NotHealthy", "It is down.", 1)]
    assert rows(sql, "SELECT unit, detail FROM armillary.waiting") == [("migrate", "database is not ready")]
    assert rows(sql, "SELECT deployment, name, state FROM armillary.objects ORDER BY 2") == [
        ("demo/hello", "x", "present"),
        ("demo/hello", "y", "deleting"),
    ]
    assert rows(sql, "SELECT deployment, reason, cause FROM armillary.events") == [
        ("demo/hello", "Created", "generation")
    ]
    assert rows(sql, "SELECT observed_generation, attempts FROM armillary.status") == [(1, 0)]
    lines = why(sql)
    assert any("Ready=False (NotHealthy" in line for line in lines)
    assert "migrate is waiting: database is not ready" in lines
    assert any("Created Process/x: It was absent" in line for line in lines)


def test_events_outlive_their_deployment(sql):
    event = {"reason": "Deleted", "message": "x"}
    write(sql, record("deployment/99", status={}, objects=[], events=[event]))

    assert rows(sql, "SELECT deployment FROM armillary.events") == [("deployment/99",)]


def test_why_tells_of_a_deletion_and_a_pause_and_how_to_undo_them(sql):
    sql.execute("SELECT armillary.pause('demo/hello', now() + interval '1 h', 'maintenance')")
    sql.execute("DELETE FROM armillary.deployments")
    lines = "\n".join(why(sql))

    assert "SELECT armillary.undelete('demo/hello')" in lines
    assert "maintenance" in lines


def test_a_pause_always_ends(sql):
    assert "paused until" in one(
        sql, "SELECT armillary.pause('demo/hello', now() + interval '1 h', 'maintenance')"
    )
    assert one(sql, "SELECT armillary.resume('demo/hello')") == "resumed"
    assert one(sql, "SELECT armillary.resume('demo/hello')") == "was not paused"
    assert rows(sql, "SELECT paused_until, pause_reason FROM armillary.deployments") == [(None, "")]


def test_hibernation_and_waking_are_one_change_each(sql):
    for name in ("hibernate", "hibernate", "wake", "wake"):
        sql.execute(f"SELECT armillary.{name}('demo/hello')")

    assert (generation(sql), one(sql, "SELECT hibernated FROM armillary.deployments")) == (3, False)


def test_every_restart_is_a_change(sql):
    sql.execute("SELECT armillary.restart('demo/hello')")
    first = one(sql, "SELECT restarted_at FROM armillary.deployments")
    sql.execute("SELECT armillary.restart('demo/hello')")

    assert one(sql, "SELECT restarted_at FROM armillary.deployments") > first
    assert generation(sql) == 3


def test_a_rollback_makes_an_earlier_revision_the_newest_generation(sql):
    before = get(sql)
    sql.execute(PLAIN, ("A", "1"))
    sql.execute("UPDATE armillary.components SET replicas = 0 WHERE component = 'triggerer'")
    sql.execute("UPDATE armillary.deployments SET dags_folder = '/other'")

    assert one(sql, "SELECT armillary.rollback('demo/hello', 1)") == 5
    assert get(sql) == before | {"generation": 5}


def test_a_rollback_leaves_a_name_a_pause_and_the_last_restart_as_they_are(sql):
    sql.execute("SELECT armillary.restart('demo/hello')")
    sql.execute("SELECT armillary.pause('demo/hello', now() + interval '1 h', 'maintenance')")
    sql.execute("UPDATE armillary.deployments SET name = 'renamed', dags_folder = '/other'")
    before = one(sql, "SELECT core.get_deployment('demo', 'renamed')")
    sql.execute("SELECT armillary.rollback('demo/renamed', 1)")

    after = one(sql, "SELECT core.get_deployment('demo', 'renamed')")
    assert after == before | {"dags_folder": "/dags", "generation": before["generation"] + 1}


def test_what_is_being_deleted_is_not_rolled_back(sql):
    sql.execute("DELETE FROM armillary.deployments")

    with pytest.raises(Exception, match=r"(?s)is being deleted.*undelete\('demo/hello'\)"):
        sql.execute("SELECT armillary.rollback('demo/hello', 1)")
    assert one(sql, "SELECT count(*) FROM armillary.deployments") == 1


def test_the_settings_are_listed_with_their_limits(shared):
    listed = rows(shared, "SELECT component, key, usual FROM armillary.settings ORDER BY 1, 2")

    assert ("scheduler", "parallelism", 4) in listed
    assert ("dag-processor", "refresh_interval_seconds", 10) in listed
    assert rows(shared, "SELECT key FROM armillary.settings WHERE usual NOT BETWEEN minimum AND maximum") == []
