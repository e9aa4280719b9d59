"""The simulated world: as rude as it is told to be, the same for the same seed, and honest in its log."""

import asyncio
from collections import Counter

import pytest

from drivers.base import Unavailable
from drivers.simulation.driver import SimulationDriver
from drivers.simulation.faults import RUDE, Faults
from drivers.simulation.vandal import Vandal
from drivers.simulation.world import World
from model.names import Ref, SecretRef
from model.objects import Health

from .sketch import OWNER, converge, create, delete, look, make, objects, reveal

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]


@pytest.mark.parametrize("seed", range(10))
async def test_a_rude_world_can_be_brought_to_rest_and_brought_back_to_it(seed: int):
    world, driver = make(RUDE, seed)
    vandal = Vandal(world)
    await converge(driver)
    for _ in range(5):
        assert vandal.act()
        await converge(driver)

    before = len(world.writes)
    await asyncio.sleep(600)
    await converge(driver)

    assert len(world.writes) == before


async def test_the_same_seed_is_the_same_run():
    runs = []
    for seed in (3, 3, 4):
        world, driver = make(RUDE, seed)
        start = asyncio.get_running_loop().time()
        await converge(driver)
        Vandal(world).act()
        await converge(driver)
        runs.append([(round(one.at - start, 6), one.verb, one.ref) for one in world.writes])

    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


async def test_a_task_fails_as_often_as_it_was_told_to_and_is_started_once_more():
    world, driver = make(Faults(task=(1.0, 1.0), task_failures=3))
    await converge(driver)

    assert world.starts[objects(driver)["migrate"].ref] == 4


async def test_a_task_that_ended_is_not_run_again_by_creating_it_again():
    world, driver = make()
    migrate = objects(driver)["migrate"]
    for _ in range(3):
        await driver.apply(OWNER, create(migrate))

    assert world.starts == Counter({migrate.ref: 1})


async def test_a_process_takes_its_time_to_become_healthy():
    _, driver = make(Faults(starting=(30.0, 30.0)))
    scheduler = objects(driver)["scheduler"]
    await driver.apply(OWNER, create(scheduler))

    assert (await look(driver)).seen[scheduler.ref].health is Health.PROGRESSING
    await asyncio.sleep(30)
    seen = (await look(driver)).seen[scheduler.ref]
    assert (seen.health, seen.running) == (Health.HEALTHY, 2)


async def test_what_failed_after_its_effect_has_had_it():
    world, driver = make(Faults(unavailable_after=1.0))
    with pytest.raises(Unavailable):
        await driver.apply(OWNER, create(objects(driver)["settings"]))

    assert [one.verb for one in world.writes] == ["create"]


async def test_what_failed_before_its_effect_has_had_none():
    world, driver = make(Faults(unavailable_before=1.0))
    with pytest.raises(Unavailable):
        await driver.apply(OWNER, create(objects(driver)["settings"]))

    assert world.writes == []
    assert world.things() == ()


async def test_what_was_deleted_lingers_and_nothing_takes_its_place_meanwhile():
    _, driver = make(Faults(lingering=(10.0, 10.0)))
    scheduler = objects(driver)["scheduler"]
    uid = (await driver.apply(OWNER, create(scheduler))).uid

    assert (await driver.apply(OWNER, delete(scheduler, uid))).uid == uid
    await asyncio.sleep(9)
    assert (await driver.apply(OWNER, delete(scheduler, uid))).uid == uid
    seen = (await look(driver)).seen[scheduler.ref]
    assert (seen.digest, seen.running) == (None, 2)
    with pytest.raises(Unavailable, match="still being deleted"):
        await driver.apply(OWNER, create(scheduler))
    await asyncio.sleep(1)

    assert (await look(driver)).seen == {}
    assert (await driver.apply(OWNER, create(scheduler))).uid != uid


async def test_a_blind_kind_shows_nothing_and_says_why():
    world, driver = make()
    await converge(driver)
    world.blind["Sim.Process"] = "403"

    observed = await look(driver)

    assert observed.blind == {"Sim.Process": "403"}
    assert {ref.kind for ref in observed.seen} == {"Sim.Settings", "Sim.Task"}


async def test_copies_and_relabelled_things_are_not_ours():
    world, driver = make()
    await converge(driver)
    vandal = Vandal(world)
    settings = objects(driver)["settings"].ref
    there = vandal.copy(settings, "demo.copied")
    vandal.relabel(objects(driver)["scheduler"].ref, installation="another", owner=str(OWNER))

    observed = await driver.observe(OWNER, frozenset({there, objects(driver)["scheduler"].ref}))

    assert observed.seen.keys() == {settings, objects(driver)["migrate"].ref}
    assert observed.foreign.keys() == {there, objects(driver)["scheduler"].ref}


async def test_secrets_are_known_by_what_they_change_and_never_shown():
    world, driver = make()
    await converge(driver)
    first = world.thing(objects(driver)["scheduler"].ref)

    async def other(_: SecretRef) -> str:
        return "an0ther"

    second_world = World()
    await converge(SimulationDriver(world=second_world, reveal=other))
    second = second_world.thing(objects(driver)["scheduler"].ref)

    assert first
    assert second
    assert first.applied != second.applied
    assert "s3cret" not in repr((world, world.things(), world.writes))


async def test_the_world_outlives_its_drivers():
    world, driver = make(Faults(starting=(50.0, 50.0)))
    scheduler = objects(driver)["scheduler"]
    uid = (await driver.apply(OWNER, create(scheduler))).uid
    await driver.close()
    await asyncio.sleep(50)
    restarted = SimulationDriver(world=world, reveal=reveal)
    await restarted.open()

    seen = (await look(restarted)).seen[scheduler.ref]

    assert (seen.uid, seen.health) == (uid, Health.HEALTHY)
    assert await restarted.owners() == {OWNER}
    assert world.thing(Ref("Sim.Process", "demo.nobody")) is None
