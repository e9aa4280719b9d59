"""What the daemon reads and writes: whole snapshots, fenced records, no write without a difference."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from tests.state.fleet import (
    LOCKED,
    PLAIN,
    SEAL,
    SECRET,
    WRITTEN,
    condition,
    fleet,
    one,
    owner,
    places,
    record,
    rows,
    thing,
    write,
)

TAKE = "SELECT core.acquire_lease('cluster/local', %s, interval '15 s')"
INTEND = "SELECT core.intend(%s, %s, %s)->>'fenced'"


@pytest.fixture
def sql(database_url):
    with fleet(database_url) as sql:
        yield sql


def due(sql) -> list[str]:
    return [name for (name,) in rows(sql, "SELECT owner FROM core.due()")]


def load(sql):
    return one(sql, "SELECT core.load(%s)", owner(sql))


def test_a_snapshot_is_complete(sql):
    sql.execute(PLAIN, ("PLAIN", "x"))
    sql.execute(SECRET, ("HUSH", "x"))
    sql.execute(SEAL)
    sealed = one(sql, "SELECT version FROM core.secrets")
    minted = one(sql, "SELECT core.mint(%s, 'fernet-key', 'k1', '\\x00')", owner(sql))
    write(sql, record(owner(sql)))
    loaded = load(sql)

    assert loaded["spec"]["components"]["scheduler"]["replicas"] == 1
    assert loaded["spec"]["variables"] == {
        "PLAIN": {"value": "x", "components": []},
        "HUSH": {"secret": True, "version": sealed, "components": []},
    }
    assert loaded["secrets"] == {"fernet-key": minted, "variable/HUSH": sealed}
    assert loaded["ports"][0] == ["api-server", "http", 20000]
    assert loaded["milestones"] == [{"name": "migrate", "key": "schema/3.3.2", "begun": []}]
    assert loaded["inventory"] == [thing()]
    assert loaded["status"]["observed_generation"] == 1
    assert (loaded["generation"], loaded["stage"], loaded["paused_until"]) == (4, "active", None)


def test_an_owner_without_a_row_has_no_spec(sql):
    loaded = one(sql, "SELECT core.load('deployment/99')")

    assert (loaded["spec"], loaded["generation"], loaded["status"], loaded["inventory"]) == (None, 0, None, [])


def test_a_snapshot_reads_alike_in_every_time_zone(sql):
    sql.execute("SELECT armillary.restart('demo/hello')")
    here = load(sql)["spec"]
    sql.execute("SET TimeZone = 'Asia/Kathmandu'")

    assert load(sql)["spec"] == here


def test_a_pause_is_read_while_it_lasts(sql):
    sql.execute("SELECT armillary.pause('demo/hello', now() + interval '1 h', 'maintenance')")
    assert load(sql)["pause_reason"] == "maintenance"
    sql.execute("UPDATE armillary.deployments SET paused_until = now()")

    assert (load(sql)["paused_until"], load(sql)["pause_reason"]) == (None, "")


def test_what_was_recorded_is_read_back(sql):
    unit = {"unit": "b", "component": "scheduler", "state": "waiting", "detail": "for a"}
    said = record(owner(sql))["status"] | {
        "units": [unit, unit | {"unit": "a"}],
        "attempts": 3,
        "next_attempt_at": "2026-11-22T12:00:00+00:00",
    }
    write(sql, record(owner(sql), status=said))
    read = load(sql)["status"]

    assert read["units"] == said["units"]
    assert (read["attempts"], read["next_attempt_at"]) == (3, "2026-11-22T12:00:00+00:00")


def test_recording_the_same_twice_writes_and_locks_nothing_not_even_under_a_new_epoch(sql):
    of = owner(sql)
    assert one(sql, TAKE, "a") == 1
    write(sql, record(of))
    assert one(sql, TAKE, "a") == 2
    before = places(sql, WRITTEN, LOCKED)
    write(sql, record(of), record(of, epoch=2))
    sql.execute(INTEND, (of, 2, json.dumps([thing()])))

    assert places(sql, WRITTEN, LOCKED) == before


def test_only_what_differs_is_written(sql):
    of = owner(sql)
    write(sql, record(of))
    before = places(sql, WRITTEN)
    write(sql, record(of, status={"conditions": [condition("Synced", "False", "Converging")]}))
    after = places(sql, WRITTEN)

    assert [table for table in WRITTEN if after[table] != before[table]] == ["conditions"]


def test_units_and_conditions_that_are_gone_are_removed(sql):
    of = owner(sql)
    write(sql, record(of))
    write(sql, record(of, status={"conditions": [], "units": []}))

    assert (load(sql)["status"]["conditions"], load(sql)["status"]["units"]) == ([], [])


def test_an_older_epoch_or_generation_is_fenced_and_the_others_of_the_batch_are_not(sql):
    of = owner(sql)
    write(sql, record(of, epoch=5))
    before = places(sql, WRITTEN)
    answers = write(
        sql,
        record(of, epoch=4, events=[{"reason": "Late", "message": ""}]),
        record(of, epoch=5, status={"observed_generation": 0}, forget=[["Process", "x"]]),
        record(of, epoch=6),
    )

    assert [one is None for one in answers] == [False, False, True]
    assert places(sql, WRITTEN) == before


def test_a_record_under_a_lease_that_was_taken_over_is_fenced(sql):
    of = owner(sql)
    assert one(sql, TAKE, "old") == 1
    sql.execute("UPDATE core.leases SET expires_at = now()")
    assert one(sql, TAKE, "new") == 2

    assert "at epoch 2, this write at 1" in (write(sql, record(of))[0] or "")
    assert "at epoch 2" in one(sql, INTEND, of, 1, json.dumps([thing()]))
    assert load(sql)["inventory"] == []


def test_a_lease_taken_while_a_record_is_written_waits_for_it(sql, database_url):
    of = owner(sql)
    assert one(sql, TAKE, "old") == 1
    sql.execute("UPDATE core.leases SET expires_at = now()")
    with psycopg.connect(database_url) as daemon:
        assert daemon.execute("SELECT core.record(%s)", (json.dumps([record(of)]),)).fetchone() == (
            [{"fenced": None}],
        )
        sql.execute("SET lock_timeout = '200ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            sql.execute(TAKE, ("new",))
    assert one(sql, TAKE, "new") == 2


def test_a_record_that_a_lease_overtakes_is_undone(sql, database_url):
    of = owner(sql)
    assert one(sql, TAKE, "old") == 1
    sql.execute("UPDATE core.leases SET expires_at = now()")
    with psycopg.connect(database_url) as new, psycopg.connect(database_url) as old:
        assert new.execute(TAKE, ("new",)).fetchone() == (2,)
        # the old daemon's check does not see the uncommitted lease; its lock waits for it
        old.execute("SET lock_timeout = '200ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            old.execute("SELECT core.record(%s)", (json.dumps([record(of)]),))
        old.rollback()
        new.commit()

    assert load(sql)["inventory"] == []


def test_what_is_intended_is_known_before_it_is_made(sql):
    of = owner(sql)
    assert one(sql, INTEND, of, 1, json.dumps([thing(state="intended", uid="")])) is None
    write(sql, record(of))

    assert load(sql)["inventory"] == [thing()]


def test_milestones_are_kept_once_and_events_each_time(sql):
    event = {"reason": "Repaired", "message": "It was edited.", "cause": "drift", "object": "Files/settings"}
    write(sql, record(owner(sql), events=[event]))
    write(sql, record(owner(sql), events=[event]))

    assert one(sql, "SELECT count(*) FROM core.milestones") == 1
    assert (
        rows(sql, "SELECT deployment, object, message FROM armillary.drift")
        == [("demo/hello", "Files/settings", "It was edited.")] * 2
    )


def test_a_change_is_due_until_it_was_looked_at(sql):
    assert due(sql) == [owner(sql)]
    write(sql, record(owner(sql)))
    assert due(sql) == []
    sql.execute("UPDATE armillary.deployments SET hibernated = true")
    assert due(sql) == [owner(sql)]


def test_an_attempt_is_due_at_its_time(sql):
    in_minutes = (datetime.now(UTC) + timedelta(minutes=4)).isoformat()
    write(sql, record(owner(sql), status={"attempts": 1, "next_attempt_at": in_minutes}))
    assert due(sql) == []
    write(sql, record(owner(sql), status={"attempts": 1, "next_attempt_at": "2026-01-01T00:00:00Z"}))
    assert due(sql) == [owner(sql)]


def test_an_attempt_that_a_clock_set_too_far_ahead_before_it_went_back_is_due_at_once(sql):
    write(sql, record(owner(sql), status={"attempts": 1, "next_attempt_at": "2999-01-01T00:00:00Z"}))
    assert due(sql) == [owner(sql)]


def test_the_end_of_a_pause_is_due_until_it_was_looked_at(sql):
    paused = {"observed_generation": 2, "conditions": [condition("Synced", "Unknown", "Paused")]}
    sql.execute("SELECT armillary.pause('demo/hello', now() + interval '100 ms', 'x')")
    write(sql, record(owner(sql), status=paused))
    deadline = time.monotonic() + 10
    while not due(sql) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert due(sql) == [owner(sql)]
    write(sql, record(owner(sql), status={"observed_generation": 2}))
    assert due(sql) == []


def test_the_next_stage_of_a_deletion_is_due_until_its_work_is_done(sql):
    of = owner(sql)
    sql.execute("DELETE FROM armillary.deployments")
    data = thing("data", retain=True)
    write(sql, record(of, status={"observed_generation": 2}, objects=[thing(), data]))
    assert due(sql) == []
    sql.execute("UPDATE core.deployments SET delete_after = now()")
    write(sql, record(of, status={"observed_generation": 3}, objects=[]))
    assert due(sql) == [of]
    write(sql, record(of, status={"observed_generation": 3}, objects=[], forget=[["Process", "x"]]))
    assert due(sql) == []
    sql.execute("UPDATE core.deployments SET retain_until = now()")
    write(sql, record(of, status={"observed_generation": 4}, objects=[]))
    assert due(sql) == [of]
    sql.execute("SELECT armillary.pause('demo/hello', now() + interval '1 h', 'x')")
    write(sql, record(of, status={"observed_generation": 5}, objects=[]))
    assert due(sql) == []


def test_owners_are_what_is_desired_or_still_holds_something(sql):
    write(sql, record("deployment/99", status={}, objects=[thing()]), record("platform/local"))

    assert [name for (name,) in rows(sql, "SELECT owner FROM core.owners()")] == [
        owner(sql),
        "deployment/99",
        "platform/local",
    ]


def test_what_is_due_of_ten_thousand_is_read_by_joins(sql):
    # rows as a restore writes them: without triggers, so that the test is about the reading
    sql.execute("SET session_replication_role = replica")
    sql.execute("INSERT INTO core.releases (release) SELECT 'r' || n FROM generate_series(1, 10000) AS n")
    sql.execute(
        "INSERT INTO core.deployments (workspace_id, name, release, airflow_version, dags_folder)"
        " SELECT w.id, 'r' || n, 'r' || n, '3.3.2', '/d' FROM core.workspaces w, generate_series(1, 10000) AS n"
    )
    sql.execute(
        "INSERT INTO core.status (owner, observed_generation, epoch)"
        " SELECT owner, generation, 1 FROM core.deployments WHERE name <> 'r77'"
    )
    sql.execute("ANALYZE")

    assert sorted(due(sql)) == sorted([owner(sql, "r77")])
    plan = one(sql, "SELECT core.load(owner) FROM core.deployments WHERE name = 'r77'")
    assert plan["spec"]["release"] == "r77"
    explained = "\n".join(line for (line,) in rows(sql, "EXPLAIN SELECT core.due()"))
    assert float(explained.split("..")[1].split(" ")[0]) < 100_000


def test_a_lease_is_one_holder_s_at_a_time_and_every_acquisition_is_a_new_epoch(sql):
    assert one(sql, TAKE, "a") == 1
    assert one(sql, TAKE, "b") is None
    assert one(sql, TAKE, "a") == 2
    assert one(sql, "SELECT core.renew_lease('cluster/local', 'a', 1, interval '15 s')") is False
    assert one(sql, "SELECT core.renew_lease('cluster/local', 'a', 2, interval '15 s')") is True
    sql.execute("SELECT core.release_lease('cluster/local', 'a', 2)")
    assert one(sql, TAKE, "b") == 3


def test_of_owners_at_rest_only_status_and_generation_are_looked_at(sql):
    write(sql, record(owner(sql)))
    scans = (
        "SELECT coalesce(sum(coalesce(idx_scan, 0) + seq_scan), 0) FROM pg_stat_xact_user_tables"
        " WHERE schemaname = 'core' AND relname IN ('conditions', 'objects')"
    )
    with sql.transaction():
        before = one(sql, scans)
        assert due(sql) == []
        assert one(sql, scans) == before
