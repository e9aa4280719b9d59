"""Hints: lost, late, repeated, in another order, of the past and of nobody; and nobody polls for them."""

import asyncio

import pytest

from drivers.base import Unavailable
from drivers.simulation.driver import SimulationDriver
from drivers.simulation.faults import POLITE, Faults
from drivers.simulation.vandal import Vandal
from model.names import Owner

from .sketch import OWNER, create, hear, make, objects, reveal

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]


async def after_a_change(faults: Faults, seconds: float = 60) -> tuple[dict[str, int], list[Owner]]:
    """What is heard of one change, and what was injected."""
    world, driver = make(faults)
    await driver.open()
    await driver.apply(OWNER, create(objects(driver)["settings"]))
    told = await hear(driver, seconds)
    return dict(world.injected), told


async def test_hints_come_once_for_each_change_also_for_one_that_time_made():
    _, driver = make(Faults(starting=(10.0, 10.0)))
    await driver.open()
    await driver.apply(OWNER, create(objects(driver)["scheduler"]))

    assert await hear(driver, 60) == [OWNER, OWNER]


@pytest.mark.parametrize(
    ("faults", "injected", "told"),
    [
        (Faults(lost_hints=1.0), "lost hint", []),
        (Faults(repeated_hints=1.0), "repeated hint", [OWNER] * 2),
        (Faults(silences=1.0, silence=(5.0, 5.0)), "silence", []),
        (Faults(late_hints=1.0, lateness=(40.0, 40.0)), "late hint", [OWNER]),
    ],
)
async def test_hints_get_lost_come_twice_and_come_late(faults, injected, told):
    assert await after_a_change(faults) == ({injected: 1}, told)


async def test_a_late_hint_is_told_late():
    _, early = await after_a_change(Faults(late_hints=1.0, lateness=(40.0, 40.0)), 39)
    assert early == []


async def test_a_ghost_is_an_owner_that_never_was():
    injected, told = await after_a_change(Faults(ghost_hints=1.0))

    assert injected == {"ghost hint": 1}
    assert told[0] == OWNER
    assert told[1].scope == "deployment"
    assert told[1] != OWNER


async def test_the_past_comes_again():
    world, driver = make(Faults(past_hints=1.0))
    await driver.open()
    other = Owner("deployment", "13")
    await driver.apply(other, create(objects(driver)["settings"]))
    told = asyncio.ensure_future(hear(driver, 20))
    await asyncio.sleep(10)
    await driver.apply(OWNER, create(objects(driver)["scheduler"]))

    assert await told == [other, OWNER, other]
    assert world.injected == {"past hint": 1}


async def test_a_hint_that_another_is_on_its_way_is_merged_with_it():
    world, driver = make(Faults(merged_hints=1.0, starting=(10.0, 10.0)))
    await driver.open()
    await driver.apply(OWNER, create(objects(driver)["scheduler"]))

    assert await hear(driver, 60) == [OWNER]
    assert world.injected == {"merged hint": 1}


async def test_hints_that_come_together_come_in_any_order():
    orders = set()
    for seed in range(20):
        _, driver = make(Faults(reordered_hints=1.0), seed)
        await driver.open()
        for number, one in enumerate(objects(driver).values()):
            await driver.apply(Owner("deployment", str(number)), create(one))
        orders.add(tuple(one.id for one in await hear(driver, 1)))

    assert len(orders) == 6


async def test_a_hint_comes_when_the_cache_shows_what_it_is_about():
    _, driver = make(Faults(lag=(20.0, 20.0)))
    await driver.open()
    settings = objects(driver)["settings"]
    await driver.observe(OWNER, frozenset())
    await asyncio.sleep(1)
    await driver.apply(OWNER, create(settings))
    assert settings.ref not in (await driver.observe(OWNER, frozenset())).seen
    async for owner in driver.watch():
        assert owner == OWNER
        assert settings.ref in (await driver.observe(OWNER, frozenset())).seen
        await driver.close()


async def test_a_watch_is_interrupted_now_and_then_and_goes_on_when_it_is_taken_up_again():
    world, driver = make(Faults(watch=(10.0, 20.0)))
    await driver.open()
    start = asyncio.get_running_loop().time()
    with pytest.raises(Unavailable, match="interrupted"):
        await anext(driver.watch())
    assert 10 <= asyncio.get_running_loop().time() - start <= 20

    await driver.apply(OWNER, create(objects(driver)["settings"]))
    assert await anext(driver.watch()) == OWNER
    assert world.injected == {"watch interrupted": 1}


async def test_watchers_are_told_that_a_cluster_was_made_again():
    world, driver = make()
    await driver.open()
    watching = asyncio.ensure_future(anext(driver.watch()))
    await asyncio.sleep(1)
    Vandal(world).wipe()

    with pytest.raises(Unavailable, match="410"):
        await watching


async def test_a_world_that_is_down_is_told_to_watchers():
    world, driver = make()
    await driver.open()
    world.is_down = True

    with pytest.raises(Unavailable):
        await anext(driver.watch())


async def test_a_world_that_goes_down_is_noticed_by_who_listens_within_half_a_minute():
    world, driver = make()
    await driver.open()
    watching = asyncio.ensure_future(anext(driver.watch()))
    await asyncio.sleep(1)
    world.is_down = True
    with pytest.raises(Unavailable):
        async with asyncio.timeout(30):
            await watching


async def test_in_a_black_hole_a_watch_is_silent_and_says_nothing_of_it():
    world, driver = make()
    await driver.open()
    await driver.apply(OWNER, create(objects(driver)["settings"]))
    world.is_black_hole = True

    assert await hear(driver, 300) == []


async def test_each_daemon_hears_for_itself_and_the_next_of_its_name_instead_of_it():
    world, dead = make()
    other = SimulationDriver(world=world, reveal=reveal, name="other")
    heir = SimulationDriver(world=world, reveal=reveal)
    for driver in (dead, other, heir):
        await driver.open()
    await heir.apply(OWNER, create(objects(heir)["settings"]))

    assert await asyncio.gather(hear(dead, 1), hear(other, 1), hear(heir, 1)) == [[], [OWNER], [OWNER]]


@pytest.mark.parametrize("faults", [POLITE, Faults(watch=(20.0, 20.0))])
async def test_nobody_wakes_up_for_nothing_also_after_the_healing(faults):
    world, driver = make(faults)
    await driver.open()
    clock, asked = world.clock, 0

    def counting() -> float:
        nonlocal asked
        asked += 1
        return clock()

    world.clock = counting
    watching = asyncio.ensure_future(anext(driver.watch()))
    await asyncio.sleep(10)
    world.heal()
    await asyncio.sleep(3000)
    watching.cancel()

    assert asked < 100 * 10


async def test_what_leaves_an_owner_is_told_to_that_owner():
    world, driver = make(POLITE)
    settings = objects(driver)["settings"]
    await driver.apply(OWNER, create(settings))
    await driver.open()
    Vandal(world).relabel(settings.ref, installation="another", owner="deployment/1")

    assert await hear(driver, 10) == [OWNER]
