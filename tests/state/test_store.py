"""The store reads one snapshot, writes only what differs, and lets no old daemon write."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from model.names import Owner, Ref, SecretRef
from model.objects import Known
from model.plan import Cause
from model.spec import PlainVariable
from model.status import Condition, Event, Milestone, Reason, Record, Status, UnitStatus
from model.units import Need
from state.errors import Fenced, Unreachable

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
UNIT = UnitStatus(unit="scheduler", component="scheduler", state="ready", detail="It runs.")
CONDITION = Condition(type="Ready", status="True", reason=Reason.HEALTHY, message="All is well.", since=NOW)
STATUS = Status(observed_generation=1, conditions=(CONDITION,), units=(UNIT,))
KNOWN = Known(
    ref=Ref("Process", "scheduler"),
    unit="scheduler",
    digest="abc",
    needs=frozenset({Need("database", "present"), Need("migrate", "done")}),
    state="present",
    uid="u-1",
)

INSERT_SECRET = (
    "INSERT INTO armillary.variables (deployment, key, value, secret) VALUES ('demo/hello', 'TOKEN', 'a', true)"
)


def _full(owner, epoch=1):
    return Record(
        owner=owner,
        epoch=epoch,
        status=STATUS,
        objects=(KNOWN,),
        milestones=(Milestone(name="migrate", key="schema/3.3.2"),),
    )


@pytest.fixture
def rows(execute):
    """Where each row that a record writes lies, and which transaction wrote it: a written row differs."""

    def look():
        tables = ("status", "conditions", "units", "objects", "milestones", "events")
        return {
            one: execute(f"SELECT ctid::text, xmin::text, x::text FROM core.{one} x ORDER BY 1") for one in tables
        }

    return look


async def test_a_snapshot_holds_the_whole_spec(store, owner, execute):
    execute("INSERT INTO armillary.variables (deployment, key, value) VALUES ('demo/hello', 'COLOUR', 'blue')")
    execute("UPDATE armillary.components SET replicas = 2, memory_mib = 512 WHERE component = 'triggerer'")
    snapshot = await store.load(owner)

    assert snapshot.spec is not None
    assert (snapshot.spec.workspace, snapshot.spec.name, snapshot.spec.release) == ("demo", "hello", "demo-hello")
    assert snapshot.spec.airflow_version == "3.3.2"
    assert snapshot.spec.dags_folder == "/srv/dags"
    assert set(snapshot.spec.components) == {"api-server", "scheduler", "dag-processor", "triggerer"}
    assert snapshot.spec.components["triggerer"].replicas == 2
    assert snapshot.spec.components["triggerer"].memory_mib == 512
    assert snapshot.spec.variables == {"COLOUR": PlainVariable(value="blue")}
    assert snapshot.stage == "active"
    assert snapshot.generation == 3
    assert snapshot.status is None
    assert snapshot.ports["api-server", "http"] == 20000
    assert len(set(snapshot.ports.values())) == len(snapshot.ports)
    assert abs(snapshot.now - datetime.now(UTC)) < timedelta(minutes=1)


async def test_what_was_recorded_is_read_back_equal(store, owner):
    record = _full(owner)
    await store.record(record)
    snapshot = await store.load(owner)

    assert snapshot.status == STATUS
    assert snapshot.inventory == (KNOWN,)
    assert snapshot.milestones == frozenset(record.milestones)


async def test_an_owner_without_a_row_is_read_as_such(store, owner):
    snapshot = await store.load(Owner("deployment", "999999"))

    assert snapshot.spec is None
    assert snapshot.generation == 0
    assert snapshot.inventory == ()


async def test_an_owner_without_a_row_keeps_its_inventory(store):
    orphan = Owner("deployment", "999999")
    await store.record(Record(owner=orphan, epoch=1, objects=(KNOWN,)))
    snapshot = await store.load(orphan)

    assert snapshot.spec is None
    assert snapshot.inventory == (KNOWN,)
    assert orphan in await store.owners()


async def test_a_database_that_cannot_be_asked_is_never_an_empty_snapshot(store, owner, database, database_url):
    with psycopg.connect(database_url) as other:
        other.execute("LOCK TABLE core.deployments")
        with pytest.raises(Unreachable):
            await store.load(owner)


async def test_recording_the_same_again_writes_nothing(store, owner, rows):
    await store.record(_full(owner))
    before = rows()
    await store.record(_full(owner))
    await store.record(_full(owner, epoch=1))

    assert rows() == before


async def test_only_what_differs_is_written(store, owner, rows):
    await store.record(_full(owner))
    before = rows()
    changed = replace(CONDITION, message="Almost all is well.")
    await store.record(replace(_full(owner), status=replace(STATUS, conditions=(changed,))))
    after = rows()

    assert {name for name in before if before[name] != after[name]} == {"conditions"}
    assert (await store.load(owner)).status.conditions == (changed,)


async def test_units_and_conditions_that_are_gone_are_removed(store, owner):
    await store.record(_full(owner))
    await store.record(Record(owner=owner, epoch=1, status=Status(observed_generation=1)))

    assert (await store.load(owner)).status == Status(observed_generation=1)


async def test_a_record_of_an_older_epoch_is_fenced_and_writes_nothing(store, owner, rows):
    await store.record(_full(owner, epoch=5))
    before = rows()
    with pytest.raises(Fenced):
        await store.record(
            replace(_full(owner, epoch=4), events=(Event(reason="Said", message="late"),), forget=(KNOWN.ref,))
        )

    assert rows() == before


async def test_a_record_of_an_older_generation_is_fenced(store, owner, execute):
    execute("UPDATE armillary.deployments SET dags_folder = '/srv/more' WHERE deployment = 'demo/hello'")
    await store.record(Record(owner=owner, epoch=1, status=Status(observed_generation=2)))
    with pytest.raises(Fenced):
        await store.record(Record(owner=owner, epoch=1, status=Status(observed_generation=1)))

    assert (await store.load(owner)).status.observed_generation == 2


async def test_a_fenced_record_does_not_take_the_others_of_its_batch_down(store, owner):
    other = Owner("deployment", "999999")
    await store.record(_full(owner, epoch=5))
    answers = await asyncio.gather(
        store.record(_full(owner, epoch=4)),
        store.record(Record(owner=other, epoch=4, objects=(KNOWN,))),
        return_exceptions=True,
    )

    assert [type(one) for one in answers] == [Fenced, type(None)]
    assert (await store.load(other)).inventory == (KNOWN,)


async def test_intended_objects_are_known_before_they_are_made(store, owner):
    intended = replace(KNOWN, state="intended", uid="")
    await store.intend(owner, 1, (intended,))

    assert (await store.load(owner)).inventory == (intended,)


async def test_an_old_daemon_cannot_intend(store, owner):
    await store.record(_full(owner, epoch=5))
    with pytest.raises(Fenced):
        await store.intend(owner, 4, (replace(KNOWN, ref=Ref("Process", "other"), state="intended"),))

    assert (await store.load(owner)).inventory == (KNOWN,)


async def test_forgotten_objects_are_gone(store, owner):
    await store.record(_full(owner))
    await store.record(Record(owner=owner, epoch=1, forget=(KNOWN.ref,)))

    assert (await store.load(owner)).inventory == ()


async def test_events_are_kept_in_order_with_their_cause(store, owner, execute):
    events = tuple(
        Event(reason="Repaired", message=f"number {one}", cause=Cause.DRIFT, object="Process/x")
        for one in range(3)
    )
    await store.record(Record(owner=owner, epoch=1, events=events))
    stored = execute("SELECT reason, message, cause, object FROM core.events ORDER BY id")

    assert stored == [(one.reason, one.message, one.cause, one.object) for one in events]


async def test_a_change_makes_its_owner_due_until_it_was_observed(store, owner, execute):
    assert owner in await store.due()
    await store.record(Record(owner=owner, epoch=1, status=Status(observed_generation=1)))
    assert owner not in await store.due()
    execute("UPDATE armillary.components SET replicas = 0 WHERE component = 'triggerer'")

    assert owner in await store.due()


async def test_an_attempt_that_is_due_makes_its_owner_due(store, owner):
    later = Status(observed_generation=1, attempts=1, next_attempt_at=datetime.now(UTC) + timedelta(minutes=4))
    await store.record(Record(owner=owner, epoch=1, status=later))
    assert owner not in await store.due()
    await store.record(
        Record(
            owner=owner, epoch=1, status=replace(later, next_attempt_at=datetime.now(UTC) - timedelta(seconds=1))
        )
    )

    assert owner in await store.due()


async def test_an_owner_that_holds_nothing_any_more_is_removed(store, owner, execute):
    await store.record(_full(owner))
    execute("DELETE FROM armillary.deployments WHERE deployment = 'demo/hello'")
    execute(
        "UPDATE core.deployments SET deletion_requested_at = now() - interval '3 h',"
        " delete_after = now() - interval '2 h', retain_until = now() - interval '1 h'"
    )
    assert (await store.load(owner)).stage == "purging"
    await store.record(Record(owner=owner, epoch=1, forget=(KNOWN.ref,), remove_owner=True))

    assert (await store.load(owner)).spec is None
    assert owner not in await store.owners()


async def test_a_secret_written_in_sql_is_sealed_and_known_by_its_version(store, owner, execute):
    execute(
        "INSERT INTO armillary.variables (deployment, key, value, secret)"
        " VALUES ('demo/hello', 'TOKEN', 'hush-4711', true)"
    )
    before = (await store.load(owner)).spec.variables["TOKEN"]
    touched = await store.secrets.seal_inbox()
    after = (await store.load(owner)).spec.variables["TOKEN"]

    assert before.version == 0 < after.version
    assert execute("SELECT version FROM core.secrets WHERE name = 'variable/TOKEN'") == [(after.version,)]
    assert touched == frozenset({owner})
    assert execute("SELECT count(*) FROM core.secret_inbox") == [(0,)]
    assert await store.secrets.seal_inbox() == frozenset()


async def test_writing_the_newest_value_again_makes_no_version_and_no_generation(store, owner, execute):
    write = "UPDATE armillary.variables SET value = %s WHERE key = 'TOKEN'"
    execute(INSERT_SECRET)
    await store.secrets.seal_inbox()
    before = await store.load(owner)
    execute(write, ("a",))
    assert await store.secrets.seal_inbox() == frozenset()
    same = await store.load(owner)
    for value in ("b", "a"):
        execute(write, (value,))
    assert await store.secrets.seal_inbox() == frozenset({owner})
    after = await store.load(owner)
    version = after.spec.variables["TOKEN"].version

    assert (same.generation, same.spec) == (before.generation, before.spec)
    assert after.generation == before.generation + 1
    assert version > before.spec.variables["TOKEN"].version
    assert await store.secrets.reveal(SecretRef(str(owner), "variable/TOKEN", version)) == "a"
    assert execute("SELECT count(*) FROM core.secret_inbox") == [(0,)]


async def test_a_secret_variable_made_anew_with_its_old_value_refers_to_it_again(store, owner, execute):
    execute(INSERT_SECRET)
    await store.secrets.seal_inbox()
    execute("DELETE FROM armillary.variables WHERE key = 'TOKEN'")
    execute(INSERT_SECRET)
    await store.secrets.seal_inbox()
    version = (await store.load(owner)).spec.variables["TOKEN"].version

    assert await store.secrets.reveal(SecretRef(str(owner), "variable/TOKEN", version)) == "a"


async def test_a_row_that_another_daemon_is_sealing_is_left_to_it(store, owner, execute, database_url):
    execute(INSERT_SECRET)
    await store.secrets.seal_inbox()
    execute("UPDATE armillary.variables SET value = 'b' WHERE key = 'TOKEN'")
    with psycopg.connect(database_url) as other:
        other.execute("SELECT FROM core.inbox_take(10)")
        execute("UPDATE armillary.variables SET value = 'a' WHERE key = 'TOKEN'")
        await store.secrets.seal_inbox()
    await store.secrets.seal_inbox()
    version = (await store.load(owner)).spec.variables["TOKEN"].version

    assert await store.secrets.reveal(SecretRef(str(owner), "variable/TOKEN", version)) == "a"


async def test_many_passes_at_once_are_recorded_in_few_transactions(store, execute):
    owners = [Owner("deployment", str(1_000_000 + one)) for one in range(150)]
    await asyncio.gather(*(store.record(Record(owner=one, epoch=1, objects=(KNOWN,))) for one in owners))
    ((transactions, objects),) = execute("SELECT count(DISTINCT xmin::text), count(*) FROM core.objects")

    assert objects == 150
    assert transactions <= 2
