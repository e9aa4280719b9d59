"""Lives of a deployment in the simulation: what must be true at the end, and on the way."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from drivers.base import Applied
from drivers.simulation.faults import POLITE, RUDE
from drivers.simulation.vandal import Vandal
from model.names import Ref
from model.spec import ComponentSpec, PlainVariable
from reconciler.budget import FLOOR
from reconciler.reconcile import preview

from .memory import Life, life
from .sketch import OWNER, spec

PROCESSES = ("api-server", "scheduler", "dag-processor", "triggerer")


def ref(unit: str, kind: str = "Process") -> Ref:
    return Ref(f"Sim.{kind}", f"demo-hello.{unit}")


def starts(one: Life) -> dict[str, int]:
    return {unit: one.world.starts[ref(unit)] for unit in PROCESSES}


async def test_a_new_deployment_comes_to_life_and_then_nothing_is_written():
    one = life()
    await one.settle()
    writes, records = len(one.world.writes), one.memory.writes

    await one.settle()

    assert (len(one.world.writes), one.memory.writes) == (writes, records)
    assert {row.state for row in one.memory.row.inventory} == {"present"}


async def test_the_migration_ends_before_anything_that_writes_starts():
    one = life(faults=replace(POLITE, task=(30.0, 30.0)))
    await one.settle()

    verbs = [(write.verb, write.ref.name.partition(".")[2]) for write in one.world.writes]
    began = verbs.index(("create", "migrate"))
    assert all(began < verbs.index(("create", unit)) for unit in PROCESSES)
    written = {write.ref: write.at for write in one.world.writes}
    assert all(written[ref(unit)] >= written[ref("migrate", "Task")] + 30.0 for unit in PROCESSES)


async def test_another_daemon_adopts_everything_and_writes_nothing():
    one = life()
    await one.settle()
    writes, records = len(one.world.writes), one.memory.writes

    one.restart()
    await one.settle()

    assert (len(one.world.writes), one.memory.writes) == (writes, records)


async def test_a_dry_run_shows_the_plan_and_writes_nothing():
    one = life()
    todo = await preview(OWNER, one.tools, one.ledger)

    assert todo.now
    assert todo.later
    assert one.world.writes == []
    assert one.memory.row.inventory == ()


async def test_a_variable_restarts_exactly_what_reads_it():
    one = life()
    await one.settle()
    before = starts(one)
    one.memory.ask(spec(variables={"A": PlainVariable(value="1", components=("triggerer",)), **spec().variables}))
    await one.settle()

    assert {unit for unit in PROCESSES if starts(one)[unit] != before[unit]} == {"triggerer"}


async def test_an_upgrade_stops_what_writes_migrates_and_starts_the_new_version():
    one = life(faults=replace(POLITE, task=(20.0, 20.0), draining=(5.0, 5.0)))
    await one.settle()
    mark = len(one.world.writes)
    one.memory.ask(spec(airflow_version="3.4.0"))
    await one.settle()

    verbs = [(write.verb, write.ref.name.partition(".")[2]) for write in one.world.writes[mark:]]
    migrated = next(number for number, (_, unit) in enumerate(verbs) if unit == "migrate")
    for unit in ("scheduler", "dag-processor", "triggerer"):
        assert verbs.index(("stop", unit)) < migrated < verbs.index(("update", unit))
    assert one.memory.row.status.condition("Ready").status == "True"


async def test_a_failing_migration_is_tried_again_later_and_later_and_succeeds():
    one = life(faults=replace(POLITE, task_failures=3))
    await one.settle()

    assert one.world.starts[ref("migrate", "Task")] == 4
    assert one.memory.row.status.attempts == 0


async def test_scaling_to_nothing_and_back():
    one = life()
    await one.settle()
    off = {**spec().components, "triggerer": ComponentSpec(replicas=0)}
    one.memory.ask(spec(components=off))
    await one.settle()
    assert one.memory.row.status.condition("Ready").status == "True"

    one.memory.ask(spec())
    await one.settle()
    assert starts(one)["scheduler"] == 1


async def test_hibernate_and_wake():
    one = life()
    await one.settle()
    one.memory.ask(spec(hibernated=True))
    await one.settle()
    assert one.memory.row.status.condition("Ready").reason == "Stopped"

    one.memory.ask(spec())
    await one.settle()
    assert one.memory.row.status.condition("Ready").status == "True"


@pytest.mark.parametrize("stage", ["stopping", "retaining"])
async def test_a_deletion_goes_on_when_a_restore_lost_the_secrets_of_what_is_kept(stage):
    one = life()
    await one.settle()
    one.memory.ask(stage=stage, secrets={})

    await one.settle()

    assert one.memory.row.status.condition("Synced").status == "True"
    assert one.world.thing(ref("database", "Database")) is not None


async def test_a_deletion_stops_at_once_keeps_data_and_ends_with_nothing():
    one = life(faults=replace(POLITE, lingering=(3.0, 9.0)))
    await one.settle()
    one.memory.ask(stage="stopping")
    await one.settle()
    assert {thing.ref for thing in one.world.things()} >= {
        ref("database", "Database"),
        ref("settings", "Settings"),
    }

    one.memory.ask(stage="active")
    await one.settle()
    assert one.memory.row.status.condition("Ready").status == "True"

    one.memory.ask(stage="retaining")
    await one.settle()
    kept = {thing.ref.name.partition(".")[2] for thing in one.world.things()}
    assert kept == {"environment", "database", "logs"}

    one.memory.ask(stage="purging")
    await one.settle()
    assert one.world.things() == ()
    assert one.memory.is_removed


async def test_what_an_owner_without_a_row_left_behind_is_removed_within_the_budget_and_then_as_approved():
    one = life()
    await one.settle()
    there = len(one.world.things())
    one.memory.row = replace(one.memory.row, spec=None, stage="active")
    for _ in range(20):
        await one.one_pass()
    assert len(one.world.things()) == there - FLOOR
    todo = await preview(OWNER, one.tools, one.ledger)
    assert any("armillary.approve('<owner>', 'deletes')" in held.why for held in todo.held)

    one.memory.row = replace(one.memory.row, approvals=frozenset({"deletes"}))
    for _ in range(20):
        await one.one_pass()
    kept = {thing.ref.name.partition(".")[2] for thing in one.world.things()}
    assert kept == {"environment", "database", "logs"}
    assert {event.cause for event in one.memory.events if event.reason == "Deleted"} == {"orphan"}


async def test_what_is_not_ours_is_never_touched():
    one = life()
    stranger = Vandal(one.world).plant(ref("settings", "Settings"))
    for _ in range(20):
        await one.one_pass()

    assert one.world.thing(ref("settings", "Settings")) == stranger
    assert one.memory.row.status.condition("Synced").reason == "Held"


async def test_a_vanished_database_is_held_and_never_replaced_by_an_empty_one():
    one = life()
    await one.settle()
    Vandal(one.world).remove(ref("database", "Database"))
    for _ in range(20):
        await one.one_pass()

    assert one.world.thing(ref("database", "Database")) is None
    assert "backup" in one.memory.row.status.condition("Synced").message


async def test_a_kind_that_cannot_be_seen_is_left_alone_and_the_rest_goes_on():
    one = life()
    await one.settle()
    one.world.blind["Sim.Process"] = "403: not allowed to list processes"
    one.memory.ask(spec(dags_folder="/other"))
    mark = len(one.world.writes)
    for _ in range(5):
        await one.one_pass()

    kinds = {write.ref.kind for write in one.world.writes[mark:]}
    assert kinds == {"Sim.Settings"}
    assert one.memory.row.status.condition("Synced").status == "Unknown"
    del one.world.blind["Sim.Process"]
    await one.settle()


async def test_an_unreachable_world_is_no_empty_one():
    one = life()
    await one.settle()
    inventory = one.memory.row.inventory
    one.world.is_down = True
    for _ in range(5):
        await one.one_pass()

    assert one.memory.row.inventory == inventory
    assert one.memory.row.status.condition("Synced").reason == "Blind"
    one.world.is_down = False
    await one.settle()


async def test_a_pause_holds_everything_and_ends_by_itself():
    one = life()
    until = one.memory.clock.now + timedelta(hours=1)
    one.memory.ask(paused_until=until, pause_reason="audit")
    ended = await one.one_pass()

    assert one.world.writes == []
    assert ended.again_in_seconds == 3600.0
    one.memory.ask(paused_until=None, pause_reason="")
    await one.settle()


class _Crash(BaseException):
    """The daemon dies here."""


@pytest.mark.parametrize("happened", [False, True], ids=["before the write", "after the write"])
@pytest.mark.parametrize("at", range(13))
async def test_a_crash_at_any_write_is_finished_by_the_next_daemon(at, happened, monkeypatch):
    reference = life()
    await reference.settle()
    one = life()
    driver = one.tools.drivers[0]
    real, count = driver.apply, 0

    async def crashing(owner, action) -> Applied:
        nonlocal count
        count += 1
        if count != at + 1:
            return await real(owner, action)
        if happened:
            await real(owner, action)
        raise _Crash

    monkeypatch.setattr(driver, "apply", crashing)
    try:
        await one.settle()
    except _Crash:
        one.restart()
    await one.settle()

    assert {thing.ref for thing in one.world.things()} == {thing.ref for thing in reference.world.things()}
    assert len(one.world.writes) <= len(reference.world.writes) + 1
    assert starts(one) == starts(reference)


@pytest.mark.parametrize("seed", range(40))
async def test_in_a_rude_world_with_a_vandal_everything_converges_once_the_weather_clears(seed):
    one = life(seed=seed, faults=RUDE)
    vandal = Vandal(one.world)
    for _ in range(60):
        if (
            one.world.chance(0.15)
            and one.memory.row.status
            and one.memory.row.status.condition("Ready").status == "True"
        ):
            gone = vandal.act()
            if gone.startswith("remove Sim.Database"):
                break  # data cannot be made again: that life is told above
        if one.world.chance(0.05):
            one.memory.ask(spec(variables={"N": PlainVariable(value=str(one.world.random.random()))}))
        if one.world.chance(0.1):
            one.restart()
        await one.one_pass()
        await one.memory.clock.sleep(3.0)
    if one.world.thing(ref("database", "Database")) is None:
        return

    one.world.faults = POLITE
    await one.settle()
    writes = len(one.world.writes)
    await one.settle()

    assert len(one.world.writes) == writes
    assert one.memory.row.status.condition("Synced").status == "True"


async def test_a_cancelled_pass_is_finished_by_the_next():
    one = life(faults=replace(POLITE, latency=(1.0, 1.0)))
    task = asyncio.create_task(one.one_pass())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    await one.settle()
    assert one.memory.row.status.condition("Ready").status == "True"
